"""Images with wrong bytes in them: structures of real images, changed at random."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rumpfs.base.errors import DiskError, VfsError
from rumpfs.dev.image import open_image
from rumpfs.inspect.raw import Raw
from rumpfs.ondisk.ufs.fs import SBLOCKSIZE
from rumpfs.ondisk.ufs.wapbl import find_log

#: what may come out of a study of a damaged image
EXPECTED = (DiskError, VfsError)
#: numbers that are likely to be at the edge of something
_NUMBERS = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 62,
    -1 % (1 << 64),
)


class Area(NamedTuple):
    """Bytes of an image that hold structures."""

    start: int
    length: int


def areas(image: Path) -> list[Area]:
    """Return where the structures of an image are: what is worth changing."""
    window = open_image(str(image))
    try:
        raw = Raw(window, replay=False)
        fs = raw.fs
        found = [Area(fs.fs_sblockloc, fs.fs_sbsize), Area(fs.fs_csaddr * fs.fs_fsize, fs.fs_cssize)]
        for cgx in range(raw.groups):
            found.append(Area(fs.cgtod(cgx) * fs.fs_fsize, fs.fs_cgsize))
            inodes = min(raw.initialised(cgx), 64) * raw.codec.size
            found.append(Area(fs.cgimin(cgx) * fs.fs_fsize, max(raw.codec.size, inodes)))
        for ino, di in raw.inodes():
            if di.di_mode & 0o170000 == 0o040000 or ino < 40:
                found += [
                    Area(frag * fs.fs_fsize, 512)
                    for frag in (*di.di_db[:2], *di.di_ib)
                    if 0 < frag < raw.frags
                ]
        if fs.fs_journal_version:
            found.append(Area(find_log(fs, raw.size).start, 64 << 10))
        found.append(Area(0, SBLOCKSIZE))
        return found
    finally:
        window.close()


def change(data: bytearray, places: list[Area], seed: int) -> None:
    """Change some bytes of an image, most of them in its structures."""
    rng = random.Random(seed)
    for _ in range(rng.choice((1, 1, 2, 3, 5, 8, 30))):
        area = rng.choice(places)
        place = min(area.start + rng.randrange(area.length), len(data) - 8)
        how = rng.randrange(5)
        if how == 0:
            data[place] ^= 1 << rng.randrange(8)
        elif how == 1:
            data[place] = rng.randrange(256)
        elif how == 2:
            width = rng.choice((2, 4, 8))
            place -= place % width
            number = rng.choice(_NUMBERS) % (1 << 8 * width)
            data[place : place + width] = number.to_bytes(width, rng.choice(("little", "big")))
        elif how == 3:
            other = rng.choice(places)
            length = rng.choice((4, 16, 128, 512))
            data[place : place + length] = data[other.start : other.start + min(length, len(data) - place)]
        else:
            length = rng.choice((4, 64, 512))
            data[place : place + length] = rng.randbytes(min(length, len(data) - place))


def cut(data: bytearray, seed: int) -> bytearray:
    """Return an image, now and then without its end."""
    rng = random.Random(seed)
    return data[: rng.randrange(1, len(data))] if rng.randrange(8) == 0 else data


def outcomes(studies: dict[str, Callable[[Path], Any]], image: Path) -> Iterator[tuple[str, str]]:
    """Yield (study, error or empty) of what studies say of an image; other errors come out."""
    for name, study in studies.items():
        try:
            study(image)
        except EXPECTED as error:
            yield name, type(error).__name__
        else:
            yield name, ""
