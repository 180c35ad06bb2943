"""docs/mounting.md: its examples run, its files exist, its lines for fstab are ones."""

from __future__ import annotations

import re

import pytest

from rumpfs.cli.mountopts import parse
from tests.conftest import PROJECT
from tests.mount_helpers.place import Place

DOCUMENT = PROJECT / "docs" / "mounting.md"
TEXT = DOCUMENT.read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.oracle("makefs")
def test_the_examples_run(place: Place) -> None:
    (place.path / "mnt").rmdir()
    done = place.run("\n".join(text for language, text in BLOCKS if language == "sh") + "! ours\n")
    assert done.status == 0, done.err
    assert "hostname=puffy\n" in done.out
    assert "WARNING" not in done.err


def test_the_lines_for_fstab_have_options_that_exist() -> None:
    (lines,) = [text for _, text in BLOCKS if "/mnt/bsd " in text]
    for line in lines.splitlines():
        _, mountpoint, fstype, options, dump, passno = line.split()
        assert mountpoint.startswith("/mnt/")
        assert fstype in ("rumpfs", "fuse.rumpfs")
        assert (dump, passno) == ("0", "0")
        parse([options])


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", TEXT)
    assert links
    assert [link for link in links if not (DOCUMENT.parent / link).exists()] == []
