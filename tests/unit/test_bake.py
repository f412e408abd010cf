"""The definition for docker buildx bake: what each build session passes to docker, for each image."""

from pathlib import Path

from slipway import matrix
from slipway.build import bake
from slipway.host.downloads import Host

MATRIX = matrix.load_matrix()


def make_targets(*names: str) -> dict[str, dict[str, object]]:
    """Return the targets of some images."""
    definition = bake.make_definition(MATRIX, [MATRIX.find_image(name) for name in names])
    targets: dict[str, dict[str, object]] = definition["target"]
    assert definition["group"]["default"]["targets"] == list(targets)
    return targets


def test_a_target_has_the_images_build() -> None:
    """A target's name has no full stop."""
    image = MATRIX.find_image("cuda13.2-devel")
    target = make_targets("cuda13.2-devel")["cuda13_2-devel"]
    assert (target["dockerfile"], target["target"], target["tags"]) == ("Dockerfile.cuda", "devel", [image.tag])
    assert target["platforms"] == ["linux/amd64"]
    assert target["args"] == {"BASE_IMAGE": "debian:trixie-slim", "APT_DATE": MATRIX.apt_date, "CUDA_VERSION": "13.2"}


def test_a_workload_waits_for_its_variant_where_both_are_built() -> None:
    """Without its variant it starts from the engine's image."""
    parent = MATRIX.find_image("cpu-base")
    both = make_targets("cpu-base", "cpu-base-workbench")
    assert both["cpu-base-workbench"]["contexts"] == {parent.tag: "target:cpu-base"}
    assert "contexts" not in both["cpu-base"]
    alone = make_targets("cpu-base-workbench")["cpu-base-workbench"]
    assert "contexts" not in alone
    assert alone["args"]["BASE"] == parent.tag  # type: ignore[index]


def test_settings_of_the_host_go_to_every_target_by_name() -> None:
    """No value is an argument of a process."""
    proxies = {"HTTPS_PROXY": "http://u:pw@proxy.example"}
    host = Host(ca_bundle=Path("/host/ca.pem"), proxies=proxies, sources="deb http://u:pw@mirror.example")
    assert bake.pass_settings(host) == [
        "--set=*.args.HTTPS_PROXY",
        "--set=*.secrets=id=ca,src=/host/ca.pem",
        "--set=*.secrets=id=sources,env=SLIPWAY_SOURCES",
    ]
