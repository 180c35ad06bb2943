"""Hours of use, in short: what is done over and over leaves nothing behind."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from tests.fuse.conftest import ffs_volume, tmpfs_volume

OPERATIONS = 200_000
#: parts that are compared; the first ones fill caches
PARTS = 8
#: KiB that the second half may grow by
SLACK = 3 << 10


def rss(pid: int) -> int:
    """Return the KiB of memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError(f"process {pid} has no memory")


def work(mnt: Path, operations: int, chance: random.Random) -> None:
    """Do what programs do with files: some three hundred names come and go."""
    done = 0
    while done < operations:
        path = f"{mnt}/d{chance.randrange(10)}/f{chance.randrange(30)}"
        other = f"{mnt}/d{chance.randrange(10)}/f{chance.randrange(30)}"
        done += 8
        if not os.path.exists(path):
            with open(path, "xb") as file:
                file.write(b"x" * chance.randrange(20_000))
            continue
        with open(path, "r+b", buffering=0) as file:
            os.pread(file.fileno(), 5000, chance.randrange(20_000))
            os.pwrite(file.fileno(), b"y" * 700, chance.randrange(20_000))
            file.truncate(chance.randrange(20_000))
        os.stat(path)
        os.listdir(os.path.dirname(path))
        chance.choice((os.rename, os.replace, lambda path, _: os.unlink(path)))(path, other)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ffs2-le"])
def test_memory_stays_flat(tmp_path: Path, kind: str) -> None:
    volume = tmpfs_volume("kernel", tmp_path) if kind == "tmpfs" else ffs_volume(kind, tmp_path, "noatime")
    chance = random.Random(1)
    with volume as mnt:
        found = subprocess.run(["pgrep", "-f", f"rump_.* {mnt}$"], capture_output=True, text=True, check=True)
        (pid,) = map(int, found.stdout.split())
        for number in range(10):
            (mnt / f"d{number}").mkdir()
        used = []
        for _ in range(PARTS):
            work(mnt, OPERATIONS // PARTS, chance)
            used.append(rss(pid))
        assert max(used[PARTS // 2 :]) - used[PARTS // 2 - 1] < SLACK, used
