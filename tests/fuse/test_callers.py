"""Whose files they are, and who may do what: the callers' credentials count, those of the host."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuse.conftest import ffs_volume, tmpfs_volume

pytestmark = pytest.mark.root

NOBODY, GROUP, OTHER = 65534, 4242, 4243


@pytest.fixture(scope="module", params=["tmpfs", "ffs2-le"])
def shared_mount(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system that all users may use."""
    directory = tmp_path_factory.mktemp("shared")
    if request.param == "tmpfs":
        volume = tmpfs_volume("kernel", directory, "allow_other")
    else:
        volume = ffs_volume(request.param, directory, "allow_other")
    with volume as mnt:
        yield mnt


@pytest.fixture
def shared(shared_mount: Path, request: pytest.FixtureRequest) -> Path:
    """A directory for the members of a group."""
    directory = shared_mount / f"{abs(hash(request.node.nodeid)):x}"
    directory.mkdir()
    os.chown(directory, 0, GROUP)
    directory.chmod(0o770)
    shared_mount.chmod(0o755)
    return directory


def may(directory: Path, script: str, *groups: int, user: int = NOBODY) -> bool:
    """Have a user with further groups run a shell script in a directory; whether it succeeds."""
    done = subprocess.run(
        ["sh", "-ec", f"umask 022\n{script}"],
        cwd=directory, user=user, group=user, extra_groups=groups, capture_output=True, text=True,
    )  # fmt: skip
    # EACCES or EPERM it has to be
    assert done.returncode == 0 or "ermi" in done.stderr, done.stderr
    return done.returncode == 0


NAMES = """
touch f
mkdir d
ln -s f s
ln f h
mkfifo p
mv f d/f
mv d/f g
rm g s h p
rmdir d
"""


def test_members_of_a_group_may_use_its_directory(shared: Path) -> None:
    assert may(shared, NAMES, GROUP, OTHER)
    assert os.listdir(shared) == []


@pytest.mark.parametrize("script", ["ls {}", "touch {}/f", "mkdir {}/d", "stat {}/."])
def test_others_may_not(shared: Path, script: str) -> None:
    assert not may(shared.parent, script.format(shared.name), OTHER)
    assert os.listdir(shared) == []


def test_what_is_made_belongs_to_who_makes_it(shared: Path) -> None:
    assert may(shared, "umask 027; touch f; mkdir d; ln -s f s", GROUP)
    for name, mode in (("f", 0o640), ("d", 0o750)):
        facts = (shared / name).stat()
        # The group is that of the directory, as everywhere in BSD (open(2), mkdir(2)).
        assert (facts.st_uid, facts.st_gid, stat.S_IMODE(facts.st_mode)) == (NOBODY, GROUP, mode)
    assert (shared / "s").lstat().st_uid == NOBODY


def test_owners_give_files_to_their_own_groups_only(shared: Path) -> None:
    assert may(shared, f"touch f; chgrp {OTHER} f", GROUP, OTHER)
    assert (shared / "f").stat().st_gid == OTHER
    assert not may(shared, f"chgrp {OTHER + 1} f", GROUP, OTHER)
    assert not may(shared, "chmod 600 f", GROUP, user=NOBODY - 1)
    assert (shared / "f").stat().st_gid == OTHER


def test_in_a_sticky_directory_everybody_has_his_own_files(shared: Path) -> None:
    shared.chmod(0o1777)
    (shared / "root").touch()
    assert may(shared, "touch own; rm own")
    assert not may(shared, "rm -f root")
    assert not may(shared, "mv root other")


def test_writing_takes_set_user_id_away(shared: Path) -> None:
    file = shared / "f"
    file.touch()
    file.chmod(0o6777)
    assert may(shared, "echo text > f", GROUP)
    assert stat.S_IMODE(file.stat().st_mode) == 0o777


def test_a_mode_that_forbids_writing_holds_for_later_opens_only(shared: Path) -> None:
    assert may(shared, "umask 777; exec 3> f; echo text >&3", GROUP)
    assert (shared / "f").read_text() == "text\n"
    assert not may(shared, "cat f", GROUP)
