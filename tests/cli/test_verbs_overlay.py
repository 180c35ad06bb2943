"""rumpfs overlay: what it shows, what it writes, and what it refuses."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from rumpfs.dev.image import open_image
from tests.cli.verbs import Shell

SIZE = 50 * 4096 + 100


@pytest.fixture
def alone(tmp_path: Path) -> Shell:
    """A shell without a server, with an image, and an overlay of it in which two blocks are changed."""
    (tmp_path / "disk.img").write_bytes(random.Random(1).randbytes(SIZE))
    window = open_image(str(tmp_path / "disk.img"), readonly=False, overlay=str(tmp_path / "try"))
    window.pwrite(b"new", 4096)
    window.pwrite(b"end", SIZE - 3)
    window.close()
    return Shell(None, tmp_path)


def test_status(alone: Shell) -> None:
    facts = alone.ok("overlay", "status", "--json", "try").json
    assert len(facts.pop("fingerprint")) == 64
    assert facts.pop("allocated_bytes") <= 64 << 10
    assert facts == {
        "schema_version": 1, "overlay": "try", "image": str(alone.cwd / "disk.img"), "image_changed": None,
        "size": SIZE, "block_size": 4096, "changed_blocks": 2, "changed_bytes": 4096 + 100,
        "state": "clean", "explanation": "it was closed", "holder": None,
    }  # fmt: skip
    lines = alone.ok("overlay", "status", "try").lines
    assert f"image:       {alone.cwd}/disk.img, unchanged" in lines
    assert "changed:     2 blocks of 4096 bytes" in lines
    assert "state:       clean: it was closed" in lines


def test_status_of_an_overlay_that_is_used(alone: Shell) -> None:
    window = open_image(str(alone.cwd / "disk.img"), readonly=False, overlay=str(alone.cwd / "try"))
    facts = alone.ok("overlay", "status", "--json", "try").json
    data = (alone.cwd / "try").read_bytes()
    window.close()
    assert facts["state"] == "used"
    assert facts["holder"].startswith(f"{os.getpid()} (")
    (alone.cwd / "try").write_bytes(data)
    facts = alone.ok("overlay", "status", "--json", "try").json
    assert (facts["state"], facts["holder"]) == ("killed", None)


def test_status_says_what_became_of_the_image(alone: Shell) -> None:
    os.truncate(alone.cwd / "disk.img", 8192)
    assert alone.ok("overlay", "status", "--json", "try").json["image_changed"] == (
        f"it has 8192 bytes, and had {SIZE}"
    )
    (alone.cwd / "disk.img").rename(alone.cwd / "moved.img")
    assert "disk.img: it cannot be looked at: " in alone.ok("overlay", "status", "try").lines[1]
    assert "8192 bytes" in alone.ok("overlay", "status", "try", "moved.img").lines[1]


def test_diff_ends_as_diff_does(alone: Shell) -> None:
    done = alone.run("overlay", "diff", "try")
    assert (done.status, done.lines, done.err) == (1, ["4096 4096", f"{50 * 4096} 100"], "")
    done = alone.run("overlay", "diff", "--json", "try")
    assert done.status == 1
    assert done.json["differences"] == [{"offset": 4096, "bytes": 4096}, {"offset": 204800, "bytes": 100}]
    window = open_image(str(alone.cwd / "disk.img"), readonly=False, overlay=str(alone.cwd / "same"))
    window.pwrite(window.pread(5000, 0), 0)
    window.close()
    assert alone.ok("overlay", "diff", "same").out == b""
    assert "nothing" in alone.fails("overlay", "diff", "nothing", status=2)


def test_commit(alone: Shell) -> None:
    image = alone.cwd / "disk.img"
    want = bytearray(image.read_bytes())
    want[4096:4099] = b"new"
    want[-3:] = b"end"
    assert alone.ok("overlay", "commit", "--json", "try").json["written_bytes"] == 4096 + 100
    assert image.read_bytes() == want
    assert not (alone.cwd / "try").exists()


def test_drop(alone: Shell) -> None:
    before = (alone.cwd / "disk.img").read_bytes()
    assert alone.ok("overlay", "drop", "try").out == b""
    assert not (alone.cwd / "try").exists()
    assert (alone.cwd / "disk.img").read_bytes() == before


def test_a_changed_image_needs_force(alone: Shell) -> None:
    image = alone.cwd / "disk.img"
    with image.open("r+b") as file:
        file.write(b"changed")
    before = image.read_bytes()
    said = alone.fails("overlay", "commit", "try")
    assert "disk.img has changed since the overlay was made" in said
    assert "--force" in said
    assert image.read_bytes() == before
    alone.ok("overlay", "commit", "--force", "try")
    assert image.read_bytes()[:7] == b"changed"
    assert image.read_bytes()[4096:4099] == b"new"


def test_an_image_that_was_moved(alone: Shell) -> None:
    (alone.cwd / "disk.img").rename(alone.cwd / "moved.img")
    assert "if the image is elsewhere, name it" in alone.fails("overlay", "commit", "try")
    alone.ok("overlay", "rebase", "try", "moved.img")
    alone.ok("overlay", "commit", "try")
    assert (alone.cwd / "moved.img").read_bytes()[4096:4099] == b"new"


@pytest.mark.parametrize("action", ["commit", "drop"])
def test_what_is_used_is_left_alone(alone: Shell, action: str) -> None:
    window = open_image(str(alone.cwd / "disk.img"), readonly=False, overlay=str(alone.cwd / "try"))
    said = alone.fails("overlay", action, "try")
    window.close()
    assert f"try is locked by another process, {os.getpid()} (" in said
    assert (alone.cwd / "try").exists()


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["merge", "try"], 2, "invalid choice: 'merge'"),
        (["status"], 2, "required: FILE"),
        (["status", "disk.img"], 1, "disk.img: is no overlay"),
        (["drop", "disk.img"], 1, "disk.img: is no overlay"),
        (["commit", "nothing"], 1, "nothing: No such file or directory"),
        (["rebase", "try", "short"], 1, "short has 5 bytes, not 204900"),
        (["status", "."], 1, "Is a directory"),
    ],
)
def test_what_is_wrong_is_said(alone: Shell, words: list[str], status: int, said: str) -> None:
    (alone.cwd / "short").write_bytes(b"short")
    assert said in alone.fails("overlay", *words, status=status)
    assert (alone.cwd / "disk.img").stat().st_size == SIZE
