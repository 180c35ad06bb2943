"""The sysproxy protocol, without I/O: bytes in, events out, bytes out (NetBSD: librumpuser/sp_common.c).

`wire` has the layouts and numbers, `events` what a peer can say, `connection` both ends of a connection,
`url` the grammar of addresses.
"""
