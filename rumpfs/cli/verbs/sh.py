"""rumpfs sh."""

from __future__ import annotations

import io
import subprocess
import sys
from argparse import Namespace
from typing import Final

from rumpfs.cli.shell import Leave, Shell
from rumpfs.cli.tool import Parser, Tool

EXAMPLES: Final = """\
  rumpfs sh                                 in the server that RUMP_SERVER names
  rumpfs sh unix://sock:/mnt                in another one, and in its directory /mnt
  rumpfs sh -w disk.img:a                   in an image, which may be changed
  rumpfs sh -c 'cd /mnt; ls -l *.conf'
  rumpfs sh -e < script                     up to the first command that fails

The commands are those of rumpfs, without the word rumpfs, and with paths of the server: ls -l /mnt, cp a b.
get and put copy between server and host, !COMMAND runs a command of the host; help lists them all.
Words are quoted as in sh(1), * ? and [] match names in the server, ; and the line end a command, # begins a
comment. One connection is kept; when the server goes away, the next command connects anew. Lines are kept
in rumpfs/history below XDG_STATE_HOME (~/.local/state). Exit status: that of the last command.
"""


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.add_argument("-c", dest="commands", metavar="COMMANDS", help="do these, and end")
    parser.flag("-e", "stop", "end at the first command that fails")
    parser.flag("-w", "write", "an image is opened for writing")
    parser.add_argument(
        "server", metavar="SERVER", nargs="?", default=":", help="unix://sock, unix://sock:/path, disk.img"
    )


def run(tool: Tool, args: Namespace) -> None:
    """Do the commands that are given, or those of standard input."""
    interactive = args.commands is None and sys.stdin.isatty() and sys.stdout.isatty()
    tool.writes = args.write
    files, path = tool.server(args.server)
    # Commands of the host must not read what are commands for the shell.
    stdin = None if interactive or args.commands is not None else subprocess.DEVNULL
    shell = Shell(files, path or b"/", interactive=interactive, stdin=stdin)
    try:
        if args.commands is not None:
            shell.line(args.commands, args.stop)
        elif interactive:
            _interact(shell, args.stop)
        else:
            _script(shell, args.stop)
        tool.status = shell.status
    except Leave as leave:
        tool.status = leave.status
    finally:
        shell.close()


def _script(shell: Shell, stop: bool) -> None:
    for line in io.TextIOWrapper(sys.stdin.buffer, errors="surrogateescape"):
        shell.line(line, stop)
        if stop and shell.status:
            return


def _interact(shell: Shell, stop: bool) -> None:
    from rumpfs.cli.terminal import Terminal  # scripts need no line editing

    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    terminal = Terminal(shell)
    try:
        while not (stop and shell.status):
            try:
                line = terminal.read()
            except KeyboardInterrupt:
                shell.write("\n")
            except EOFError:
                shell.write("\n")
                return
            else:
                shell.line(line, stop)
    finally:
        terminal.close()
