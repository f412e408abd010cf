"""What Debian has newer than an image holds: apt's answer inside the image, with this host's settings for it."""

import contextlib
import os
from dataclasses import dataclass

import docker
from docker.models.images import Image as EngineImage

from slipway.host import downloads, engine
from slipway.matrix import Image
from tests.images.helpers import timeouts

UPDATE = "apt-get -qq -o Acquire::Retries=1 -o Acquire::http::Timeout=20 update --error-on=any"
UPGRADE = "apt-get -s -q -q upgrade"


@dataclass(frozen=True)
class Upgrade:
    """What apt would do; or, in `unreached`, why Debian's package lists could not be had."""

    exit_code: int
    output: str
    unreached: str = ""

    @property
    def pending(self) -> list[str]:
        """The packages of which Debian has a newer version."""
        return [line.split()[1] for line in self.output.splitlines() if line.startswith("Inst ")]


def simulate_upgrade(image: EngineImage, contract: Image) -> Upgrade:
    """Fetch fresh package lists in a container of its own, and ask apt what it would upgrade."""
    settings = downloads.find(contract.variant.distro.suite)
    environment = {name: os.environ[name] for name in settings.proxies}
    with (
        contextlib.closing(docker.from_env(timeout=timeouts.ENGINE_SECONDS)) as client,
        contextlib.ExitStack() as stack,
    ):
        container = client.containers.create(
            image.id, ["infinity"], entrypoint=["sleep"], user="0", environment=environment
        )
        stack.callback(container.remove, force=True, v=True)
        container.start()
        container.put_archive("/", engine.configuration(settings))
        code, output = container.exec_run(UPDATE)
        if code:
            return Upgrade(code, "", unreached=" ".join(output.decode().split())[-200:])
        code, output = container.exec_run(UPGRADE)
        return Upgrade(code, output.decode())
