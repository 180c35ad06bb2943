"""Quotas of FFS: images that NetBSD made, quota files of 4.2BSD, and damage."""

from __future__ import annotations

import struct
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from rumpfs.abi.errno import EIO, ENOENT, EOPNOTSUPP
from rumpfs.abi.quota import QUOTA_IDTYPE_GROUP, QUOTA_IDTYPE_USER, QUOTA_NOLIMIT, Quotaval
from rumpfs.base.errors import VfsError
from rumpfs.vfs.quota import QuotaFile
from tests.fs.ffs.editor import Editor
from tests.fs.ffs.harness import mounted, walk
from tests.images_util import freebsd_image, makefs, manifest, netbsd_image, scratch_copy

USER, GROUP = QUOTA_IDTYPE_USER, QUOTA_IDTYPE_GROUP
IDTYPES = {"user": USER, "group": GROUP}
OBJTYPES = ("blocks", "files")
IMAGES = ("quota2-v1be", "quota2-v2le")
WEEK = 7 * 24 * 60 * 60


def failure(call: Callable[[], object]) -> int:
    with pytest.raises(VfsError) as caught:
        call()
    return caught.value.errno


def everything(file: QuotaFile) -> dict[int, tuple[Quotaval, ...]]:
    return {ident: values for _, ident, values in file.entries(0)}


# --- quota2 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", IMAGES)
def test_what_netbsd_kept(name: str) -> None:
    with mounted(netbsd_image(name)) as mp:
        quotas = mp.quotas()
        assert quotas.implname == b"ufs/ffs quota v2"
        facts = manifest(name)["quota"]
        assert set(quotas.files) == {IDTYPES[fact["idtype"]] for fact in facts if "errno" not in fact}
        for fact in facts:
            idtype = IDTYPES.get(fact["idtype"], fact["idtype"])
            if "errno" in fact:
                if fact["errno"] == ENOENT:
                    assert failure(lambda: quotas.files[idtype].get(fact["id"])) == ENOENT  # noqa: B023
                else:
                    assert idtype not in quotas.files
                continue
            file = quotas.files[idtype]
            values = file.default() if fact["id"] == "default" else file.get(fact["id"])
            assert values[OBJTYPES.index(fact["objtype"])] == Quotaval(
                fact["hard"], fact["soft"], fact["usage"], fact["expire"], fact["grace"]
            )


@pytest.mark.parametrize("name", IMAGES)
def test_usage_is_what_the_inodes_of_an_id_take(name: str, tmp_path: Path) -> None:
    """All inodes count but those of the quotas themselves."""
    with Editor(scratch_copy(netbsd_image(name), tmp_path)) as editor:
        hidden = editor.fs.fs_quotafile
        inodes = [dinode for ino, dinode in editor.inodes() if ino > 1 and ino not in hidden]
    with mounted(netbsd_image(name)) as mp:
        for idtype, file in mp.quotas().files.items():
            files: Counter[int] = Counter()
            blocks: Counter[int] = Counter()
            for dinode in inodes:
                ident = (dinode.di_uid, dinode.di_gid)[idtype]
                files[ident] += 1
                blocks[ident] += dinode.di_blocks
            found = everything(file)
            assert {ident: values[1].usage for ident, values in found.items() if values[1].usage} == files
            assert {ident: values[0].usage for ident, values in found.items() if ident in files} == blocks


@pytest.mark.parametrize("name", IMAGES)
def test_buckets_can_be_entered_anywhere(name: str) -> None:
    with mounted(netbsd_image(name)) as mp:
        for file in mp.quotas().files.values():
            entries = list(file.entries(0))
            assert len({ident for _, ident, _ in entries}) == len(entries) > 5
            for first in {bucket for bucket, _, _ in entries}:
                rest = [entry for entry in entries if entry[0] >= first]
                assert list(file.entries(first)) == rest
            assert list(file.entries(1 << 63)) == []
            for _, ident, values in entries:
                assert file.get(ident) == values


def test_file_systems_without_quotas() -> None:
    for image in (netbsd_image("clean-v2be-16k-2k"), freebsd_image("ufs-little")):
        with mounted(image) as mp:
            assert failure(mp.quotas) == EOPNOTSUPP


class Damaged:
    """A copy of quota2-v1be, whose groups have quotas, to be damaged."""

    def __init__(self, directory: Path) -> None:
        self.image = scratch_copy(netbsd_image("quota2-v1be"), directory)
        with Editor(self.image) as editor:
            self.ino = editor.fs.fs_quotafile[GROUP]
            self.start = editor.at(editor.dinode(self.ino).di_db[0])
            block = editor.read(editor.fs.fs_bsize, self.start)
        (self.size,) = struct.unpack_from(">H", block, 6)
        self.heads = struct.unpack_from(f">{self.size}Q", block, 112)

    def patch(self, offset: int, code: str, value: int) -> None:
        """Change a number in the first block of the quota file."""
        with Editor(self.image) as editor:
            editor.write(self.start + offset, struct.pack(">" + code, value))

    def number(self, ident: int) -> int:
        """Return which list an id is in."""
        return ident % int(self.size)

    def list_of(self, ident: int) -> int:
        """Return the place of the first entry of that list."""
        return int(self.heads[self.number(ident)])


