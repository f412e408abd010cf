"""Builds by plain docker."""

import os
import subprocess
from pathlib import Path

from slipway import matrix
from slipway.host import downloads


def build(tree: Path, image: matrix.Image, tag: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the plain docker command that the README gives, with the host's settings; return what it printed."""
    settings = downloads.find(image.variant.distro.suite)
    words = [
        f"--file={image.variant.dockerfile}",
        f"--target={image.flavor}",
        f"--tag={tag}",
        "--progress=plain",
        "--load",
    ]
    values = {"BASE_IMAGE": image.variant.distro.tag, **image.variant.arguments}
    arguments = [f"--build-arg={name}={value}" for name, value in values.items()]
    command = [
        "docker",
        "buildx",
        "build",
        "--provenance=false",
        *words,
        *arguments,
        *settings.build_arguments(),
        *options,
        ".",
    ]
    return subprocess.run(
        command,
        cwd=tree,
        env=os.environ | settings.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
