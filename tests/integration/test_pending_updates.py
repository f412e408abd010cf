"""Pending security updates of real images, and the age of locks in real git repositories."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from slipway import matrix, repository
from slipway.host import apt
from slipway.scan import pending_updates
from slipway.scan.pending_updates import NotRunError
from tests.helpers.built_images import require_built
from tests.integration.try_images import TryImage

DAY = 86400


# libssl3t64 has had a security update since Debian 13 came out.
OLD_OPENSSL = "RUN sed -i '/^Package: libssl3t64$/,/^Version/s/^Version: .*/Version: 3.5.0-1/' /var/lib/dpkg/status"


def git(folder: Path, *words: str, day: float = 0) -> None:
    """Run git in a folder, some days ago."""
    when = f"{int(time.time() - day * DAY)} +0000"
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    dates = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
    subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True, env=os.environ | who | dates)


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose locks were committed ten days ago."""
    folder = tmp_path / "repository"
    for lock in matrix.load_matrix().find_image("cpu-base").locks:
        file = folder / lock.relative_to(repository.ROOT)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("# a lock\n")
    git(tmp_path, "init", "--quiet", str(folder))
    git(folder, "add", ".")
    git(folder, "commit", "--message=locks", day=10)
    (folder / "README.md").write_text("changed since then\n")
    git(folder, "add", ".")
    git(folder, "commit", "--message=other", day=1)
    monkeypatch.setattr(repository, "ROOT", folder)
    return folder


@pytest.fixture
def cpu_base() -> str:
    """The tag of cpu-base."""
    image = matrix.load_matrix().find_image("cpu-base")
    require_built(image)
    return image.tag


def find_updates(image_id: str) -> list[str]:
    """Return the pending security updates of an image; skip the test when Debian is not reached."""
    try:
        return pending_updates.pending_updates(image_id, "trixie")
    except NotRunError as error:
        pytest.skip(str(error))


@pytest.mark.requirement("A10", "T10")
def test_a_pending_security_update_is_found(try_image: TryImage, cpu_base: str) -> None:
    """By name, with both versions."""
    found = find_updates(try_image(f"FROM {cpu_base}\nUSER 0\n{OLD_OPENSSL}"))
    assert len(found) == 1
    assert found[0].startswith("libssl3t64 3.5.0-1 -> 3.5.")


def test_the_images_own_settings_hide_nothing(try_image: TryImage, cpu_base: str) -> None:
    """A package on hold, a preference against the suite, no source of security fixes."""
    lines = [
        f"FROM {cpu_base}",
        "USER 0",
        OLD_OPENSSL,
        r"RUN printf 'Package: *\nPin: release n=trixie-security\nPin-Priority: -1\n' >/etc/apt/preferences",
        "RUN apt-mark hold libssl3t64 && rm /etc/apt/sources.list.d/*",
    ]
    assert len(find_updates(try_image("\n".join(lines)))) == 1


def test_no_network_is_not_run(try_image: TryImage, cpu_base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing pending is not what is said then."""
    monkeypatch.setattr(pending_updates, "SECURITY", apt.Mirror("http://127.0.0.1:9/debian-security"))
    monkeypatch.setattr(apt, "find_mirrors", lambda *_: None)
    with pytest.raises(NotRunError, match=r"Debian's package lists were not reached: E: .*127\.0\.0\.1"):
        pending_updates.pending_updates(try_image(f"FROM {cpu_base}"), "trixie")


def test_an_image_without_apt_is_not_run(try_image: TryImage, cpu_base: str) -> None:
    with pytest.raises(NotRunError, match="not reached"):
        pending_updates.pending_updates(try_image(f"FROM {cpu_base}\nUSER 0\nRUN rm /usr/bin/apt-get"), "trixie")


@pytest.mark.usefixtures("history")
def test_a_lock_older_than_the_limit_is_named() -> None:
    """By the commit that changed it last, whatever was committed since."""
    image = matrix.load_matrix().find_image("cpu-base")
    lines = list(pending_updates.list_old_locks(image, 9))
    assert lines == ["requirements/cpu-base.txt is 10 days old, and 9 are allowed: nox -s lock"]
    assert list(pending_updates.list_old_locks(image, 10)) == []


def test_a_lock_that_was_just_compiled_is_new(history: Path) -> None:
    """Before it is committed."""
    image = matrix.load_matrix().find_image("cpu-base")
    image.locks[0].write_text("# compiled anew\n")
    assert list(pending_updates.list_old_locks(image, 9)) == []


def test_a_clone_without_history_is_not_run(history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its one commit is younger than what is in it."""
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{history}", "shallow")
    monkeypatch.setattr(repository, "ROOT", tmp_path / "shallow")
    with pytest.raises(NotRunError, match="git fetch --unshallow"):
        list(pending_updates.list_old_locks(matrix.load_matrix().find_image("cpu-base"), 9))


def test_outside_a_repository_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    with pytest.raises(NotRunError, match="the age of the locks is unknown"):
        pending_updates.compute_lock_age(tmp_path / "lock.txt")
