"""What the security model adds to BSD's rules (NetBSD: secmodel_extensions.c, secmodel_extensions(9))."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rumpfs.abi import errno
from rumpfs.abi.sysctl import (
    CREATE_BASE,
    CTL_SECURITY,
    CTLFLAG_PERMANENT,
    CTLFLAG_READWRITE,
    CTLTYPE_INT,
    CTLTYPE_NODE,
    CTLTYPE_STRING,
)
from rumpfs.base.errors import VfsError
from rumpfs.kern.sysctl import Row, Value
from rumpfs.vfs.cred import Cred
from rumpfs.vfs.vnode import Vnode

if TYPE_CHECKING:
    from rumpfs.kern.proc import Proc

_MODELS: Final = (CTL_SECURITY, CREATE_BASE)
_EXTENSIONS: Final = (*_MODELS, CREATE_BASE)
_NODE: Final = CTLTYPE_NODE | CTLFLAG_PERMANENT
_SWITCH: Final = CTLTYPE_INT | CTLFLAG_PERMANENT | CTLFLAG_READWRITE


class Extensions:
    """The extensions of one kernel, all off at first.

    Attributes:
        hardlink_check_uid: users may link only to files of their own.
        hardlink_check_gid: users may link only to files of their groups.
    """

    def __init__(self) -> None:
        self.hardlink_check_uid = 0
        self.hardlink_check_gid = 0

    def rows(self) -> tuple[Row, ...]:
        """Return the sysctl nodes security.models.extensions.*, which turn them on and off."""
        name = CTLTYPE_STRING | CTLFLAG_PERMANENT
        return (
            Row(_MODELS, b"models", _NODE, b"Models of security"),
            Row(_EXTENSIONS, b"extensions", _NODE, b"What is added to the traditional model"),
            Row((*_EXTENSIONS, CREATE_BASE), b"name", name, b"Name of the model", b"Extensions"),
            self._row(1, "hardlink_check_uid", b"Whether users may link only to files that they own"),
            self._row(2, "hardlink_check_gid", b"Whether users may link only to files of their groups"),
        )

    def _row(self, number: int, attribute: str, desc: bytes) -> Row:
        def get(_: Proc) -> Value:
            return int(getattr(self, attribute))

        def put(_: Proc, value: Value) -> None:
            setattr(self, attribute, value)

        mib = (*_EXTENSIONS, CREATE_BASE + number)
        return Row(mib, attribute.encode(), _SWITCH, desc, get, set=put)

    def check_link(self, cred: Cred, vp: Vnode) -> None:
        """Check whether a further name of a file may be made (KAUTH_VNODE_ADD_LINK).

        Errors:
            EPERM: somebody else owns it, or it is of another group.
        """
        if cred.euid == 0 or not (self.hardlink_check_uid or self.hardlink_check_gid):
            return
        va = vp.getattr()
        if self.hardlink_check_uid and va.uid != cred.euid:
            raise VfsError(errno.EPERM)
        if self.hardlink_check_gid and not cred.ingroup(va.gid):
            raise VfsError(errno.EPERM)