@pytest.fixture
def damaged(tmp_path: Path) -> Damaged:
    return Damaged(tmp_path)


@pytest.mark.parametrize(
    ("offset", "code", "value", "text"),
    [
        (0, "I", 0, "q2h_magic_number is 0x0: "),
        (4, "B", 0, "q2h_type is 0: "),
        (6, "H", 3, "q2h_hash_size is 3: "),
        (5, "B", 40, "q2h_hash_size is "),
    ],
)
def test_a_damaged_header(
    damaged: Damaged, caplog: pytest.LogCaptureFixture, offset: int, code: str, value: int, text: str
) -> None:
    damaged.patch(offset, code, value)
    with mounted(damaged.image) as mp:
        for _ in range(2):
            file = mp.quotas().files[GROUP]
            assert failure(file.default) == EIO
            assert failure(lambda file=file: file.get(0)) == EIO
            assert failure(lambda file=file: everything(file)) == EIO
    (message,) = [record.getMessage() for record in caplog.records]
    assert f"inode {damaged.ino}, the group quotas: {text}" in message


@pytest.mark.parametrize("place", [8, 112, 12345, 16384 - 8, 1 << 40, (1 << 64) - 8])
def test_a_list_that_leads_elsewhere(damaged: Damaged, caplog: pytest.LogCaptureFixture, place: int) -> None:
    damaged.patch(damaged.list_of(1000) + 80, "Q", place)
    with mounted(damaged.image) as mp:
        file = mp.quotas().files[GROUP]
        assert file.get(1000)[0].hardlimit == 9000
        assert failure(lambda: file.get(1000 + 7 * damaged.size)) == EIO
        assert failure(lambda: everything(file)) == EIO
    assert f"the group quotas: list {damaged.number(1000)}: q2e_next is {place}: " in caplog.text


def test_a_list_that_comes_back(damaged: Damaged, caplog: pytest.LogCaptureFixture) -> None:
    place = damaged.list_of(1000)
    damaged.patch(place + 80, "Q", place)
    started = time.process_time()
    with mounted(damaged.image) as mp:
        assert failure(lambda: everything(mp.quotas().files[GROUP])) == EIO
    assert time.process_time() - started < 5
    assert f"q2e_next is {place}: the list comes back to an entry" in caplog.text


def test_an_entry_in_another_s_list(damaged: Damaged, caplog: pytest.LogCaptureFixture) -> None:
    damaged.patch(damaged.list_of(1000) + 88, "I", 1001)
    with mounted(damaged.image) as mp:
        assert failure(lambda: mp.quotas().files[GROUP].get(1000)) == EIO
    assert "q2e_uid is 1001: is of another list" in caplog.text


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"fs_quotafile": (0, 1 << 40)}, "fs_quotafile is 1099511627776: there is no such inode"),
        ({"fs_quotafile": (0, 2)}, "di_mode is 16877: is no regular file"),
        ({"fs_quotafile": (0, 0)}, "di_mode is 0: "),
    ],
    ids=str,
)
def test_no_such_inode(
    damaged: Damaged, caplog: pytest.LogCaptureFixture, fields: dict[str, object], text: str
) -> None:
    with Editor(damaged.image) as editor:
        editor.superblock(**fields)
    with mounted(damaged.image) as mp:
        assert failure(mp.quotas().files[GROUP].default) == EIO
        assert len(list(walk(mp.mnt_root))) > 100
    assert text in caplog.text


# --- quota1 -----------------------------------------------------------------------------------------------


def dqblk(order: str, *values: int) -> bytes:
    return struct.pack(order + "6Iii", *values)


def quota1_image(directory: Path, order: str, **files: bytes) -> Path:
    tree = directory / "tree"
    tree.mkdir()
    for name, data in files.items():
        (tree / f"quota.{name}").write_bytes(data)
    return makefs(tree, directory / "image", 1, order, 4096, 512)


