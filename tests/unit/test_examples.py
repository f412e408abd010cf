"""The examples of docs/examples/: what they install goes with each image that they are for."""

import pytest

from slipway import matrix, repository
from slipway.matrix import Image
from slipway.python_locks import read_lock

LOCK = repository.ROOT / "docs" / "examples" / "transcribe" / "requirements.txt"
BASES = [
    image
    for image in matrix.load_matrix().variant_images
    if image.flavor == "base"
    and image.variant.accelerator in ("cpu", "cuda")
    and image.variant.versions["python"] == "3.13"
]


@pytest.mark.requirement("U2", "T17")
@pytest.mark.parametrize("image", BASES, ids=lambda image: image.name)
def test_the_example_installs_what_the_image_lacks(image: Image) -> None:
    """Nothing of the image is there twice, or in another version; ONNX Runtime has two names."""
    lacks = {requirement.name for requirement in read_lock(LOCK)}
    has = {requirement.name for lock in image.locks for requirement in read_lock(lock)}
    assert "faster-whisper" in lacks
    assert sorted(lacks & (has | {"onnxruntime", "onnxruntime-gpu"})) == []
