"""Images for the tests of studies, opened as they are on the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rumpfs.dev.image import open_image
from rumpfs.inspect.raw import Raw


@contextmanager
def studied(path: Path | str, part: str = "", replay: bool = True) -> Iterator[Raw]:
    """Open the file system in an image."""
    window = open_image(os.fspath(path), part)
    try:
        yield Raw(window, replay=replay)
    finally:
        window.close()
