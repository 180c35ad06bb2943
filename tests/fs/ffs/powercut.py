"""The power-cut laboratory: what a workload writes is taken down, and the image made that a cut leaves.

A host keeps the order of what is written only from one barrier (fsync, fdatasync) to the next: when it loses
its power, each write since the last one may be there, be missing, or be torn into sectors. When only the
server dies, the host has everything up to a point. `Tape.prefixes` are the latter, `Tape.reorderings` the
former.

Files are filled with marks that say whose they are, so that whatever a file holds that it should not tells
on itself.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rumpfs.abi.mount import MNT_LOG
from rumpfs.base.errors import DiskError, VfsError
from rumpfs.base.memory import Memory
from rumpfs.dev.hostfile import HostFile
from rumpfs.dev.window import Window
from rumpfs.fs.ffs.fsck.finding import Unexpected, preen
from rumpfs.fs.ffs.ufsmount import FfsMount
from rumpfs.fs.ffs.vfsops import mount_window
from rumpfs.vfs.cred import Cred
from rumpfs.vfs.mount import Vfs
from rumpfs.vfs.vnode import VDIR, VREG
from tests.fs.ffs.fscking import fsck
from tests.fs.ffs.harness import RDEV, content, mounted, walk
from tests.fs.ffs.workload import Workload, writable

#: What a disk writes whole.
SECTOR = 512

#: The mark of a directory.
DIRECTORY = b"directory"

#: Operations between two acknowledgements at most.
_PAUSE = 12

#: Where fsck(8) puts files that have lost their names.
_LOST = b"/lost+found"


class Recorder(Window):
    """A device that takes down what is written to it, and the barriers, at which it waits for no disk.

    Attributes:
        writes: (offset, bytes), in order.
        barriers: how many writes there were at each barrier.
    """

    __slots__ = ("barriers", "writes")

    def __init__(self, hostfile: HostFile, offset: int, size: int) -> None:
        Window.__init__(self, hostfile, offset, size)
        self.writes: list[tuple[int, bytes]] = []
        self.barriers = [0]

    def pwrite(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        self.writes.append((offset, bytes(data)))
        return Window.pwrite(self, data, offset)

    def fsync(self) -> None:
        self.barriers.append(len(self.writes))

    def barrier(self, count: int) -> int:
        """Return how many of the first `count` writes a barrier vouches for."""
        return self.barriers[bisect_right(self.barriers, count) - 1]


# --- the workload -----------------------------------------------------------------------------------------


class Marked(bytearray):
    """What a file should hold: its mark, again and again from the start of the file on, and zeros."""

    def __init__(self, number: int) -> None:
        bytearray.__init__(self)
        self.mark = bytes((0x80 | number & 0x7F, 0x80 | number >> 7 & 0x7F, 0x55, 0x2A))

    def text(self, start: int, stop: int) -> bytes:
        """Return what is written to [start, stop)."""
        return marks(self.mark, stop)[start:]


def marks(mark: bytes, size: int) -> bytes:
    """Return `size` bytes of marks."""
    return (mark * (size // len(mark) + 1))[:size]


class Marks(Workload):
    """Random work whose files hold nothing but their own mark, and zeros."""

    SIZES = (1, 100, 511, 512, 4096, 5000, 16384, 60000)
    GAPS = (1, 511, 4096, 70000)

    def __init__(self, mp: FfsMount, seed: int, moves: bool) -> None:
        Workload.__init__(self, mp, seed, moves)
        self.operations += [self.close] * 3

    def empty(self) -> bytearray:
        return Marked(self._count)

    def piece(self, data: bytearray, offset: int, size: int) -> bytes:
        assert isinstance(data, Marked)
        return data.text(offset, offset + size)

    def close(self, cred: Cred) -> None:
        """Close a file, as who has written to it does."""
        if self.files:
            self._vp(self._file()).close(0)

    def acknowledged(self) -> set[bytes]:
        """Sync everything or one file; return the paths of which the disk knows everything then."""
        if not self.files or self.random.random() < 0.3:
            self.mp.sync()
            return {*self.files, *self.dirs[1:]}
        path = self._file()
        self._vp(path).fsync()
        return {other for other, data in self.files.items() if data is self.files[path]}


class Held(NamedTuple):
    """What a path names: the content, whose it is, and the step that made it so."""

    data: bytes
    mark: bytes
    since: int


class Step(NamedTuple):
    """The state after an operation.

    Attributes:
        written: the writes so far.
        held: what each path names.
        synced: the paths that a sync or fsync has just acknowledged.
    """

    written: int
    held: dict[bytes, Held]
    synced: set[bytes]


# --- the recording ----------------------------------------------------------------------------------------


class Cut(NamedTuple):
    """A cut: how many writes were made before it, what of them is missing, and the image that is left."""

    written: int
    lost: str
    image: bytes


class Tape:
    """A workload on an image, and everything that it wrote.

    Args:
        image: it is changed, and whole at the end.
        seed: of the random numbers.
        operations: of the workload.
        flags: MNT_ flags of the mount.
        moves: directories move, too.

    Attributes:
        base: the image before.
        device: what was written to it.
    """

    def __init__(self, image: Path, seed: int, operations: int, flags: int = 0, moves: bool = False) -> None:
        self.base = image.read_bytes()
        self.flags = flags
        self._how = seed, operations, moves
        self._steps = [Step(0, {}, set())]
        hostfile = HostFile.open(str(image))
        self.device = device = Recorder(hostfile, 0, hostfile.size)
        mp = self.mount(device)
        for work, synced in self.perform(mp):
            self._take(work, len(device.writes), synced)
        mp.unmount(0)
        self._take(work, len(device.writes), {*work.files, *work.dirs[1:]})

    def mount(self, device: Window) -> FfsMount:
        """Mount the image on a device. Errors: those of the mount."""
        random.seed(self._how[0])  # allocation draws from it
        return mount_window(Vfs(Memory()), device, RDEV, self.flags)

    def perform(self, mp: FfsMount) -> Iterator[tuple[Marks, set[bytes]]]:
        """Do the operations of the workload; after each yield it, and what was just acknowledged."""
        seed, operations, moves = self._how
        work = Marks(mp, seed, moves)
        pause = 1
        for _ in range(operations):
            work.run(1)
            pause -= 1
            synced: set[bytes] = set()
            if not pause:
                pause = work.random.randrange(1, _PAUSE)
                synced = work.acknowledged()
            yield work, synced

    def _take(self, work: Marks, count: int, synced: set[bytes]) -> None:
        """Note what the paths name after an operation."""
        before = self._steps[-1].held
        held = {}
        for path, data in [*work.files.items(), *((path, DIRECTORY) for path in work.dirs[1:])]:
            mark = data.mark if isinstance(data, Marked) else DIRECTORY
            known = before.get(path)
            same = known is not None and known.mark == mark and known.data == data
            held[path] = known if known and same else Held(bytes(data), mark, len(self._steps))
        self._steps.append(Step(count, held, synced))

    def interrupted(self, cut: Cut, chance: random.Random, image: Path) -> Cut:
        """Return what a second cut leaves, while the log is replayed after a first one.

        Args:
            image: where the replay is done.
        """
        put(image, cut.image)
        devices: list[Recorder] = []

        def record(*where: Any) -> Window:
            devices.append(Recorder(*where))
            return devices[-1]

        with writable(image, self.flags, record):
            pass
        data = bytearray(cut.image)
        (device,) = devices
        count = chance.randrange(len(device.writes) + 1)
        lost = _lose(chance, data, device, count)
        return Cut(cut.written, f"{cut.lost}; {lost} of {count} writes of the replay", bytes(data))

    def prefixes(self, chance: random.Random, sample: int) -> Iterator[Cut]:
        """Yield cuts of a host that keeps the order, some of them within a write."""
        for count, data, start in self._states(chance, sample):
            lost = ""
            for offset, piece in self.device.writes[start:count]:
                data[offset : offset + len(piece)] = piece
            if count < len(self.device.writes) and chance.random() < 0.3:
                lost = f"{_torn(chance, data, *self.device.writes[count])} sectors of write {count}"
            yield Cut(count, lost, bytes(data))

    def reorderings(self, chance: random.Random, sample: int) -> Iterator[Cut]:
        """Yield cuts of a host that has lost any of the writes since the last barrier, or parts of them."""
        for count, data, _ in self._states(chance, sample):
            yield Cut(count, _lose(chance, data, self.device, count), bytes(data))

    def _states(self, chance: random.Random, sample: int) -> Iterator[tuple[int, bytearray, int]]:
        """Yield numbers of writes, the image at the last barrier before, and how many writes it has."""
        writes = self.device.writes
        data = bytearray(self.base)
        done = 0
        for count in sorted(chance.sample(range(1, len(writes) + 1), min(sample, len(writes)))):
            start = self.device.barrier(count)
            for offset, piece in writes[done:start]:
                data[offset : offset + len(piece)] = piece
            done = start
            yield count, bytearray(data), start

    # --- what is right after a cut ------------------------------------------------------------------------

    def complaints(self, cut: Cut, image: Path) -> list[str]:
        """Recover from a cut, and say what is wrong then.

        Args:
            image: where the image is made.
        """
        put(image, cut.image)
        if text := recover(image, self.flags):
            return [text]
        found = fsck(image).kinds
        return [f"fsck: {kind}" for kind in found] or list(self._content(cut, image))

    def _content(self, cut: Cut, image: Path) -> Iterator[str]:
        """Compare what the image holds with what it may hold."""
        done = [number for number, step in enumerate(self._steps) if step.written <= cut.written]
        last = next((n for n, step in enumerate(self._steps) if step.written > cut.written), done[-1])
        first = max((number for number in done if self._steps[number].synced), default=0)
        possible: dict[bytes, set[bytes]] = {}
        for step in self._steps[first : last + 1]:
            for path, held in step.held.items():
                possible.setdefault(path, set()).add(held.mark)
        wanted = self._wanted(done, last)
        with mounted(image) as mp:
            for path, vp in walk(mp.mnt_root):
                data = b"".join(content(vp)) if vp.v_type == VREG else DIRECTORY
                if vp.v_type in (VREG, VDIR) and not path.startswith(_LOST):
                    allowed = possible.get(path, set())
                    if not any(_is(data, mark) for mark in allowed):
                        yield f"{path!r} holds what is not its own: {data[:40]!r}, not {allowed}"
                if path in wanted and data != wanted.pop(path):
                    yield f"{path!r} is not what was synced"
        yield from (f"{path!r} was synced and is missing" for path in wanted)

    def _wanted(self, done: list[int], last: int) -> dict[bytes, bytes]:
        """Return what has not changed since it was synced."""
        now = self._steps[last].held
        wanted = {}
        for number in done:
            for path in self._steps[number].synced & now.keys():
                if all(now[path] is step.held.get(path) for step in self._steps[number : last + 1]):
                    wanted[path] = now[path].data
        return wanted


def put(image: Path, data: bytes) -> None:
    """Let an image have a content, in place."""
    with image.open("r+b" if image.exists() else "wb") as stream:
        stream.write(data)


def _lose(chance: random.Random, data: bytearray, device: Recorder, count: int) -> str:
    """Do the first `count` writes but for some since the last barrier; return which.

    Args:
        data: the image, which may already have what is older than that barrier.
    """
    start = device.barrier(count)
    for offset, piece in device.writes[:start]:
        data[offset : offset + len(piece)] = piece
    numbers = range(start, count)
    share = chance.random()
    missing = {number for number in numbers if chance.random() < share}
    extreme = chance.randrange(4)
    if numbers and extreme == 0:
        missing = {*numbers} - {chance.choice(numbers)}
    elif numbers and extreme == 1:
        missing = {chance.choice(numbers)}
    torn = []
    for number in numbers:
        offset, piece = device.writes[number]
        if number not in missing:
            data[offset : offset + len(piece)] = piece
        elif chance.random() < 0.3:
            torn.append(number)
            _torn(chance, data, offset, piece)
    return f"writes {sorted(missing)} since {start}, {torn} torn"


def _torn(chance: random.Random, data: bytearray, offset: int, piece: bytes) -> int:
    """Put some of the sectors of a write into an image; return how many are missing."""
    first, stop = offset // SECTOR, -(-(offset + len(piece)) // SECTOR)
    share = chance.random()
    missing = 0
    for sector in range(first, stop):
        start, end = max(offset, sector * SECTOR), min(offset + len(piece), (sector + 1) * SECTOR)
        if chance.random() < share:
            data[start:end] = piece[start - offset : end - offset]
        else:
            missing += 1
    return missing


def _is(data: bytes, mark: bytes) -> bool:
    """True when content is nothing but a mark, where it belongs, and zeros."""
    if mark == DIRECTORY or data == DIRECTORY:
        return data == mark
    whole = marks(mark, len(data))
    for start in range(0, len(data), SECTOR):
        piece, own = data[start : start + SECTOR], whole[start : start + SECTOR]
        if (
            piece != own
            and any(piece)
            and any(byte not in (0, its) for byte, its in zip(piece, own, strict=True))
        ):
            return False
    return True


def recover(image: Path, flags: int) -> str:
    """Do what is done after a crash: fsck -p, and mount what has a log. Return what went wrong."""
    try:
        result = fsck(image, preen, write=True, force=False).result
        if result.unresolved or not (result.clean or "journaled" in result.skipped):
            return f"fsck -p leaves it dirty: {result}"
        if flags & MNT_LOG:
            with writable(image, flags):
                pass
    except (VfsError, Unexpected, DiskError) as error:
        return f"{type(error).__name__}: {error}"
    return ""
