"""The kernel: processes, descriptors and the bodies of the system calls, bound to the table in `rumpfs.abi`.

Reading order: `kernel`, `syscall` (dispatch), `proc`, `descrip`, then the bodies by topic (`sys_*.py`).
A body is a plain function of its arguments, or a generator that asks for more (see `rumpfs.base.copy`).
"""
