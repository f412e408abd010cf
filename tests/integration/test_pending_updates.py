"""Pending security updates of real images."""

import pytest

from slipway import matrix
from slipway.host import apt
from slipway.scan import pending_updates
from slipway.scan.pending_updates import NotRunError
from tests.helpers.built_images import require_built
from tests.helpers.reasons import NO_DEBIAN_LISTS
from tests.integration.try_images import TryImage

# libssl3t64 has had a security update since Debian 13 came out.
OLD_OPENSSL = "RUN sed -i '/^Package: libssl3t64$/,/^Version/s/^Version: .*/Version: 3.5.0-1/' /var/lib/dpkg/status"
OLD_VICE = r"""RUN printf '%s\n' 'Package: vice' 'Status: install ok installed' 'Section: contrib/games' \
    'Architecture: amd64' 'Version: 1' 'Maintainer: x' 'Description: x' '' >>/var/lib/dpkg/status"""


@pytest.fixture
def cpu_base() -> str:
    """The tag of cpu-base."""
    image = matrix.load_matrix().find_image("cpu-base")
    require_built(image)
    return image.tag


def find_updates(image_id: str, *, security_only: bool = True) -> list[str]:
    """Return the pending updates of an image; skip the test when Debian is not reached."""
    try:
        return pending_updates.pending_updates(image_id, "trixie", security_only=security_only)
    except NotRunError:
        pytest.skip(NO_DEBIAN_LISTS)


def is_of_openssl(line: str) -> bool:
    """Tell whether an update is that of OLD_OPENSSL; the image itself may need others today."""
    return line.startswith("libssl3t64 3.5.0-1 -> 3.5.")


@pytest.mark.requirement("A10", "T10")
def test_a_pending_security_update_is_found(try_image: TryImage, cpu_base: str) -> None:
    found = find_updates(try_image(f"FROM {cpu_base}\nUSER 0\n{OLD_OPENSSL}"))
    assert sum(map(is_of_openssl, found)) == 1, found


@pytest.mark.requirement("A10")
def test_an_update_outside_of_main_is_found(try_image: TryImage, cpu_base: str) -> None:
    """An image may have packages of contrib and non-free, though its sources do not name these."""
    found = find_updates(try_image(f"FROM {cpu_base}\nUSER 0\n{OLD_VICE}"), security_only=False)
    [vice] = [line for line in found if line.startswith("vice ")]
    assert vice.startswith("vice 1 -> 3")


def test_the_images_own_settings_hide_nothing(try_image: TryImage, cpu_base: str) -> None:
    """A package on hold, a preference against the suite, no source of security fixes."""
    lines = [
        f"FROM {cpu_base}",
        "USER 0",
        OLD_OPENSSL,
        r"RUN printf 'Package: *\nPin: release n=trixie-security\nPin-Priority: -1\n' >/etc/apt/preferences",
        "RUN apt-mark hold libssl3t64 && rm /etc/apt/sources.list.d/*",
    ]
    found = find_updates(try_image("\n".join(lines)))
    assert sum(map(is_of_openssl, found)) == 1, found


def test_no_network_is_not_run(try_image: TryImage, cpu_base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing pending is not what is said then."""
    monkeypatch.setattr(pending_updates, "SECURITY", apt.Mirror("http://127.0.0.1:9/debian-security"))
    monkeypatch.setattr(apt, "find_mirrors", lambda *_: None)
    with pytest.raises(NotRunError, match=r"Debian's package lists were not reached: E: .*127\.0\.0\.1"):
        pending_updates.pending_updates(try_image(f"FROM {cpu_base}"), "trixie")


def test_an_image_without_apt_is_not_run(try_image: TryImage, cpu_base: str) -> None:
    with pytest.raises(NotRunError, match="not reached"):
        pending_updates.pending_updates(try_image(f"FROM {cpu_base}\nUSER 0\nRUN rm /usr/bin/apt-get"), "trixie")
