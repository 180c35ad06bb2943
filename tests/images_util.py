"""Images for tests: those that real kernels made, and those that makefs(8) makes here.

The images of real kernels lie beside the project (``../shared/images``). Without that directory the
lists are empty and asking for one image skips the test. Unpacked images are kept in a cache directory
under the system's temporary directory and shared by all tests: open them read-only, or copy them first
(`scratch_copy`).
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import io
import json
import lzma
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

PROJECT = Path(__file__).resolve().parents[1]
SHARED_IMAGES = PROJECT.parent / "shared" / "images"

_CHUNK = 1 << 16
_ZEROS = bytes(_CHUNK)

#: Symlink text lengths around the limits of both inode formats (spec/images.md section 2).
SYMLINK_LENGTHS = (5, 58, 59, 60, 61, 118, 119, 120, 121, 500, 1023)

#: File sizes at every fragment and block edge from 512 to 65536 bytes.
EDGE_SIZES = (
    1,
    *(edge + delta for edge in (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536) for delta in (-1, 0, 1)),
    12 * 4096,
    12 * 4096 + 1,
)

MANY_NAMES = 700


def cache_directory() -> Path:
    """Return the directory of unpacked images, made on demand, of this user alone."""
    path = Path(tempfile.gettempdir()) / f"rumpfs-test-images-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def netbsd_images() -> list[str]:
    """Return the names of the images that a NetBSD kernel made; empty when they are not at hand."""
    return sorted(path.name[: -len(".img.xz")] for path in (SHARED_IMAGES / "netbsd").glob("*.img.xz"))


@functools.cache
def manifest(name: str) -> dict[str, Any]:
    """Return the manifest of a NetBSD image (../shared/images/netbsd/README.md says what is in it)."""
    path = SHARED_IMAGES / "netbsd" / f"{name}.json"
    if not path.exists():
        pytest.skip(f"no manifest {path}")
    facts = json.loads(path.read_text())
    assert isinstance(facts, dict)
    return facts


def netbsd_image(name: str) -> Path:
    """Return the unpacked image that a NetBSD kernel made."""
    packed = SHARED_IMAGES / "netbsd" / f"{name}.img.xz"
    if not packed.exists():
        pytest.skip(f"no image {packed}")
    return _unpacked(packed, lambda: lzma.open(packed, "rb"))


def freebsd_images() -> list[str]:
    """Return the names of the images that a FreeBSD kernel made: ufs-little, ufs-big."""
    return sorted(path.name[: -len(".img.zst")] for path in (SHARED_IMAGES / "freebsd").glob("*.img.zst"))


def freebsd_image(name: str) -> Path:
    """Return the unpacked FreeBSD image; zstd(1) or the zstandard module unpacks it."""
    packed = SHARED_IMAGES / "freebsd" / f"{name}.img.zst"
    if not packed.exists():
        pytest.skip(f"no image {packed}")
    return _unpacked(packed, lambda: _open_zstd(packed))


def _open_zstd(packed: Path) -> IO[bytes]:
    if shutil.which("zstd"):
        content = subprocess.run(["zstd", "-dcq", str(packed)], check=True, capture_output=True).stdout
    elif importlib.util.find_spec("zstandard"):
        module = importlib.import_module("zstandard")
        with packed.open("rb") as stream:
            content = module.ZstdDecompressor().stream_reader(stream).read()
    else:
        pytest.skip("neither zstd(1) nor the Python module zstandard is installed (make setup installs both)")
    return io.BytesIO(content)


def _unpacked(packed: Path, opener: Callable[[], IO[bytes]]) -> Path:
    facts = packed.stat()
    key = hashlib.sha256(f"{packed}:{facts.st_size}:{facts.st_mtime_ns}".encode()).hexdigest()[:8]
    stem = packed.name.split(".img")[0]
    target = cache_directory() / f"{stem}-{key}.img"
    if not target.exists():
        with opener() as source:
            _write_sparse(source, target)
    return target


def _write_sparse(source: IO[bytes], target: Path) -> None:
    """Copy a stream to a file that appears whole or not at all, with holes where it is zero."""
    handle, partial = tempfile.mkstemp(dir=target.parent, prefix=target.name)
    with os.fdopen(handle, "wb") as sink:
        length = 0
        while chunk := source.read(_CHUNK):
            if chunk == _ZEROS[: len(chunk)]:
                sink.seek(len(chunk), os.SEEK_CUR)
            else:
                sink.write(chunk)
            length += len(chunk)
        sink.truncate(length)
    os.replace(partial, target)


def scratch_copy(image: Path, directory: Path) -> Path:
    """Return a writable copy of an image in `directory`."""
    target = directory / image.name
    with image.open("rb") as source:
        _write_sparse(source, target)
    return target


def makefs(tree: Path, out: Path, version: int, order: str, bsize: int, fsize: int, *extra: str) -> Path:
    """Make an FFS image of a tree with makefs(8).

    Args:
        tree: directory that becomes the root.
        out: the image to write.
        version: 1 or 2.
        order: ``<`` or ``le``, ``>`` or ``be``.
        bsize, fsize: bytes; bsize 4096..65536 and bsize/fsize <= 8.
        extra: further arguments (``-s 128m``) or, with a comma in front, further ``-o`` suboptions
            (``,density=8192``).

    The test is skipped when makefs is not installed.
    """
    program = shutil.which("makefs") or shutil.which("makefs", path="/usr/sbin:/sbin")
    if program is None:
        pytest.skip("makefs is not installed (Debian package makefs)")
    suboptions = "".join(word for word in extra if word.startswith(","))
    words = [word for word in extra if not word.startswith(",")]
    if not {"-s", "-b", "-f", "-M"} & set(words):
        words += ["-M", "2m", "-b", "30%" if bsize == 65536 else "10%", "-f", "64"]
    endian = {"<": "le", ">": "be"}.get(order, order)
    command = [
        program,
        "-t",
        "ffs",
        "-B",
        endian,
        "-o",
        f"version={version},bsize={bsize},fsize={fsize}{suboptions}",
        *words,
        str(out),
        str(tree),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return out


def pattern(seed: str, size: int) -> bytes:
    """Return `size` bytes that depend on `seed` and repeat nowhere near a block's length."""
    return hashlib.shake_128(seed.encode()).digest(size)


