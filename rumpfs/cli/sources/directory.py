"""A tree from a directory of the host."""

from __future__ import annotations

import os
from stat import S_ISBLK, S_ISCHR, S_ISDIR, S_ISLNK, S_ISREG, S_ISSOCK

from rumpfs.abi.stat import makedev
from rumpfs.fs.ffs.makefs.content import HostContent
from rumpfs.fs.ffs.makefs.node import Node


def from_directory(path: bytes) -> Node:
    """Return the tree of a directory. Sockets are left out, as makefs(8) does it.

    Files with several names in the directory stay one file.

    Raises:
        OSError: what the host says.
    """
    root = host_node(path, os.stat(path))
    links: dict[tuple[int, int], Node] = {}
    stack = [(path, root)]
    while stack:
        where, directory = stack.pop()
        children = directory.children
        assert children is not None
        with os.scandir(where) as entries:
            for entry in entries:
                facts = entry.stat(follow_symlinks=False)
                if S_ISSOCK(facts.st_mode):
                    continue
                several = facts.st_nlink > 1 and not S_ISDIR(facts.st_mode)
                key = (facts.st_dev, facts.st_ino)
                node = links.get(key) if several else None
                if node is None:
                    node = host_node(entry.path, facts)
                    if several:
                        links[key] = node
                children[entry.name] = node
                if node.children is not None:
                    stack.append((entry.path, node))
    return root


def host_node(path: bytes, facts: os.stat_result) -> Node:
    """Return the node of a file of the host; a directory's is empty. Raises: OSError."""
    mode = facts.st_mode
    node = Node(
        mode, facts.st_uid, facts.st_gid, facts.st_mtime_ns, facts.st_atime_ns, facts.st_ctime_ns,
        facts.st_mtime_ns,
    )  # fmt: skip
    if S_ISREG(mode):
        node.content = HostContent(path, facts)
    elif S_ISDIR(mode):
        node.children = {}
    elif S_ISLNK(mode):
        node.target = os.readlink(path)
    elif S_ISCHR(mode) or S_ISBLK(mode):
        node.rdev = makedev(os.major(facts.st_rdev), os.minor(facts.st_rdev))
    return node
