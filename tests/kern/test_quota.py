"""quotactl(2) on images that NetBSD made (vfs_syscalls.c: do_sys_quotactl; ufs_quota.c)."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from rumpfs.abi.quota import QUOTA_DEFAULTID, QUOTA_IDTYPE_GROUP, QUOTA_IDTYPE_USER
from rumpfs.vfs.cred import Cred
from tests.images_util import makefs, manifest, netbsd_image
from tests.kern.incore import USER as NOBODY
from tests.kern.incore import Machine, Process

USER, GROUP = QUOTA_IDTYPE_USER, QUOTA_IDTYPE_GROUP
BOTH, GROUPS = "quota2-v2le", "quota2-v1be"
IDTYPES = {"user": USER, "group": GROUP}
OBJTYPES = {"blocks": 0, "files": 1}

Key = tuple[int, int, int]


class Quotas:
    """Makes the calls of a process on the file system of a path."""

    def __init__(self, process: Process, path: bytes = b"/m") -> None:
        self.process = process
        self.path = path
        self.cursor = bytearray(64)
        self.at = self.map(self.cursor)

    def map(self, content: bytes | bytearray) -> int:
        return self.process.memory.map(content)

    def args(self, op: int, code: str, *values: Any) -> bytes:
        return struct.pack("<I4x" + code, op, *values).ljust(48, b"\0")

    def call(self, op: int, code: str, *values: Any) -> None:
        assert self.process.call("__quotactl", self.path, self.args(op, code, *values)) == 0

    def error(self, op: int, code: str, *values: Any) -> str:
        return self.process.error("__quotactl", self.path, self.args(op, code, *values))

    def get(self, idtype: int, ident: int, objtype: int) -> tuple[int, ...]:
        value = bytearray(40)
        self.call(3, "QQ", self.map(struct.pack("<iIi", idtype, ident, objtype)), self.map(value))
        return struct.unpack("<QQQqq", value)

    def get_error(self, idtype: int, ident: int, objtype: int) -> str:
        key = self.map(struct.pack("<iIi", idtype, ident, objtype))
        return self.error(3, "QQ", key, self.map(bytearray(40)))

    def open(self) -> None:
        self.call(6, "Q", self.at)

    def next(self, count: int) -> list[tuple[Key, tuple[int, ...]]]:
        keys, vals, ret = bytearray(12 * count), bytearray(40 * count), bytearray(4)
        self.call(9, "QQQI4xQ", self.at, self.map(keys), self.map(vals), count, self.map(ret))
        found = int.from_bytes(ret, "little")
        pairs = list(zip(struct.iter_unpack("<iIi", keys), struct.iter_unpack("<QQQqq", vals), strict=True))
        assert not any(map(any, pairs[found])) if found < count else True
        return pairs[:found]

    def atend(self) -> bool:
        ret = bytearray(4)
        self.call(10, "QQ", self.at, self.map(ret))
        return bool(int.from_bytes(ret, "little"))

    def all(self, count: int) -> list[tuple[Key, tuple[int, ...]]]:
        found = []
        while some := self.next(count):
            assert len({idtype for (idtype, _, _), _ in some}) == 1
            assert len(some) <= count
            found += some
        assert self.atend()
        return found


def on_image(machine: Machine, name: str) -> Quotas:
    process = machine.process()
    machine.drive(b"/dev/dk", netbsd_image(name))
    process.call("mkdir", b"/m", 0o755)
    process.mount_ffs(b"/m", b"/dev/dk")
    return Quotas(process)


def recorded(name: str) -> dict[Key, tuple[int, ...]]:
    """Return the values that NetBSD's kernel answered with, by idtype, id and objtype."""
    return {
        (
            IDTYPES[fact["idtype"]],
            QUOTA_DEFAULTID if fact["id"] == "default" else fact["id"],
            OBJTYPES[fact["objtype"]],
        ): (fact["hard"], fact["soft"], fact["usage"], fact["expire"], fact["grace"])
        for fact in manifest(name)["quota"]
        if "errno" not in fact
    }


