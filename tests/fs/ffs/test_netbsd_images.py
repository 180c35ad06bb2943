"""Images that a NetBSD kernel made, compared with what that kernel read from them."""

from __future__ import annotations

import os
from typing import Any

import pytest

from rumpfs.abi.errno import EIO
from rumpfs.abi.mount import MNT_LOCAL, MNT_RDONLY
from rumpfs.abi.stat import STAT
from rumpfs.vfs.vnode import NODEV, VDIR, VREG, Vnode
from tests.fs.ffs.harness import RDEV, mounted, readdir, sha256, visit, walk
from tests.fs.ffs.manifests import tree
from tests.images_util import manifest, netbsd_image, netbsd_images

CLEAN = [name for name in netbsd_images() if "dirty" not in name]
DIRTY = [name for name in netbsd_images() if name.startswith("dirty")]


def _parts(name: str) -> list[dict[str, Any]]:
    """Return the manifests of the file systems in an image."""
    facts = manifest(name)
    parts: list[dict[str, Any]] = facts.get("partitions", [facts])
    return parts


def _mounted(name: str, part: dict[str, Any]) -> Any:
    sectors = part.get("size_sectors")
    return mounted(netbsd_image(name), part.get("offset_sectors", 0) * 512, sectors and sectors * 512)


@pytest.mark.parametrize("name", CLEAN)
def test_every_entry_is_what_the_kernel_saw(name: str) -> None:
    for part in _parts(name):
        with _mounted(name, part) as mp:
            assert tree(mp) == part["entries"]


@pytest.mark.parametrize("name", CLEAN)
def test_birth_times_are_those_of_ufs2_and_zero_in_ufs1(name: str) -> None:
    for part in _parts(name):
        with _mounted(name, part) as mp:
            births = [vp.getattr().birthtime for vp in [mp.mnt_root, *(vp for _, vp in walk(mp.mnt_root))]]
            assert births == [entry.get("birthtime", 0) for entry in part["entries"]]
            assert any(births) == mp.um_fs.ufs2


@pytest.mark.parametrize("name", CLEAN)
def test_statvfs_is_the_kernels(name: str) -> None:
    for part in _parts(name):
        with _mounted(name, part) as mp:
            st = mp.statvfs()
            # Some manifests were read from a writable mount, which says so in its flags.
            facts = {field: value for field, value in part["statvfs"].items() if field != "flag"}
            assert {field: getattr(st, field) for field in facts} == facts
            assert mp.mnt_flag == MNT_RDONLY | MNT_LOCAL
            assert (st.iosize, st.favail, st.fresvd) == (st.bsize, st.ffree, 0)
            assert st.bavail == max(0, st.bfree - st.bresvd)


@pytest.mark.parametrize("name", CLEAN)
def test_a_clean_image_is_mounted_without_a_word(name: str, caplog: pytest.LogCaptureFixture) -> None:
    for part in _parts(name):
        with _mounted(name, part) as mp:
            assert list(walk(mp.mnt_root))
    assert caplog.text == ""


@pytest.mark.parametrize("name", ["clean-v1be-8k-1k", "clean-v2le-16k-2k", "full-bytes-v0be"])
@pytest.mark.parametrize("chunk", [1000, 4096, 32768, 100_001])
def test_content_does_not_depend_on_the_size_of_reads(name: str, chunk: int) -> None:
    (part,) = _parts(name)
    hashes = {entry["path"]: entry["sha256"] for entry in part["entries"] if entry["type"] == "file"}
    with _mounted(name, part) as mp:
        files = {os.fsdecode(path): vp for path, vp in walk(mp.mnt_root) if vp.v_type == VREG}
        assert {path: sha256(vp, chunk) for path, vp in files.items()} == hashes


@pytest.mark.parametrize("name", CLEAN)
def test_struct_stat_has_the_attributes(name: str) -> None:
    for part in _parts(name):
        with _mounted(name, part) as mp:
            for (_, vp), entry in zip(walk(mp.mnt_root), part["entries"][1:], strict=True):
                fields = STAT.unpack(vp.stat())
                device = entry["type"] in ("blk", "chr")
                assert fields[0] == RDEV
                assert fields[1] == vp.getattr().mode
                assert fields[2:6] == (entry["ino"], entry["nlink"], entry["uid"], entry["gid"])
                assert fields[6] == (entry["rdev"] if device else NODEV)
                assert fields[9:11] == (entry["mtime"], entry["mtime_nsec"])
                assert fields[15:17] == (entry["size"], entry["blocks"])
                if not device:
                    assert fields[17] == part["statvfs"]["bsize"]
                assert fields[18:] == (entry.get("flags", 0), 0)


@pytest.mark.parametrize("name", CLEAN)
def test_dot_and_dotdot_come_first_and_name_the_directory_and_its_parent(name: str) -> None:
    def check(dvp: Vnode, parent: int) -> int:
        here = dvp.getattr().fileid
        entries = readdir(dvp)
        assert [(entry.fileno, entry.name) for entry in entries[:2]] == [(here, b"."), (parent, b"..")]
        below = (dvp.lookup(entry.name) for entry in entries[2:])
        return 1 + sum(check(vp, here) for vp in below if vp is not None and vp.v_type == VDIR)

    for part in _parts(name):
        with _mounted(name, part) as mp:
            assert check(mp.mnt_root, 2) == sum(entry["type"] == "dir" for entry in part["entries"])


@pytest.mark.parametrize("name", CLEAN)
def test_entries_have_the_type_of_their_inode_or_none_in_the_old_format(name: str) -> None:
    for part in _parts(name):
        with _mounted(name, part) as mp:
            directories = [mp.mnt_root, *(vp for _, vp in walk(mp.mnt_root) if vp.v_type == VDIR)]
            for dvp in directories:
                for entry in readdir(dvp):
                    vp = mp.vget(entry.fileno)
                    assert entry.type == (0 if part["O"] == 0 else vp.getattr().mode >> 12)


@pytest.mark.parametrize("name", DIRTY)
def test_a_dirty_image_without_a_log_is_read_as_it_is_with_one_warning(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with mounted(netbsd_image(name)) as mp:
        (message,) = [record.getMessage() for record in caplog.records]
        assert "the file system was not unmounted cleanly; run fsck_ffs on it" in message
        assert caplog.records[0].levelname == "WARNING"
        visited, errors = visit(mp.mnt_root)
        assert visited > 5
        assert errors <= {EIO}
