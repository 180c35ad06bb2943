"""nullfs: a directory shown once more in another place (NetBSD: sys/miscfs/nullfs, genfs/layer_*.c).

Reading order: `vnops` (what passes through), `vfsops`.
"""
