"""Cylinder groups in memory: what newfs, the kernels and makefs wrote is what is written again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rumpfs.fs.ffs.cylgroup import RUNS, CylGroup
from rumpfs.ondisk.ufs.cg import Cg
from rumpfs.ondisk.ufs.superblock import Superblock, find_superblock
from tests.images_util import freebsd_image, freebsd_images, netbsd_image, netbsd_images

#: Images with a file system at byte 0 whose maps agree with their counters.
WHOLE = [name for name in netbsd_images() if name.startswith(("appleufs", "clean", "full", "many", "one-cg"))]


def _groups(image: Path) -> list[tuple[Superblock, Cg, bytes]]:
    fd = os.open(image, os.O_RDONLY)
    try:

        def read(nbytes: int, offset: int) -> bytes:
            return os.pread(fd, nbytes, offset)

        fs = find_superblock(read, os.fstat(fd).st_size, image.name)
        blocks = [read(fs.fs_cgsize, fs.cgtod(cg) << fs.fs_fshift) for cg in range(fs.fs_ncg)]
        return [(fs, Cg.decode(data, fs, cg), data) for cg, data in enumerate(blocks)]
    finally:
        os.close(fd)


@pytest.mark.parametrize("name", [*WHOLE, *freebsd_images()])
def test_a_group_is_written_as_it_was_read(name: str) -> None:
    """Counters of runs and clusters and the rotational tables are counted anew for that."""
    image = freebsd_image(name) if name in freebsd_images() else netbsd_image(name)
    for fs, cg, data in _groups(image):
        seconds = cg.record.cg_old_time if fs.old_layout else cg.record.cg_time
        ndir, nbfree, nifree, nffree = cg.cg_cs
        assert CylGroup(fs, cg, data, name).encode((ndir, nbfree, nifree, nffree), seconds) == data, cg.cgx


def test_runs_of_free_frags() -> None:
    assert RUNS[0b10110111] == [(0, 3), (4, 2), (7, 1)]
    assert RUNS[0] == []
    assert RUNS[0xFF] == [(0, 8)]
