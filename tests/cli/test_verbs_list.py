"""rumpfs ls, stat, cat and df."""

from __future__ import annotations

import base64
import hashlib
import os
import pty
import re
import stat
import subprocess
from pathlib import Path

import pytest

from rumpfs.cli import listing
from rumpfs.client import Client
from tests.cli.verbs import BIN, Shell
from tests.images_util import manifest


def write(kernel: Client, path: str | bytes, data: bytes = b"", perm: int = 0o644) -> None:
    with kernel.open(path, "wb", perm=perm) as file:
        file.write(data)


# --- ls -------------------------------------------------------------------------------------------------


def test_ls_of_the_root_is_the_default(shell: Shell) -> None:
    assert shell.ok("ls").lines == ["dev", "t", "tmp"]
    assert shell.ok("ls", ":/").out == shell.ok("ls", shell.environ["RUMP_SERVER"]).out
    nodes = ["console", "full", "null", "random", "urandom", "zero"]
    assert shell.ok("ls", f"{shell.environ['RUMP_SERVER']}:/dev").lines == nodes


def test_ls_sorts_and_hides_names_with_a_dot(shell: Shell, kernel: Client) -> None:
    for name in ("b", ".hidden", "a", "B", "-l"):
        write(kernel, f"/t/{name}")
    assert shell.ok("ls", ":/t").lines == ["-l", "B", "a", "b"]
    assert shell.ok("ls", "-a", "-1", ":/t").lines == [".", "..", "-l", ".hidden", "B", "a", "b"]


def test_ls_long(shell: Shell, kernel: Client) -> None:
    write(kernel, "/t/file", b"x" * 1234, 0o600)
    kernel.symlink("to/where", "/t/link")
    kernel.mkdir("/t/dir")
    kernel.chmod("/t/dir", 0o3755)
    kernel.mknod("/t/disk", stat.S_IFBLK | 0o640, 5 << 8 | 7)
    kernel.mknod("/t/fifo", stat.S_IFIFO | 0o600)
    kernel.chown("/t/file", 1000, 20)
    kernel.chmod("/t/file", 0o4711)
    for name in ("file", "dir", "disk", "fifo"):
        kernel.utimens(f"/t/{name}", (0, 86400 * 10**9 * 366))
    total, *lines = shell.ok("ls", "-l", ":/t").lines
    assert re.fullmatch(r"total \d+", total)
    assert [re.sub(r" +", " ", line) for line in lines if "link" not in line] == [
        "drwxr-sr-t 2 0 0 0 Jan 2 1971 dir",
        "brw-r----- 1 0 0 5, 7 Jan 2 1971 disk",
        "prw------- 1 0 0 0 Jan 2 1971 fifo",
        "-rws--x--x 1 1000 20 1234 Jan 2 1971 file",
    ]
    (link,) = [line for line in lines if "link" in line]
    assert re.fullmatch(r"lrwxr-xr-x +1 +0 +0 +8 \w{3} [ \d]\d \d\d:\d\d link -> to/where", link)
    assert len({line.index("Jan") for line in lines if "Jan" in line}) == 1  # in columns


def test_ls_of_files_comes_before_directories(shell: Shell, kernel: Client) -> None:
    kernel.mkdir("/t/d")
    write(kernel, "/t/d/in")
    write(kernel, "/t/f")
    kernel.symlink("d", "/t/l")
    kernel.symlink("nowhere", "/t/dangling")
    assert shell.ok("ls", ":/t/d", ":/t/f").lines == [":/t/f", "", ":/t/d:", "in"]
    assert shell.ok("ls", ":/t/l").lines == ["in"]
    assert shell.ok("ls", ":/t/dangling").lines == [":/t/dangling"]
    assert shell.ok("ls", "-l", ":/t/l").lines[0].endswith(":/t/l -> d")
    assert shell.ok("ls", "-d", ":/t").lines == [":/t"]


