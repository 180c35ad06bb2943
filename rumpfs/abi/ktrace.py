"""ktrace(2): operations, facilities and the layout of records (sys/sys/ktrace.h)."""

from __future__ import annotations

import struct
from typing import Final

KTROP_SET: Final = 0
KTROP_CLEAR: Final = 1
KTROP_CLEARFILE: Final = 2
KTROP_MASK: Final = 3
KTRFLAG_DESCEND: Final = 4

KTR_SYSCALL: Final = 1
KTR_SYSRET: Final = 2
KTR_NAMEI: Final = 3
KTR_EMUL: Final = 7
KTR_USER: Final = 8

KTR_USER_MAXIDLEN: Final = 20
KTR_USER_MAXLEN: Final = 2048
#: the version of the records, in the operation
KTRFAC_VER_MASK: Final = 0x0F000000
KTRFAC_VER_SHIFT: Final = 24
KTRFAC_PERSISTENT: Final = 0x80000000

#: struct ktr_header by version: len type version pid comm, time (seconds, fraction) and lwp, which version 0
#: has not; the fraction has microseconds there, and nanoseconds else
KTR_HEADER: Final = {
    0: struct.Struct("<ihhi17s3xi4xqQ"),
    1: struct.Struct("<ihhi17s3xi4xqi4x"),
    2: struct.Struct("<ihhi17s3xqqi4x"),
}
#: struct ktr_syscall: code argsize; the arguments follow
KTR_SYSCALL_HEAD: Final = struct.Struct("<ii")
#: struct ktr_sysret: code eosys error retval retval_1
KTR_SYSRET_RECORD: Final = struct.Struct("<hhiqq")
