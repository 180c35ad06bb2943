"""Copy-on-write overlays: what is read and written, what a cut leaves, and what is refused."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rumpfs.abi import errno
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.image import open_image
from rumpfs.dev.overlaybase import BaseChanged
from rumpfs.dev.overlaycommit import commit, differences, drop, rebase
from rumpfs.dev.overlayfile import OverlayFile
from rumpfs.dev.overlaystore import OverlayStore
from rumpfs.dev.window import SlowWindow, Window
from rumpfs.ondisk.overlay import (
    BLOCK_SIZE,
    COMMITTING,
    LEAF_BLOCKS,
    LEAF_SIZE,
    MAPS,
    OPEN,
    SLOT_SIZE,
    Header,
    decode_header,
    encode_header,
)

#: not whole blocks
SIZE = 60 * BLOCK_SIZE + 1234


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(random.Random(1).randbytes(SIZE))
    return path


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    return tmp_path / "overlay"


def opened(image: Path, overlay: Path, readonly: bool = False) -> Window:
    return open_image(str(image), readonly=readonly, overlay=str(overlay))


def seen(image: Path, overlay: Path) -> bytes:
    """Return the image as its overlay has it."""
    window = opened(image, overlay, readonly=True)
    try:
        return window.pread(window.size, 0)
    finally:
        window.close()


def write(image: Path, overlay: Path, *writes: tuple[int, bytes]) -> None:
    window = opened(image, overlay)
    for offset, data in writes:
        assert window.pwrite(data, offset) == len(data)
    window.close()


# --- reading and writing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_it_is_a_disk_in_step_with_memory(tmp_path: Path, overlay: Path, seed: int) -> None:
    """Random transfers, also across leaves of the map, with the overlay closed and opened again."""
    chance = random.Random(seed)
    size = LEAF_BLOCKS * BLOCK_SIZE + 300_001
    image = tmp_path / "disk.img"
    model = bytearray(chance.randbytes(size))
    image.write_bytes(model)
    before = hashlib.sha256(model).digest()
    hot = (0, size - 40_000, LEAF_BLOCKS * BLOCK_SIZE - 20_000)
    for _ in range(3):
        window = opened(image, overlay)
        for _ in range(120):
            offset = min(size, chance.choice(hot) + chance.randrange(40_000))
            nbytes = chance.choice((0, 1, 511, 512, 4096, 5000, 20_000, 90_000))
            want = min(nbytes, size - offset)
            kind = chance.randrange(4)
            if kind < 2:
                data = chance.randbytes(nbytes)
                assert window.pwrite(data, offset) == want
                model[offset : offset + want] = data[:want]
            elif kind == 2:
                assert window.pread(nbytes, offset) == model[offset : offset + want]
            else:
                buffers = [bytearray(nbytes // 3), bytearray(0), bytearray(nbytes - nbytes // 3)]
                assert window.preadv(list(buffers), offset) == want
                assert b"".join(buffers)[:want] == model[offset : offset + want]
            if not chance.randrange(20):
                window.fsync()
        window.close()
        assert seen(image, overlay) == model
    assert hashlib.sha256(image.read_bytes()).digest() == before


def test_it_is_a_sparse_file(tmp_path: Path, overlay: Path) -> None:
    image = tmp_path / "disk.img"
    image.touch()
    os.truncate(image, 1 << 40)
    write(image, overlay, (1 << 39, b"x"), ((1 << 40) - 1, b"y"))
    facts = overlay.stat()
    assert facts.st_size > 1 << 40
    assert facts.st_blocks * 512 <= 64 * 1024
    window = opened(image, overlay, readonly=True)
    assert window.pread(3, (1 << 39) - 1) == b"\0x\0"
    assert window.pread(9, (1 << 40) - 1) == b"y"
    window.close()


def test_a_partition_under_an_overlay(image: Path, overlay: Path) -> None:
    """The overlay is one of the image as a whole, whatever part of it is used."""
    data = image.read_bytes()
    window = open_image(str(image), offset=5000, readonly=False, overlay=str(overlay))
    assert (window.size, window.name) == (SIZE - 5000, str(image))
    window.pwrite(b"changed", 1)
    with pytest.raises(VfsError) as caught:
        window.pread(1, window.size + 1)
    assert caught.value.errno == errno.EINVAL
    window.close()
    assert seen(image, overlay) == data[:5001] + b"changed" + data[5008:]


def test_two_overlays_of_an_image_that_cannot_be_written(image: Path, tmp_path: Path) -> None:
    data = image.read_bytes()
    image.chmod(0o400)
    windows = [opened(image, tmp_path / name) for name in "ab"]
    for number, window in enumerate(windows):
        window.pwrite(b"%d" % number, 0)
    assert [window.pread(2, 0) for window in windows] == [b"0" + data[1:2], b"1" + data[1:2]]
    for window in windows:
        window.close()
    assert image.read_bytes() == data


def test_reading_writes_nothing(image: Path, overlay: Path) -> None:
    write(image, overlay, (7, b"seven"))
    overlay.chmod(0o400)
    before = overlay.read_bytes()
    window = opened(image, overlay, readonly=True)
    assert window.pread(5, 7) == b"seven"
    with pytest.raises(VfsError) as caught:
        window.pwrite(b"x", 0)
    assert caught.value.errno == errno.EROFS
    window.fsync()
    window.close()
    assert overlay.read_bytes() == before


def test_memory_is_bounded(tmp_path: Path, overlay: Path) -> None:
    """What is remembered of the map of a large image does not grow with what was looked at."""
    image = tmp_path / "disk.img"
    image.touch()
    step = LEAF_BLOCKS * BLOCK_SIZE
    os.truncate(image, 20_000 * step)
    window = opened(image, overlay)
    for number in range(0, 20_000, 7):
        window.pwrite(b"x", number * step)
    code = (
        "import resource, sys; from rumpfs.dev.image import open_image\n"
        f"window = open_image({str(image)!r}, overlay={str(overlay)!r})\n"
        "start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"found = sum(window.pread(1, number * {step}) == b'x' for number in range(20_000))\n"
        "print(found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start)\n"
    )
    window.close()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found, grown = map(int, done.stdout.split())
    assert found == len(range(0, 20_000, 7))
    assert grown < 16 << 10  # KiB


# --- cuts -------------------------------------------------------------------------------------------------

Step = tuple[int, bytes] | None


class Recorder(OverlayStore):
    """An overlay's file that takes down what the host is told: what is written where, and None for a sync."""

    steps: list[Step]

    def _write(self, pieces, offset) -> None:
        self.steps.append((offset, b"".join(pieces)))
        OverlayStore._write(self, pieces, offset)

    def _sync(self) -> None:
        self.steps.append(None)
        OverlayStore._sync(self)