def test_ls_recursive(shell: Shell, kernel: Client) -> None:
    for name in ("a", "a/b", "c"):
        kernel.mkdir(f"/t/{name}")
    write(kernel, "/t/a/b/deep")
    kernel.symlink("a", "/t/loop")
    assert shell.ok("ls", "-R", ":/t").lines == [
        ":/t:", "a", "c", "loop", "", ":/t/a:", "b", "", ":/t/a/b:", "deep", "", ":/t/c:",
    ]  # fmt: skip


def test_ls_goes_on_after_what_is_missing(shell: Shell) -> None:
    done = shell.run("ls", ":/none", ":/t")
    assert (done.status, done.err) == (1, "rumpfs ls: :/none: No such file or directory\n")
    assert done.lines == [":/t:"]


def test_ls_inode_numbers(shell: Shell, kernel: Client) -> None:
    write(kernel, "/t/f")
    assert shell.ok("ls", "-i", ":/t").lines == [f"{kernel.stat('/t/f').st_ino} f"]


def test_names_that_are_not_text(shell: Shell, kernel: Client) -> None:
    name = b"\xff\xfe\x01 \n"
    kernel.mkdir(b"/t/" + name)
    write(kernel, b"/t/" + name + b"/x")
    assert shell.ok("ls", ":/t").out == name + b"\n"
    assert shell.ok("ls", b":/t/" + name).out == b"x\n"
    assert shell.fails("ls", b":/t/\xff") == "rumpfs ls: :/t/\udcff: No such file or directory\n"
    (entry,) = shell.ok("ls", "--json", ":/t").json["entries"]
    assert base64.b64decode(entry["name_b64"]) == name
    assert base64.b64decode(entry["path_b64"]) == b"/t/" + name
    assert "name" not in entry


def test_json_is_the_same_with_every_option(shell: Shell, kernel: Client) -> None:
    write(kernel, "/t/naïve", b"12345")
    kernel.symlink("naïve", "/t/s")
    kernel.utimens("/t/naïve", (1, 2))
    file, link = shell.ok("ls", "--json", ":/t").json["entries"]
    # To have its text read is an access to a symbolic link.
    plain = [{**entry, "atime_ns": 0} for entry in (file, link)]
    for option in ("-l", "-1", "-i", "-d"):
        again = shell.ok("ls", "--json", option, ":/t/na\u00efve", ":/t/s").json["entries"]
        assert [{**entry, "atime_ns": 0} for entry in again] == plain
    st = kernel.stat("/t/naïve")
    assert file == {
        "name": "naïve", "path": "/t/naïve", "type": "file", "mode": 0o644, "nlink": 1, "uid": 0, "gid": 0,
        "ino": st.st_ino, "dev": st.st_dev, "size": 5, "blocks": st.st_blocks, "blksize": st.st_blksize,
        "atime_ns": 1, "mtime_ns": 2, "ctime_ns": st.st_ctime_ns, "birthtime_ns": st.st_birthtime_ns,
        "flags": 0, "gen": st.st_gen, "rdev": None,
    }  # fmt: skip
    assert (link["type"], link["target"]) == ("symlink", "naïve")
    (device,) = shell.ok("stat", "--json", ":/dev/zero").json["entries"]
    assert (device["type"], device["rdev"], device["name"]) == ("char", [2, 12], "zero")


def terminal(*words: str, environ: dict[str, str], columns: int) -> bytes:
    """Run `rumpfs` on a terminal and return what appeared there."""
    master, slave = pty.openpty()
    subprocess.run(["stty", "cols", str(columns)], stdin=slave, check=True)
    process = subprocess.Popen([BIN / "rumpfs", *words], stdin=slave, stdout=slave, stderr=slave, env=environ)
    os.close(slave)
    shown = b""
    try:
        while part := os.read(master, 1000):
            shown += part
    except OSError:
        pass  # how a terminal ends
    os.close(master)
    assert process.wait() == 0
    return shown


