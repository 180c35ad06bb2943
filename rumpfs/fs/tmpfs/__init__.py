"""tmpfs: a file system in memory (NetBSD: sys/fs/tmpfs).

Reading order: `vfsops` (mounting, limits), `node` (attributes), `vnops` (files), `directory`.
"""
