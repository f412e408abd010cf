"""Builds by plain docker."""

import os
import subprocess
from pathlib import Path

from slipway import matrix
from slipway.host import downloads
from tests.helpers.programs import run_merged


def build(tree: Path, image: matrix.Image, tag: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the plain docker command that the README gives, with the host's settings; return what it printed."""
    settings = downloads.find(image.variant.distro.suite)
    options = ["--provenance=false", "--progress=plain", "--load", *settings.build_arguments()]
    values = {"BASE_IMAGE": image.variant.distro.tag, **image.variant.arguments}
    options += [f"--build-arg={name}={value}" for name, value in values.items()]
    options += [f"--file={image.variant.dockerfile}", f"--target={image.flavor}", f"--tag={tag}"]
    options += more  # docker takes the last one of a kind
    return run_merged(["docker", "buildx", "build", *options, "."], cwd=tree, env=os.environ | settings.environment())
