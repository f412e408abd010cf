"""The tags of a published image: requirement A5's, with versions that are the image's own."""

import itertools

import pytest

from slipway import matrix
from slipway.errors import SlipwayError
from slipway.matrix import Image
from slipway.publish import tags

MATRIX = matrix.load_matrix()


def labels(image: Image, **changes: str) -> dict[str, str]:
    """Return the labels that a build reads from an image."""
    found = {f"slipway.{name}": version for name, version in image.variant.versions.items()}
    own = {"slipway.flavor": image.flavor, tags.RELEASE: "1.2.3"}
    workload = {"slipway.workload": image.workload.name} if image.workload else {}
    return {**found, **own, **workload, **{f"slipway.{name}": value for name, value in changes.items()}}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "cuda-devel",
            "1.2.3-cuda13.0-devel 1.2-cuda13.0-devel latest-cuda13.0-devel 1.2.3-devel 1.2-devel latest-devel",
        ),
        (
            "cuda-base",
            (
                "1.2.3-cuda13.0-base 1.2-cuda13.0-base latest-cuda13.0-base 1.2.3-base 1.2-base latest-base 1.2.3 1.2 "
                "latest"
            ),
        ),
        ("cuda13.2-base", "1.2.3-cuda13.2-base 1.2-cuda13.2-base latest-cuda13.2-base"),
        (
            "cuda-base-py3.11",
            (
                "1.2.3-cuda13.0-base-py3.11 1.2-cuda13.0-base-py3.11 latest-cuda13.0-base-py3.11 "
                "1.2.3-base-py3.11 1.2-base-py3.11 latest-base-py3.11"
            ),
        ),
        ("cpu-runtime", "1.2.3-cpu-runtime 1.2-cpu-runtime latest-cpu-runtime"),
        ("cpu-base-arm64", "1.2.3-cpu-base 1.2-cpu-base latest-cpu-base"),
        ("rocm-base", "1.2.3-rocm5.7-base 1.2-rocm5.7-base latest-rocm5.7-base"),
        (
            "rocm-base-workbench",
            "1.2.3-rocm5.7-base-workbench 1.2-rocm5.7-base-workbench latest-rocm5.7-base-workbench",
        ),
    ],
)
@pytest.mark.requirement("A5")
def test_tags_are_as_promised(name: str, expected: str) -> None:
    """The default CUDA version also without its part, its base flavor without any."""
    image = MATRIX.find_image(name)
    assert tags.list_tags(image, labels(image)) == expected.split()


@pytest.mark.requirement("A5")
def test_no_two_images_share_a_tag_but_two_platforms_of_one() -> None:
    """Each image of the matrix has its own tags, which are valid also with a revision and its claims."""
    found = {image.name: set(tags.list_tags(image, labels(image))) for image in MATRIX.images}
    for one, other in itertools.combinations(found, 2):
        same_image = one.removesuffix("-arm64") == other.removesuffix("-arm64")
        assert same_image or not found[one] & found[other]
    assert max(len(f"{tag}-r1000.claim") for each in found.values() for tag in each) <= 128


@pytest.mark.requirement("V6")
def test_versions_are_the_images_own() -> None:
    """images.toml promises another one, which does not count."""
    image = MATRIX.find_image("cuda-base")
    assert tags.list_tags(image, labels(image, cuda="13.9"))[0] == "1.2.3-cuda13.9-base"
    image = MATRIX.find_image("cuda-base-py3.11")
    assert tags.list_tags(image, labels(image, python="3.12"))[0] == "1.2.3-cuda13.0-base-py3.12"


@pytest.mark.parametrize(("label", "value"), [("cuda", ""), ("cuda", "13"), ("cuda", "13.0 x"), ("flavor", "devel")])
@pytest.mark.requirement("V6")
def test_a_label_that_tells_no_tag_is_refused(label: str, value: str) -> None:
    """The message has the label's name, its value and the command that helps."""
    image = MATRIX.find_image("cuda-base")
    with pytest.raises(SlipwayError, match=rf"has {value or 'nothing'} on its label slipway.{label}\b.*cuda-base"):
        tags.list_tags(image, labels(image, **{label: value}))
