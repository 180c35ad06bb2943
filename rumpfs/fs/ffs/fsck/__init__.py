"""Checking and repairing an FFS, as fsck_ffs(8) does it.

Reading order: `kinds` (what can be wrong), `finding` (one case of it, and who decides), `run` and
`checker` (a check as a whole), `sblock` (the superblock and the log), then the passes: `pass1` (blocks and
sizes) with `claim`, `pass2` (pathnames) with `directory` and `entries`, `pass3` (connectivity), `pass4`
(reference counts), `pass5` (cylinder groups) with `rebuild`, `pass6` (quotas). `lostfound` and `alloc`
reconnect what has no name; `disk` keeps what is to be written until all is decided.

It knows the formats (`rumpfs.ondisk.ufs`) and nothing of the code that mounts and writes file systems, so
that each can judge the other.
"""
