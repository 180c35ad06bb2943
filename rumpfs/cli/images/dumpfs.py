"""The superblock and the cylinder groups, laid out as dumpfs(8) does it (NetBSD usr.sbin/dumpfs/dumpfs.c)."""

from __future__ import annotations

import re
import time
from argparse import Namespace
from collections.abc import Iterator
from typing import Any, Final

from rumpfs.base.errors import DiskError
from rumpfs.cli.images.opening import opened
from rumpfs.cli.tool import Tool, json_text
from rumpfs.dev.window import Window
from rumpfs.ondisk.layout import ORDER_NAMES
from rumpfs.ondisk.ufs.cg import Cg
from rumpfs.ondisk.ufs.fs import (
    CSUM,
    FS_42POSTBLFMT,
    FS_44INODEFMT,
    FS_ACLS,
    FS_DOQUOTA2,
    FS_DOSOFTDEP,
    FS_DOWAPBL,
    FS_GJOURNAL,
    FS_MULTILABEL,
    FS_NEEDSFSCK,
    FS_SUJ,
    FS_TRIM,
    FS_UNCLEAN,
)
from rumpfs.ondisk.ufs.superblock import Csum, Superblock, find_superblock

_FLAGS: Final = (
    (FS_UNCLEAN, "unclean"), (FS_DOSOFTDEP, "soft-updates"), (FS_NEEDSFSCK, "needs fsck run"),
    (FS_SUJ, "journaled soft-updates"), (FS_ACLS, "acls"), (FS_MULTILABEL, "multilabel"),
    (FS_GJOURNAL, "gjournal"), (0x80, "fs_flags expanded"), (FS_DOWAPBL, "wapbl"), (FS_DOQUOTA2, "quotas"),
    (FS_TRIM, "trim"),
)  # fmt: skip
_FS_OPTSPACE: Final = 1
#: pairs of a row of the summary, cluster lengths of a row, ranges of a row of a map
_SUMMARIES: Final = 4
_CLUSTERS: Final = 8
_RANGES: Final = 6


def run(tool: Tool, args: Namespace) -> None:
    """Show a file system as the command line says."""
    with opened(args.image, readonly=True) as window:
        fs = find_superblock(window.pread, window.size, args.image, args.sblock)
        if args.json:
            tool.write(json_text(_document(tool, args, window, fs)))
            return
        tool.write("".join(f"{line}\n" for line in _text(args.image, window, fs)))
        if not args.superblock:
            for cgx in range(fs.fs_ncg):
                try:
                    cg = _group(window, fs, cgx)
                except DiskError as error:
                    tool.error(str(error))
                    continue
                tool.write("".join(f"{line}\n" for line in _group_text(fs, cg)))


def _group(window: Window, fs: Superblock, cgx: int) -> Cg:
    return Cg.decode(_read(window, fs.fs_cgsize, fs.cgtod(cgx) * fs.fs_fsize), fs, cgx)


def _read(window: Window, nbytes: int, offset: int) -> bytes:
    return window.pread(nbytes, offset) if offset <= window.size else b""