def test_ls_on_a_terminal_has_columns_and_no_control_characters(shell: Shell, kernel: Client) -> None:
    for name in ("aaa", "bbb", "ccc", "d\x1b[2J"):
        write(kernel, f"/t/{name}")
    assert terminal("ls", ":/t", environ=shell.environ, columns=20) == b"aaa    ccc\r\nbbb    d?[2J\r\n"
    assert terminal("ls", ":/t", environ=shell.environ, columns=4).count(b"\r\n") == 4
    assert terminal("ls", "-1", ":/t", environ=shell.environ, columns=80).count(b"\r\n") == 4


def test_nobody_reads(shell: Shell, kernel: Client) -> None:
    write(kernel, "/t/big", bytes(1 << 20))
    for words in (["cat", ":/t/big"], ["ls", "-R", ":/"], ["--help"], ["ls", "--help"], ["help", "json"]):
        reading, writing = os.pipe()
        os.close(reading)
        command = [BIN / "rumpfs", *words]
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, env=shell.environ)
        os.close(writing)
        assert (done.returncode, done.stderr) == (128 + 13, b"")


def test_no_room_for_the_output(shell: Shell, kernel: Client) -> None:
    with open("/dev/full", "wb") as full:
        for words in (["ls", ":/"], ["--help"], ["ls", "--help"]):
            command = [BIN / "rumpfs", *words]
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=shell.environ)
            assert done.returncode == 1
            assert done.stderr.endswith(b": standard output: No space left on device\n")


# --- stat, cat ------------------------------------------------------------------------------------------


def test_stat(shell: Shell, kernel: Client) -> None:
    write(kernel, "/t/f", b"123")
    kernel.utimens("/t/f", (10**18, 10**18 + 7))
    kernel.symlink("f", "/t/l")
    text = shell.ok("stat", ":/t/f").lines
    size = f"  Size: 3  Blocks: {kernel.stat('/t/f').st_blocks}  IO block: 4096"
    assert text[:3] == ["  File: :/t/f", "  Type: file", size]
    assert "  Mode: 0644/-rw-r--r--  Uid: 0  Gid: 0  Flags: 0x0  Gen: 0" in text
    assert "Access: 2001-09-09 01:46:40.000000000 +0000" in text
    assert "Modify: 2001-09-09 01:46:40.000000007 +0000" in text
    assert shell.ok("stat", ":/t/l").lines[:2] == ["  File: :/t/l -> f", "  Type: symlink"]
    assert shell.ok("stat", "-L", ":/t/l").lines[:2] == ["  File: :/t/l", "  Type: file"]
    assert "  Type: char  Device type: 2, 2" in shell.ok("stat", ":/dev/null").lines
    assert shell.fails("stat", ":/none") == "rumpfs stat: :/none: No such file or directory\n"


def test_cat(shell: Shell, kernel: Client) -> None:
    data = os.urandom(3_000_000)
    write(kernel, "/t/a", data)
    write(kernel, "/t/b", b"end")
    assert shell.ok("cat", ":/t/a", ":/t/b").out == data + b"end"
    done = shell.run("cat", ":/t/none", ":/t/b", ":/t")
    assert (done.status, done.out) == (1, b"end")
    assert done.err == "rumpfs cat: :/t/none: No such file or directory\nrumpfs cat: :/t: Is a directory\n"


