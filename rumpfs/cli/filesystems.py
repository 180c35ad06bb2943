"""How file systems are shown: the JSON of df and mount, and the options of mount(8)."""

from __future__ import annotations

from rumpfs.abi.mount import MNT_LOCAL
from rumpfs.cli.tool import json_name
from rumpfs.client.records import StatvfsResult


def used(vfs: StatvfsResult) -> int:
    """Return the blocks in use."""
    return max(0, vfs.f_blocks - vfs.f_bfree)


def option_names(vfs: StatvfsResult) -> list[str]:
    """Return the mount flags as mount(8) shows them."""
    return [*vfs.options, *(["local"] if vfs.f_flag & MNT_LOCAL else [])]


def record(vfs: StatvfsResult) -> dict[str, object]:
    """Return a file system as JSON has it."""
    return {
        "fstype": vfs.f_fstypename.decode("ascii", "replace"),
        **json_name("source", vfs.f_mntfromname),
        **json_name("mountpoint", vfs.f_mntonname),
        "options": option_names(vfs),
        "block_size": vfs.f_frsize,
        "blocks": vfs.f_blocks,
        "used": used(vfs),
        "free": vfs.f_bfree,
        "available": vfs.f_bavail,
        "files": vfs.f_files,
        "files_free": vfs.f_ffree,
    }
