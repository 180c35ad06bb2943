"""The socket face of a kernel: listeners and sessions on trio.

A session is one task on a raw non-blocking socket. It never waits for a call: a call that has to wait is a
suspended generator (`calls.Pending`) that goes on when its answer, its event or its deadline comes.
"""
