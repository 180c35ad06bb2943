"""rumpfs explore, driven by textual's own pilot; what it shows is what sleuthkit and the host say."""

from __future__ import annotations

import asyncio
import re
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from tests.cli.verbs import BIN, Shell
from tests.images_util import makefs

pytest.importorskip("textual", reason="the Python package textual is not installed (make setup installs it)")

from rich.console import Console
from textual.pilot import Pilot
from textual.widgets import OptionList, Static, Tree
from textual.worker import WorkerCancelled

from rumpfs.cli.explore.app import Explorer
from rumpfs.cli.explore.extract import extract
from rumpfs.cli.explore.volumes import Volumes
from rumpfs.cli.tool import Failure

KEYS = {" ": "space", "/": "slash", ".": "full_stop", "-": "minus", "_": "underscore"}
TEXT = "first line\nsecond line\n"


class Hand:
    """Presses keys, and reads what is shown."""

    def __init__(self, pilot: Pilot[None]) -> None:
        self.pilot = pilot
        self.app: Any = pilot.app

    async def settle(self) -> None:
        """Wait until nothing is under way any more."""
        quiet = 0
        while quiet < 2:
            await self.pilot.pause()
            quiet = 0 if len(self.app.workers) else quiet + 1
            with suppress(WorkerCancelled):  # what is asked for next ends what was asked for before
                await self.app.workers.wait_for_complete()

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settle()

    async def answer(self, key: str, text: str) -> None:
        """Press a key that asks for a line, and answer."""
        await self.press(key)
        self.app.screen.query_one("#answer").value = text
        await self.press("enter")

    def shown(self, widget: str) -> str:
        """Return what a widget shows as text."""
        console = Console(file=StringIO(), width=200)
        console.print(self.app.query_one(f"#{widget}", Static).content)
        return console.file.getvalue()  # type: ignore[attr-defined]

    @property
    def names(self) -> list[str]:
        """What stands in the tree below the root."""
        return [str(node.label) for node in self.app.query_one("#tree", Tree).root.children]

    @property
    def notices(self) -> str:
        return "\n".join(notice.message for notice in self.app._notifications)


def explore(image: Path | str, act: Callable[[Hand], Awaitable[None]]) -> None:
    """Run the browser on an image."""

    async def run() -> None:
        with Volumes(str(image)) as volumes:
            app = Explorer(volumes)
            app.animation_level = "none"
            async with app.run_test(size=(100, 24)) as pilot:
                hand = Hand(pilot)
                await hand.settle()
                await act(hand)

    asyncio.run(run())


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("explore")
    tree = top / "tree"
    (tree / "dir" / "deep").mkdir(parents=True)
    (tree / "dir" / "deep" / "text.txt").write_text(TEXT)
    (tree / "dir" / "deep" / "text.txt").chmod(0o640)
    (tree / "binary").write_bytes(bytes(range(256)) * 100)
    (tree / "link").symlink_to("dir/deep")
    return makefs(tree, top / "v1.img", 1, "<", 8192, 1024)


def inode_of(image: Path, path: str) -> int:
    """Return an inode as sleuthkit has it."""
    said = subprocess.run(["fls", "-r", "-p", str(image)], capture_output=True, text=True, check=True).stdout
    return int(re.search(rf"^\S+ (\d+):\t{re.escape(path)}$", said, re.M)[1])


def test_the_tree_is_read_when_it_is_opened(image: Path) -> None:
    async def act(hand: Hand) -> None:
        assert hand.names == ["dir/", "binary", "link"]
        root = hand.app.query_one("#tree", Tree).root
        assert not root.children[0].children
        await hand.press("down", "enter")
        assert [str(node.label) for node in root.children[0].children] == ["deep/"]
        assert hand.app.path == b"/dir"
        assert "deep/" in hand.shown("text")

    explore(image, act)


