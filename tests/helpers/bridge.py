"""The address by which containers and builds reach a server of a test on this host."""

import socket

import pytest

from slipway import docker, matrix
from tests.helpers import reasons
from tests.helpers.built_images import require_built


def find_bridge() -> str:
    """Return this host's address for containers; skip the tests where a container does not reach this host by it."""
    base = matrix.load_matrix().find_image("cpu-base")
    require_built(base)
    gateway = docker.call("network", "inspect", "bridge", "--format={{(index .IPAM.Config 0).Gateway}}").stdout.strip()
    try:
        with socket.create_server((gateway or "none.invalid", 0)) as server:
            program = f"import socket; socket.create_connection({server.getsockname()}, 5)"
            options = ("--rm", f"--label={docker.TEST_LABEL}", "--entrypoint=python")
            is_reached = docker.call("run", *options, base.tag, "-c", program).returncode == 0
    except OSError:
        is_reached = False
    if not is_reached:
        pytest.skip(reasons.NO_BRIDGE)
    return gateway
