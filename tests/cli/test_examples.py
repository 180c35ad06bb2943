"""What `--help` shows can be done: the examples that are about images, with such images at hand."""

from __future__ import annotations

import lzma
import os
import re
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from rumpfs.cli.helptext import parse_help
from rumpfs.cli.rumpfs import VERBS, verb_parser
from tests.cli.inside import Inside
from tests.cli.verbs import BIN
from tests.conftest import PROJECT

#: examples that are about a server, a mount, or a disk that only their author has
ELSEWHERE = re.compile(
    r"(^|[\s'])(:/|unix://|tcp://)|/mnt( |$)|s2a|@1080832|675|label -e|https?:|s3:|\[|zcat|copy-of-a"
)
SERVERS = {
    "ls",
    "mount",
    "umount",
    "quota",
    "sh",
    "df",
    "sysctl",
    "top",
    "trace",
    "completion",
    "explore",
    "survey",
}
SHELL = re.compile(r"[|;<>()*&]|^\w+=")
STATUSES = {"diff": {0, 1}, "grep": {0, 1}, "overlay": {0, 1}}


def examples(verb: str) -> list[str]:
    found = [item.term for item in parse_help(verb_parser(verb).format_help()).items("examples")]
    return [] if verb in SERVERS else [line for line in found if not ELSEWHERE.search(line)]


IN_PROCESS = {verb: [line for line in examples(verb) if not SHELL.search(line)] for verb in VERBS}
IN_SHELLS = {verb: [line for line in examples(verb) if SHELL.search(line)] for verb in VERBS}

# --- what the examples take to be there -------------------------------------------------------------------


def _image(place: Path, *names: str) -> None:
    for name in names:
        Inside(place).ok("makefs", "-o", "bsize=4096,fsize=512", "-s", "16m", "--disklabel", name, "tree")


def _copies(place: Path) -> None:
    _image(place, "monday.img", "old.img", "other.img")
    for name in ("tuesday", "new"):
        shutil.copy(place / "old.img", place / f"{name}.img")
    for name in ("backup", "copy"):
        shutil.copytree(place / "tree", place / name)
    Inside(place).ok("mtree", "disk.img:/")
    (place / "manifest").write_bytes(Inside(place).ok("sha256", "disk.img:/").out)


def _second(place: Path) -> None:
    """A disk with a file system at 1 MiB."""
    os.truncate(os.open(place / "second.img", os.O_CREAT | os.O_RDWR), 16 << 20)
    Inside(place).ok("newfs", "-O", "2", "-s", "4m", "second.img@1m")


def _sources(place: Path) -> None:
    (place / "disk.img").unlink()
    with tarfile.open(place / "root.tar.xz", "w:xz") as archive:
        archive.add(place / "tree", ".")
    (place / "etc").mkdir()
    (place / "etc" / "master.passwd").write_text("root::0:0::0:0::/:/bin/sh\n")
    (place / "etc" / "group").write_text("wheel::0:root\n")
    shutil.copytree(place / "tree", place / "destdir")
    (place / "METALOG").write_text("./ls type=file uname=root gname=wheel mode=0555\n")
    (place / "manifest").write_text(
        "#mtree\n/set uid=0 gid=0 mode=0755\n. type=dir\n./rc type=file contents=tree/etc/rc.conf\n"
    )


def _large(place: Path) -> None:
    for name in ("disk.img", "other.img"):
        (place / name).write_bytes(b"")
        os.truncate(place / name, 256 << 20)
    Inside(place).ok("label", "-w", "--set", "a=64,100m", "--set", "e=409600", "disk.img")


def _with_room(place: Path) -> None:
    """A disk with a partition that can grow."""
    inside = Inside(place)
    (place / "disk.img").write_bytes(b"")
    os.truncate(place / "disk.img", 600 << 20)
    inside.ok("label", "-w", "--set", "a=64,16m", "disk.img")
    inside.ok("newfs", "disk.img:a")


def _with_a_log(place: Path) -> None:
    (place / "disk.img").write_bytes(
        lzma.decompress((PROJECT / "images/golden/v2le-log.img.xz").read_bytes())
    )


PREPARE: dict[str, Callable[[Path], object]] = {
    "diff": _copies,
    "sha256": _copies,
    "makefs": _sources,
    "log": _with_a_log,
    "growfs": lambda place: os.truncate(place / "disk.img", 600 << 20),
    "undelete": lambda place: Inside(place).ok("rm", "disk.img:/etc/passwd"),
}


#: what is said -> what is done
HERE = {
    "/mnt/backup": "backup", "/new/": "new/", "disk.img:e": "disk.img:a", "disk.img@1m": "second.img@1m",
    "growfs disk.img": "growfs -y disk.img",
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with what examples speak of."""
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc" / "rc.conf").write_text("hostname=puffy\n")
    (tree / "etc" / "passwd").write_text("root:*:0:0::/root:/bin/sh\npassword = needle\n")
    for name in ("ls", "netbsd"):
        (tree / name).write_bytes(b"\x7fELF" * 50_000)
    _image(tmp_path, "disk.img")
    return tmp_path


def prepared(place: Path, verb: str, line: str) -> str:
    """Prepare for a line, and return it with paths that are there."""
    if "@1m" in line:
        _second(place)
    if verb == "label":
        _large(place)
    if "+512m" in line:
        _with_room(place)
    if verb == "overlay" and not (place / "try").exists():
        Inside(place).run("fsck", "-fy", "--overlay", "try", "disk.img")
    if verb == "overlay" and "rebase" in line:
        (place / "new").mkdir()
        shutil.copy(place / "disk.img", place / "new")
    for there, here in HERE.items():
        line = line.replace(there, here)
    return line


# --- running them -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [verb for verb, lines in IN_PROCESS.items() if lines])
def test_the_examples_of_a_verb_run(place: Path, verb: str) -> None:
    PREPARE.get(verb, lambda _: None)(place)
    for example in IN_PROCESS[verb]:
        words = shlex.split(prepared(place, verb, example))
        assert words.pop(0) == "rumpfs"
        done = Inside(place).run(*words)
        assert done.status in STATUSES.get(verb, {0}), (example, done)


@pytest.mark.slow
@pytest.mark.parametrize("verb", [verb for verb, lines in IN_SHELLS.items() if lines])
def test_the_examples_with_pipes_run(place: Path, verb: str) -> None:
    PREPARE.get(verb, lambda _: None)(place)
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    for example in IN_SHELLS[verb]:
        missing = [tool for tool in ("jq", "zstd") if tool in example and shutil.which(tool) is None]
        if missing:
            pytest.skip(f"{missing[0]} is not installed (Debian package {missing[0]})")
        line = prepared(place, verb, example)
        done = subprocess.run(
            ["sh", "-ec", line], cwd=place, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode in STATUSES.get(verb, {0}), (example, done)
        assert "Traceback" not in done.stderr


def test_most_verbs_on_images_have_such_examples() -> None:
    assert {"info", "explain", "fsck", "dumpfs", "newfs", "makefs", "tunefs", "label", "diff"} <= {
        verb for verb, lines in IN_PROCESS.items() if lines
    }
