"""Pictures as other programs read them: PNG by its standard, SVG as XML, the data of HTML as JSON."""

from __future__ import annotations

import json
import re
import struct
import zlib
from xml.etree import ElementTree

import pytest

from rumpfs.dev.image import open_image
from rumpfs.inspect.allocation import MARK, Area, allocation
from rumpfs.inspect.marks import inodes_of
from rumpfs.inspect.picture.drawing import Drawing, Words, draw, frame
from rumpfs.inspect.picture.font import shapes, text_width
from rumpfs.inspect.picture.html import html
from rumpfs.inspect.picture.palette import MARKS, STYLES
from rumpfs.inspect.picture.png import Canvas, png
from rumpfs.inspect.picture.scene import Box, Cells, Scene, Text, mixed
from rumpfs.inspect.picture.svg import svg
from rumpfs.inspect.raw import Raw
from tests.images_util import makefs

SVG = "{http://www.w3.org/2000/svg}"


def decode(data: bytes) -> tuple[int, int, list[bytes], dict[bytes, bytes]]:
    """Return width, height, rows and chunks of a PNG file as ISO/IEC 15948 has it, checks included."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks: dict[bytes, bytes] = {}
    place = 8
    while place < len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        body = data[place + 8 : place + 8 + length]
        (check,) = struct.unpack_from(">I", data, place + 8 + length)
        assert check == zlib.crc32(kind + body)
        chunks[kind] = body
        place += 12 + length
    assert next(iter(chunks)) == b"IHDR"
    assert list(chunks)[-1] == b"IEND"
    width, height, depth, kind, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, kind, rest) == (8, 2, [0, 0, 0])
    raw = zlib.decompress(chunks[b"IDAT"])
    step = 3 * width + 1
    assert len(raw) == height * step
    rows = [raw[start : start + step] for start in range(0, len(raw), step)]
    assert all(row[0] == 0 for row in rows)  # no filter
    return width, height, [row[1:] for row in rows], chunks


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Raw:
    top = tmp_path_factory.mktemp("picture")
    (top / "tree" / "dir").mkdir(parents=True)
    (top / "tree" / "dir" / "file").write_bytes(b"x" * 70000)
    (top / "tree" / "<").mkdir()
    (top / "tree" / "<" / "script><b>&").write_bytes(b"y" * 3000)
    image = makefs(top / "tree", top / "v1.img", 1, "<", 8192, 1024, "-s", "4m")
    window = open_image(str(image), "", 0, True, "")
    yield Raw(window)
    window.close()


def drawing_of(raw: Raw, width: int = 900, marks: tuple[bytes, ...] = ()) -> tuple[Drawing, object]:
    shape = frame(raw, width)
    what = allocation(raw, shape.grid, [inodes_of(raw, path) for path in marks])
    names = [path.decode() for path in marks]
    words = Words("title <&>", "subtitle", (), names, "1 fragment", "1 MiB", {int(Area.FREE): "50%"})
    return draw(what, shape, words), what


def pixel(rows: list[bytes], drawing: Drawing, frag: int) -> tuple[int, ...]:
    """Return the colour in the middle of the square of a fragment."""
    grid, size = drawing.frame.grid, drawing.frame.size
    band = next(
        number for number, band in enumerate(grid.bands) if band.frag <= frag < band.frag + band.frags
    )
    line, column = divmod((frag - grid.bands[band].frag) // grid.cell, grid.width)
    x, y = drawing.places[band]
    x, y = x + column * size + size // 2, y + line * size + size // 2
    return tuple(rows[y][3 * x : 3 * x + 3])


def test_a_png_has_its_size_and_the_colours_of_what_is_where(raw: Raw) -> None:
    drawing, _ = drawing_of(raw)
    width, height, rows, chunks = decode(png(drawing.scene))
    assert (width, height) == (900, drawing.scene.height)
    assert chunks[b"tEXt"] == b"Title\0title <&>"
    fs = raw.fs
    di = raw.inode(next(iter(inodes_of(raw, b"/dir/file"))))
    for frag, area in (
        (0, Area.BOOT), (8, Area.SUPERBLOCK), (fs.cgsblock(0), Area.SUPERBLOCK), (fs.cgtod(0), Area.GROUP),
        (fs.cgimin(0), Area.INODES), (fs.cgdmin(0) - 1, Area.INODES_FREE), (fs.fs_csaddr, Area.SUMMARY),
        (di.di_db[0], Area.FILE), (di.di_ib[0], Area.INDIRECT) if di.di_ib[0] else (0, Area.BOOT),
        (fs.fs_size - 1, Area.FREE),
    ):  # fmt: skip
        assert pixel(rows, drawing, frag) == STYLES[area].colour, area
    assert rows[0][:3] == b"\xff\xff\xff"


def test_what_is_marked_stands_out(raw: Raw) -> None:
    drawing, what = drawing_of(raw, marks=(b"/dir/file",))
    _, _, rows, _ = decode(png(drawing.scene))
    di = raw.inode(next(iter(inodes_of(raw, b"/dir/file"))))
    assert pixel(rows, drawing, di.di_db[1]) == MARKS[0]
    red, green, blue = pixel(rows, drawing, raw.fs.cgtod(0))
    assert min(red, green, blue) > 170  # dimmed
    assert what.layers[MARK]


def test_an_svg_is_xml_with_a_square_for_each_fragment(raw: Raw) -> None:
    drawing, what = drawing_of(raw)
    top = ElementTree.fromstring(svg(drawing.scene))
    assert (top.get("width"), top.get("height")) == ("900", str(drawing.scene.height))
    assert top.findtext(f"{SVG}title") == "title <&>"
    side = drawing.frame.size - drawing.frame.gap
    squares = sum(path.get("d", "").count(f"h{side}v{side}") for path in top.iter(f"{SVG}path"))
    assert drawing.frame.gap
    assert squares == raw.fs.fs_size == sum(group.frags for group in what.groups)
    assert "subtitle" in [text.text for text in top.iter(f"{SVG}text")]


def test_a_page_stands_alone_and_knows_whose_a_block_is(raw: Raw) -> None:
    drawing, what = drawing_of(raw)
    page = html(raw, what, drawing)
    assert not re.search(r"(src|href)=|@import|url\(", page)
    data = json.loads(re.search(r'<script id="data"[^>]*>(.*?)</script>', page, re.S)[1])
    assert set(data["names"].values()) == {"/", "/dir", "/dir/file", "/<", "/</script><b>&"}
    di = raw.inode(next(iter(inodes_of(raw, b"/dir/file"))))
    (ino,) = (int(ino) for ino, name in data["names"].items() if name == "/dir/file")
    assert [di.di_db[0], ino, 0] in [[frag, owner, lbn] for frag, _, owner, lbn in data["runs"]]
    letters = "".join(band["letters"] for band in data["bands"])
    assert len(letters) == raw.fs.fs_size
    assert letters[raw.fs.cgtod(0)] == STYLES[Area.GROUP].letter
    assert letters.count(STYLES[Area.FREE].letter) == what.free


def test_letters_and_colours_of_the_areas_differ() -> None:
    assert set(STYLES) == set(Area)
    assert len({style.letter for style in STYLES.values()}) == len(STYLES)
    assert len({style.colour for style in STYLES.values()} | set(MARKS)) == len(STYLES) + len(MARKS)


def test_little_that_is_marked_or_lost_is_not_overlooked(raw: Raw) -> None:
    shape = frame(raw, 320, 3)
    what = allocation(raw, shape.grid, [inodes_of(raw, b"/</script><b>&")])
    words = Words("", "", (), [""], "", "", {})
    _, _, rows, _ = decode(png(draw(what, shape, words, legend=False).scene))
    assert shape.grid.cell > 8
    reds = {row[3 * x : 3 * x + 3] for row in rows for x in range(320)}
    assert any(red > 180 and green < 150 and blue < 150 for red, green, blue in reds)


def test_a_canvas_clips(raw: Raw) -> None:
    canvas = Canvas(8, 4, (1, 2, 3))
    canvas.box(-5, -5, 6, 6, (9, 9, 9))
    canvas.box(6, 3, 50, 50, (7, 7, 7))
    canvas.text(Text(-3, 3, "Wide text", 20, (0, 0, 0)))
    scene = Scene(8, 4, "", items=[Box(7, 0, 9, 1, (5, 5, 5)), Cells(0, 1, 2, 1, 2, [(8, 8, 8)] * 3)])
    width, height, rows, _ = decode(canvas.encode())
    assert (width, height) == (8, 4)
    assert rows[3][-3:] == b"\7\7\7"
    _, _, rows, _ = decode(png(scene))
    assert rows[0] == b"\xff\xff\xff" * 7 + b"\5\5\5"
    assert rows[1] == (b"\x08\x08\x08" + b"\xff\xff\xff") * 2 + b"\xff\xff\xff" * 4
    assert rows[3] == b"\x08\x08\x08" + b"\xff\xff\xff" * 7


def test_text_is_as_wide_as_its_letters() -> None:
    assert text_width("", 9) == 0
    assert text_width("mm", 9) == pytest.approx(2 * text_width("m", 9))
    assert text_width("i", 9) < text_width("m", 9)
    (_, (_, top, rows)), = shapes("H", 12.0)  # fmt: skip
    dark = [place for place, row in enumerate(rows, top) if max(row) > 128]
    assert dark[0] == pytest.approx(-12, abs=2)
    assert dark[-1] == pytest.approx(0, abs=2)


def test_mixed_colours_lie_between_theirs() -> None:
    assert mixed([((255, 0, 0), 1.0)]) == (255, 0, 0)
    assert mixed([((200, 0, 0), 1.0), ((0, 0, 200), 1.0)]) == (141, 0, 141)
