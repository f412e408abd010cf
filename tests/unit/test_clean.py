"""Cleaning removes nothing when it could not remove everything."""

import os
from pathlib import Path

import pytest

from slipway import docker
from slipway.build import clean
from slipway.errors import SlipwayError


@pytest.fixture(autouse=True)
def machine(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository with results, a cache, and an engine that must not be asked."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(root / "cache"))
    monkeypatch.setattr(docker, "output", lambda *_: pytest.fail("the engine was asked"))
    (root / "dist" / "cpu-base").mkdir(parents=True)


@pytest.mark.parametrize("name", ["dist", "cache/slipway"])
def test_a_link_is_left_with_all_that_it_leads_to(tmp_path: Path, name: str) -> None:
    """To another disk, which others may use, too."""
    there, link = tmp_path / "disk", tmp_path / name
    (tmp_path / "dist").rename(there)
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(there)
    with pytest.raises(SlipwayError, match=f"{link} is a link; .* Nothing was removed yet"):
        clean.main()
    assert (there / "cpu-base").is_dir()


def test_another_users_folder_ends_it_before_images_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = tmp_path / "dist" / "cpu-base"
    monkeypatch.setattr(os, "access", lambda place, _: Path(place) != foreign)
    with pytest.raises(SlipwayError, match=rf"{foreign} is not yours to write: sudo chown -R .*/dist\. Nothing was"):
        clean.main()
    assert foreign.is_dir()