@pytest.mark.oracle("fls")
def test_to_a_path_and_what_is_known_of_it(image: Path) -> None:
    ino = inode_of(image, "dir/deep/text.txt")

    async def act(hand: Hand) -> None:
        await hand.answer("g", "/dir/deep/text.txt")
        assert (hand.app.path, hand.app.ino) == (b"/dir/deep/text.txt", ino)
        assert hand.shown("text").split() == TEXT.split()
        await hand.press("2")
        about = hand.shown("about")
        assert re.search(rf"di_size +{len(TEXT)}\b", about)
        assert "0100640 (regular file, 0640)" in about or "0640" in about
        assert f"inode {ino}, /dir/deep/text.txt" in about

    explore(image, act)


@pytest.mark.oracle("fls", "istat")
def test_from_a_file_to_its_block_and_back(image: Path) -> None:
    ino = inode_of(image, "binary")
    said = subprocess.run(["istat", str(image), str(ino)], capture_output=True, text=True, check=True).stdout
    first = int(re.search(r"^Direct Blocks:\n(\d+)", said, re.M)[1])

    async def act(hand: Hand) -> None:
        await hand.answer("g", f"inode {ino}")
        assert hand.app.path == b"/binary"
        await hand.press("b")
        assert hand.app.frag == first
        assert f"{first * 1024:08x}  00 01 02 03 04 05 06 07  08 09" in hand.shown("bytes")
        assert f"of inode {ino}, /binary" in hand.shown("owner")
        await hand.press("n", "n", "p")
        assert hand.app.frag == first + 1
        await hand.answer("g", "/dir")
        assert hand.app.path == b"/dir"
        await hand.answer("g", f"block {first + 2}")
        await hand.press("o")
        assert hand.app.path == b"/binary"

    explore(image, act)


def test_a_group_is_shown_field_by_field_and_the_map_marks_a_file(image: Path) -> None:
    data = image.read_bytes()

    async def act(hand: Hand) -> None:
        await hand.answer("g", "group 0")
        start = hand.app.frag * 1024
        assert struct.unpack_from("<I", data, start + 4) == (0x090255,)
        assert re.search(rf"{start + 4:08x} +cg_magic +0x90255\b", hand.shown("structure"))
        await hand.answer("g", "/binary")
        await hand.press("4")
        text = hand.shown("space")
        assert "/binary (in " in text
        assert "\N{UPPER HALF BLOCK}" in text or "\N{LOWER HALF BLOCK}" in text

    explore(image, act)


def test_names_are_found_and_one_is_chosen(image: Path) -> None:
    async def act(hand: Hand) -> None:
        await hand.answer("slash", "TEXT")
        options = hand.app.screen.query_one("#options", OptionList)
        assert [str(option.prompt) for option in options.options] == ["/dir/deep/text.txt"]
        await hand.press("enter")
        assert hand.app.path == b"/dir/deep/text.txt"
        cursor = hand.app.query_one("#tree", Tree).cursor_node
        assert str(cursor.label) == "text.txt"
        await hand.answer("slash", "nowhere")
        assert "no name has nowhere" in hand.notices

    explore(image, act)


PLACES = {
    "/dir/none": "No such file or directory", "/binary/x": "Not a directory",
    "block 99999999": "there is no block 99999999", "inode x": "inode is a number, not x",
    "somewhere": "somewhere is a number", "frag 3": "frag 3: /path, inode N",
    "inode 99999999": "inode 99999999: /path, inode N",
}  # fmt: skip


@pytest.mark.slow
def test_a_large_directory_comes_as_one_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rumpfs.cli.explore.app._ENTRIES", 10)
    (tmp_path / "tree").mkdir()
    wanted = [f"f{number:02}" for number in range(47)]
    for name in wanted:
        (tmp_path / "tree" / name).write_text(name)

    async def act(hand: Hand) -> None:
        assert hand.names == [*wanted[:10], "... 37 more: go on for them"]
        await hand.press(*["down"] * 11)
        assert hand.names == [*wanted[:20], "... 27 more: go on for them"]
        assert (hand.app.path, hand.shown("text").strip()) == (b"/f10", "f10")
        await hand.answer("g", "/f38")
        assert hand.names == [*wanted[:40], "... 7 more: go on for them"]
        assert hand.app.path == b"/f38"
        await hand.press("end")
        assert hand.names == wanted
        assert hand.app.path == b"/f40"

    explore(makefs(tmp_path / "tree", tmp_path / "image", 2, "<", 8192, 1024, "-f", "60", "-M", "1m"), act)


