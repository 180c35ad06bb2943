"""The virtual file system: vnodes, mounts, name lookup.

Reading order: `vnode` (what a file system implements), `mount` (file system types and mounts), `namei`
(paths), `namecache`, `vcache` (how many vnodes are kept), `specfs` (devices), `dirent` (readdir), `lockf`
(record locks), `fifofs`, `deadfs`.

Threads and locks: none. A kernel runs in one thread, and no vnode operation sleeps or asks its caller for
anything, so an operation is atomic. What must outlive a call (an open file, a working directory, a mount
point) holds a use count (`vref`, `vrele`); everything else is left to Python.
"""
