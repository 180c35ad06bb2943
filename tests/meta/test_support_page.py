"""docs/syscalls.md says what the kernel provides."""

from __future__ import annotations

from pathlib import Path

from rumpfs.kern.support import page

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_up_to_date() -> None:
    made = "".join(page())
    assert (DOCS / "syscalls.md").read_text() == made, "run: python -m rumpfs.kern.support > docs/syscalls.md"
