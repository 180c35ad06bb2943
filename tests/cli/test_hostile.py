"""Every verb, given what is no image, or a broken one: a clear line, a fitting status, and no surprise."""

from __future__ import annotations

import hashlib
import os
import shlex
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rumpfs.cli.rumpfs import VERBS, main
from tests.conftest import PROJECT

GOLDEN = PROJECT / "images" / "golden"

#: a command line of each verb that works on the files in an image, or whose image is not the only operand
LINES = {
    "ls": "-lR {}:/", "cat": "{}:/etc/rc.conf", "stat": "{}:/etc", "cp": "-r {}:/ out", "mkdir": "{}:/new",
    "rm": "-r {}:/etc", "mv": "{}:/etc {}:/etd", "ln": "{}:/etc/rc.conf {}:/x", "chmod": "-R 755 {}:/etc",
    "chown": "-R 1 {}:/etc", "chflags": "-R nodump {}:/etc", "touch": "{}:/etc/rc.conf", "find": "{}:/",
    "tree": "{}:/", "du": "-a {}:/", "tar": "-f out.tar {}:/", "sha256": "{}:/", "mtree": "{}:/",
    "grep": "-r x {}:/", "diff": "{}:/ whole:/", "df": "{}:/", "quota": "{}:/", "sh": "-c 'ls -R' {}:/",
    "explain": "{} superblock", "fsck": "-n {}", "overlay": "status {}", "makefs": "new.img {}",
    "growfs": "-y {}", "tunefs": "-m 7 {}", "dumpfs": "{}", "label": "{}",
}  # fmt: skip
#: verbs that are about servers, or nothing; mount serves what it mounts in a process of its own
ELSEWHERE = {"mount", "umount", "sysctl", "top", "trace", "completion"}
#: verbs to which whatever can be read is fine, or which write over it
ANYTHING = {"hexdump", "newfs"}
#: verbs that find what is left of a file system
FINDERS = {"carve"}
STATUSES = {"fsck": {8}, "diff": {2}, "grep": {2}}


def passwd(path: Path, image: bytes) -> None:
    path.write_bytes(Path("/etc/passwd").read_bytes())


def empty(path: Path, image: bytes) -> None:
    path.touch()


def directory(path: Path, image: bytes) -> None:
    path.mkdir()


def nothing(path: Path, image: bytes) -> None:
    pass


def noise(path: Path, image: bytes) -> None:
    path.write_bytes(hashlib.shake_128(b"noise").digest(200_000))


def beginning(path: Path, image: bytes) -> None:
    """As far as the superblock, and little more."""
    path.write_bytes(image[:66_000])


NO_IMAGES = [passwd, empty, directory, nothing, noise, beginning]


def half(path: Path, image: bytes) -> None:
    path.write_bytes(image[: len(image) // 2])


def cycle(path: Path, image: bytes) -> None:
    """The directory etc is the root directory once more."""
    entry = image.index(b"\x04\x03etc\0") - 6
    (reclen,) = struct.unpack_from("<H", image, entry + 4)
    assert 12 <= reclen <= 512
    path.write_bytes(image[:entry] + struct.pack("<I", 2) + image[entry + 4 :])


def _image() -> bytes:
    from tests.fs.ffs import checker  # noqa: F401
    raise NotImplementedError