class History:
    """A session on an overlay.

    Attributes:
        start: the overlay's file before.
        steps: what the host was told.
        states: number of steps, and the content then, after each operation.
        synced: the same after each fsync.
    """

    def __init__(self, image: Path, overlay: Path, seed: int) -> None:
        chance = random.Random(seed)
        write(image, overlay, (3 * BLOCK_SIZE, b"a" * 5000), (20 * BLOCK_SIZE + 7, b"b"))
        self.start = overlay.read_bytes()
        model = bytearray(seen(image, overlay))
        base = HostFile.open(str(image), readonly=True)
        store = Recorder.open(str(overlay), readonly=False, base=base)
        store.steps = self.steps = []
        self.states = [(0, bytes(model))]
        self.synced = list(self.states)
        store.begin(base)
        hostfile = OverlayFile(store, base)
        window = SlowWindow(hostfile, 0, hostfile.size)
        for _ in range(25):
            if chance.randrange(5):
                offset = chance.randrange(SIZE)
                data = chance.randbytes(min(SIZE - offset, chance.choice((1, 600, 4096, 9000))))
                window.pwrite(data, offset)
                model[offset : offset + len(data)] = data
            else:
                window.fsync()
                self.synced.append((len(self.steps), bytes(model)))
            self.states.append((len(self.steps), bytes(model)))
        window.close()
        self.synced.append((len(self.steps), bytes(model)))
        self.states.append((len(self.steps), bytes(model)))

    def allowed(self, number: int, since: list[tuple[int, bytes]]) -> list[bytes]:
        """Return the states from the last of `since` on that was complete before a step."""
        first = max(at for at, _ in since if at <= number)
        start = next(state for at, state in since if at == first)
        return [start, *(state for at, state in self.states if at > first)]

    def file(self, writes: list[tuple[int, bytes]]) -> bytearray:
        data = bytearray(self.start)
        for offset, piece in writes:
            data[offset : offset + len(piece)] = piece
        return data


