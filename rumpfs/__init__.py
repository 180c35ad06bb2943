"""The NetBSD rump kernel's file servers, in Python.

`open_image` opens the file system in a disk image, and `rumpfs.client.Client` is a process in a rump kernel.

DESIGN in one line per package, top to bottom: `cli` are the commands; `server` and `client` the two
sides of a socket; `kern`, `fs` and `vfs` the kernel; `dev` its block devices; `sysproxy` the wire
protocol; `ondisk` the formats; `inspect` studies of images; `base` and `abi` what all of them share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from rumpfs.inspect.image import open_image

__all__ = ["__version__", "open_image"]


def __getattr__(name: str) -> Any:
    """Import what few programs need when it is asked for (PEP 562)."""
    if name == "open_image":
        from rumpfs.inspect.image import open_image

        return open_image
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
