"""kernfs: what the kernel knows of itself, as files (NetBSD: sys/miscfs/kernfs; mount_kernfs(8)).

Reading order: `values` (what each file says), `vnops`, `vfsops`.
"""
