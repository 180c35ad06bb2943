"""Who reads directories for the names gets names; who asks for files gets their attributes with the names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyfuse3
import pytest

from rumpfs.abi.stat import DT_REG
from rumpfs.client import Client
from rumpfs.fuse.habits import HAS_BRIEF, Brief
from tests.fuse.mounts import mounted
from tests.serving import serving

DIRECTORIES = "abc"
FILES = 40
OWN = "" if os.geteuid() == 0 else f",uid={os.geteuid()},gid={os.getegid()}"
#: what the processes do: list directories, print numbers and types; and stat the file that an "=" says
READER = """
import json, os, sys
for word in sys.argv[1:]:
    if word.startswith("="):
        os.stat(word[1:])
    else:
        print(json.dumps({e.name: [e.inode(), e.is_file(follow_symlinks=False)] for e in os.scandir(word)}))
"""


class Seen(NamedTuple):
    """A mounted server that tells what it is asked."""

    mnt: Path
    trace: Path

    def asked(self, prefix: str) -> set[str]:
        """Return the names of files that the server was asked about."""
        calls = self.trace.read_text()
        return {name for name in names(prefix) if f'"{name}", {{' in calls}


@pytest.fixture
def seen(tmp_path: Path) -> Iterator[Seen]:
    trace = tmp_path / "trace"
    with serving(tmp_path, "--trace", str(trace)) as server:
        with Client(server.url, "test") as client:
            client.mkdir("/t")
            client.mount("tmpfs", None, "/t")
            for directory in DIRECTORIES:
                client.mkdir(f"/t/{directory}")
                for number in range(FILES):
                    client.open(f"/t/{directory}/{directory}{number}", "wb").close()
        options = ("-o", f"attr_timeout=60,entry_timeout=60{OWN}")
        with mounted("rumpfs mount", *options, f"{server.url}:/t", mountpoint=tmp_path / "mnt") as mnt:
            yield Seen(mnt, trace)


def read(mnt: Path, *words: str) -> list[dict[str, list[int]]]:
    """Have one process read directories, and ask for files."""
    program = [sys.executable, "-c", READER, *words]
    done = subprocess.run(program, cwd=mnt, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def names(prefix: str) -> set[str]:
    return {f"{prefix}{number}" for number in range(FILES)}


def test_an_entry_of_which_the_host_is_told_no_file() -> None:
    assert HAS_BRIEF, f"pyfuse3 {pyfuse3.__version__} has another entry"
    entry = Brief()(4711, DT_REG)
    assert (entry.st_ino, entry.st_mode) == (0, 0o100000)


def test_names_alone(seen: Seen) -> None:
    listed = read(seen.mnt, *DIRECTORIES)
    assert [set(entries) for entries in listed] == [names(letter) for letter in DIRECTORIES]
    assert seen.asked("a") == names("a")  # nothing was known of the process
    assert seen.asked("b") == seen.asked("c") == set()
    for directory, entries in zip(DIRECTORIES, listed, strict=True):
        for name, (number, is_file) in entries.items():
            assert is_file
            assert number == (seen.mnt / directory / name).stat().st_ino


@pytest.mark.parametrize("asked", ["a/a{}", "b/b7"])
def test_attributes_with_the_names(seen: Seen, asked: str) -> None:
    """A process has asked for a file whose attributes were held back: one of a, or any of b."""
    (first,) = read(seen.mnt, "a")
    sample = next(iter(first)).removeprefix("a")
    read(seen.mnt, "a", "b", "=" + asked.format(sample), "c")
    assert seen.asked("c") == names("c")


def test_each_process_has_its_habit(seen: Seen) -> None:
    read(seen.mnt, "a", "b")
    assert seen.asked("b") == set()
    read(seen.mnt, "b")
    assert seen.asked("b") == names("b")


def test_directories_come_with_attributes(seen: Seen) -> None:
    """Who looks for a name goes down into directories, and is not taken for curious."""
    for letter in DIRECTORIES:
        (seen.mnt / letter / "sub").mkdir()
    done = subprocess.run(["find", ".", "-name", "nothing"], cwd=seen.mnt, capture_output=True, check=True)
    assert done.stdout == b""
    full = [letter for letter in DIRECTORIES if seen.asked(letter) == names(letter)]
    assert len(full) == 1