@pytest.mark.parametrize("order", ["<", ">"])
def test_quota_files_of_bsd(tmp_path: Path, order: str) -> None:
    """quota1.h: the array is indexed by id; id 0 has the grace times where others have when time is up."""
    records = {
        0: dqblk(order, 0, 0, 500, 0, 0, 40, 3600, 0),
        3: dqblk(order, 201, 101, 150, 0, 0, 7, 1_700_000_000, 0),
        1000: dqblk(order, 0, 0, 0, 5, 3, 0, 0, 0),
        1001: dqblk(order, 0, 0, 2, 0, 0, 1, 0, 0),
    }
    data = b"".join(records.get(ident, bytes(32)) for ident in range(1002))
    with mounted(quota1_image(tmp_path, order, user=data, group=b"short")) as mp:
        quotas = mp.quotas()
        assert quotas.implname == b"ufs/ffs quota v1"
        assert set(quotas.files) == {USER, GROUP}
        file = quotas.files[USER]
        root = (
            Quotaval(QUOTA_NOLIMIT, QUOTA_NOLIMIT, 500, 3600, 3600),
            Quotaval(QUOTA_NOLIMIT, QUOTA_NOLIMIT, 40, 0, WEEK),
        )
        assert everything(file) == {
            0: root,
            3: (
                Quotaval(200, 100, 150, 1_700_000_000, 3600),
                Quotaval(QUOTA_NOLIMIT, QUOTA_NOLIMIT, 7, 0, WEEK),
            ),
            1000: (Quotaval(QUOTA_NOLIMIT, QUOTA_NOLIMIT, 0, 0, 3600), Quotaval(4, 2, 0, 0, WEEK)),
            1001: (
                Quotaval(QUOTA_NOLIMIT, QUOTA_NOLIMIT, 2, 0, 3600),
                Quotaval(QUOTA_NOLIMIT, QUOTA_NOLIMIT, 1, 0, WEEK),
            ),
        }
        assert file.default() == file.get(0) == root
        assert file.get(3) == everything(file)[3]
        for ident in (1, 999, 1002, 0xFFFFFFFE):
            assert file.get(ident)[1] == Quotaval(QUOTA_NOLIMIT, QUOTA_NOLIMIT, 0, 0, WEEK)
        # a file that ends within a record
        assert everything(quotas.files[GROUP]) == {}
        assert quotas.files[GROUP].default()[0] == Quotaval(QUOTA_NOLIMIT, QUOTA_NOLIMIT, 0, 0, WEEK)


def test_quotas_of_one_type_alone(tmp_path: Path) -> None:
    with mounted(quota1_image(tmp_path, "<", group=dqblk("<", 0, 0, 1, 0, 0, 1, 0, 0))) as mp:
        assert set(mp.quotas().files) == {GROUP}


def test_holes_between_ids_cost_nothing(tmp_path: Path) -> None:
    """An id of 4,000,000,000 makes a file of 128 GB, which has one block of records at each end."""
    record = dqblk("<", 0, 0, 1, 0, 0, 1, 0, 0)
    image = quota1_image(tmp_path, "<", user=record.ljust(8 * 4096, b"\0"))
    high = 4_000_000_000
    with Editor(image) as editor:
        ino = editor.ino("/quota.user")
        first, single, double, triple, last, *_ = editor.dinode(ino).di_db
        lbn = high * 32 // 4096 - 12 - 1024 - 1024**2
        editor.pointer_block(triple, {lbn >> 20: double})
        editor.pointer_block(double, {lbn >> 10 & 1023: single})
        editor.pointer_block(single, {lbn & 1023: last})
        editor.write(editor.at(last) + high * 32 % 4096, record)
        editor.change_inode(ino, di_db=(first, *[0] * 11), di_ib=(0, 0, triple), di_size=(high + 1) * 32)
    started = time.process_time()
    with mounted(image) as mp:
        file = mp.quotas().files[USER]
        assert set(everything(file)) == {0, high}
        assert file.get(high)[0].usage == 1
        assert file.get(high - 1)[0].usage == 0
    assert time.process_time() - started < 2


def test_blocks_that_are_there_again_and_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A map that repeats one block of zeros for 4 GiB is not read for longer than the device is."""
    image = quota1_image(tmp_path, "<", user=bytes(8 * 4096))
    with Editor(image) as editor:
        ino = editor.ino("/quota.user")
        data, single, double, *_ = editor.dinode(ino).di_db
        editor.pointer_block(single, dict.fromkeys(range(1024), data))
        editor.pointer_block(double, dict.fromkeys(range(1024), single))
        editor.write(editor.at(data), bytes(4096))
        editor.change_inode(ino, di_db=(data,) * 12, di_ib=(single, double, 0), di_size=1 << 32)
    started = time.process_time()
    with mounted(image) as mp:
        assert failure(lambda: everything(mp.quotas().files[USER])) == EIO
    assert time.process_time() - started < 5
    assert f"inode {ino}, a quota file: di_db is " in caplog.text


def test_a_quota_file_with_a_damaged_map(tmp_path: Path) -> None:
    image = quota1_image(tmp_path, "<", user=bytes(3 * 4096))
    with Editor(image) as editor:
        editor.change_pointer(editor.ino("/quota.user"), 1, -1)
    with mounted(image) as mp:
        file = mp.quotas().files[USER]
        assert file.get(0)[0].usage == 0
        assert failure(lambda: file.get(200)) == EIO
        assert failure(lambda: everything(file)) == EIO
