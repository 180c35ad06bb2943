"""The Berkeley fast file system, FFS: UFS1 and UFS2 of either byte order, old formats included.

Reading order: `vfsops` (mounting), `ufsmount` (a mounted file system and its vnodes), `inode` and
`inodetable`, `bmap` (where the blocks of a file are), `readwrite`, `lookup` and `bigdir` (directories read),
`directory`, `vnops` (the kinds of vnodes), `extattr`, `quota`, `cache`. What writes: `writing` (the mount),
`alloc` and `cylgroup` (groups), `balloc` (files that grow), `truncate` (files that shrink), `rename`.

How it is written. Content goes to the host at once, in runs of contiguous blocks. Metadata goes through the
buffer cache (`dev.buf`), now (`bwrite`) or with the next sync, fsync or unmount (`bdwrite`). What is written
now is so in an order that lets fsck_ffs -p repair what a cut at any point leaves: an inode, with a number of
links that is never too small, before the entry that names it; the entry is gone before its inode is; content
and new indirect blocks before the pointers to them; pointers are gone before what they named is free for
others. Later come maps and counters, which fsck_ffs counts anew, times, and sizes that grow.
A host that loses its power keeps that order only if it is waited for: `bwrite` begins with a barrier when
anything was written since the last one; `bawrite` is for what needs nothing before it (a new inode, one link
more, an entry that goes). Frags that were given back are not used again before a barrier (`Alloc.free`).
MNT_ASYNC does without barriers: fsck_ffs -p repairs what is left when only this process dies.
Each operation starts with `Writing.begin`; between two of them the file system is whole, so that is where a
transaction can end.

Formats are in `rumpfs.ondisk.ufs`; nothing here knows an offset in a structure.
"""
