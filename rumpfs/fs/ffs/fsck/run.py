"""A check from the superblock to the clean flag (fsck_ffs main.c, setup.c, utilities.c `ckfini`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rumpfs.base.errors import DiskError
from rumpfs.fs.ffs.fsck.checker import Check, Progress, Told
from rumpfs.fs.ffs.fsck.disk import Disk
from rumpfs.fs.ffs.fsck.finding import Answer, preen
from rumpfs.fs.ffs.fsck.pass1 import pass1
from rumpfs.fs.ffs.fsck.pass2 import NoRoot, pass2
from rumpfs.fs.ffs.fsck.pass3 import pass3
from rumpfs.fs.ffs.fsck.pass4 import pass4
from rumpfs.fs.ffs.fsck.pass5 import pass5
from rumpfs.fs.ffs.fsck.pass6 import pass6
from rumpfs.fs.ffs.fsck.sblock import (
    check_superblock_fields,
    copy_differs,
    drop_log,
    open_superblock,
    read_log,
    replay,
    write_superblocks,
)
from rumpfs.ondisk.ufs.fs import FS_DOWAPBL, FS_ISCLEAN, FS_SUJ
from rumpfs.ondisk.ufs.superblock import Superblock

#: ``say(text)`` hears of what a check is about to do.
Say = Callable[[str], None]

_PASSES = (
    ("Phase 1 - Check Blocks and Sizes", pass1),
    ("Phase 2 - Check Pathnames", pass2),
    ("Phase 3 - Check Connectivity", pass3),
    ("Phase 4 - Check Reference Counts", pass4),
    ("Phase 5 - Check Cyl groups", pass5),
)


@dataclass(frozen=True, slots=True)
class Options:
    """How to check.

    Attributes:
        answer: decides what is repaired: `no`, `yes` or `preen` of `finding`, or somebody who is asked.
        readonly: nothing is written, whatever is decided.
        force: check a file system that says that it is clean, too.
        sblock: the sector of 512 bytes at which a copy of the superblock lies; 0 for the primary.
        told, progress, say: hear of findings, of how far a pass has come, and of what is about to be done.
    """

    answer: Answer
    readonly: bool
    force: bool = False
    sblock: int = 0
    told: Told = lambda finding, question, yes: None
    progress: Progress = lambda phase, done, total: None
    say: Say = lambda text: None


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a check.

    Attributes:
        check: what was found; None when the file system was not looked at.
        skipped: why it was not: it is clean, or has a log and is preened.
        modified: True when the disk was changed.
        clean: True when it is marked clean now.
    """

    check: Check | None
    skipped: str = ""
    modified: bool = False
    clean: bool = False

    @property
    def unresolved(self) -> bool:
        """True when something is left to be repaired."""
        return self.check is not None and (self.check.unresolved or self.check.rerun)


def check(disk: Disk, where: str, options: Options) -> Result:
    """Check a file system, and repair it as far as that is wanted. Nothing is written before the end.

    Args:
        disk: the device; its changes are not committed here.
        where: names it in messages.
        options: how.

    Raises:
        DiskError: there is no superblock that can be used.
        Unexpected: fsck -p has found what it does not repair.
        NoRoot: there is no root directory and none was to be made.
    """
    fs = open_superblock(disk, where, options.sblock)
    preening = options.answer is preen
    force = options.force or bool(options.sblock)
    logged = fs.has_wapbl
    if logged and preening and not force:
        return Result(None, "file system is journaled; not checking")
    if not logged and not force and fs.is_clean:
        return Result(None, "file system is clean; not checking", clean=True)
    ck = Check(disk, fs, options.answer, options.told, options.progress)
    if logged:
        options.say("** File system is journaled; replaying journal")
        fs = _replay(ck, where, options)
        ck = _again(ck, fs, options)
    if fs.is_clean and not preening:
        options.say("** File system is already clean")
    if fs.fs_flags & FS_SUJ:
        options.say("** The journal of soft updates is not used; everything is checked")
    _prepare(ck, options)
    _passes(ck, options, preening)
    options.say(_summary(ck))
    modified, clean = (False, fs.is_clean) if options.readonly else _finish(ck)
    return Result(ck, modified=modified, clean=clean)


