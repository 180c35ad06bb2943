"""The FUSE face: a kernel's files as a file system of the host.

Reading order: `tree` (what can be mounted), `kernel_tree` (a kernel in this process), `nodes` (what the host
knows), `operations` (FUSE's requests), `handlers` and `loop` (how pyfuse3 calls them), `invalidate` (telling
the host what has changed), `face` (mounting and serving).
"""
