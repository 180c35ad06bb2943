"""`rumpfs.open_image` and its paths, compared with what a NetBSD kernel and the host say of the files."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import pytest

import rumpfs
from rumpfs.abi.stat import S_IFDIR, S_IFMT, S_IFREG
from rumpfs.inspect.walk import attributes
from tests.images_util import makefs, manifest, netbsd_image, netbsd_images, standard_tree

#: one of each format; tests/fs/ffs reads all of them
WHOLE = [name for name in netbsd_images() if name.startswith("clean") and name.endswith(("8k-1k", "16k-2k"))]
LABELLED = [name for name in netbsd_images() if "partitions" in manifest(name) and not name.endswith("-be")]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return standard_tree(tmp_path_factory.mktemp("tree") / "tree")


@pytest.fixture(scope="module")
def image(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("image") / "v2.img"
    makefs(tree, path, 2, "<", 8192, 1024)
    with rumpfs.open_image(path) as image:
        yield image


def _facts(path: Any) -> dict[str, Any]:
    st = path.lstat()
    facts = {"path": str(path), "mode": f"{st.st_mode & 0o7777:04o}", "ino": st.st_ino, "size": st.st_size}
    if stat.S_ISREG(st.st_mode):
        facts["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    elif stat.S_ISLNK(st.st_mode):
        facts["target"] = path.readlink()
    return facts


@pytest.mark.parametrize("name", WHOLE)
def test_a_walk_finds_what_the_kernel_found(name: str) -> None:
    expected = {
        entry["path"]: {key: entry[key] for key in _KEYS if key in entry}
        for entry in manifest(name)["entries"]
    }
    with rumpfs.open_image(netbsd_image(name)) as image:
        found = [image.root]
        for directory, names, files in image.root.walk():
            found += [directory / name for name in names + files]
        assert {str(path): _facts(path) for path in found} == expected


_KEYS = ("path", "mode", "ino", "size", "sha256", "target")


def test_the_metadata_of_a_walk_are_those_of_stat(image: Any) -> None:
    for directory in image.walk():
        for found in directory.entries:
            st = image.path(directory.path).joinpath(found.name).lstat()
            dinode = found.dinode
            assert (st.st_ino, st.st_mode, st.st_size, st.st_nlink, st.st_mtime_ns // 10**9) == (
                found.ino, dinode.di_mode, dinode.di_size, dinode.di_nlink, dinode.di_mtime,
            )  # fmt: skip
            assert found.mode == dinode.di_mode
            assert attributes(image.volume.mp, found) == st


def test_what_a_walk_has_found_can_be_read(image: Any, tree: Path) -> None:
    for directory in image.walk():
        for found in directory.entries:
            path = tree / os.fsdecode(directory.path[1:]) / os.fsdecode(found.name)
            if found.mode & S_IFMT == S_IFREG:
                assert image.read_bytes(found) == path.read_bytes()
                assert found.size == path.stat().st_size
            else:
                why = "Is a directory" if found.mode & S_IFMT == S_IFDIR else "no regular file"
                with pytest.raises(OSError, match=why):
                    image.read_bytes(found)


def test_what_a_caller_takes_out_of_a_walk_is_not_entered(image: Any) -> None:
    count = 0
    for directory in image.walk():
        count += 1
        directory.entries[:] = [each for each in directory.entries if each.mode & S_IFMT != S_IFDIR]
    assert count == 1


def test_paths_are_those_of_the_tree(image: Any, tree: Path) -> None:
    expected = {f"/{path.relative_to(tree)}" for path in tree.rglob("*")}
    assert {str(path) for path in image.root.rglob("*")} == expected
    assert sorted(path.name for path in image.root.iterdir()) == sorted(os.listdir(tree))


def test_reading_in_pieces_and_from_anywhere(image: Any, tree: Path) -> None:
    largest = max((path for path in tree.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    path = image / str(largest.relative_to(tree))
    with path.open("rb", buffering=0) as file, largest.open("rb") as host:
        for offset in (0, 1, 8191, 8192, 100_000, 3 << 20):
            assert file.seek(offset) == host.seek(offset)
            assert file.read(70_000) == host.read(70_000)
        assert file.seek(-5, os.SEEK_END) == host.seek(-5, os.SEEK_END)
        assert file.read() == host.read()
        assert file.read() == b""
    assert path.open("rb").read() == largest.read_bytes()


def test_extents_lie_where_the_bytes_are(image: Any, tree: Path, tmp_path: Path) -> None:
    raw = (Path(image.name)).read_bytes()
    for host in tree.rglob("*"):
        if host.is_file() and not host.is_symlink():
            data = bytearray(host.stat().st_size)
            for offset, address, length in (image / str(host.relative_to(tree))).extents():
                assert address is not None
                data[offset : offset + length] = raw[address : address + length]
            assert bytes(data) == host.read_bytes()


def test_errors_are_those_of_python(image: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="No such file"):
        (image / "none").stat()
    with pytest.raises(IsADirectoryError):
        image.root.open("rb")
    with pytest.raises(NotADirectoryError):
        list(next(path for path in image.root.iterdir() if path.is_file()).iterdir())
    with pytest.raises(FileNotFoundError):
        rumpfs.open_image(tmp_path / "none.img")
    (tmp_path / "text").write_bytes(b"no image" * 9999)
    with pytest.raises(OSError, match="no FFS superblock"):
        rumpfs.open_image(tmp_path / "text")
    with pytest.raises(OSError, match="no disklabel"):
        rumpfs.open_image(tmp_path / "text", "a")
    assert not (image / "none").exists()


def test_a_partition_is_named_in_the_address_or_beside_it() -> None:
    if not LABELLED:
        pytest.skip("../shared/images has no image with a disklabel")
    path = netbsd_image(LABELLED[0])
    letter = manifest(LABELLED[0])["partitions"][0].get("letter", "a")
    with rumpfs.open_image(f"{path}:{letter}") as one, rumpfs.open_image(path, letter) as other:
        assert [str(path) for path in one.root.rglob("*")] == [str(path) for path in other.root.rglob("*")]
    with pytest.raises(ValueError, match="names partition"):
        rumpfs.open_image(f"{path}:{letter}", "b")


def test_an_image_is_open_until_each_of_its_users_has_closed_it(image: Any) -> None:
    with rumpfs.open_image(image.name):
        pass
    with rumpfs.open_image(image.name) as again:
        assert again.root.is_dir()
        one, other = rumpfs.open_image(image.name), rumpfs.open_image(image.name)
        one.close()
        assert {str(path) for path in other.root.iterdir()} == {str(path) for path in again.root.iterdir()}
        other.close()
