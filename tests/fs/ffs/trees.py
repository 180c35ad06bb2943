"""A file system in an image, compared with a tree of the host."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from rumpfs.abi.stat import makedev
from rumpfs.fs.ffs.ufsmount import FfsMount
from rumpfs.vfs.vnode import NODEV, VDIR, VLNK, VREG, Vnode
from tests.fs.ffs.harness import content, walk


def _expected(tree: Path) -> dict[bytes, Any]:
    """Describe a tree of the host as `_found` describes an image."""
    facts = {}
    for directory, directories, files in os.walk(os.fsencode(tree)):
        for name in directories + files:
            path = os.path.join(directory, name)
            facts[path[len(os.fsencode(tree)) :]] = _host_facts(path)
    return facts


def _host_facts(path: bytes) -> tuple[Any, ...]:
    st = os.lstat(path)
    rdev = makedev(os.major(st.st_rdev), os.minor(st.st_rdev))
    special = stat.S_ISBLK(st.st_mode) or stat.S_ISCHR(st.st_mode)
    data = None
    if stat.S_ISREG(st.st_mode):
        data = Path(os.fsdecode(path)).read_bytes()
    elif stat.S_ISLNK(st.st_mode):
        data = os.readlink(path)
    size = 0 if stat.S_ISDIR(st.st_mode) else st.st_size
    times = (int(st.st_mtime), int(st.st_ctime))
    return st.st_mode, st.st_uid, st.st_gid, st.st_nlink, size, times, rdev if special else NODEV, data


def _facts(vp: Vnode) -> tuple[Any, ...]:
    va = vp.getattr()
    data = None
    if vp.v_type == VREG:
        data = b"".join(content(vp))
    elif vp.v_type == VLNK:
        data = vp.readlink()
    size = 0 if vp.v_type == VDIR else va.size
    return va.mode, va.uid, va.gid, va.nlink, size, (va.mtime, va.ctime), va.rdev, data


def compare(mp: FfsMount, tree: Path) -> int:
    """Compare what is mounted with a tree of the host, name by name; return how many there are."""
    expected = _expected(tree)
    found = {path: _facts(vp) for path, vp in walk(mp.mnt_root)}
    assert found.keys() == expected.keys()
    for path, facts in found.items():
        assert facts == expected[path], path
    return len(found)
