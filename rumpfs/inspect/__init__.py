"""Studies of images: the files of a file system without a kernel, whole or damaged.

`volume` opens a file system, `walk` goes through all of it at the speed of the disk; the other modules answer
one question each.
"""
