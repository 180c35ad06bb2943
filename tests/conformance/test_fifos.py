"""FIFOs that several processes use at the same time (NetBSD: tests/fs/ffs/t_fifos.c)."""

from __future__ import annotations

from rumpfs.abi.fcntl import O_RDONLY, O_WRONLY
from rumpfs.abi.stat import S_IFIFO, S_IFMT
from tests.conformance.volume import Volume

PROGRAM = "fs/ffs/t_fifos"

TEXTS = {b"pigs": b"said by one\0", b"sheep": b"heard by the other\0"}


def test_fifos(fs: Volume) -> None:
    begin, finish = fs.system.begin, fs.system.finish
    for name in TEXTS:
        fs.call("mkfifo", name, S_IFIFO | 0o777)
        assert fs.stat(name).mode & S_IFMT == S_IFIFO
    # all writers wait for a reader
    writers = {name: fs.process() for name in TEXTS}
    readers = {name: fs.process() for name in TEXTS}
    opening = {name: begin(p, "open", name, O_WRONLY, 0) for name, p in writers.items()}
    reading_fd = {name: p.call("open", name, O_RDONLY, 0) for name, p in readers.items()}
    writing_fd = {name: finish(opening[name]) for name in TEXTS}
    # all readers wait for bytes
    reading = {name: begin(p, "read", reading_fd[name], 32) for name, p in readers.items()}
    for name, p in writers.items():
        assert p.call("write", writing_fd[name], TEXTS[name]) == len(TEXTS[name])
        p.call("close", writing_fd[name])
    for name, p in readers.items():
        assert finish(reading[name]) == TEXTS[name]
        p.call("close", reading_fd[name])