@pytest.fixture(params=range(3))
def history(image: Path, overlay: Path, request: pytest.FixtureRequest) -> History:
    return History(image, overlay, request.param)


def mixed(found: bytes, states: list[bytes]) -> bool:
    """Return whether each byte is as one of the states has it."""
    for start in range(0, SIZE, BLOCK_SIZE):
        blocks = [state[start : start + BLOCK_SIZE] for state in states]
        block = found[start : start + BLOCK_SIZE]
        if block not in blocks and not all(
            byte in column for byte, *column in zip(block, *blocks, strict=True)
        ):
            return False
    return len(found) == SIZE


def cuts(chance: random.Random, piece: bytes) -> Iterator[int]:
    """Yield where a write may be torn: nowhere, everywhere, and at some bytes."""
    yield from (0, len(piece), chance.randrange(len(piece)), chance.randrange(len(piece)))


def test_a_killed_process_leaves_what_it_had_written(image: Path, overlay: Path, history: History) -> None:
    """After each step, whole or torn: what was written before is there, in its order.

    The host copies a leaf of the map as a whole, as it does not cross a page. One that is torn all the same
    is taken for the work of a power cut.
    """
    chance = random.Random(5)
    done: list[tuple[int, bytes]] = []
    for number, step in enumerate(history.steps):
        if step is None:
            continue
        allowed = history.allowed(number, history.states)
        for cut in cuts(chance, step[1]):
            overlay.write_bytes(history.file([*done, (step[0], step[1][:cut])]))
            torn_leaf = len(step[1]) == LEAF_SIZE and 0 < cut < LEAF_SIZE
            states = history.allowed(number, history.synced) if torn_leaf else allowed[:2]
            assert mixed(seen(image, overlay), states), (number, cut)
        done.append(step)


def rebooted(data: bytearray) -> bytearray:
    """Return an overlay's file as if another run of the host had written it."""
    for start in (0, SLOT_SIZE):
        slot = bytes(start) + bytes(data[start : start + SLOT_SIZE])
        try:
            header = decode_header(slot[:MAPS].ljust(MAPS, b"\0"), "")
        except DiskError:
            continue
        offset, encoded = encode_header(header._replace(boot=b"another run"))
        data[offset : offset + SLOT_SIZE] = encoded
    return data


def test_a_power_cut_leaves_what_was_synced(image: Path, overlay: Path, history: History) -> None:
    """What was written since the last sync arrives or not, in any order, torn or not.

    Each byte is then as at the last fsync that returned, or as some later write made it; and the overlay
    can be written again.
    """
    chance = random.Random(6)
    for number in range(len(history.steps) + 1):
        settled = max((at for at, step in enumerate(history.steps[:number]) if step is None), default=0)
        surely = [step for step in history.steps[:settled] if step is not None]
        perhaps = [step for step in history.steps[settled:number] if step is not None]
        arrived = [
            (offset, piece[: chance.choice(list(cuts(chance, piece)))])
            for offset, piece in chance.sample(perhaps, len(perhaps))
        ]
        overlay.write_bytes(rebooted(history.file(surely + arrived)))
        found = seen(image, overlay)
        assert mixed(found, history.allowed(number, history.synced)), number
        write(image, overlay, (9 * BLOCK_SIZE + 5, b"again"))
        want = bytearray(found)
        want[9 * BLOCK_SIZE + 5 : 9 * BLOCK_SIZE + 10] = b"again"
        assert seen(image, overlay) == want


