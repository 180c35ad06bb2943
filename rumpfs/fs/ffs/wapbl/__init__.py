"""WAPBL, the log of metadata (NetBSD: ffs_wapbl.c, vfs_wapbl.c).

`replay` is what happens to a log that a crash has left; `position` finds, makes and removes the place of a
log; `log` writes it; `transaction` is what a mounted file system has changed and not yet committed.
"""
