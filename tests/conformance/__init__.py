"""NetBSD's test programs as cases of ours: one body each, for every file system, in process and remote."""
