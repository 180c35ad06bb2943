"""The Berkeley fast file system, FFS: UFS1 and UFS2 of either byte order, old formats included.

Reading order: `vfsops` (mounting), `ufsmount` (a mounted file system and its vnodes), `inode`, `bmap` (where
the blocks of a file are), `readwrite`, `lookup` and `bigdir` (directories), `vnops` (the kinds of vnodes),
`extattr`, `quota`, `cache`.
Formats are in `rumpfs.ondisk.ufs`; nothing here knows an offset in a structure.
"""