@pytest.mark.parametrize("name", [BOTH, GROUPS])
def test_get(machine: Machine, name: str) -> None:
    quotas = on_image(machine, name)
    for key, value in recorded(name).items():
        assert quotas.get(*key) == value
    for fact in manifest(name)["quota"]:
        if "errno" in fact:
            answer = quotas.get_error(fact["idtype"], fact["id"], fact["objtype"])
            assert answer == {2: "ENOENT", 19: "ENODEV"}[fact["errno"]]
    for key in ((GROUP, 0, 2), (GROUP, 0, -1), (2, 0, 0), (-1, 0, 0)):
        assert quotas.get_error(*key) == "EINVAL"


def test_everybody_may_see_his_own(machine: Machine) -> None:
    quotas = on_image(machine, BOTH)
    mine = Quotas(machine.process(Cred(1000, 1, 1000, 1, 1000, 1)))
    assert mine.get(USER, 1000, 0) == quotas.get(USER, 1000, 0)
    for ident in (0, 1001, QUOTA_DEFAULTID):
        assert mine.get_error(USER, ident, 0) == "EPERM"
    assert mine.get_error(USER, 1001, 9) == "EPERM"
    for op in (6, 7):
        assert mine.error(op, "Q", mine.at) == "EPERM"
    assert mine.error(9, "QQQI4xQ", 0, 0, 0, 1, 0) == "EPERM"
    for op in (4, 5, 12, 13):
        assert mine.error(op, "QQ", 0, 0) == "EPERM"


@pytest.mark.parametrize("name", [BOTH, GROUPS])
def test_cursors_find_everything_once(machine: Machine, name: str) -> None:
    """Users first, the default before the others, blocks before files; however many are asked for."""
    quotas = on_image(machine, name)
    quotas.open()
    assert not quotas.atend()
    whole = quotas.all(1000)
    assert recorded(name).items() <= dict(whole).items()
    assert len(dict(whole)) == len(whole)
    idtypes = [idtype for (idtype, _, _), _ in whole]
    assert idtypes == sorted(idtypes)
    for idtype in set(idtypes):
        assert whole[idtypes.index(idtype)][0] == (idtype, QUOTA_DEFAULTID, 0)
    assert [objtype for (_, _, objtype), _ in whole] == [0, 1] * (len(whole) // 2)
    for key, value in whole:
        assert quotas.get(*key) == value
    for count in (1, 2, 3, 7, 128):
        quotas.call(11, "Q", quotas.at)
        assert quotas.all(count) == whole
    quotas.call(7, "Q", quotas.at)


def test_one_call_gives_128_at_most(machine: Machine, tmp_path: Any) -> None:
    record = struct.pack("<6Iii", 0, 0, 1, 0, 0, 1, 0, 0)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "quota.user").write_bytes(record * 1000)
    machine.drive(b"/dev/dk", makefs(tree, tmp_path / "image", 1, "le", 4096, 512))
    process = machine.process()
    process.call("mkdir", b"/m", 0o755)
    process.mount_ffs(b"/m", b"/dev/dk")
    quotas = Quotas(process)
    quotas.open()
    assert len(quotas.next(129)) == 128
    quotas.open()
    whole = quotas.all(500)
    assert len(whole) == 2 * 1001
    assert [ident for (_, ident, objtype), _ in whole if objtype] == [QUOTA_DEFAULTID, *range(1000)]


def test_a_cursor_skips_types_of_ids(machine: Machine) -> None:
    quotas = on_image(machine, BOTH)
    quotas.open()
    quotas.call(8, "Qi", quotas.at, USER)
    assert {idtype for (idtype, _, _), _ in quotas.all(50)} == {GROUP}
    quotas.call(11, "Q", quotas.at)
    quotas.call(8, "Qi", quotas.at, GROUP)
    assert not quotas.atend()
    quotas.call(8, "Qi", quotas.at, USER)
    assert quotas.atend()
    assert quotas.next(5) == []
    for idtype in (2, -1):
        assert quotas.error(8, "Qi", quotas.at, idtype) == "EINVAL"


