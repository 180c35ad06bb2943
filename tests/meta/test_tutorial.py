"""What docs/tutorial.md shows is what happens."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import PROJECT
from tests.fuse.mounts import why_not
from tests.meta.documents import BLOCK, run, stopping

TEXT = (PROJECT / "docs" / "tutorial.md").read_text()
#: the section that needs FUSE
MOUNTING = re.compile(r"^## \d+\. Mount it\n.*?(?=^## )", re.MULTILINE | re.DOTALL)


def test_the_tour_goes_as_the_page_says(tmp_path: Path) -> None:
    text = TEXT if why_not() is None else MOUNTING.sub("", TEXT)
    assert "/dev/fuse" in TEXT
    with stopping(tmp_path):
        done = run(tmp_path, text, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = [line for language, block in BLOCK.findall(text) if not language for line in block.splitlines()]
    assert len(shown) > 10
    assert [line for line in shown if f"{line}\n" not in done.stdout] == []
    assert (tmp_path / "saved/numbers").read_bytes() == (tmp_path / "tree/home/puffy/numbers").read_bytes()
    assert not (tmp_path / "sock").exists()
    assert "Traceback" not in done.stderr