def test_places_that_there_are_not(image: Path) -> None:
    async def act(hand: Hand) -> None:
        for place, said in PLACES.items():
            await hand.answer("g", place)
            assert said in hand.notices
        assert hand.app.path == b"/"

    explore(image, act)


@pytest.mark.slow
def test_a_file_is_copied_to_the_host(image: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy"

    async def act(hand: Hand) -> None:
        await hand.answer("g", "/dir/deep/text.txt")
        await hand.answer("x", str(target))
        assert f"copied to {target}" in hand.notices
        await hand.answer("x", str(target))
        assert "there is something of that name" in hand.notices

    explore(image, act)
    assert target.read_text() == TEXT
    assert target.stat().st_mode & 0o777 == 0o640


def test_a_directory_is_copied_with_what_is_in_it(image: Path, tmp_path: Path) -> None:
    assert extract(str(image), b"/dir", str(tmp_path / "dir")) == ""
    assert (tmp_path / "dir" / "deep" / "text.txt").read_text() == TEXT
    assert "No such file" in extract(str(image), b"/none", str(tmp_path / "none"))


def test_one_of_several_partitions_is_chosen(image: Path, tmp_path: Path) -> None:
    data = image.read_bytes()
    sectors = len(data) // 512
    disk = bytearray(1 << 20) + data + data
    for index in range(2):
        entry = struct.pack("<BBBBBBBBII", 0, 0, 0, 0, 0xA5, 0, 0, 0, 2048 + index * sectors, sectors)
        disk[446 + 16 * index : 462 + 16 * index] = entry
    disk[510:512] = b"\x55\xaa"
    path = tmp_path / "disk.img"
    path.write_bytes(disk)

    async def act(hand: Hand) -> None:
        options = [str(option.prompt) for option in hand.app.screen.query_one("#options", OptionList).options]
        assert [option.split()[0] for option in options] == [f"{path}:1", f"{path}:2"]
        await hand.press("down", "enter")
        assert hand.app.sub_title.startswith(f"{path}:2: FFSv1")
        assert hand.names == ["dir/", "binary", "link"]

    explore(path, act)


@pytest.mark.slow
def test_a_damaged_volume_is_shown_as_far_as_it_goes(image: Path, tmp_path: Path) -> None:
    data = bytearray(image.read_bytes())
    with Volumes(str(image)) as volumes:
        raw = volumes.open(volumes.choices[0])
        place = raw.inode(2).di_db[0] * 1024
        group = raw.fs.cgtod(0) * 1024
    data[place : place + 1024] = b"\xff" * 1024  # the root directory
    data[group : group + 168] = bytes(168)
    broken = tmp_path / "broken.img"
    broken.write_bytes(data)

    async def act(hand: Hand) -> None:
        assert hand.names == []
        for key in "2341":
            await hand.press(key)
        await hand.answer("g", "group 0")
        assert "00 00 00 00" in hand.shown("bytes")

    explore(broken, act)


def test_what_is_no_image_is_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no image\n" * 1000)
    with pytest.raises(Failure, match="superblock"):
        Volumes(str(tmp_path / "text"))
    shell = Shell(None, tmp_path)
    assert "none.img: No such file or directory" in shell.fails("explore", "none.img")


def test_it_wants_a_terminal(image: Path) -> None:
    assert "must be a terminal; rumpfs tree and rumpfs ls need none" in Shell(None, image.parent).fails(
        "explore", image.name
    )


def test_without_textual_it_says_what_to_install(image: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['textual'] = None\n")
    done = subprocess.run(
        [BIN / "rumpfs", "explore", str(image)],
        env={"PYTHONPATH": str(tmp_path), "PATH": f"{BIN}:{sys.prefix}"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        "rumpfs explore: this needs textual, which is not there: pip install 'rumpfs[tui]'\n"
    )
