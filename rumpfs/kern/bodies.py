"""The table of system calls with all its bodies: importing this enters them (NetBSD: init_sysent.c)."""

from __future__ import annotations

from rumpfs.kern import (  # noqa: F401 - each enters its bodies when it is imported
    sys_attr,
    sys_cred,
    sys_descrip,
    sys_event,
    sys_extattr,
    sys_fhandle,
    sys_generic,
    sys_ktrace,
    sys_lock,
    sys_modctl,
    sys_mount,
    sys_names,
    sys_open,
    sys_process,
    sys_quota,
    sys_resource,
    sys_revoke,
    sys_select,
    sys_socket,
    sys_storage,
    sys_sysctl,
    sys_time,
    sys_timer,
    sys_xattr,
)
from rumpfs.kern.syscall import body_of, sysent

__all__ = ["body_of", "sysent"]
