from __future__ import annotations

import subprocess

import pytest

from rumpfs.abi import errno
from rumpfs.base.errors import VfsError
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.label import ffs_partition, partition_index, write_label
from rumpfs.dev.window import Window
from rumpfs.ondisk.disklabel import Partition
from rumpfs.ondisk.labelscan import find_label
from rumpfs.ondisk.layout import ORDERS
from rumpfs.ondisk.ufs.superblock import find_superblock
from tests.images_util import makefs, pattern


@pytest.fixture
def whole():
    """Return windows on whole images, and close them after the test."""
    windows = []

    def window(path, **options):
        hostfile = HostFile.open(str(path), **options)
        windows.append(Window(hostfile, 0, hostfile.size))
        return windows[-1]

    yield window
    for one in windows:
        one.close()


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    path = tmp_path_factory.mktemp("tree")
    (path / "file").write_bytes(pattern("file", 30000))
    return path


def sparse(path, size):
    with path.open("wb") as stream:
        stream.truncate(size)
    return path


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("order", ORDERS)
def test_a_label_in_the_boot_area_of_the_file_system_in_partition_a(tree, tmp_path, whole, order, version):
    image = makefs(tree, tmp_path / "image", version, order, 16384, 2048)
    before = image.read_bytes()
    window = whole(image)
    write_label(window, order=order)
    found = find_label(window.pread, window.size, "image")
    assert (found.offset, found.label.order) == (512, order)
    assert found.label.partitions[0] == Partition(len(before) // 512, 0, 7, 2048, 8, 0)
    raw = 3 if order == "<" else 2
    assert found.label.partitions[raw] == Partition(len(before) // 512, 0)
    after = image.read_bytes()
    assert after[8192:] == before[8192:]
    assert find_superblock(window.pread, window.size, "image").offset == 8192


@pytest.mark.oracle("mmls", "fls", "icat")
@pytest.mark.parametrize("start", [63, 64, 2048])
@pytest.mark.parametrize("order", ORDERS)
def test_sleuthkit_finds_the_file_system_by_our_label(tree, tmp_path, whole, order, start):
    filesystem = makefs(tree, tmp_path / "fs", 1, order, 8192, 1024)
    image = tmp_path / "image"
    image.write_bytes(bytes(start * 512) + filesystem.read_bytes())
    window = whole(image)
    write_label(window, {"a": ffs_partition(window, start)}, order=order)

    def tool(*words):
        return subprocess.run([*words], check=True, capture_output=True).stdout

    rows = [line.split() for line in tool("mmls", "-t", "bsd", str(image)).decode().splitlines()]
    (found,) = [row for row in rows if row[1:2] == ["000"]]
    assert (int(found[2]), int(found[4])) == (start, filesystem.stat().st_size // 512)
    listing = tool("fls", "-o", found[2], str(image)).decode()
    assert listing.split()[:3] == ["r/r", "3:", "file"]
    assert tool("icat", "-o", found[2], str(image), "3") == pattern("file", 30000)


@pytest.mark.parametrize("npartitions", [1, 8, 16, 22])
@pytest.mark.parametrize("offset", [0, 64, 128, 512, 1024])
def test_labels_of_other_ports(tmp_path, whole, offset, npartitions):
    window = whole(sparse(tmp_path / "image", 1 << 20))
    write_label(window, {"a": Partition(100, 20, 7)}, order=">", offset=offset, npartitions=npartitions)
    found = find_label(window.pread, window.size, "image")
    assert (found.offset, len(found.label.partitions)) == (offset, npartitions)
    assert found.label.partitions[0][:3] == (100, 20, 7)
    if npartitions > 2:
        assert found.label.partitions[2] == Partition(2048, 0)


@pytest.mark.parametrize(
    "options",
    [
        {"offset": 7920}, {"offset": -4}, {"offset": 513}, {"offset": 1 << 20}, {"npartitions": 0},
        {"npartitions": 23}, {"partitions": {"a": Partition(1 << 32, 0)}},
        {"partitions": {"k": Partition(1, 0)}},
    ],
)  # fmt: skip
def test_labels_that_cannot_be(tmp_path, whole, options):
    image = sparse(tmp_path / "image", 1 << 20)
    window = whole(image)
    with pytest.raises(VfsError) as caught:
        write_label(window, **options)
    assert caught.value.errno == errno.EINVAL
    assert image.read_bytes() == bytes(1 << 20)


def test_a_superblock_at_0_is_not_overwritten(tree, tmp_path, whole):
    from rumpfs.ondisk.ufs.fs import FS

    filesystem = makefs(tree, tmp_path / "fs", 2, "le", 4096, 512).read_bytes()
    codec = FS.codec("<")
    moved = codec.pack(codec.unpack(filesystem, 8192)._replace(fs_sblockloc=0))
    image = tmp_path / "image"
    image.write_bytes(moved + bytes(16384 - len(moved)) + filesystem[16384:])
    window = whole(image)
    with pytest.raises(VfsError, match="superblock at byte 0 leaves no room"):
        write_label(window)


def test_an_image_that_may_not_be_written(tmp_path, whole):
    window = whole(sparse(tmp_path / "image", 1 << 20), readonly=True)
    with pytest.raises(VfsError) as caught:
        write_label(window)
    assert caught.value.errno == errno.EROFS


def test_partition_letters():
    assert [partition_index(letter) for letter in "az"] == [0, 25]
    for letter in ("", "A", "aa", "1"):
        with pytest.raises(ValueError, match="invalid partition letter"):
            partition_index(letter)
