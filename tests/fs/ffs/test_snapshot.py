"""Snapshots, made here as NetBSD's ffs_snapshot.c makes them, in images of a NetBSD kernel and of makefs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FREAD
from rumpfs.base.errors import VfsError
from rumpfs.fs.ffs.ufsmount import FfsMount
from rumpfs.ondisk.ufs.cg import Cg
from rumpfs.ondisk.ufs.dinode import SF_SNAPINVAL, SF_SNAPSHOT
from rumpfs.ondisk.ufs.fs import NDADDR
from rumpfs.vfs.cred import ROOT, VREAD, VWRITE, Cred
from rumpfs.vfs.vnode import VREG
from tests.fs.ffs.editor import Editor
from tests.fs.ffs.harness import content, mounted, resolve, walk
from tests.fs.ffs.manifests import tree
from tests.images_util import makefs, manifest, netbsd_image, pattern, scratch_copy

BLK_NOCOPY, BLK_SNAP = 1, 2


class Snapshot:
    """A file of an image that becomes a snapshot of it.

    The superblock and the groups are copied at once, what is free is BLK_NOCOPY, and everything else is found
    in the live file system until it is changed (`change`).
    """

    def __init__(self, editor: Editor, path: str) -> None:
        fs = self.fs = editor.fs
        self.editor = editor
        self.ino = editor.ino(path)
        self.blocks = -(-fs.fs_size // fs.fs_frag)
        self.before = editor.read(fs.bytes_needed, 0)
        cgs = [
            Cg.decode(editor.read(fs.fs_cgsize, editor.at(fs.cgtod(cg))), fs, cg) for cg in range(fs.fs_ncg)
        ]
        mask = (1 << fs.fs_frag) - 1
        self.free = []
        for cg in cgs:
            bits = int.from_bytes(cg.blksfree, "little")
            for index in range(0, cg.ndblk - fs.fs_frag + 1, fs.fs_frag):
                if bits >> index & mask == mask:
                    self.free.append((fs.cgbase(cg.cgx) + index) // fs.fs_frag)
        self.map = [0] * self.blocks
        for block in self.free:
            self.map[block] = BLK_NOCOPY
        self.room = iter(list(self.free))
        for offset in (fs.offset, *(editor.at(fs.cgtod(cg)) for cg in range(fs.fs_ncg))):
            self.copy(offset // fs.fs_bsize)

    def take(self) -> int:
        """Return the address of a free block, which is then no longer free."""
        return next(self.room) * self.fs.fs_frag

    def copy(self, block: int) -> None:
        """Copy a block of the file system to the snapshot."""
        address = self.take()
        self.editor.write(
            self.editor.at(address), self.before[block * self.fs.fs_bsize :][: self.fs.fs_bsize]
        )
        self.map[block] = address

    def change(self, block: int, data: bytes) -> None:
        """Write to a block of the live file system, whose old content the snapshot keeps."""
        if not self.map[block]:
            self.copy(block)
        self.editor.write(block * self.fs.fs_bsize, data)

    def finish(self, flags: int = SF_SNAPSHOT) -> None:
        """Write the block map and the inode."""
        fs = self.fs
        inodes = fs.ino_to_byte(self.ino) // fs.fs_bsize
        if not self.map[inodes]:
            self.copy(inodes)
        n = fs.fs_nindir
        ib = [0, 0, 0]
        if self.blocks > NDADDR:
            ib[0] = self._table(self.map[NDADDR : NDADDR + n])
        if self.blocks > NDADDR + n:
            rest = self.map[NDADDR + n :]
            ib[1] = self._table([self._table(rest[at : at + n]) for at in range(0, len(rest), n)])
        self.editor.change_inode(
            self.ino, di_flags=flags, di_size=self.blocks * fs.fs_bsize + 8, di_ib=tuple(ib),
            di_db=tuple((self.map + [0] * NDADDR)[:NDADDR]),
        )  # fmt: skip

    def _table(self, pointers: list[int]) -> int:
        if not any(pointers):
            return 0  # a table that says nothing need not be there
        address = self.take()
        self.editor.pointer_block(address, dict(enumerate(pointers)))
        return address

    @property
    def expected(self) -> bytes:
        """What the snapshot holds: the file system as it was, with zeros where nothing was."""
        data = bytearray(self.before)
        for block in self.free:
            start = block * self.fs.fs_bsize
            stop = min(start + self.fs.fs_bsize, len(data))
            data[start:stop] = bytes(stop - start)
        return bytes(data)


def _changed(image: Path, path: str) -> tuple[bytes, int]:
    """Make `path` of an image a snapshot, overwrite other files; return what it holds, and its inode."""
    with mounted(image) as mp:
        blocks = sorted(set(_blocks(mp, path)))
    with Editor(image) as editor:
        snapshot = Snapshot(editor, path)
        for block in blocks:
            snapshot.change(block, b"\xff" * editor.fs.fs_bsize)
        snapshot.finish()
        return snapshot.expected, snapshot.ino


def _blocks(mp: FfsMount, path: str) -> Iterator[int]:
    """Yield the blocks of the file system that hold the first block of files, but not of `path`."""
    for name, vp in walk(mp.mnt_root):
        if vp.v_type == VREG and name != path.encode() and vp.size() >= mp.um_fs.fs_bsize:
            frag, _ = mp.um_bmap.bmap(mp.vget(vp.getattr().fileid), 0, 1)
            if frag:
                yield frag // mp.um_fs.fs_frag


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, str, int], Path]:
    directory = tmp_path_factory.mktemp("snapshot")
    source = directory / "tree"
    source.mkdir()
    for index in range(40):
        (source / f"file{index}").write_bytes(pattern(str(index), index * 1777))
    (source / "snap").write_bytes(b"")
    return {
        (version, order, fsize): makefs(
            source, directory / f"{version}{order}{fsize}", version, order, 4096, fsize, "-s", "6m"
        )
        for version, order, fsize in ((1, "<", 512), (1, ">", 4096), (2, "<", 4096), (2, ">", 1024))
    }


@pytest.fixture
def image(request: pytest.FixtureRequest, original: dict[tuple[int, str, int], Path], tmp_path: Path) -> Path:
    return scratch_copy(original[request.param], tmp_path)


every = pytest.mark.parametrize(
    "image", [(1, "<", 512), (1, ">", 4096), (2, "<", 4096), (2, ">", 1024)], indirect=True
)


@every
@pytest.mark.oracle("makefs")
@pytest.mark.parametrize("chunk", [4096, 100_000])
def test_a_snapshot_holds_the_file_system_as_it_was(image: Path, chunk: int) -> None:
    expected, _ = _changed(image, "/snap")
    with mounted(image) as mp:
        vp = resolve(mp, "/snap")
        assert b"".join(content(vp, chunk)) == expected
        assert vp.read(len(expected), 100) == b""
        assert vp.read(len(expected) - 1, 100) == expected[-1:]
        assert vp.read(8191, 4098) == expected[8191:][:4098]
        assert resolve(mp, "/file39").read(0, 4096) == b"\xff" * 4096


@every
@pytest.mark.oracle("makefs")
def test_it_is_a_file_system_that_can_be_mounted(image: Path, tmp_path: Path) -> None:
    with mounted(image) as mp:
        before = [entry for entry in tree(mp) if entry["path"] != "/snap"]
    _changed(image, "/snap")
    old = tmp_path / "old"
    with mounted(image) as mp:
        assert [entry for entry in tree(mp) if entry["path"] != "/snap"] != before
        with old.open("wb") as sink:
            for data in content(resolve(mp, "/snap")):
                sink.write(data)
    with mounted(old) as mp:
        assert [entry for entry in tree(mp) if entry["path"] != "/snap"] == before


@pytest.mark.parametrize("name", ["clean-v1be-8k-1k", "clean-v2le-16k-2k", "clean-v2be-64k-8k"])
def test_the_old_files_of_a_real_file_system_are_in_it(name: str, tmp_path: Path) -> None:
    entries = manifest(name)["entries"]
    path = next(entry["path"] for entry in entries if entry["type"] == "file" and not entry["size"])
    image = scratch_copy(netbsd_image(name), tmp_path)
    expected, _ = _changed(image, path)
    old = tmp_path / "old"
    with mounted(image) as mp:
        vp = resolve(mp, path)
        with old.open("wb") as sink:
            for data in content(vp):
                sink.write(data)
    assert old.read_bytes() == expected
    with mounted(old) as mp:
        assert tree(mp) == entries


@every
@pytest.mark.oracle("makefs")
def test_blocks_of_other_snapshots_are_zeros(image: Path) -> None:
    with Editor(image) as editor:
        snapshot = Snapshot(editor, "/snap")
        block = editor.dinode(editor.ino("/file39")).di_db[2] // editor.fs.fs_frag
        snapshot.map[block] = BLK_SNAP
        snapshot.finish()
        bsize = editor.fs.fs_bsize
    with mounted(image) as mp:
        assert resolve(mp, "/file39").read(2 * bsize, bsize).strip(b"\0")
        assert resolve(mp, "/snap").read(block * bsize, bsize) == bytes(bsize)


@every
@pytest.mark.oracle("makefs")
def test_its_attributes(image: Path) -> None:
    """The size says more than can be read, as on NetBSD: the list of the copied blocks is at the end."""
    expected, ino = _changed(image, "/snap")
    with mounted(image) as mp:
        vp = resolve(mp, "/snap")
        va = vp.getattr()
        assert (va.fileid, va.flags) == (ino, SF_SNAPSHOT)
        assert va.size == -(-len(expected) // 4096) * 4096 + 8
        assert vp.size() == len(expected)


@pytest.mark.parametrize("image", [(2, "<", 4096)], indirect=True)
@pytest.mark.oracle("makefs")
def test_who_may_do_what_with_it(image: Path) -> None:
    _changed(image, "/snap")
    with Editor(image) as editor:
        editor.change_inode(editor.ino("/snap"), di_mode=0o100600)
    with mounted(image) as mp:
        vp = resolve(mp, "/snap")
        vp.access(VREAD, ROOT)
        vp.open(FREAD, ROOT)
        for want, cred, number in (
            (VREAD, Cred(7, 7, 7, 7, 7, 7, ()), errno.EACCES), (VWRITE, ROOT, errno.EROFS),
        ):  # fmt: skip
            with pytest.raises(VfsError) as caught:
                vp.access(want, cred)
            assert caught.value.errno == number
        mp.mnt_flag = 0
        with pytest.raises(VfsError) as caught:
            vp.access(VWRITE, ROOT)
        assert caught.value.errno == errno.EPERM


@pytest.mark.parametrize("image", [(2, "<", 4096)], indirect=True)
@pytest.mark.oracle("makefs")
def test_one_that_was_not_finished_is_nobodys(image: Path) -> None:
    with Editor(image) as editor:
        Snapshot(editor, "/snap").finish(SF_SNAPSHOT | SF_SNAPINVAL)
    with mounted(image) as mp:
        vp = resolve(mp, "/snap")
        for action in (lambda: vp.access(VREAD, ROOT), lambda: vp.open(FREAD, ROOT)):
            with pytest.raises(VfsError) as caught:
                action()
            assert caught.value.errno == errno.EPERM


@every
@pytest.mark.oracle("makefs")
@pytest.mark.parametrize("frag", [-1, 1 << 30])
def test_an_address_that_leads_out_of_the_file_system(image: Path, frag: int) -> None:
    with Editor(image) as editor:
        snapshot = Snapshot(editor, "/snap")
        snapshot.map[20] = frag
        snapshot.finish()
        bsize = editor.fs.fs_bsize
    with mounted(image) as mp:
        vp = resolve(mp, "/snap")
        with pytest.raises(VfsError) as caught:
            vp.read(20 * bsize, 1)
        assert caught.value.errno == errno.EIO
        assert vp.read(21 * bsize, bsize) == snapshot.expected[21 * bsize :][:bsize]


@every
@pytest.mark.oracle("makefs")
def test_one_of_a_file_system_that_was_smaller(image: Path) -> None:
    """What the inode does not reach is not read."""
    with Editor(image) as editor:
        snapshot = Snapshot(editor, "/snap")
        snapshot.finish()
        editor.change_inode(snapshot.ino, di_size=10_000)
    with mounted(image) as mp:
        assert b"".join(content(resolve(mp, "/snap"))) == snapshot.expected[:10_000]