def test_an_image_that_netbsd_made(image_url: str, tmp_path: Path) -> None:
    shell = Shell(image_url, tmp_path)
    entries = manifest("clean-v2be-16k-2k")["entries"]
    listed = shell.ok("ls", "-aR", "--json", ":/m").json["entries"]
    found = {}
    for entry in listed:
        path = base64.b64decode(entry["path_b64"]) if "path_b64" in entry else entry["path"]
        found[os.fsdecode(path)] = entry
    for entry in entries[1:]:
        mine = found.pop(f"/m{entry['path']}")
        for key in ("ino", "nlink", "uid", "gid", "size", "blocks"):
            assert mine[key] == entry[key], key
        assert f"{mine['mode']:04o}" == entry["mode"]
        assert mine["mtime_ns"] == entry["mtime"] * 10**9 + entry["mtime_nsec"]
        assert mine["flags"] == entry.get("flags", 0)
        assert mine["rdev"] == ([entry["major"], entry["minor"]] if "major" in entry else None)
    assert {os.path.basename(path) for path in found} == {".", ".."}
    small = next(entry for entry in entries if entry.get("sha256") and 0 < entry["size"] < 1 << 20)
    assert hashlib.sha256(shell.ok("cat", f":/m{small['path']}").out).hexdigest() == small["sha256"]


# --- df -------------------------------------------------------------------------------------------------


def test_df(shell: Shell, kernel: Client) -> None:
    kernel.mkdir("/t/m")
    kernel.mount("tmpfs", None, "/t/m", options={"size": 8 << 20})
    write(kernel, "/t/m/f", bytes(1 << 20))
    head, *lines = shell.ok("df").lines
    assert head.split() == ["Filesystem", "1K-blocks", "Used", "Avail", "Capacity", "Mounted", "on"]
    assert [line.split()[-1] for line in lines] == ["/", "/t", "/t/m"]
    _, row = shell.ok("df", ":/t/m/f").lines
    source, size, used, available, capacity, mountpoint = row.split()
    assert (source, int(size), mountpoint) == ("tmpfs", 8192, "/t/m")
    assert int(used) + int(available) == 8192
    assert 1024 <= int(used) <= 1040
    assert capacity == "13%"
    _, readable = shell.ok("df", "-h", ":/t/m").lines
    assert readable.split()[1:3] == ["8.0M", "1.0M"]
    (record,) = shell.ok("df", "--json", ":/t/m").json["filesystems"]
    assert record["block_size"] * record["blocks"] == 8 << 20
    assert record["used"] + record["free"] == record["blocks"]
    assert (record["fstype"], record["source"], record["mountpoint"]) == ("tmpfs", "tmpfs", "/t/m")
    assert len(shell.ok("df", "--json", shell.environ["RUMP_SERVER"]).json["filesystems"]) == 3
    assert shell.fails("df", ":/none") == "rumpfs df: :/none: No such file or directory\n"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"), (999, "999B"), (1000, "1.0K"), (1024, "1.0K"), (10 << 10, "10K"), (1536, "1.5K"),
        (1023 << 10, "1.0M"), (5 << 30, "5.0G"), (2**63, "8.0E"),
    ],
)  # fmt: skip
def test_sizes_for_people(size: int, text: str) -> None:
    assert listing.human(size) == text


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        (0o100644, "-rw-r--r--"), (0o040755, "drwxr-xr-x"), (0o041777, "drwxrwxrwt"),
        (0o041776, "drwxrwxrwT"), (0o120777, "lrwxrwxrwx"), (0o104711, "-rws--x--x"),
        (0o106600, "-rwS--S---"), (0o020620, "crw--w----"), (0o140755, "srwxr-xr-x"),
        (0o010644, "prw-r--r--"), (0o060640, "brw-r-----"), (0o160000, "w---------"), (0, "?---------"),
    ],
)  # fmt: skip
def test_modes(mode: int, text: str) -> None:
    assert listing.mode_string(mode) == text


def test_times() -> None:
    now = 1_700_000_000.0
    assert re.fullmatch(r"Nov 1[45] \d\d:\d\d", listing.when(1_700_000_000 * 10**9, now))
    assert listing.when(0, now)[-5:] in (" 1970", " 1969")
    assert listing.when(2**62, now)[-5:] == " 2116"
    assert listing.when(2**100, now).strip() == str(2**100 // 10**9)
    assert "since 1970" in listing.full_time(2**90)
