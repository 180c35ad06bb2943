"""Numbers of extattr(2) and of NetBSD's xattr calls (sys/sys/extattr.h, xattr.h; ufs/ufs/extattr.h)."""

from __future__ import annotations

from typing import Final

EXTATTR_NAMESPACE_USER: Final = 1
EXTATTR_NAMESPACE_SYSTEM: Final = 2

#: what the namespaces are called: in names with a prefix, and below .attribute
EXTATTR_NAMESPACES: Final = {"user": EXTATTR_NAMESPACE_USER, "system": EXTATTR_NAMESPACE_SYSTEM}

#: bytes of a name with its NUL (EXTATTR_MAXNAMELEN, XATTR_NAME_MAX)
EXTATTR_MAXNAMELEN: Final = 255

# commands of extattrctl(2); the last two are UFS's own
EXTATTR_CMD_START: Final = 1
EXTATTR_CMD_STOP: Final = 2
UFS_EXTATTR_CMD_ENABLE: Final = 3
UFS_EXTATTR_CMD_DISABLE: Final = 4

# flags of setxattr
XATTR_CREATE: Final = 1
XATTR_REPLACE: Final = 2
