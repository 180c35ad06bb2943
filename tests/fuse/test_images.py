"""Images that real kernels made, seen through mounts."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.fs.ffs.checker import complaints
from tests.fuse.mounts import command, mounted
from tests.images_util import freebsd_image, makefs, manifest, netbsd_image, scratch_copy, standard_tree

TYPES = {
    "dir": stat.S_IFDIR, "file": stat.S_IFREG, "symlink": stat.S_IFLNK, "fifo": stat.S_IFIFO,
    "blk": stat.S_IFBLK, "chr": stat.S_IFCHR, "socket": stat.S_IFSOCK,
}  # fmt: skip


@pytest.mark.root
@pytest.mark.parametrize("name", ["clean-v2le-16k-2k", "clean-v1be-8k-1k", "clean-v0le-4k-512"])
def test_everything_is_as_netbsd_wrote_it(name: str, mountpoint: Path) -> None:
    facts = manifest(name)
    with mounted("rump_ffs", str(netbsd_image(name)), mountpoint=mountpoint) as mnt:
        found = {"/"}
        for directory, directories, files in os.walk(mnt):
            found |= {f"/{os.path.relpath(f'{directory}/{entry}', mnt)}" for entry in directories + files}
        assert found == {entry["path"] for entry in facts["entries"]}
        for entry in facts["entries"]:
            path = f"{mnt}{entry['path']}"
            st = os.lstat(path)
            assert st.st_mode == TYPES[entry["type"]] | int(entry["mode"], 8), path
            assert (st.st_uid, st.st_gid, st.st_nlink) == (entry["uid"], entry["gid"], entry["nlink"]), path
            assert (st.st_size, st.st_ino) == (entry["size"], entry["ino"]), path
            assert st.st_mtime_ns == entry["mtime"] * 10**9 + entry["mtime_nsec"], path
            if "target" in entry:
                assert os.readlink(path) == entry["target"]
            if "sha256" in entry:
                with open(path, "rb") as file:
                    assert hashlib.file_digest(file, "sha256").hexdigest() == entry["sha256"], path
            if "major" in entry:
                assert (os.major(st.st_rdev), os.minor(st.st_rdev)) == (entry["major"], entry["minor"]), path
        space = os.statvfs(mnt)
        for field in ("bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree"):
            assert getattr(space, f"f_{field}") == facts["statvfs"][field]


@pytest.mark.root
@pytest.mark.oracle("makefs")
@pytest.mark.parametrize(("version", "order"), [(1, "be"), (2, "le")])
def test_a_tree_is_the_one_that_makefs_packed(
    tmp_path: Path, mountpoint: Path, version: int, order: str
) -> None:
    tree = standard_tree(tmp_path / "tree")
    image = makefs(tree, tmp_path / "tree.img", version, order, 8192, 1024)
    with mounted("rump_ffs", str(image), mountpoint=mountpoint) as mnt:
        done = subprocess.run(
            ["diff", "-r", "--no-dereference", str(tree), str(mnt)], capture_output=True, text=True
        )
        # Of what is neither file, link nor directory, diff only says that it is that on both sides.
        odd = [line for line in done.stdout.splitlines() if not line.startswith("File ")]
        assert odd == []
        packed = tmp_path / "packed.tar"
        subprocess.run(["tar", "-cf", packed, "-C", mnt, "."], check=True)
        subprocess.run(["tar", "--compare", "-f", packed, "-C", mnt], check=True)


@pytest.mark.root
def test_extended_attributes_that_freebsd_wrote(mountpoint: Path) -> None:
    with mounted("rump_ffs", str(freebsd_image("ufs-little")), mountpoint=mountpoint) as mnt:
        assert os.listxattr(mnt / "xattrs") == ["user.test"]
        assert os.getxattr(mnt / "xattrs", "user.test") == b"testvalue"
        assert len(os.getxattr(mnt / "xattrs3", "user.big")) == 63999
        assert os.listxattr(mnt / "file1") == []
        with pytest.raises(OSError) as caught:
            os.getxattr(mnt / "xattrs", "user.tes")
        assert caught.value.errno == errno.ENODATA
        for name in ("trusted.test", "system.posix_acl_access", "security.test"):
            with pytest.raises(OSError) as caught:
                os.getxattr(mnt / "xattrs", name)
            assert caught.value.errno == errno.ENOTSUP


@pytest.mark.root
@pytest.mark.parametrize("kind", ["ufs1", "freebsd"])
def test_extended_attributes_are_written(kind: str, tmp_path: Path, mountpoint: Path) -> None:
    """By setxattr(2), and by programs that copy files with them."""
    if kind == "freebsd":
        image, options = scratch_copy(freebsd_image("ufs-big"), tmp_path), "rw"
    else:
        tree = tmp_path / "tree"
        (tree / ".attribute/user").mkdir(parents=True)
        (tree / "xattrs").touch()
        image = makefs(tree, tmp_path / "image", 1, "le", 8192, 1024, "-s", "4m", ",density=4096")
        options = "rw,extattr"
    with mounted("rump_ffs", "-o", options, str(image), mountpoint=mountpoint) as mnt:
        file = mnt / "xattrs"
        os.setxattr(file, "user.mime", b"text/plain")
        os.setxattr(file, "user.mime", b"text/html")
        os.setxattr(file, "user.empty", b"")
        os.setxattr(file, "user.gone", b"x" * 1000)
        os.removexattr(file, "user.gone")
        with pytest.raises(OSError) as caught:
            os.removexattr(file, "user.gone")
        assert caught.value.errno == errno.ENODATA
        with pytest.raises(OSError) as caught:
            os.setxattr(file, "trusted.mime", b"x")
        assert caught.value.errno == errno.ENOTSUP
        subprocess.run(["cp", "--preserve=xattr", file, mnt / "copied"], check=True)
        subprocess.run(["rsync", "-X", file, mnt / "synced"], check=True)
    assert complaints(image) == []
    with mounted("rump_ffs", "-o", options.replace("rw", "ro"), str(image), mountpoint=mountpoint) as mnt:
        for name in ("xattrs", "copied", "synced"):
            assert {"user.mime", "user.empty"} <= set(os.listxattr(mnt / name))
            assert os.getxattr(mnt / name, "user.mime") == b"text/html"
            assert os.getxattr(mnt / name, "user.empty") == b""
            if kind == "freebsd":
                assert os.getxattr(mnt / name, "user.test") == b"testvalue"
        with pytest.raises(OSError) as caught:
            os.setxattr(mnt / "copied", "user.mime", b"x")
        assert caught.value.errno == errno.EROFS


def test_an_image_is_not_written(tmp_path: Path, mountpoint: Path) -> None:
    image = netbsd_image("clean-v2le-4k-512")
    before = hashlib.sha256(image.read_bytes()).digest()
    with mounted("rump_ffs", str(image), mountpoint=mountpoint) as mnt:
        for operation in (lambda: (mnt / "new").touch(), lambda: (mnt / "d").mkdir(), lambda: mnt.chmod(0)):
            with pytest.raises(OSError) as caught:
                operation()
            assert caught.value.errno == errno.EROFS
    assert hashlib.sha256(image.read_bytes()).digest() == before


@pytest.mark.parametrize("suffix", [":a", ":e", "-o"])
def test_partitions_of_a_disklabel(suffix: str, mountpoint: Path) -> None:
    image = netbsd_image("disklabel-le")
    words = ("-o", "partition=e", str(image)) if suffix == "-o" else (f"{image}{suffix}",)
    partitions = {facts["partition"]: facts for facts in manifest("disklabel-le")["partitions"]}
    with mounted("rumpfs mount", *words, mountpoint=mountpoint) as mnt:
        letter = "e" if suffix == "-o" else suffix[1]
        entries = {entry["path"].split("/")[1] for entry in partitions[letter]["entries"]} - {""}
        assert set(os.listdir(mnt)) == entries


def test_a_disk_with_partitions_is_not_mounted_whole(mountpoint: Path) -> None:
    image = netbsd_image("disklabel-le")
    done = command("rump_ffs", str(image), str(mountpoint))
    assert done.returncode == 1
    assert f"{image}:a" in done.stderr


def test_a_log_is_replayed_and_the_image_stays(mountpoint: Path) -> None:
    image = netbsd_image("wapbl-dirty-mid-v2le")
    before = hashlib.sha256(image.read_bytes()).digest()
    with mounted("rump_ffs", str(image), mountpoint=mountpoint) as mnt:
        assert os.listdir(mnt)
    assert hashlib.sha256(image.read_bytes()).digest() == before