def standard_tree(path: Path) -> Path:
    """Build the tree of spec/images.md section 2 and return it.

    Files at every fragment and block edge, a sparse file, 700 names in one directory, deep
    directories, long and odd names, symlinks around the fast limits, hard links, a fifo, modes; as
    root also devices and owners.
    """
    path.mkdir(parents=True, exist_ok=True)
    for size in EDGE_SIZES:
        (path / f"f{size}").write_bytes(pattern(f"f{size}", size))
    (path / "big").write_bytes(pattern("big", (3 << 20) + 777))
    with (path / "sparse").open("wb") as stream:
        stream.write(b"start")
        stream.seek((5 << 20) - 3)
        stream.write(b"end")
    (path / "empty").write_bytes(b"")
    _directories(path)
    _names_and_links(path)
    _modes_and_devices(path)
    for name in _all_below(path):
        os.utime(name, (1_600_000_000, 1_500_000_000), follow_symlinks=False)
    return path


def _directories(path: Path) -> None:
    many = path / "many"
    many.mkdir()
    for index in range(MANY_NAMES):
        (many / f"entry-{index:04d}").write_bytes(b"%d\n" % index)
    deep = path
    for level in range(6):
        deep = deep / f"level{level}"
    deep.mkdir(parents=True)
    (deep / "bottom").write_bytes(b"six down\n")
    (path / "emptydir").mkdir()


def _names_and_links(path: Path) -> None:
    (path / ("n" * 255)).write_bytes(b"a name of 255 bytes\n")
    (path / "gr\u00fc\u00dfe \u2603").write_bytes(b"utf-8\n")
    for length in SYMLINK_LENGTHS:
        (path / f"link{length}").symlink_to(("./" * length)[: length - 1] + "x")
    (path / "one").write_bytes(b"three names\n")
    os.link(path / "one", path / "two")
    os.link(path / "one", path / "level0" / "three")


def _modes_and_devices(path: Path) -> None:
    os.mkfifo(path / "fifo")
    (path / "suid").write_bytes(b"#!/bin/sh\n")
    (path / "sticky").mkdir()
    if os.geteuid() == 0:
        os.mknod(path / "chr", 0o600 | stat.S_IFCHR, os.makedev(5, 1))
        os.mknod(path / "blk", 0o640 | stat.S_IFBLK, os.makedev(8, 300))
        (path / "owned").write_bytes(b"uid 1000, gid 70000\n")
        os.chown(path / "owned", 1000, 70000)
    os.chmod(path / "suid", 0o4755)
    os.chmod(path / "sticky", 0o1777)


def _all_below(path: Path) -> Iterator[Path]:
    """Yield everything below `path`, contents before their directory."""
    for directory, directories, files in os.walk(path, topdown=False):
        for name in [*files, *directories]:
            yield Path(directory) / name
    yield path