def _summary(window: Window, fs: Superblock) -> list[Any]:
    """Return the counters of the groups, as far as the device goes."""
    data = _read(window, fs.fs_ncg * CSUM.size, fs.fs_csaddr * fs.fs_fsize)
    return list(CSUM.codec(fs.order).iter_unpack(data[: len(data) // CSUM.size * CSUM.size]))


def _ctime(seconds: int) -> str:
    try:
        return time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(seconds))
    except (OverflowError, OSError, ValueError):
        return str(seconds)


def _level(fs: Superblock) -> int:
    """Return the conversion level of fsck_ffs -c that a file system has."""
    if fs.ufs2:
        return 5
    if not fs.old_layout:
        return 4
    if fs.fs_old_postblformat == FS_42POSTBLFMT:
        return 0
    if fs.fs_old_inodefmt < FS_44INODEFMT:
        return 1
    clustered = (
        fs.fs_contigsumsize >= min(fs.fs_maxcontig, 16) if fs.fs_maxcontig > 1 else not fs.fs_contigsumsize
    )
    return 3 if clustered else 2


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _text(image: str, window: Window, fs: Superblock) -> Iterator[str]:
    """Yield the lines on the superblock and the summary."""
    level = _level(fs)
    yield f"file system: {image}"
    yield f"format\tFFSv{2 if fs.ufs2 else 1}"
    yield f"endian\t{ORDER_NAMES[fs.order]}"
    if fs.offset != 8192:
        yield f"location {fs.offset}\t(-b {fs.offset // 512})"
    yield f"magic\t{fs.fs_magic:<8x}\ttime\t{_ctime(fs.fs_time)}"
    if not fs.old_layout or any(fs.fs_id):
        first, second = (number & 0xFFFFFFFF for number in fs.fs_id)
        yield f"superblock location\t{fs.fs_sblockloc}\tid\t[ {first:x} {second:x} ]"
    groups = "dynamic" if level else "static"
    inodes = "4.2/4.3BSD" if level < 2 else "4.4BSD" if level < 5 else "FFSv2"
    yield f"cylgrp\t{groups}\tinodes\t{inodes}\tsblock\tFFSv{1 if level < 4 else 2}\tfslevel {level}"
    yield _counters(fs.fs_cstotal)
    yield from _geometry(fs)
    yield from _state(fs)
    rows = [f"({cs.cs_nbfree},{cs.cs_ndir},{cs.cs_nifree},{cs.cs_nffree})" for cs in _summary(window, fs)]
    yield "cs[].cs_(nbfree,ndir,nifree,nffree):"
    for first in range(0, len(rows), _SUMMARIES):
        yield "\t" + " ".join(rows[first : first + _SUMMARIES])


def _counters(cs: Csum) -> str:
    return f"nbfree\t{cs.cs_nbfree}\tndir\t{cs.cs_ndir}\tnifree\t{cs.cs_nifree}\tnffree\t{cs.cs_nffree}"


def _geometry(fs: Superblock) -> Iterator[str]:
    row = fs.record
    old = fs.old_layout
    ncyl = f"\tncyl\t{row.fs_old_ncyl}" if old else ""
    yield f"ncg\t{fs.fs_ncg}{ncyl}\tsize\t{fs.fs_size}\tblocks\t{fs.fs_dsize}"
    yield f"bsize\t{fs.fs_bsize}\tshift\t{fs.fs_bshift}\tmask\t{fs.fs_bmask & 0xFFFFFFFF:#010x}"
    yield f"fsize\t{fs.fs_fsize}\tshift\t{fs.fs_fshift}\tmask\t{fs.fs_fmask & 0xFFFFFFFF:#010x}"
    yield f"frag\t{fs.fs_frag}\tshift\t{fs.fs_fragshift}\tfsbtodb\t{fs.fs_fsbtodb}"
    cpg = f"cpg\t{fs.fs_old_cpg}\t" if old else ""
    yield f"{cpg}bpg\t{fs.fs_fpg // fs.fs_frag}\tfpg\t{fs.fs_fpg}\tipg\t{fs.fs_ipg}"
    optim = "space" if fs.fs_optim == _FS_OPTSPACE else "time"
    yield f"minfree\t{fs.fs_minfree}%\toptim\t{optim}\tmaxcontig {fs.fs_maxcontig}\tmaxbpg\t{fs.fs_maxbpg}"
    skew = f"trackskew {row.fs_old_trackskew}\tinterleave {row.fs_old_interleave}\t" if old else ""
    if old:
        yield f"rotdelay {row.fs_old_rotdelay}ms\trps\t{row.fs_old_rps}"
        yield (
            f"ntrak\t{row.fs_spare2}\tnsect\t{row.fs_old_nsect}\tnpsect\t{row.fs_old_npsect}"
            f"\tspc\t{row.fs_old_spc}"
        )
    yield f"symlinklen {fs.fs_maxsymlinklen}\t{skew}contigsumsize {fs.fs_contigsumsize}"
    yield f"maxfilesize {row.fs_maxfilesize:#018x}"
    yield f"nindir\t{fs.fs_nindir}\tinopb\t{fs.fs_inopb}" + (f"\tnspf\t{fs.fs_old_nspf}" if old else "")
    yield f"avgfilesize {fs.fs_avgfilesize}\tavgfpdir {fs.fs_avgfpdir}"
    yield f"sblkno\t{fs.fs_sblkno}\tcblkno\t{fs.fs_cblkno}\tiblkno\t{fs.fs_iblkno}\tdblkno\t{fs.fs_dblkno}"
    skewed = f"\toffset\t{fs.fs_old_cgoffset}\tmask\t{fs.fs_old_cgmask & 0xFFFFFFFF:#010x}" if old else ""
    yield f"sbsize\t{fs.fs_sbsize}\tcgsize\t{fs.fs_cgsize}{skewed}"
    yield f"csaddr\t{fs.fs_csaddr}\tcssize\t{fs.fs_cssize}"


def _state(fs: Superblock) -> Iterator[str]:
    row = fs.record
    yield f"cgrotor\t{row.fs_cgrotor}\tfmod\t{row.fs_fmod}\tronly\t{row.fs_ronly}\tclean\t{fs.fs_clean:#04x}"
    yield (
        f"wapbl version {fs.fs_journal_version:#x}\tlocation {fs.fs_journal_location}"
        f"\tflags {fs.fs_journal_flags:#x}"
    )
    yield "wapbl " + "\t".join(f"loc{index} {value}" for index, value in enumerate(_log_places(fs)))
    names = [name for bit, name in _FLAGS if fs.fs_flags & bit]
    rest = fs.fs_flags & ~sum(bit for bit, _ in _FLAGS)
    if rest:
        names.append(f"unknown flags ({rest:#x})")
    yield f"flags\t{' '.join(names) or 'none'}"
    yield f"fsmnt\t{_shown(fs.fs_fsmnt)}"
    if not fs.old_layout:
        yield f"volname\t{_shown(fs.fs_volname)}\tswuid\t{fs.fs_swuid}"


def _log_places(fs: Superblock) -> list[int]:
    """Return fs_journallocs, which are in the byte order of the machine that made the log."""
    if fs.fs_journallocs[2] < 1 << 32:
        return list(fs.fs_journallocs)
    return [int.from_bytes(number.to_bytes(8, "little"), "big") for number in fs.fs_journallocs]


def _group_text(fs: Superblock, cg: Cg) -> Iterator[str]:
    """Yield the lines on a group."""
    row = cg.record
    seconds = row.cg_old_time if cg.old or fs.old_layout else row.cg_time
    yield ""
    yield f"cg {cg.cgx}:"
    yield f"magic\t90255\ttell\t{fs.cgtod(cg.cgx) * fs.fs_fsize:x}\ttime\t{_ctime(seconds)}"
    if fs.old_layout:
        yield f"cgx\t{cg.cgx}\tncyl\t{row.cg_old_ncyl}\tniblk\t{row.cg_old_niblk}\tndblk\t{cg.ndblk}"
    else:
        yield f"cgx\t{cg.cgx}\tniblk\t{row.cg_niblk}\tndblk\t{cg.ndblk}"
    yield _counters(cg.cg_cs)
    yield f"rotor\t{row.cg_rotor}\tirotor\t{row.cg_irotor}\tfrotor\t{row.cg_frotor}"
    frsum = row.cg_frsum[1 : fs.fs_frag]
    yield "frsum" + "".join(f"\t{count}" for count in frsum)
    yield f"sum of frsum: {sum(length * count for length, count in enumerate(frsum, 1))}"
    if cg.clustersum:
        yield from _cluster_text(fs, cg)
    yield f"iused:\t{_ranges(cg.inosused, fs.fs_ipg)}"
    yield f"free:\t{_ranges(cg.blksfree, fs.fs_fpg)}"


def _cluster_text(fs: Superblock, cg: Cg) -> Iterator[str]:
    last = fs.fs_contigsumsize - 1
    for first in range(1, last + 1, _CLUSTERS):
        end = min(first + _CLUSTERS - 1, last)
        yield f"clusters {first}-{end}:" + "".join(f"\t{n}" for n in cg.clustersum[first : end + 1])
    yield f"clusters size {fs.fs_contigsumsize} and over: {cg.clustersum[fs.fs_contigsumsize]}"
    yield f"clusters free:\t{_ranges(cg.clustersfree, cg.record.cg_nclusterblks)}"


def _runs(bits: bytes, count: int) -> list[tuple[int, int]]:
    """Return (first, last) of the runs of ones in a map of `count` bits."""
    digits = f"{int.from_bytes(bits, 'little') & (1 << count) - 1:0{count}b}"[::-1] if count else ""
    return [(match.start(), match.end() - 1) for match in re.finditer("1+", digits)]


def _ranges(bits: bytes, count: int) -> str:
    parts = [str(first) if first == last else f"{first}-{last}" for first, last in _runs(bits, count)]
    rows = [", ".join(parts[first : first + _RANGES]) for first in range(0, len(parts), _RANGES)]
    return ",\n\t".join(rows)


# --- JSON


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: text up to the first NUL, other bytes as hexadecimal digits."""
    if isinstance(value, bytes):
        text = value.rstrip(b"\0")
        return text.decode("ascii") if text.isascii() and text.decode("ascii").isprintable() else text.hex()
    return list(value) if isinstance(value, tuple) else value


def _record(row: Any) -> dict[str, Any]:
    return {name: _plain(value) for name, value in row._asdict().items()}


def _document(tool: Tool, args: Namespace, window: Window, fs: Superblock) -> dict[str, object]:
    """Return the JSON document."""
    document: dict[str, object] = {
        "image": args.image,
        "format": "UFS2" if fs.ufs2 else "UFS1",
        "byte_order": ORDER_NAMES[fs.order],
        "location": fs.offset,
        "old_layout": fs.old_layout,
        "superblock": _record(fs.record),
        "summary": [_record(cs) for cs in _summary(window, fs)],
        "warnings": fs.warnings,
    }
    if not args.superblock:
        groups: list[dict[str, Any]] = []
        for cgx in range(fs.fs_ncg):
            try:
                cg = _group(window, fs, cgx)
            except DiskError as error:
                tool.error(str(error))
                continue
            groups.append(
                _record(cg.record)
                | {"offset": fs.cgtod(cgx) * fs.fs_fsize, "clustersum": list(cg.clustersum[1:])}
                | {"iused": _runs(cg.inosused, fs.fs_ipg), "free": _runs(cg.blksfree, fs.fs_fpg)}
            )
        document["groups"] = groups
    return document
