"""The pictures of docs/layout.md: all are there, and drawing them again gives the same."""

from __future__ import annotations

import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PICTURES = PROJECT / "docs" / "pictures"


def pixels(path: Path) -> bytes:
    """Return what a PNG file shows, however it is compressed."""
    data = path.read_bytes()
    place = data.index(b"IDAT")
    length = int.from_bytes(data[place - 4 : place], "big")
    return data[16:24] + zlib.decompress(data[place + 4 : place + 4 + length])


def test_the_page_shows_the_pictures_that_there_are() -> None:
    shown = re.findall(r"!\[[^\]]+\]\(pictures/(.+?)\)", (PROJECT / "docs" / "layout.md").read_text())
    assert sorted(shown) == sorted(path.name for path in PICTURES.iterdir())


@pytest.mark.slow
def test_the_pictures_are_those_that_the_script_draws(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, PROJECT / "images" / "pictures.py", tmp_path], check=True, capture_output=True
    )
    for path in PICTURES.iterdir():
        assert pixels(path) == pixels(tmp_path / path.name), path.name
