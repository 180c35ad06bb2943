"""Compressed images: unpacked once, by one process, as sparse files within a limit."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rumpfs.abi import errno
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.dev.hostcache import allocated
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.image import open_image
from rumpfs.dev.source import open_source
from tests.cli.verbs import Shell
from tests.images_util import makefs

NOISE = random.Random(2).randbytes(200_000)
#: bytes, a hole of 16 MiB, bytes that end beside a block
CONTENT = NOISE + bytes(16 << 20) + NOISE[::-1] + b"end"


def _zstd(data: bytes) -> bytes:
    return pytest.importorskip("zstandard").compress(data)  # type: ignore[no-any-return]


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": _zstd,
}  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUMPFS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _content(path: Path) -> bytes:
    file = open_source(str(path))
    try:
        return file.pread(file.size, 0)
    finally:
        file.close()


@pytest.mark.parametrize("suffix", PACK)
def test_each_format_whatever_it_is_called(tmp_path: Path, cache: Path, suffix: str) -> None:
    packed = tmp_path / "disk"
    packed.write_bytes(PACK[suffix](CONTENT))
    assert _content(packed) == CONTENT
    [kept] = cache.iterdir()
    assert allocated(kept.stat()) < 1 << 20  # the hole takes no room
    before = kept.stat().st_ino
    assert _content(packed) == CONTENT
    assert [path.stat().st_ino for path in cache.iterdir()] == [before]


@pytest.mark.parametrize("suffix", PACK)
def test_streams_one_behind_the_other(tmp_path: Path, suffix: str) -> None:
    packed = tmp_path / "disk"
    packed.write_bytes(PACK[suffix](NOISE) + PACK[suffix](b"more"))
    assert _content(packed) == NOISE + b"more"


@pytest.mark.parametrize("suffix", PACK)
def test_an_image_that_changes_is_unpacked_again(tmp_path: Path, suffix: str) -> None:
    packed = tmp_path / "disk"
    packed.write_bytes(PACK[suffix](NOISE))
    assert _content(packed) == NOISE
    packed.write_bytes(PACK[suffix](NOISE + b"x"))
    assert _content(packed) == NOISE + b"x"


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_stream_names_the_place_and_leaves_nothing(
    tmp_path: Path, cache: Path, suffix: str, damage: str
) -> None:
    data = bytearray(PACK[suffix](NOISE))
    if damage == "cut":
        del data[len(data) // 2 :]
    elif suffix == "zst":
        data[-4:] = b"\xff\xff\xff\xff"
        data += PACK[suffix](NOISE)[:-100]
    else:
        data[len(data) // 2] ^= 0xFF
    packed = tmp_path / "disk"
    packed.write_bytes(data)
    with pytest.raises(DiskError, match=r"disk: at or before byte \d+"):
        open_image(str(packed))
    assert list(cache.iterdir()) == []


def test_random_bytes_behind_a_magic_are_damage(tmp_path: Path) -> None:
    for number, magic in enumerate((b"\x1f\x8b\x08", b"BZh91AY&SY", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")):
        packed = tmp_path / f"disk{number}"
        packed.write_bytes(magic + NOISE[:5000])
        with pytest.raises(DiskError, match="at or before byte"):
            open_image(str(packed))


def test_it_is_not_written_and_not_unpacked_for_it(tmp_path: Path, cache: Path) -> None:
    packed = tmp_path / "disk.img.gz"
    packed.write_bytes(gzip.compress(NOISE))
    with pytest.raises(VfsError) as raised:
        open_image(str(packed), readonly=False)
    assert raised.value.errno == errno.EROFS
    assert "gzip" in raised.value.why
    assert not cache.exists()


def test_what_is_larger_than_the_limit_is_refused(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = tmp_path / "disk.img.xz"
    packed.write_bytes(lzma.compress(CONTENT))
    monkeypatch.setenv("RUMPFS_CACHE_SIZE", "300k")
    with pytest.raises(VfsError) as raised:
        open_image(str(packed))
    assert raised.value.errno == errno.ENOSPC
    assert "RUMPFS_CACHE_SIZE" in raised.value.why
    assert list(cache.iterdir()) == []


def test_what_was_not_used_for_longest_goes_first(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [tmp_path / f"disk{number}.gz" for number in range(4)]
    for number, image in enumerate(images):
        image.write_bytes(gzip.compress(NOISE + bytes([number])))
    kept: list[Path] = []
    for number, image in enumerate(images[:3]):
        _content(image)
        [new] = [path for path in cache.iterdir() if path not in kept]
        os.utime(new, ns=(number, number))
        kept.append(new)
    monkeypatch.setenv("RUMPFS_CACHE_SIZE", "700k")
    in_use = open_source(str(images[0]))
    os.utime(kept[0], ns=(0, 0))
    _content(images[3])
    assert kept[0].exists()  # it is in use
    assert not kept[1].exists()
    assert kept[2].exists()
    assert in_use.pread(len(NOISE), 0) == NOISE
    in_use.close()


_OPEN = """
import sys
from rumpfs.dev.source import open_source
sys.stdin.readline()
told = []
file = open_source(sys.argv[1], progress=lambda *how: told.append(how))
print(bool(told), file.size)
"""


def test_two_processes_do_not_both_unpack(tmp_path: Path) -> None:
    packed = tmp_path / "disk.img.xz"
    packed.write_bytes(lzma.compress(CONTENT))
    command = [sys.executable, "-c", _OPEN, str(packed)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(4)]  # type: ignore[call-overload]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    said = sorted(process.communicate(timeout=60)[0].split() for process in processes)
    size = str(len(CONTENT))
    assert said == [["False", size]] * 3 + [["True", size]]


def test_what_a_killed_process_left_is_made_anew(tmp_path: Path, cache: Path) -> None:
    packed = tmp_path / "disk.img.gz"
    packed.write_bytes(gzip.compress(NOISE))
    _content(packed)
    [kept] = cache.iterdir()
    kept.rename(f"{kept}.part")
    with open(f"{kept}.part", "r+b") as left:
        left.truncate(1000)
    assert _content(packed) == NOISE
    assert list(cache.iterdir()) == [kept]


def test_the_progress_ends_with_all_of_it(tmp_path: Path) -> None:
    packed = tmp_path / "disk.img.gz"
    packed.write_bytes(gzip.compress(CONTENT))
    told: list[tuple[str, int, int]] = []
    open_source(str(packed), progress=lambda *how: told.append(how)).close()
    size = packed.stat().st_size
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert told[-1] == (str(packed), size, size)


def test_a_plain_image_is_itself(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "disk.img").write_bytes(NOISE)
    file = open_source(str(tmp_path / "disk.img"))
    assert type(file) is HostFile
    assert file.path == str(tmp_path / "disk.img")
    file.close()
    assert not cache.exists()


@pytest.mark.parametrize("suffix", PACK)
def test_the_verbs_read_them(tmp_path: Path, cache: Path, suffix: str) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(NOISE)
    image = makefs(tmp_path / "tree", tmp_path / "disk.img", 2, "<", 8192, 1024)
    (tmp_path / f"disk.img.{suffix}").write_bytes(PACK[suffix](image.read_bytes()))
    shell = Shell(None, tmp_path)
    shell.environ["RUMPFS_CACHE"] = str(cache)
    assert shell.ok("ls", f"disk.img.{suffix}:/").lines == ["file"]
    assert shell.ok("cat", f"disk.img.{suffix}:/file").out == NOISE
    [found] = shell.ok("info", "--json", f"disk.img.{suffix}").json["images"]
    assert found["size"] == image.stat().st_size
    refused = shell.run("rm", f"disk.img.{suffix}:/file")
    assert refused.status == 1
    assert "can only be read" in refused.err
