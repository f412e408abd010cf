"""Security tools and emulators: they work with their toggle, and no part of them is there without it."""

import base64
import re
import struct

import pytest
from docker.models.images import Image as EngineImage
from testinfra.host import Host

from slipway.matrix import Image
from tests.images.helpers.containers import Run
from tests.images.helpers.online import is_in_archive
from tests.images.helpers.scope import applies
from tests.images.helpers.workbench import is_on

pytestmark = applies(workload="tools")

NOT_HELD = "/usr/local/lib/slipway/not-held"

# Each program's toggle, command, and part of its output.
PROGRAMS = {
    "nmap": ("SECURITY", "nmap --version", "Nmap version 7"),
    "tshark": ("SECURITY", "tshark --version", "TShark (Wireshark) 4"),
    "retroarch": ("RETROARCH", "retroarch --version", "RetroArch"),
    "mame": ("MAME", "mame -version", "0.2"),
    "vice": ("VICE", "x64sc --version", "VICE"),
}

# A server in the container, and what nmap finds of it.
SCAN = """
import socket, subprocess
server = socket.create_server(("127.0.0.1", 0))
port = server.getsockname()[1]
ports = f"{port},{port % 60000 + 1024}"
print("port", port)
print(subprocess.run(["nmap", "-Pn", "-n", "-p", ports, "127.0.0.1"], text=True, capture_output=True).stdout)
"""
# dumpcap records datagrams on loopback, and tshark reads the recording.
CAPTURE = """
cd /tmp
dumpcap -q -i lo -f 'udp port 4321' -c 3 -a duration:20 -w caught.pcapng &
for attempt in $(seq 100); do
    python -c 'import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b"hello", ("127.0.0.1", 4321))'
    kill -0 $! 2>/dev/null || break
    sleep 0.1
done
wait $! && tshark -r caught.pcapng -T fields -e udp.dstport -e udp.payload
"""
UDP = 17
HELLO = b"hello"


def has_desktop(contract: Image) -> bool:
    """Tell whether the image is built on a desktop."""
    return contract.workload is not None and "desktop" in contract.workload.targets


def pcap(port: int, content: bytes) -> bytes:
    """Return a capture file with one UDP datagram."""
    udp = struct.pack("!HHHH", 4000, port, 8 + len(content), 0) + content
    addresses = bytes([192, 0, 2, 1, 192, 0, 2, 2])
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, UDP, 0) + addresses + udp
    frame = bytes(12) + struct.pack("!H", 0x0800) + ip
    return (
        struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
        + struct.pack("<IIII", 0, 0, *[len(frame)] * 2)
        + frame
    )


# --- both ways -----------------------------------------------------------------------------------


@pytest.mark.requirement("C2", "C3", "T2")
@pytest.mark.parametrize("name", PROGRAMS)
def test_program_is_there_by_its_toggle(
    run: Run, host: Host, packages: dict[str, str], contract: Image, name: str
) -> None:
    """It starts and prints its name; without the toggle neither dpkg nor a shell finds it."""
    toggle, command, version = PROGRAMS[name]
    finished = run("sh", "-c", f"cd /tmp && {command}", environment={"HOME": "/tmp"})
    on = is_on(contract, toggle)
    assert (version in finished.output) == on, finished
    assert (packages.get(name) == "ii") == on
    assert host.exists(command.split()[0]) == on


@pytest.mark.requirement("C2", "C3")
def test_wireshark_comes_with_a_desktop(run: Run, packages: dict[str, str], contract: Image) -> None:
    """It needs a screen."""
    finished = run("wireshark", "--version", environment={"HOME": "/tmp", "QT_QPA_PLATFORM": "offscreen"})
    on = is_on(contract, "SECURITY") and has_desktop(contract)
    assert ("Wireshark 4" in finished.output) == on, finished
    assert (packages.get("wireshark") == "ii") == on


@pytest.mark.requirement("C2")
def test_what_the_archive_does_not_hold_is_named(run: Run, host: Host, image: EngineImage, contract: Image) -> None:
    """Nikto is installed when the build's apt sources have it; else the image lists it as missing, and they lack it."""
    missing = host.file(NOT_HELD).content_string.split() if host.file(NOT_HELD).exists else []
    finished = run("nikto", "-Version", environment={"HOME": "/tmp"})
    assert ("Nikto" in finished.output) == (is_on(contract, "SECURITY") and "nikto" not in missing), finished
    assert missing == [] or (missing == ["nikto"] and not is_in_archive(str(image.id), contract, "nikto"))


# --- security tools ------------------------------------------------------------------------------


@pytest.mark.requirement("C2")
def test_nmap_finds_an_open_port(run: Run, contract: Image) -> None:
    """A scan by a user without rights: of two ports one is open."""
    finished = run("python", "-c", SCAN)
    port = finished.output.split()[1]
    assert (finished.exit_code == 0) == is_on(contract, "SECURITY"), finished
    found = re.findall(r"(?m)^(\d+)/tcp +open ", finished.output)
    assert found == ([port] if is_on(contract, "SECURITY") else []), finished


@pytest.mark.requirement("C2")
def test_tshark_reads_a_capture(run: Run, contract: Image) -> None:
    """Reading a file needs no rights."""
    capture = base64.b64encode(pcap(4321, HELLO)).decode()
    fields = "-T fields -e ip.dst -e udp.dstport -e udp.payload"
    finished = run("sh", "-c", f"echo {capture} | base64 -d | tshark -r - {fields}", environment={"HOME": "/tmp"})
    assert (f"192.0.2.2\t4321\t{HELLO.hex()}\n" in finished.output) == is_on(contract, "SECURITY"), finished
    assert (finished.exit_code == 0) == is_on(contract, "SECURITY"), finished


@pytest.mark.requirement("C2")
def test_root_captures_what_passes(run: Run, contract: Image) -> None:
    """`docker run --user 0` can record, with docker's own rights; the image gives rights to nobody."""
    finished = run("sh", "-c", CAPTURE, user="0:0", environment={"HOME": "/tmp"})
    assert (f"4321\t{HELLO.hex()}\n" in finished.output) == is_on(contract, "SECURITY"), finished
    assert (finished.exit_code == 0) == is_on(contract, "SECURITY"), finished