def test_blocks_that_the_running_map_lost_do_not_come_back(image: Path, overlay: Path) -> None:
    """After a power cut the running map may name blocks that never arrived; a killed process later on
    must not make them count."""
    window = opened(image, overlay)
    window.pwrite(b"kept", 0)
    window.fsync()
    window.pwrite(b"lost", 10 * BLOCK_SIZE)
    torn = bytearray(overlay.read_bytes())
    window.close()
    header = decode_header(bytes(torn[:MAPS]), "")
    start = header.data + 10 * BLOCK_SIZE
    torn[start : start + BLOCK_SIZE] = bytes(BLOCK_SIZE)
    overlay.write_bytes(rebooted(torn))
    want = b"kept" + image.read_bytes()[4:]
    again = opened(image, overlay)
    killed = overlay.read_bytes()
    again.close()
    overlay.write_bytes(killed)
    assert seen(image, overlay) == want


def test_an_overlay_that_is_being_made(image: Path, overlay: Path) -> None:
    """A file that is empty or a hole becomes an overlay; one with half a header is refused."""
    overlay.touch()
    write(image, overlay, (0, b"x"))
    assert seen(image, overlay)[:1] == b"x"
    size = overlay.stat().st_size
    overlay.write_bytes(b"")
    os.truncate(overlay, size)
    write(image, overlay, (1, b"y"))
    assert seen(image, overlay)[:2] == image.read_bytes()[:1] + b"y"
    data = overlay.read_bytes()
    overlay.write_bytes(b"")
    os.truncate(overlay, size + 1)
    with pytest.raises(DiskError, match="is no overlay"):
        opened(image, overlay)
    assert overlay.stat().st_size == size + 1
    for cut in (5, 16, 100, 4095):
        overlay.write_bytes(bytes(SLOT_SIZE) + data[SLOT_SIZE : SLOT_SIZE + cut])
        with pytest.raises(DiskError, match=r"is no overlay|header is damaged"):
            opened(image, overlay)


def test_a_truncated_overlay_is_damaged(image: Path, overlay: Path) -> None:
    write(image, overlay, (SIZE - 10, b"x"))
    os.truncate(overlay, overlay.stat().st_size - BLOCK_SIZE)
    with pytest.raises(DiskError, match=f"{overlay}: size is"):
        opened(image, overlay)


def test_a_damaged_map_is_an_error_and_not_the_image(image: Path, overlay: Path) -> None:
    write(image, overlay, (0, b"x"))
    header = decode_header(overlay.read_bytes()[:MAPS], "")
    with overlay.open("r+b") as file:
        for place in (MAPS, MAPS + header.map_size):
            file.seek(place + 3)
            file.write(b"\x55")
    window = opened(image, overlay, readonly=True)
    with pytest.raises(VfsError, match="leaf 0 of the map") as caught:
        window.pread(1, 0)
    assert caught.value.errno == errno.EIO
    window.close()
    with pytest.raises(DiskError, match="leaf 0 of the map"):
        opened(image, overlay)


def test_one_damaged_map_is_mended_by_the_other(image: Path, overlay: Path) -> None:
    write(image, overlay, (0, b"x"))
    header = decode_header(overlay.read_bytes()[:MAPS], "")
    for place in (MAPS, MAPS + header.map_size):
        with overlay.open("r+b") as file:
            file.seek(place + 3)
            file.write(b"\x55")
        assert seen(image, overlay)[:1] == b"x"
        write(image, overlay, (BLOCK_SIZE, b"y"))
        whole = overlay.read_bytes()
        assert whole[MAPS:][:LEAF_SIZE] == whole[MAPS + header.map_size :][:LEAF_SIZE]


# --- errors of the host -----------------------------------------------------------------------------------