def test_nothing_is_asked_for(machine: Machine) -> None:
    quotas = on_image(machine, BOTH)
    quotas.open()
    assert quotas.next(0) == []
    assert not quotas.atend()
    assert quotas.next(1)[0][0] == (USER, QUOTA_DEFAULTID, 0)


def test_cursors_that_were_made_up(machine: Machine) -> None:
    """The caller keeps the cursor, so it may hold anything."""
    quotas = on_image(machine, BOTH)
    for content in (bytes(64), b"\xff" * 64):
        quotas.cursor[:] = content
        for op in (7, 8, 9, 10, 11):
            assert quotas.error(op, "QQQI4xQ", quotas.at, 0, 0, 1, 0) == "EINVAL"
    quotas.open()
    opened = bytes(quotas.cursor)
    for index in range(64):
        for value in (1, 0x7F, 0xFF):
            quotas.cursor[:] = opened
            quotas.cursor[index] ^= value
            if quotas.error(10, "QQ", quotas.at, quotas.map(bytearray(4))) == "ok":
                assert len(quotas.next(5)) <= 5
    for op, code, values in ((6, "Q", (0x10,)), (7, "Q", (0x10,)), (10, "QQ", (quotas.at, 0x10))):
        quotas.cursor[:] = opened
        assert quotas.error(op, code, *values) == "EFAULT"


def test_what_the_implementation_says_of_itself(machine: Machine) -> None:
    quotas = on_image(machine, GROUPS)
    stat = bytearray(44)
    quotas.call(0, "Q", quotas.map(stat))
    assert struct.unpack("<32siiI", stat) == (b"ufs/ffs quota v2".ljust(32, b"\0"), 2, 2, 8)
    for idtype, name in ((0, b"user"), (1, b"group")):
        info = bytearray(32)
        quotas.call(1, "i4xQ", idtype, quotas.map(info))
        assert info.rstrip(b"\0") == name
    for objtype, name, isbytes in ((0, b"block", 1), (1, b"file", 0)):
        info = bytearray(36)
        quotas.call(2, "i4xQ", objtype, quotas.map(info))
        assert struct.unpack("<32si", info) == (name.ljust(32, b"\0"), isbytes)
    for op in (1, 2):
        for number in (2, -1):
            assert quotas.error(op, "i4xQ", number, 0) == "EINVAL"


def test_nothing_can_be_changed(machine: Machine) -> None:
    quotas = on_image(machine, BOTH)
    key = quotas.map(struct.pack("<iIi", USER, 1000, 0))
    assert quotas.error(4, "QQ", key, quotas.map(bytes(40))) == "EROFS"
    assert quotas.error(5, "Q", key) == "EROFS"
    assert quotas.error(12, "i4xQ", USER, quotas.map(b"/m/quota.user\0")) == "EROFS"
    assert quotas.error(13, "i", USER) == "EROFS"
    assert quotas.error(14, "Q", 0) == "EINVAL"


def test_any_path_of_the_file_system_will_do(machine: Machine) -> None:
    quotas = on_image(machine, BOTH)
    quotas.path = b"/m/names"
    assert quotas.get(USER, 1000, 0) == recorded(BOTH)[USER, 1000, 0]
    quotas.path = b"/m/no such name"
    assert quotas.get_error(USER, 1000, 0) == "ENOENT"
    quotas.path = b"/"
    assert quotas.get_error(USER, 1000, 0) == "EOPNOTSUPP"
    assert machine.busy()[b"/m"] == 0
    assert machine.process(NOBODY).error("__quotactl", b"/m", None) == "EFAULT"
