"""The NetBSD rump kernel's file servers, in Python.

DESIGN in one line per package, top to bottom: `cli` are the commands; `server` and `client` the two
sides of a socket; `kern`, `fs` and `vfs` the kernel; `dev` its block devices; `sysproxy` the wire
protocol; `ondisk` the formats; `base` and `abi` what all of them share.
"""

from __future__ import annotations

__version__ = "0.1.0"
