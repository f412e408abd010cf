"""The ports that `nox -s run` publishes, beside programs that really listen."""

import re
import socket
from collections.abc import Iterator

import pytest

from slipway.errors import SlipwayError
from slipway.host import ports


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which a program listens, on every address."""
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def read_ports(options: list[str]) -> list[tuple[int, int]]:
    """Return the port of this machine and that of the image in each option."""
    found = [re.fullmatch(r"--publish=127\.0\.0\.1:(\d+):(\d+)", option) for option in options]
    return [(int(match[1]), int(match[2])) for match in found if match]


@pytest.mark.requirement("T15")
def test_a_port_that_is_taken_gets_the_next_free_one(taken: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Not one that the image uses itself; what was chosen is printed."""
    chosen = read_ports(ports.publish_options([taken, taken + 1], "127.0.0.1"))
    assert [inside for _, inside in chosen] == [taken, taken + 1]
    assert chosen[0][0] > taken + 1
    assert len({own for own, _ in chosen}) == 2
    assert f"port {taken} is at 127.0.0.1:{chosen[0][0]}, port {taken + 1} is at" in capsys.readouterr().out


def test_the_usual_port_where_it_is_free(taken: int) -> None:
    """It is free again as soon as its program has ended."""
    assert not ports.is_free("127.0.0.1", taken)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        free = int(listener.getsockname()[1])
    assert ports.publish_options([free], "127.0.0.1") == [f"--publish=127.0.0.1:{free}:{free}"]


def test_other_addresses(taken: int) -> None:
    """An IPv6 address has brackets; one of another machine, whose engine runs the container, is not asked."""
    assert ports.publish_options([8000], "::1")[0].startswith("--publish=[::1]:")
    assert ports.publish_options([taken], "192.0.2.1") == [f"--publish=192.0.2.1:{taken}:{taken}"]
    with pytest.raises(SlipwayError, match=r"--address localhost is no IP address: 127\.0\.0\.1 is"):
        ports.publish_options([8000], "localhost")
