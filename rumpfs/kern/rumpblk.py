"""The driver of etfs's block and character devices (NetBSD: sys/rump/dev/lib/libdisk/rumpblk.c)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rumpfs.abi import errno
from rumpfs.abi.fcntl import FWRITE
from rumpfs.abi.ioctl import DIOCCACHESYNC, DIOCGDINFO, DIOCGMEDIASIZE, DIOCGSECTORSIZE
from rumpfs.base.copy import Buffer, Data
from rumpfs.base.errors import VfsError
from rumpfs.dev.etfs import MAX_DEVICES, RUMPBLK_MAJOR, EtfsEntry, EtfsTable
from rumpfs.ondisk.disklabel import DEV_BSIZE, DISKLABEL, DISKMAGIC, LABEL_HEADER, PARTITION
from rumpfs.ondisk.layout import LITTLE
from rumpfs.vfs.specfs import Device, Devsw, Disk
from rumpfs.vfs.vnode import VBLK, VCHR

if TYPE_CHECKING:
    from rumpfs.kern.kernel import Kernel

DKTYPE_RUMPD: Final = 21  # sys/sys/disklabel.h
_RPM: Final = 11  # what makedefaultlabel in rumpblk.c says
_U32: Final = 0xFFFFFFFF


class RumpDisk(Disk):
    """An open device: transfers go to the window, which cuts them at its end.

    Args:
        entry: its registration; it counts as used until `close`.
        minor: its number.
    """

    def __init__(self, entry: EtfsEntry, minor: int) -> None:
        self.window = entry.window
        self.size = entry.window.size
        self._entry = entry
        self._minor = minor
        entry.users += 1

    def read(self, offset: int, length: int) -> Data:
        return self.window.pread(length, offset)

    def write(self, offset: int, data: Buffer) -> int:
        return self.window.pwrite(data, offset)

    def ioctl(self, command: int, data: bytes) -> bytes:
        if command == DIOCGDINFO:
            return fictitious_label(self.size, self._minor)
        if command == DIOCGMEDIASIZE:
            return self.size.to_bytes(8, "little")
        if command == DIOCGSECTORSIZE:
            return DEV_BSIZE.to_bytes(4, "little")
        if command == DIOCCACHESYNC:
            self.window.fsync()
            return b""
        raise VfsError(errno.ENOTTY)

    def fsync(self) -> None:
        self.window.fsync()

    def close(self) -> None:
        self._entry.users -= 1
        super().close()


class RawRumpDisk(RumpDisk):
    """The character device: whole sectors only."""

    def read(self, offset: int, length: int) -> Data:
        return super().read(_whole(offset, length), length)

    def write(self, offset: int, data: Buffer) -> int:
        return super().write(_whole(offset, len(data)), data)


def _whole(offset: int, length: int) -> int:
    """Return `offset` if the transfer is of whole sectors, or of nothing. Errors: EINVAL."""
    if length and (offset | length) % DEV_BSIZE:
        raise VfsError(errno.EINVAL)
    return offset


def fictitious_label(size: int, part: int) -> bytes:
    """Return the struct disklabel that a device without a label shows (makedefaultlabel).

    d_secperunit counts sectors, as disklabel(5) says, and not bytes as in C.

    Args:
        size: bytes of the device.
        part: number of the partition that is the whole device.
    """
    sectors = min(size // DEV_BSIZE, _U32)
    header = DISKLABEL.codec(LITTLE).unpack(bytes(LABEL_HEADER))._replace(
        d_magic=DISKMAGIC, d_magic2=DISKMAGIC, d_type=DKTYPE_RUMPD, d_typename=b"rumpd",
        d_packname=b"fictitious", d_secsize=DEV_BSIZE, d_nsectors=sectors, d_ntracks=1, d_ncylinders=1,
        d_secpercyl=sectors, d_secperunit=sectors, d_rpm=_RPM, d_interleave=1, d_npartitions=part + 1,
    )  # fmt: skip
    codec = PARTITION.codec(LITTLE)
    unused = codec.unpack(bytes(codec.size))
    partitions = [unused] * part + [unused._replace(p_size=sectors)]
    return DISKLABEL.codec(LITTLE).pack(header) + b"".join(map(codec.pack, partitions))


def attach(devsw: Devsw, etfs: EtfsTable) -> None:
    """Enter the driver for block and character major 197 (rumpblk_init)."""

    def open_device(minor: int, vtype: int, flags: int) -> Device:
        """Open a device. Errors: ENXIO: no such unit; EROFS: writing to a drive that is read-only."""
        entry = etfs.device(minor) if minor < MAX_DEVICES else None
        if entry is None:
            raise VfsError(errno.ENXIO)
        if flags & FWRITE and entry.window.readonly:
            raise VfsError(errno.EROFS, f"{entry.window.name} is served read-only")
        return (RawRumpDisk if vtype == VCHR else RumpDisk)(entry, minor)

    for vtype in (VBLK, VCHR):
        devsw.attach(vtype, RUMPBLK_MAJOR, open_device)


def attach_missing(kernel: Kernel, component: str) -> None:
    """Enter, in place of the driver, one that says at its first use which component is not there."""
    if kernel.vfs is not None:
        driver = _missing(kernel, component)
        for vtype in (VBLK, VCHR):
            kernel.vfs.devsw.attach(vtype, RUMPBLK_MAJOR, driver)


def _missing(kernel: Kernel, component: str) -> Callable[[int, int, int], Device]:
    told = False

    def open_device(minor: int, vtype: int, flags: int) -> Device:
        nonlocal told
        if not told:
            told = True
            kernel.print(f"rumpblk{minor}: component {component} is not loaded (add -l{component})")
        raise VfsError(errno.ENXIO, f"component {component} is not loaded")

    return open_device