def test_a_full_host_leaves_what_was_there(image: Path, overlay: Path) -> None:
    """The host refuses to make the file longer here; that looks the same as a full disk."""
    write(image, overlay, (0, b"x"))
    before = seen(image, overlay)
    header = decode_header(overlay.read_bytes()[:MAPS], "")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    window = opened(image, overlay)
    resource.setrlimit(resource.RLIMIT_FSIZE, (header.data + 30 * BLOCK_SIZE, hard))
    try:
        with pytest.raises(VfsError) as caught:
            window.pwrite(b"z" * 3 * BLOCK_SIZE, 29 * BLOCK_SIZE)
        assert caught.value.errno == errno.EFBIG
        assert window.pread(SIZE, 0) == before
        window.pwrite(b"still", 5 * BLOCK_SIZE)
        window.fsync()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    window.close()
    want = bytearray(before)
    want[5 * BLOCK_SIZE : 5 * BLOCK_SIZE + 5] = b"still"
    assert seen(image, overlay) == want


class Failing(Recorder):
    """A host whose disk fails at the next sync."""

    def _sync(self) -> None:
        if len(self.steps) > 2:
            raise OSError(5, "Input/output error")
        Recorder._sync(self)


def test_after_a_failed_sync_nothing_more_is_believed(
    image: Path, overlay: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """fdatasync(2) says once that something is lost: what was synced before stays, and no more is written."""
    write(image, overlay, (0, b"kept"))
    before = seen(image, overlay)
    base = HostFile.open(str(image), readonly=True)
    store = Failing.open(str(overlay), readonly=False, base=base)
    store.steps = []
    store.begin(base)
    window = SlowWindow(OverlayFile(store, base), 0, SIZE)
    window.pwrite(b"lost", 8 * BLOCK_SIZE)
    for _ in range(2):
        with pytest.raises(VfsError) as caught:
            window.fsync()
        assert caught.value.errno == errno.EIO
    with pytest.raises(VfsError):
        window.pwrite(b"more", 0)
    window.close()
    assert seen(image, overlay) == before


# --- the image --------------------------------------------------------------------------------------------


def changed(image: Path, how: str) -> None:
    facts = image.stat()
    if how == "size":
        with image.open("ab") as file:
            file.write(b"x")
        os.utime(image, ns=(facts.st_mtime_ns, facts.st_mtime_ns))
    elif how == "content":
        with image.open("r+b") as file:
            file.write(b"xyz")
        os.utime(image, ns=(facts.st_mtime_ns, facts.st_mtime_ns))
    else:
        os.utime(image, ns=(1, facts.st_mtime_ns + 1))


@pytest.mark.parametrize("how", ["size", "content", "time"])
def test_a_changed_image_is_refused(image: Path, overlay: Path, how: str) -> None:
    write(image, overlay, (0, b"new"))
    changed(image, how)
    before = image.read_bytes()
    for attempt in (
        lambda: opened(image, overlay),
        lambda: opened(image, overlay, readonly=True),
        lambda: commit(str(overlay)),
    ):
        with pytest.raises(BaseChanged, match=str(overlay)):
            attempt()
    assert image.read_bytes() == before


def test_force_commits_to_a_changed_image(image: Path, overlay: Path) -> None:
    write(image, overlay, (0, b"new"))
    changed(image, "content")
    assert commit(str(overlay), force=True) == BLOCK_SIZE
    assert image.read_bytes()[:3] == b"new"
    assert not overlay.exists()


def test_an_image_that_was_copied(image: Path, overlay: Path, tmp_path: Path) -> None:
    write(image, overlay, (0, b"new"))
    copy = tmp_path / "copy.img"
    copy.write_bytes(image.read_bytes())
    os.utime(copy, ns=(0, 0))
    with pytest.raises(BaseChanged, match="rebase"):
        opened(copy, overlay)
    rebase(str(overlay), str(copy))
    assert seen(copy, overlay)[:3] == b"new"
    changed(copy, "content")
    with pytest.raises(BaseChanged, match="--force"):
        rebase(str(overlay))
    rebase(str(overlay), force=True)
    assert seen(copy, overlay)[:3] == b"new"


def test_an_overlay_of_another_image(image: Path, overlay: Path, tmp_path: Path) -> None:
    write(image, overlay, (0, b"new"))
    other = tmp_path / "other.img"
    other.write_bytes(b"x" * SIZE)
    for attempt in (lambda: opened(other, overlay), lambda: rebase(str(overlay), str(other))):
        with pytest.raises(BaseChanged):
            attempt()
    other.write_bytes(b"x")
    with pytest.raises(BaseChanged, match="1 bytes"):
        rebase(str(overlay), str(other), force=True)


def test_an_image_that_became_shorter_is_not_read_as_zeros(image: Path, overlay: Path) -> None:
    window = opened(image, overlay)
    os.truncate(image, 10 * BLOCK_SIZE)
    for attempt in (
        lambda: window.pread(1, 11 * BLOCK_SIZE),
        lambda: window.pwrite(b"x", 11 * BLOCK_SIZE + 1),
    ):
        with pytest.raises(VfsError) as caught:
            attempt()
        assert caught.value.errno == errno.EIO
    window.close()


# --- commit and drop --------------------------------------------------------------------------------------


def test_commit_makes_the_image_what_the_overlay_showed(image: Path, overlay: Path) -> None:
    write(image, overlay, (5, b"five"), (SIZE - 3, b"end"), (30 * BLOCK_SIZE - 1, b"xy"))
    want = seen(image, overlay)
    assert list(differences(str(overlay))) == [
        (0, BLOCK_SIZE), (29 * BLOCK_SIZE, 2 * BLOCK_SIZE), (60 * BLOCK_SIZE, 1234),
    ]  # fmt: skip
    assert commit(str(overlay)) == 3 * BLOCK_SIZE + 1234
    assert image.read_bytes() == want
    assert image.stat().st_size == SIZE
    assert not overlay.exists()


def test_what_was_written_back_is_no_difference(image: Path, overlay: Path) -> None:
    data = image.read_bytes()
    write(image, overlay, (5, b"five"), (5, data[5:9]))
    assert list(differences(str(overlay))) == []


class _Cut(Exception):
    pass


def _cut_commit(overlay: Path, image: Path, steps: int) -> bool:
    """Commit, and stop after some writes to the image; return whether it was finished."""
    left = steps

    def pwrite(
        self: HostFile, data: memoryview, offset: int, real: Callable[..., int] = HostFile.pwrite
    ) -> int:
        nonlocal left
        if not left:
            raise _Cut
        left -= 1
        return real(self, data[: len(data) // 2 or 1], offset)

    patch = pytest.MonkeyPatch()
    patch.setattr(HostFile, "pwrite", pwrite)
    try:
        commit(str(overlay), str(image))
    except _Cut:
        return False
    finally:
        patch.undo()
    return True


def test_a_commit_that_was_cut_short_is_done_again(image: Path, overlay: Path) -> None:
    write(image, overlay, *((block * BLOCK_SIZE + 100, b"new") for block in (0, 1, 7, 33, 59)))
    want = seen(image, overlay)
    steps = 0
    while not _cut_commit(overlay, image, steps):
        store = OverlayStore.open(str(overlay), readonly=True)
        assert store.header.state == COMMITTING
        store.close()
        for attempt in (
            lambda: opened(image, overlay),
            lambda: rebase(str(overlay)),
            lambda: drop(str(overlay)),
        ):
            with pytest.raises(VfsError, match="overlay commit"):
                attempt()
        steps += 3
    assert steps > 6
    assert image.read_bytes() == want
    assert not overlay.exists()


def test_another_image_is_not_taken_for_the_half_done_one(image: Path, overlay: Path, tmp_path: Path) -> None:
    write(image, overlay, (0, b"new"), (40 * BLOCK_SIZE, b"x"))
    assert not _cut_commit(overlay, image, 1)
    other = tmp_path / "other.img"
    other.write_bytes(b"x" * SIZE)
    with pytest.raises(BaseChanged):
        commit(str(overlay), str(other))


def test_a_commit_after_a_power_cut_writes_what_was_synced(image: Path, overlay: Path) -> None:
    window = opened(image, overlay)
    window.pwrite(b"kept", 0)
    window.fsync()
    window.pwrite(b"perhaps", 10 * BLOCK_SIZE)
    data = rebooted(bytearray(overlay.read_bytes()))
    window.close()
    overlay.write_bytes(data)
    want = b"kept" + image.read_bytes()[4:]
    steps = 0
    while not _cut_commit(overlay, image, steps):
        steps += 1
    assert image.read_bytes() == want


def killed(image: Path, overlay: Path) -> bytes:
    """Leave an overlay as a killed process does, with something that was not synced; return what it shows."""
    window = opened(image, overlay)
    window.pwrite(b"synced", 0)
    window.fsync()
    window.pwrite(b"not synced", 10 * BLOCK_SIZE)
    data = overlay.read_bytes()
    window.close()
    overlay.write_bytes(data)
    return seen(image, overlay)


def test_a_commit_that_a_power_cut_ended_goes_on_with_the_same_blocks(image: Path, overlay: Path) -> None:
    want = killed(image, overlay)
    assert want[10 * BLOCK_SIZE :].startswith(b"not synced")
    assert not _cut_commit(overlay, image, 1)
    overlay.write_bytes(rebooted(bytearray(overlay.read_bytes())))
    commit(str(overlay))
    assert image.read_bytes() == want


def test_a_commit_waits_for_the_disk_before_it_saves_the_map(image: Path, overlay: Path) -> None:
    killed(image, overlay)
    store = Recorder.open(str(overlay), readonly=False)
    store.steps = []
    base = HostFile.open(str(image), readonly=True)
    store.begin_commit(base)
    base.close()
    store.close()
    saved = MAPS + store.header.map_size
    first = next(number for number, step in enumerate(store.steps) if step and step[0] == saved)
    assert None in store.steps[:first]


def test_drop_removes_overlays_only(image: Path, overlay: Path) -> None:
    write(image, overlay, (0, b"x"))
    drop(str(overlay))
    assert not overlay.exists()
    with pytest.raises(DiskError, match="is no overlay"):
        drop(str(image))
    assert image.exists()
    with pytest.raises(VfsError):
        drop(str(overlay))


def test_what_is_in_use_is_refused(image: Path, overlay: Path) -> None:
    """The locks are those of open files, so another process is needed only for its number."""
    window = opened(image, overlay)
    code = (
        "import sys\n"
        "from rumpfs.base.errors import VfsError\n"
        "from rumpfs.dev.image import open_image\n"
        "from rumpfs.dev.overlaycommit import commit, drop\n"
        "image, overlay, other = sys.argv[1:]\n"
        "for attempt in (lambda: open_image(image, readonly=False, overlay=overlay),\n"
        "                lambda: open_image(image, readonly=False), lambda: commit(overlay),\n"
        "                lambda: drop(overlay)):\n"
        "    try:\n"
        "        attempt()\n"
        "    except VfsError as error:\n"
        "        print(error)\n"
        "open_image(image, readonly=False, overlay=other)\n"
    )
    words = [sys.executable, "-c", code, str(image), str(overlay), f"{overlay}.other"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    for line, what in zip(lines, (overlay, image, overlay, overlay), strict=True):
        assert line.startswith(f"EBUSY: {what} is locked by another process, {os.getpid()} ("), line
    window.close()


def test_an_image_is_not_its_own_overlay(image: Path) -> None:
    before = image.read_bytes()
    for readonly in (False, True):
        with pytest.raises(VfsError, match="is the image") as caught:
            opened(image, image, readonly)
        assert caught.value.errno == errno.EINVAL
    assert image.read_bytes() == before


def test_nolock(image: Path, overlay: Path) -> None:
    window = open_image(str(image), readonly=False, lock=False)
    code = "import sys; from rumpfs.dev.image import open_image; open_image(sys.argv[1], readonly=False)"
    subprocess.run([sys.executable, "-c", code, str(image)], check=True)
    window.close()


def test_the_header_says_whether_it_was_closed(image: Path, overlay: Path) -> None:
    def header() -> Header:
        return decode_header(overlay.read_bytes()[:MAPS], "")

    window = opened(image, overlay)
    assert header().state == OPEN
    assert header().path == os.fsencode(image)
    window.close()
    assert header().state != OPEN
