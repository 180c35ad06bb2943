"""Mounted file systems, described as the manifests of the NetBSD images describe them."""

from __future__ import annotations

import os
from typing import Any

from rumpfs.abi.stat import major, minor
from rumpfs.fs.ffs.ufsmount import FfsMount
from rumpfs.vfs.vnode import VBLK, VCHR, VLNK, VREG, Vnode
from tests.fs.ffs.harness import TYPE_NAMES, sha256, walk


def describe(path: bytes, vp: Vnode) -> dict[str, Any]:
    """Return an entry: what the kernel's stat, read and readlink say."""
    va = vp.getattr()
    facts: dict[str, Any] = {
        "path": os.fsdecode(path), "type": TYPE_NAMES[vp.v_type], "mode": f"{va.mode & 0o7777:04o}",
        "uid": va.uid, "gid": va.gid, "nlink": va.nlink, "size": va.size, "mtime": va.mtime,
        "mtime_nsec": va.mtimensec, "ino": va.fileid, "blocks": va.blocks,
    }  # fmt: skip
    if va.birthtime:
        facts["birthtime"] = va.birthtime
    if va.flags:
        facts["flags"] = va.flags
    if vp.v_type == VREG:
        facts["sha256"] = sha256(vp)
    elif vp.v_type == VLNK:
        facts["target"] = os.fsdecode(vp.readlink())
    elif vp.v_type in (VBLK, VCHR):
        facts |= {"rdev": va.rdev, "major": major(va.rdev), "minor": minor(va.rdev)}
    return facts


def tree(mp: FfsMount) -> list[dict[str, Any]]:
    """Return the entries of a file system, root first, a directory before its contents."""
    return [describe(path, vp) for path, vp in [(b"/", mp.mnt_root), *walk(mp.mnt_root)]]
