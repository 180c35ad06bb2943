"""rump_server(1) and rump_allserver(1): a rump kernel as a process (NetBSD: usr.bin/rump_allserver).

The order of what is done, the messages and the exit statuses are those of the C program: options, libraries,
detaching, kernel, modules, drives, the url; then the process in the foreground is let go.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import rumpfs
from rumpfs.abi import errno
from rumpfs.base.component import Component
from rumpfs.base.linefile import LineFile
from rumpfs.base.registry import LoadError, installed, solve
from rumpfs.cli.hostmounts import HostMountError
from rumpfs.cli.options import USAGE, Options, UsageError, help_text, parse

if TYPE_CHECKING:
    from rumpfs.cli.mounting import ServerFace
    from rumpfs.server.server import Server

_END_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main() -> int:
    """Run rump_server: the components that -l names."""
    return run("rump_server", sys.argv[1:], everything=False)


def main_all() -> int:
    """Run rump_allserver: every installed component."""
    return run("rump_allserver", sys.argv[1:], everything=True)


def run(prog: str, args: Sequence[str], everything: bool) -> int:
    """Run the program and return its exit status.

    Args:
        prog: its name, for messages.
        everything: whether it has every installed component.
    """
    _open_stdio()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback for a start that is interrupted
    try:
        options = parse(prog, args)
    except UsageError as error:
        _complain(error.message, USAGE.format(prog=prog) if error.usage else "")
        return 1
    if options.show is not None:
        return _show(prog, options.show, everything)
    logging.basicConfig(format=f"{prog}: %(levelname)s: %(message)s")
    gc.disable()  # what is loaded and booted stays, so looking for garbage in it only takes time
    try:
        names = [*(installed() if everything else ()), *options.libraries]
        components = solve(names, bind_now=bool(os.environ.get("LD_BIND_NOW")))
    except LoadError as error:
        _complain(f'failed to load -libraries, last error from "{error.name}":', f"  {error.reason}")
        return 1
    try:
        # Before the process detaches: where it may not, the user sees it.
        if options.fuse is not None:
            options.fuse = _prepare_mount(*options.fuse)
        trace = None if options.trace is None else LineFile.create(options.trace)
    except OSError as error:
        _complain(f"{prog}: --trace {options.trace}: {error.strerror}")
        return 1
    except HostMountError as error:
        _complain(f"{prog}: --fuse: {error}")
        return 1
    return _serve(options, components, trace)


def _serve(options: Options, components: Sequence[Component], trace: LineFile | None) -> int:
    """Detach, start, let the caller go, and serve until the kernel is halted."""
    # Not at the top: what is answered above does without a server, and sooner.
    import trio

    from rumpfs.cli.boot import StartError
    from rumpfs.server import notify
    from rumpfs.server.daemonize import daemonize_begin
    from rumpfs.server.settle import settle

    daemon = None
    if not options.foreground:
        try:
            daemon = daemonize_begin()
        except OSError as error:
            _complain(f"rump daemonize: {error.strerror}")
            return 1
    face = None
    try:
        server = _start(options, components, trace)
        if options.fuse is not None:
            face = _mount(server, *options.fuse)
    except StartError as error:
        _complain(str(error))
        if daemon is not None:
            daemon.done(error.status)
        return 1
    notify.ready(f"serving {options.url}")
    if daemon is not None:
        daemon.done()
    settle()
    gc.enable()
    trio.run(_run, server, face)
    return 0


def _start(options: Options, components: Sequence[Component], trace: LineFile | None) -> Server:
    """Return a server that listens, of a booted kernel. Errors: StartError."""
    from rumpfs.cli.boot import StartError, boot
    from rumpfs.kern.msgbuf import MsgbufHandler
    from rumpfs.server.server import Server
    from rumpfs.sysproxy.url import UrlError

    kernel = boot(options, components)
    # In the background nobody sees what is logged from now on; clients can ask for the message buffer.
    logging.getLogger().addHandler(MsgbufHandler(kernel.msgbuf))
    # Once the socket is there, a signal means an orderly halt: it waits until there is a handler.
    signal.pthread_sigmask(signal.SIG_BLOCK, _END_SIGNALS)
    if trace is None:
        server = Server(kernel, options.url)
    else:
        from rumpfs.server.trace import traced

        server = Server(kernel, options.url, traced(trace))
    try:
        server.bind()
    except UrlError as error:
        _complain(error.text)
        raise StartError("rump server init failed", error.errno) from error
    kernel.print_verbose(f"listening on {options.url}")
    return server


def _prepare_mount(mountpoint: str, path: str) -> tuple[str, str]:
    """Check where to mount on the host; return that as an absolute path. Errors: HostMountError."""
    from rumpfs.cli.mounting import prepare

    return prepare(mountpoint, force=False), path


def _mount(server: Server, mountpoint: str, path: str) -> ServerFace:
    """Mount the files of the server's kernel on the host. Errors: StartError."""
    from rumpfs.cli.boot import StartError
    from rumpfs.cli.mounting import ServerFace

    try:
        return ServerFace(server, mountpoint, os.fsencode(path))
    except HostMountError as error:
        server.fini()
        _complain(str(error))
        raise StartError("mounting on the host failed", errno.EIO, status=1) from error


async def _run(server: Server, face: ServerFace | None) -> None:
    """Serve, with the signals let through as soon as the server has its handlers."""
    import trio

    async def unblock() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _END_SIGNALS)

    async with trio.open_nursery() as nursery:
        # It runs when server.run waits for the first time.
        nursery.start_soon(unblock)
        if face is not None:
            nursery.start_soon(face.run)
        await server.run()
        nursery.cancel_scope.cancel()


def _show(prog: str, what: str, everything: bool) -> int:
    """Answer --help, --version or --print-module-dir."""
    if what == "help":
        print(help_text(prog, everything), end="")
    elif what == "version":
        print(f"{prog} (rumpfs) {rumpfs.__version__}, Python {sys.version.split()[0]}")
    else:
        from rumpfs.kern.module_vfs import MODULE_DIR

        print(MODULE_DIR)
    return 0


def _complain(*lines: str) -> None:
    for line in filter(None, lines):
        print(line, file=sys.stderr)


def _open_stdio() -> None:
    """Put /dev/null where the caller closed a standard descriptor: no image may get its number."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


if __name__ == "__main__":
    sys.exit(main())
