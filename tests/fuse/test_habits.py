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
from tests.fuse.mounts import mounted, served
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
#: a kernel with directories of files, of which it notes when they are looked up
NOTED = f"""
from rumpfs.vfs.cred import ROOT

class Noted(KernelTree):
    def __init__(self, kernel):
        KernelTree.__init__(self, kernel)
        self.noted = open("NOTED", "ab", buffering=0)
        for letter in {DIRECTORIES!r}:
            directory = self.mkdir(self.root, letter.encode(), 0o777, ROOT)
            for number in range({FILES}):
                self.mknod(directory, b"%s%d" % (letter.encode(), number), 0o100644, -1, ROOT)

    def lookup(self, directory, name):
        if directory is not self.root:
            self.noted.write(name + b" ")
        return KernelTree.lookup(self, directory, name)

tree = Noted
"""


class Seen(NamedTuple):
    """A mount, and a file with the names of the files that were asked for."""

    mnt: Path
    noted: Path

    def asked(self, letter: str) -> set[str]:
        """Return the files of a directory that were looked up."""
        return names(letter) & set(self.noted.read_text().replace('"', " ").split())


@pytest.fixture
def seen(tmp_path: Path) -> Iterator[Seen]:
    noted = tmp_path / "noted"
    with served(NOTED.replace("NOTED", str(noted)), tmp_path / "mnt") as (mnt, _):
        noted.write_bytes(b"")
        yield Seen(mnt, noted)


def read(mnt: Path, *words: str) -> list[dict[str, list[int]]]:
    """Have one process read directories, and ask for files."""
    program = [sys.executable, "-c", READER, *words]
    done = subprocess.run(program, cwd=mnt, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def names(letter: str) -> set[str]:
    return {f"{letter}{number}" for number in range(FILES)}


def check(mnt: Path, listed: list[dict[str, list[int]]]) -> None:
    """What the listings said is what stat says."""
    for directory, entries in zip(DIRECTORIES, listed, strict=True):
        assert set(entries) == names(directory)
        for name, (number, is_file) in entries.items():
            assert is_file
            assert number == (mnt / directory / name).stat().st_ino


def test_an_entry_of_which_the_host_is_told_no_file() -> None:
    assert HAS_BRIEF, f"pyfuse3 {pyfuse3.__version__} has another entry"
    entry = Brief()(4711, DT_REG)
    assert (entry.st_ino, entry.st_mode) == (0, 0o100000)


def test_names_alone(seen: Seen) -> None:
    listed = read(seen.mnt, *DIRECTORIES)
    assert seen.asked("a") == names("a")  # nothing was known of the process
    assert seen.asked("b") == seen.asked("c") == set()
    check(seen.mnt, listed)


@pytest.mark.parametrize("asked", ["a/{}", "b/b7"])
def test_attributes_with_the_names(seen: Seen, asked: str) -> None:
    """The process has asked for a file whose attributes were held back: one of a, or any of b."""
    (entries,) = read(seen.mnt, "a")
    read(seen.mnt, "a", "b", "=" + asked.format(next(iter(entries))), "c")
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
    assert [len(seen.asked(letter)) for letter in DIRECTORIES].count(FILES) == 1


def filled(client: Client) -> None:
    """Make the directories and files on a server."""
    client.mkdir("/t")
    client.mount("tmpfs", None, "/t")
    for letter in DIRECTORIES:
        client.mkdir(f"/t/{letter}")
        for name in names(letter):
            client.open(f"/t/{letter}/{name}", "wb").close()


def test_a_server_is_asked_for_names_first(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with serving(tmp_path, "--trace", str(trace)) as server, Client(server.url, "test") as client:
        filled(client)
        options = ("-o", f"attr_timeout=60,entry_timeout=60{OWN}")
        with mounted("rumpfs mount", *options, f"{server.url}:/t", mountpoint=tmp_path / "mnt") as mnt:
            listed = read(mnt, *DIRECTORIES)
            calls = [line.split('"') for line in trace.read_text().splitlines() if " fstatat(" in line]
            assert {words[1] for words in calls} & names("b") == set()
            check(mnt, listed)


def test_where_there_are_no_such_entries_attributes_are_given(tmp_path: Path) -> None:
    with serving(tmp_path) as server, Client(server.url, "test") as client:
        filled(client)
        code = f"""
from rumpfs.fuse import habits, operations
from rumpfs.fuse.remote.tree import RemoteTree

habits._place, operations.HAS_BRIEF = None, False

def tree(_):
    return RemoteTree({server.url!r}, b"/t")
"""
        with served(code, tmp_path / "mnt") as (mnt, _):
            check(mnt, read(mnt, *DIRECTORIES))
