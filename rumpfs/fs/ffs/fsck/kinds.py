"""What can be wrong with an FFS: the conditions of fsck_ffs(8), under the words that it documents.

The conditions and the questions are those of "Fsck - The UNIX File System Check Program" (NetBSD
sbin/fsck_ffs/SMM.doc), so that the words can be looked up; what that document does not have is marked.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Kind(NamedTuple):
    """A condition.

    Attributes:
        text: the condition, a template for the fields of a `Finding`; ``{who}`` is the inode with its owner,
            mode, size and time.
        question: what is asked; empty when there is nothing to decide.
        repair: what yes does.
        preen: whether fsck -p says yes by itself, because a crash leaves this behind.
    """

    text: str
    question: str = ""
    repair: str = ""
    preen: bool = False


def _set(text: str, question: str, field: str) -> Kind:
    """A field of the superblock that follows from others."""
    return Kind(text, question, f"{field} is set to the expected value", True)


_CLEAR_INODE: Final = "the inode is zeroed; what it held is free"
_REMOVE: Final = "the entry is removed"
_ENTRY: Final = "the entry is corrected"
_REALLOCATE: Final = "a new, empty directory takes its place"

KINDS: Final[dict[str, Kind]] = {
    # --- the superblock and the log
    "superblock-copy-used": Kind(
        "USING ALTERNATE SUPERBLOCK AT {block}", "UPDATE STANDARD SUPERBLOCK", "the primary is written anew"
    ),
    "superblock-differs": Kind(
        "BAD SUPER BLOCK: VALUES IN SUPER BLOCK DISAGREE WITH THOSE IN FIRST ALTERNATE"
    ),
    "superblock-hash": Kind(  # not in NetBSD: FreeBSD's check hashes
        "SUPERBLOCK CHECK HASH {got:#x} SHOULD BE {expected:#x}", "FIX", "fs_ckhash is set", True
    ),
    "unknown-flags": Kind("UNKNOWN FLAGS={got:#010x} IN SUPERBLOCK", "CLEAR", "the flags are cleared"),
    "undefined-optimization": Kind(
        "UNDEFINED OPTIMIZATION IN SUPERBLOCK", "SET TO DEFAULT", "fs_optim is set to time"
    ),
    "impossible-minfree": Kind(
        "IMPOSSIBLE MINFREE={got} IN SUPERBLOCK", "SET TO DEFAULT", "fs_minfree is set to 10"
    ),
    "impossible-interleave": _set(
        "IMPOSSIBLE INTERLEAVE={got} IN SUPERBLOCK", "SET TO DEFAULT", "fs_old_interleave"
    ),
    "impossible-npsect": _set("IMPOSSIBLE NPSECT={got} IN SUPERBLOCK", "SET TO DEFAULT", "fs_old_npsect"),
    "incorrect-bmask": _set("INCORRECT BMASK={got:#x} IN SUPERBLOCK", "FIX", "fs_bmask"),
    "incorrect-fmask": _set("INCORRECT FMASK={got:#x} IN SUPERBLOCK", "FIX", "fs_fmask"),
    "incorrect-maxfilesize": _set("INCORRECT MAXFILESIZE={got} IN SUPERBLOCK", "FIX", "fs_maxfilesize"),
    "incorrect-maxsymlinklen": _set("INCORRECT MAXSYMLINKLEN={got} IN SUPERBLOCK", "FIX", "fs_maxsymlinklen"),
    "incorrect-qbmask": _set("INCORRECT QBMASK={got:#x} IN SUPERBLOCK", "FIX", "fs_qbmask"),
    "incorrect-qfmask": _set("INCORRECT QFMASK={got:#x} IN SUPERBLOCK", "FIX", "fs_qfmask"),
    "journal-unreadable": Kind(
        "UNABLE TO READ JOURNAL FOR REPLAY ({got})",
        "CLEAR JOURNAL",
        "the file system is checked as it is, without what the log holds; the log is made anew when needed",
    ),
    # --- 1: blocks and sizes
    "partially-allocated-inode": Kind("PARTIALLY ALLOCATED INODE I={inode}", "CLEAR", _CLEAR_INODE),
    "unknown-file-type": Kind("UNKNOWN FILE TYPE I={inode}", "CLEAR", _CLEAR_INODE),
    "inode-hash": Kind(  # not in NetBSD
        "INODE CHECK HASH {got:#x} SHOULD BE {expected:#x} I={inode}", "FIX", "di_ckhash is set", True
    ),
    "incorrect-block-count": Kind(
        "INCORRECT BLOCK COUNT I={inode} ({got} should be {expected})", "CORRECT", "di_blocks is set", True
    ),
    "partially-truncated-inode": Kind(
        "PARTIALLY TRUNCATED INODE I={inode}", "SALVAGE", "the pointers beyond the end are zeroed", True
    ),
    "bad-block": Kind("{block} BAD I={inode}"),
    "duplicate-block": Kind("{block} DUP I={inode}"),
    "excessive-bad-blocks": Kind("EXCESSIVE BAD BLKS I={inode}"),
    "excessive-duplicate-blocks": Kind("EXCESSIVE DUP BLKS I={inode}"),
    # --- 2: pathnames
    "root-unallocated": Kind("ROOT INODE UNALLOCATED", "ALLOCATE", "an empty root directory is made"),
    "root-bad": Kind("DUPS/BAD IN ROOT INODE", "REALLOCATE", _REALLOCATE),
    "root-not-directory": Kind("ROOT INODE NOT DIRECTORY", "REALLOCATE", _REALLOCATE),
    "directory-too-short": Kind("DIRECTORY TOO SHORT {who}\nDIR={path}\n", "FIX", "di_size is set"),
    "directory-length": Kind(
        "DIRECTORY {path}: LENGTH {got} NOT MULTIPLE OF {expected}", "ADJUST", "di_size is rounded up", True
    ),
    "directory-empty-blocks": Kind(
        "DIRECTORY {path}: CONTAINS EMPTY BLOCKS", "ADJUST LENGTH", "the directory ends at the hole"
    ),
    "directory-corrupted": Kind(
        "DIRECTORY CORRUPTED {who}\nDIR={path}\n", "SALVAGE", "the damaged entries are removed", True
    ),
    "bad-dot": Kind("BAD INODE NUMBER FOR '.' {who}\nDIR={path}\n", "FIX", _ENTRY),
    "bad-dot-type": Kind("BAD TYPE VALUE FOR '.' {who}\nDIR={path}\n", "FIX", _ENTRY),
    "missing-dot": Kind("MISSING '.' {who}\nDIR={path}\n", "FIX", "the entry is made"),
    "missing-dot-occupied": Kind(
        "MISSING '.' {who}\nDIR={path}\nCANNOT FIX, FIRST ENTRY IN DIRECTORY CONTAINS {got}\n"
    ),
    "missing-dot-no-room": Kind(
        "MISSING '.' {who}\nDIR={path}\nCANNOT FIX, INSUFFICIENT SPACE TO ADD '.'\n"
    ),
    "bad-dotdot": Kind("BAD INODE NUMBER FOR '..' {who}\nDIR={path}\n", "FIX", _ENTRY, True),
    "bad-dotdot-type": Kind("BAD TYPE VALUE FOR '..' {who}\nDIR={path}\n", "FIX", _ENTRY),
    "missing-dotdot": Kind("MISSING '..' {who}\nDIR={path}\n", "FIX", "the entry is made"),
    "missing-dotdot-occupied": Kind(
        "MISSING '..' {who}\nDIR={path}\nCANNOT FIX, SECOND ENTRY IN DIRECTORY CONTAINS {got}\n"
    ),
    "missing-dotdot-no-room": Kind(
        "MISSING '..' {who}\nDIR={path}\nCANNOT FIX, INSUFFICIENT SPACE TO ADD '..'\n"
    ),
    "extra-dot": Kind("EXTRA '.' ENTRY {who}\nDIR={path}\n", "FIX", _REMOVE),
    "extra-dotdot": Kind("EXTRA '..' ENTRY {who}\nDIR={path}\n", "FIX", _REMOVE),
    "bad-whiteout": Kind("BAD WHITEOUT ENTRY  I={inode}\nNAME={path}\n", "FIX", "it becomes a whiteout"),
    "unallocated": Kind("UNALLOCATED {who}\nNAME={path}\n", "REMOVE", _REMOVE),
    "bad-file": Kind("DUP/BAD {who}\n{what}={path}\n", "REMOVE", _REMOVE),
    "zero-length-directory": Kind(
        "ZERO LENGTH DIRECTORY {who}\n{what}={path}\n", "REMOVE", _REMOVE, True
    ),
    "directory-hard-link": Kind(
        "{path} IS AN EXTRANEOUS HARD LINK TO DIRECTORY {got}\n", "REMOVE", _REMOVE, True
    ),
    "bad-type": Kind("BAD TYPE VALUE {who}\n{what}={path}\n", "FIX", "d_type is set"),
    # --- 3: connectivity; 4: reference counts
    "unreferenced-directory": Kind("UNREF DIR {who}", "RECONNECT", "it gets a name in lost+found", True),
    "unreferenced-file": Kind("UNREF FILE {who}", "RECONNECT", "it gets a name in lost+found", True),
    "directory-loop": Kind(
        "ORPHANED DIRECTORY LOOP DETECTED I={inode}", "RECONNECT", "the loop is cut and reconnected"
    ),
    "no-lost+found": Kind("NO lost+found DIRECTORY", "CREATE", "it is made in the root directory", True),
    "lost+found-not-directory": Kind("lost+found IS NOT A DIRECTORY", "REALLOCATE", _REALLOCATE),
    "no-space-in-lost+found": Kind("SORRY. NO SPACE IN lost+found DIRECTORY"),
    "cannot-create-lost+found": Kind("SORRY. CANNOT CREATE lost+found DIRECTORY"),
    "unreferenced": Kind("UNREF {what}{who}", "CLEAR", _CLEAR_INODE, True),
    "zero-length": Kind("ZERO LENGTH {what}{who}", "CLEAR", _CLEAR_INODE, True),
    "bad-or-duplicate": Kind("BAD/DUP {what}{who}", "CLEAR", _CLEAR_INODE, True),
    "link-count": Kind(
        "LINK COUNT {what}{who} COUNT {got} SHOULD BE {expected}", "ADJUST", "di_nlink is set", True
    ),
    # --- 5: cylinder groups
    "group-magic": Kind(
        "CG {group}: BAD MAGIC NUMBER", "REBUILD", "the group is built anew from the inodes"
    ),
    "group-hash": Kind(  # not in NetBSD
        "CG {group}: CHECK HASH {got:#x} SHOULD BE {expected:#x}", "FIX", "cg_ckhash is set", True
    ),
    "alternate-superblock": Kind(
        "ALTERNATE SUPERBLK(S) ARE INCORRECT", "SALVAGE", "the copy is written anew", True
    ),
    "free-counts": Kind(
        "FREE BLK COUNT(S) WRONG IN SUPERBLK", "SALVAGE", "the counters are set", True
    ),
    "summary-information": Kind(
        "SUMMARY INFORMATION BAD", "SALVAGE", "the head of the group is written anew", True
    ),
    "bit-maps": Kind("BLK(S) MISSING IN BIT MAPS", "SALVAGE", "the maps are written anew", True),
    # --- 6: quotas
    "quota-inode": Kind("CORRUPTED {what} QUOTA INODE {inode} ({got})"),
    "quota-usage": Kind(
        "{what} QUOTA MISMATCH FOR ID {field}: {got} SHOULD BE {expected}", "FIX", "the usage is set", True
    ),
    # --- the end
    "not-clean": Kind("MARK FILE SYSTEM CLEAN", "MARK FILE SYSTEM CLEAN", "fs_clean is set", True),
}  # fmt: skip
