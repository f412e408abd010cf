"""The ports of this machine on which `nox -s run` publishes those of an image."""

import errno
import socket
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address

from slipway.errors import SlipwayError


def publish_options(ports: Sequence[int], address: str) -> list[str]:
    """Return docker's options that publish ports of an image, each on the nearest free port of this machine.

    What was chosen is printed. SlipwayError for an address that is none.
    """
    try:
        ip = ip_address(address)
    except ValueError:
        message = f"--address {address} is no IP address: 127.0.0.1 is for this machine alone, 0.0.0.0 for all networks"
        raise SlipwayError(message) from None
    host = f"[{ip}]" if isinstance(ip, IPv6Address) else str(ip)
    chosen: dict[int, int] = {}
    for port in ports:
        used = {*chosen.values(), *ports} - {port}
        chosen[port] = next(one for one in range(port, 65536) if one not in used and is_free(str(ip), one))
    print(", ".join(f"port {port} is at {host}:{own}" for port, own in chosen.items()), flush=True)
    return [f"--publish={host}:{own}:{port}" for port, own in chosen.items()]


def is_free(address: str, port: int) -> bool:
    """Tell whether no program of this machine listens on a port; an address of another machine is not asked."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE
    return True
