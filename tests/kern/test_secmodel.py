"""The extensions of the security model: who may link to what (secmodel_extensions(9))."""

from __future__ import annotations

import pytest

from rumpfs.base.errors import VfsError
from rumpfs.vfs.cred import Cred
from tests.conformance.sysctlbyname import sysctlbyname
from tests.kern.incore import Machine, Process

CHECK_UID = b"security.models.extensions.hardlink_check_uid"
CHECK_GID = b"security.models.extensions.hardlink_check_gid"
ON = b"\1\0\0\0"


@pytest.fixture
def files(tmp: Process) -> Process:
    """A file of uid 7 and gid 8 in a directory for all."""
    tmp.call("chmod", b".", 0o777)
    tmp.make(b"file", mode=0o666)
    tmp.call("chown", b"file", 7, 8)
    return tmp


def link_as(machine: Machine, uid: int, *groups: int) -> str:
    user = machine.process(Cred(uid, 1, uid, 1, uid, 1, groups))
    return user.error("link", b"/t/file", b"/t/link")


def test_at_first_everybody_may_link(machine: Machine, files: Process) -> None:
    assert sysctlbyname(files, CHECK_UID) == sysctlbyname(files, CHECK_GID) == bytes(4)
    assert sysctlbyname(files, b"security.models.extensions.name").rstrip(b"\0")
    assert link_as(machine, 1) == "ok"


@pytest.mark.parametrize(
    ("name", "uid", "groups", "error"),
    [
        (CHECK_UID, 7, (), "ok"),
        (CHECK_UID, 1, (8,), "EPERM"),
        (CHECK_UID, 0, (), "ok"),
        (CHECK_GID, 7, (), "EPERM"),
        (CHECK_GID, 1, (8,), "ok"),
        (CHECK_GID, 0, (), "ok"),
    ],
)
def test_links_to_files_of_others(
    machine: Machine, files: Process, name: bytes, uid: int, groups: tuple[int, ...], error: str
) -> None:
    sysctlbyname(files, name, ON)
    assert sysctlbyname(files, name) == ON
    assert link_as(machine, uid, *groups) == error


def test_only_root_changes_the_rules(machine: Machine, files: Process) -> None:
    user = machine.process(Cred(1, 1, 1, 1, 1, 1))
    before = sysctlbyname(files, CHECK_UID)
    assert link_as(machine, 1) == "ok"
    with pytest.raises(VfsError, match="EPERM"):
        sysctlbyname(user, CHECK_UID, ON)
    assert sysctlbyname(files, CHECK_UID) == before
