"""rumpfs explain, log, undelete, carve and hexdump as a user types them."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.verbs import Shell
from tests.images_util import makefs, manifest, netbsd_image, scratch_copy

V2 = "clean-v2le-16k-2k"
DIRTY = "wapbl-dirty-revoke-v1le"
MEMORY_NOTE = "its log is replayed in memory, and the image stays as it is"
WORDS = {
    "explain": ["superblock"], "log": [], "undelete": [], "carve": [], "hexdump": ["--block", "1"],
}  # fmt: skip


@pytest.fixture
def alone(tmp_path: Path) -> Shell:
    """A shell without a server."""
    return Shell(None, tmp_path)


@pytest.mark.parametrize(("verb", "words"), WORDS.items())
def test_what_cannot_be_studied_is_one_line(alone: Shell, verb: str, words: list[str]) -> None:
    (alone.cwd / "text").write_bytes(b"no image " * 9999)
    (alone.cwd / "empty").write_bytes(b"")
    (alone.cwd / "dir").mkdir()
    for name in ("none", "text") if verb != "carve" else ("text", "empty", "dir"):
        said = alone.fails(verb, name, *words)
        assert said.startswith(f"rumpfs {verb}: {name}")
        assert said.count("\n") == 1


@pytest.mark.parametrize("verb", WORDS)
def test_a_truncated_image_is_studied_as_far_as_it_goes(alone: Shell, verb: str) -> None:
    data = netbsd_image(V2).read_bytes()
    (alone.cwd / "cut.img").write_bytes(data[: len(data) // 3])
    done = alone.run(verb, "cut.img", *WORDS[verb])
    assert (done.status, done.err.count("\n")) == ((1, 1) if verb == "log" else (0, 0)), done.err


# --- explain ----------------------------------------------------------------------------------------------


def test_a_path_is_explained_with_its_blocks(alone: Shell) -> None:
    image = netbsd_image(V2)
    entry = next(
        each for each in manifest(V2)["entries"] if each["type"] == "file" and each["size"] > 300_000
    )
    for words in ([f"{image}:{entry['path']}"], [image, entry["path"]], [image, "inode", str(entry["ino"])]):
        document = alone.ok("explain", "--json", *map(str, words)).json
        assert (document["target"], document["allocated"]) == (f"inode {entry['ino']}", True)
    values = {field["name"]: field["value"] for field in document["structures"][0]["fields"]}
    assert values["di_size"] == entry["size"]
    data = bytearray(-(-entry["size"] // 16384) * 16384)
    raw = image.read_bytes()
    for extent in document["extents"]:
        start, length = extent["offset"], extent["length"]
        data[start : start + length] = raw[extent["address"] : extent["address"] + length]
    assert hashlib.sha256(data[: entry["size"]]).hexdigest() == entry["sha256"]
    text = alone.ok("explain", f"{image}:{entry['path']}").out.decode()
    assert f"inode {entry['ino']}, {entry['path']}\n" in text
    assert f"di_size            {entry['size']} bytes" in text


def test_blocks_and_bytes_say_whose_they_are(alone: Shell) -> None:
    image = str(netbsd_image(V2))
    gone = next(each for each in manifest(V2)["entries"] if each["path"] == "/gone")
    (extent,) = alone.ok("explain", "--json", f"{image}:/gone").json["extents"]
    document = alone.ok("explain", "--json", image, "block", str(extent["frag"])).json
    assert document["owners"] == [f"directory: block 0 (bytes from 0 on) of inode {gone['ino']}, /gone"]
    names = [
        field["text"]
        for each in document["structures"]
        for field in each["fields"]
        if field["name"] == "d_name"
    ]
    assert set(names) >= {".", ".."} | {
        each["path"].rpartition("/")[2]
        for each in manifest(V2)["deleted"]
        if each["path"].startswith("/gone/")
    }
    text = alone.ok("explain", image, "byte", hex(65536 + 1372)).out.decode()
    assert "> " in text
    assert "fs_magic" in next(line for line in text.splitlines() if line.startswith("> "))
    assert "superblock" in alone.ok("explain", "-b", "160", image).out.decode()


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["inode"], 2, "say what is to be explained"), (["inode", "x"], 2, "inode is a number, not x"),
        (["inode", "999999"], 1, "not 999999"), (["block", "99999999"], 1, "block 99999999 is none of them"),
        (["group", "77"], 1, "there are groups 0 to"),
        (["/none"], 1, ".img: /none: No such file or directory\n"), (["frob", "1"], 2, "inode N"),
    ],
)  # fmt: skip
def test_wrong_questions(alone: Shell, words: list[str], status: int, said: str) -> None:
    assert said in alone.fails("explain", str(netbsd_image(V2)), *words, status=status)


# --- log --------------------------------------------------------------------------------------------------


def test_a_log_is_shown_and_told(alone: Shell) -> None:
    done = alone.run("log", "--json", str(netbsd_image(DIRTY)))
    assert done.status == 0
    assert MEMORY_NOTE in done.err
    facts = manifest(DIRTY)["wapbl"]
    document = done.json
    assert (document["in_use"], document["live_bytes"]) == (True, facts["bytes"])
    live = [each for each in document["transactions"] if each["live"]]
    assert sum(each["length"] for each in live) == facts["bytes"]
    text = alone.run("log", "--live", "-v", str(netbsd_image(DIRTY))).out.decode()
    assert text.count("transaction ") == len(live)
    assert f"{facts['bytes']} bytes to replay" in text
    assert "has no log" in alone.fails("log", str(netbsd_image(V2)))


# --- undelete ---------------------------------------------------------------------------------------------


def test_files_are_restored_with_their_times_and_nothing_is_overwritten(alone: Shell) -> None:
    image = str(netbsd_image(DIRTY))
    listed = alone.run("undelete", "--min", "low", "--json", image).json["deleted"]
    chosen = next(each for each in listed if each["confidence"] == "high" and each["size"] > 1000)
    done = alone.run("undelete", image, "restore", "-o", "out", str(chosen["inode"]))
    assert (done.status, done.out) == (0, b"1 restored\n")
    restored = alone.cwd / "out" / chosen["name"]
    facts = restored.stat()
    assert (facts.st_size, facts.st_mtime_ns) == (chosen["size"], chosen["mtime_ns"])
    assert facts.st_mode & 0o777 == chosen["mode"] & 0o777
    restored.write_bytes(b"mine")
    again = alone.run("undelete", image, "restore", "-o", "out", chosen["name"])
    assert (again.status, again.out) == (1, b"0 restored\n")
    assert "File exists" in again.err
    assert restored.read_bytes() == b"mine"


def test_a_tree_is_restored_where_it_was(alone: Shell) -> None:
    image = str(netbsd_image(DIRTY))
    listed = alone.run("undelete", "--min", "medium", "--json", image).json["deleted"]
    done = alone.run("undelete", "--min", "medium", image, "--tree", "all")
    assert (done.status, done.out) == (0, b"%d restored\n" % len(listed))
    for each in listed:
        assert (alone.cwd / "all" / each["path"].lstrip("/?")).lstat().st_size == each["size"]


def test_a_link_of_the_host_is_not_followed(alone: Shell) -> None:
    image = str(netbsd_image(DIRTY))
    (each, *_) = (
        each for each in alone.run("undelete", "--min", "medium", "--json", image).json["deleted"]
        if each["path"].count("/") > 1 and each["path"].startswith("/")
    )  # fmt: skip
    (alone.cwd / "elsewhere").mkdir()
    (alone.cwd / "all").mkdir()
    top = each["path"].split("/")[1]
    (alone.cwd / "all" / top).symlink_to(alone.cwd / "elsewhere")
    assert alone.run("undelete", image, "--tree", "all").status == 1
    assert list((alone.cwd / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["restore", "x"], 2, "say with -o DIR"), (["restore"], 2, "write ls, or restore"),
        (["ls", "-o", "x"], 2, "-o DIR is for restore"),
        (["restore", "nothing-like-it", "-o", "x"], 1, "no deleted file has this name"),
        (["restore", "/gone/del1", "-o", "x"], 1, "cannot be restored: the name is in its directory; its"),
    ],
)  # fmt: skip
def test_what_cannot_be_restored(alone: Shell, words: list[str], status: int, said: str) -> None:
    assert said in alone.fails("undelete", str(netbsd_image(V2)), *words, status=status)


# --- carve ------------------------------------------------------------------------------------------------


def test_what_carve_says_to_type_works(alone: Shell) -> None:
    data = netbsd_image(V2).read_bytes()
    (alone.cwd / "disk.img").write_bytes(bytes(3 << 20) + data)
    (found,) = alone.ok("carve", "--json", "disk.img").json["filesystems"]
    assert (found["start"], found["primary"], found["missing"]) == (3 << 20, True, 0)
    for command in found["commands"]:
        assert alone.run(*command.split()[1:]).status == 0
    with (alone.cwd / "disk.img").open("r+b") as file:
        file.seek((3 << 20) + 65536)
        file.write(bytes(8192))
    (damaged,) = alone.ok("carve", "--json", "disk.img").json["filesystems"]
    assert (damaged["start"], damaged["primary"], damaged["sblock"]) == (3 << 20, False, 160)
    text = alone.ok("carve", "disk.img").out.decode()
    for command in damaged["commands"]:
        assert f"    {command}\n" in text
    fsck = next(command for command in damaged["commands"] if "fsck" in command)
    assert alone.run(*fsck.split()[1:], "-y").status == 0
    (repaired,) = alone.ok("carve", "--json", "disk.img").json["filesystems"]
    assert repaired["primary"]
    part = alone.cwd / "part.img"
    part.write_bytes(data[: 5 << 20])
    (cut,) = alone.ok("carve", "--json", "part.img").json["filesystems"]
    assert cut["missing"] == len(data) - (5 << 20)


# --- hexdump ----------------------------------------------------------------------------------------------


@pytest.mark.oracle("hexdump")
@pytest.mark.parametrize("words", [[], ["-n", "100"], ["-s", "33", "-n", "4096"], ["-v", "-n", "300"]])
def test_a_dump_is_that_of_hexdump(alone: Shell, tmp_path: Path, words: list[str]) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    content = os.urandom(5000) + bytes(4096) + b"text" * 99 + bytes(77)
    (tree / "file").write_bytes(content)
    makefs(tree, tmp_path / "fs.img", 2, "<", 8192, 1024)
    expected = subprocess.run(
        ["hexdump", "-C", *words, tree / "file"], capture_output=True, check=True
    ).stdout
    assert alone.ok("hexdump", *words, "fs.img:/file").out == expected
    assert alone.ok("hexdump", *words, "tree/file").out == expected


def test_a_block_is_dumped_and_explained(alone: Shell, tmp_path: Path) -> None:
    image = scratch_copy(netbsd_image(V2), tmp_path)
    block = alone.ok("explain", "--json", f"{image}:/gone").json["extents"][0]["frag"]
    dump = alone.ok("hexdump", "--block", str(block), str(image)).lines
    assert dump[0].startswith(f"{block * 2048:08x}  ")
    assert dump[-1] == f"{(block + 1) * 2048:08x}"
    told = alone.ok("hexdump", "--explain", "--block", str(block), str(image)).out.decode()
    assert f"# byte {block * 2048}, block {block}: directory" in told
    assert "d_name = del1" in told
    said = alone.fails("hexdump", "--explain", f"{image}:/gone", status=2)
    assert "are for images" in said
    assert "illegal number" in alone.fails("hexdump", "-s", "x", str(image), status=2)
    assert "No such file" in alone.fails("hexdump", f"{image}:/none")