def _again(ck: Check, fs: Superblock, options: Options) -> Check:
    """Return a check of the file system as the log left it, with what was found so far."""
    after = Check(ck.disk, fs, options.answer, options.told, options.progress)
    after.findings = ck.findings
    after.unresolved = ck.unresolved
    after.sb_dirty = True
    return after


def _replay(ck: Check, where: str, options: Options) -> Superblock:
    """Replay the log in memory; return the superblock as it is then."""
    fs = ck.fs
    try:
        found = read_log(ck.disk, fs)
    except DiskError as error:
        if ck.ask("journal-unreadable", got=error.why):
            drop_log(fs)
        fs.fs_flags &= ~FS_DOWAPBL
        return fs
    replay(ck.disk, found)
    fs = open_superblock(ck.disk, where, options.sblock)
    fs.fs_flags &= ~FS_DOWAPBL
    return fs


def _prepare(ck: Check, options: Options) -> None:
    """Check the superblock, and read what goes with it."""
    fs = ck.fs
    if fs.offset != fs.fs_sblockloc:
        where = {"block": fs.offset // 512, "field": "fs_sblockloc"}
        if ck.ask("superblock-copy-used", **where):
            ck.sb_dirty = True
    elif field := copy_differs(ck, fs.fs_ncg - 1):
        ck.report("superblock-differs", field=field)
    check_superblock_fields(ck)
    ck.read_summary()


def _passes(ck: Check, options: Options, quiet: bool) -> None:
    if not quiet:
        mounted = ck.fs.fs_fsmnt.decode("utf-8", "surrogateescape")
        options.say(f"** Last Mounted on {mounted}")
    for title, function in _PASSES:
        if not quiet:
            options.say(f"** {title}")
        function(ck)
    if ck.fs.has_quota2:
        if not quiet:
            options.say("** Phase 6 - Check Quotas")
        pass6(ck)


def _finish(ck: Check) -> tuple[bool, bool]:
    """Enter what is to be written; return whether something is, and whether the file system is clean then."""
    fs = ck.fs
    if ck.rerun and fs.fs_clean & FS_ISCLEAN:
        fs.fs_clean &= ~FS_ISCLEAN
        ck.sb_dirty = True
    if ck.disk.modified or ck.sb_dirty:
        fs.fs_time = ck.now()
        ck.sb_dirty = True
    if not (ck.unresolved or ck.rerun) and not fs.is_clean:
        ck.phase = "end"
        if ck.ask("not-clean", field="fs_clean", got=fs.fs_clean, expected=FS_ISCLEAN):
            fs.mark_clean()
            ck.sb_dirty = True
    if ck.sb_dirty and fs.fs_flags & FS_SUJ:
        fs.fs_mtime = max(fs.fs_time, fs.fs_mtime + 1)  # what the journal holds is for another mount
    if ck.sb_dirty or ck.stale_copies:
        write_superblocks(ck)
    return ck.disk.modified, fs.is_clean


def _summary(ck: Check) -> str:
    """Return the line with which fsck_ffs ends."""
    fs = ck.fs
    frags, blocks = fs.fs_cstotal.cs_nffree, fs.fs_cstotal.cs_nbfree
    permille = (frags * 1000 + fs.fs_dsize // 2) // fs.fs_dsize if fs.fs_dsize > 0 else 0
    percent = frags * 100 // fs.fs_dsize if fs.fs_dsize > 0 else 0
    return (
        f"{ck.files} files, {ck.blocks} used, {frags + fs.fs_frag * blocks} free "
        f"({frags} frags, {blocks} blocks, {percent}.{permille % 10}% fragmentation)"
    )


__all__ = ["NoRoot", "Options", "Result", "check"]
