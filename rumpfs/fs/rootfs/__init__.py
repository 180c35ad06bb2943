"""The root file system of every kernel that has a vfs (NetBSD: rumpfs.c, which calls its type "rumpfs").

It holds what a server needs before anything is mounted: ``/dev``, ``/tmp``, mount points, and the etfs keys.
"""
