"""Every verb, given what is no image, or a broken one: a clear line, a fitting status, and an end."""

from __future__ import annotations

import hashlib
import shlex
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from rumpfs.cli.rumpfs import VERBS
from tests.cli.inside import Inside
from tests.cli.verbs import Done

#: a command line of each verb that works on files in an image, or has more operands than the image
LINES = {
    "ls": "-lR {}:/", "cat": "{}:/etc/rc.conf", "stat": "{}:/etc", "cp": "-r {}:/ out", "mkdir": "{}:/new",
    "rm": "-r {}:/etc", "mv": "{}:/etc {}:/etd", "ln": "{}:/etc/rc.conf {}:/x", "chmod": "-R 755 {}:/etc",
    "chown": "-R 1 {}:/etc", "chflags": "-R nodump {}:/etc", "touch": "{}:/etc/rc.conf", "find": "{}:/",
    "tree": "{}:/", "du": "-a {}:/", "tar": "-f out.tar {}:/", "sha256": "{}:/", "mtree": "{}:/",
    "grep": "-r x {}:/", "diff": "{}:/ whole:/", "df": "{}:/", "quota": "{}:/", "sh": "-c 'ls -R' {}:/",
    "explain": "{} superblock", "fsck": "-n {}", "overlay": "status {}", "makefs": "new.img {}",
    "growfs": "-y {}", "tunefs": "-m 7 {}",
}  # fmt: skip
#: verbs that are about servers, or nothing; and mount, which serves what it mounts in a process of its own
ELSEWHERE = {"mount", "umount", "sysctl", "top", "trace", "completion"}
ON_IMAGES = [verb for verb in VERBS if verb not in ELSEWHERE]
#: statuses of failures that are not 1
TROUBLE = {"fsck": 8, "diff": 2, "grep": 2}

Make: TypeAlias = Callable[[Path, bytes], object]
MARK = b"\x04\x03etc\0"


def cycle(path: Path, image: bytes) -> None:
    """Let the directory etc be the root directory once more (dir.h: struct direct)."""
    entry = image.index(MARK) - 6
    (reclen,) = struct.unpack_from("<H", image, entry + 4)
    assert 12 <= reclen <= 512
    path.write_bytes(image[:entry] + struct.pack("<I", 2) + image[entry + 4 :])


#: what is no file system: how it is made, and verbs for which it is as good as any other file
NO_IMAGES: dict[str, tuple[Make, set[str]]] = {
    "passwd": (lambda path, _: path.write_bytes(Path("/etc/passwd").read_bytes()), {"hexdump", "survey"}),
    "empty": (lambda path, _: path.touch(), {"makefs"}),
    "directory": (lambda path, _: path.mkdir(), {"makefs"}),
    "nothing": (lambda path, _: None, set()),
    "noise": (
        lambda path, _: path.write_bytes(hashlib.shake_128(b"noise").digest(200_000)),
        {"hexdump", "newfs", "survey"},
    ),
    "beginning": (
        lambda path, image: path.write_bytes(image[: 65536 + 1376]),
        {"hexdump", "newfs", "carve", "survey"},
    ),
}
#: a file system, but broken
BROKEN: dict[str, Make] = {
    "half": lambda path, image: path.write_bytes(image[: len(image) // 2]),
    "cycle": cycle,
}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file system with 64 files in its directory etc, which are all over it."""
    path = tmp_path_factory.mktemp("whole")
    (path / "tree" / "etc").mkdir(parents=True)
    for number in range(64):
        (path / "tree" / "etc" / f"f{number}").write_bytes(b"x\n" * 5000)
    (path / "tree" / "etc" / "rc.conf").write_text("hostname=puffy\n")
    Inside(path).ok("makefs", "-o", "version=2", "-s", "2m", "whole", "tree")
    data = (path / "whole").read_bytes()
    assert data.count(MARK) == 1
    return data


def run(directory: Path, verb: str, name: str, image: bytes) -> Done:
    (directory / "whole").write_bytes(image)
    done = Inside(directory).run(verb, *shlex.split(LINES.get(verb, "{}").replace("{}", name)))
    lines = done.err.splitlines()
    assert "Traceback" not in done.err
    assert len(lines) == len(set(lines)), "something is said twice"
    assert done.status in (0, 1, 2, 8)
    if done.status in (1, 2, 8) and verb not in ("diff", "grep", "sh"):
        assert lines
        assert lines[-1].startswith(f"rumpfs {verb}: ")
    return done


@pytest.mark.parametrize("verb", ON_IMAGES)
@pytest.mark.parametrize("what", NO_IMAGES)
def test_what_is_no_file_system_is_said_to_be_none(
    tmp_path: Path, image: bytes, what: str, verb: str
) -> None:
    make, fine = NO_IMAGES[what]
    make(tmp_path / "thing", image)
    done = run(tmp_path, verb, "thing", image)
    if verb in fine:
        assert (done.status, done.err) == (0, "")
        return
    assert done.status == TROUBLE.get(verb, 1)
    assert len(done.err.splitlines()) == 1
    assert "thing" in done.err


@pytest.mark.parametrize("verb", ON_IMAGES)
@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_worked_with_as_far_as_it_goes(
    tmp_path: Path, image: bytes, what: str, verb: str
) -> None:
    BROKEN[what](tmp_path / "thing", image)
    done = run(tmp_path, verb, "thing", image)
    assert len(done.out) < 100 * len(image)


@pytest.mark.parametrize(
    "verb", ["ls", "find", "tree", "du", "tar", "cp", "rm", "sha256", "mtree", "grep", "chmod"]
)
def test_a_directory_in_itself_is_named_once(tmp_path: Path, image: bytes, verb: str) -> None:
    cycle(tmp_path / "thing", image)
    said = run(tmp_path, verb, "thing", image).err
    assert said.count("this directory contains itself: its file system is damaged") == 1


def test_a_file_beyond_the_end_is_named(tmp_path: Path, image: bytes) -> None:
    (tmp_path / "thing").write_bytes(image[: len(image) // 4])
    done = Inside(tmp_path).run("cp", "-r", "thing:/etc", ".")
    assert done.status == 1
    lost = [line for line in done.err.splitlines() if line.startswith("rumpfs cp: thing:/etc/f")]
    assert lost
    for line in lost:
        assert "the device" in line
    saved = [path for path in (tmp_path / "etc").iterdir() if path.read_bytes() == b"x\n" * 5000]
    assert saved
    assert len(saved) + len(lost) <= 65
