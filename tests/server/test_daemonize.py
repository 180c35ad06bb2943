"""Detaching: what the process in the foreground ends with, and what the other one keeps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT

PREAMBLE = """
import os, sys
from rumpfs.server.daemonize import daemonize_begin
daemon = daemonize_begin()
"""


def program(tail: str) -> list[str]:
    return [sys.executable, "-c", PREAMBLE + tail]


def run(tail: str, cwd: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"PYTHONPATH": str(PROJECT)}
    return subprocess.run(program(tail), capture_output=True, text=True, cwd=cwd, env=environ, timeout=30)


@pytest.mark.parametrize(("error", "status"), [(0, 0), (2, 2), (48, 48), (256 + 22, 22), (-1, 255)])
def test_the_status_is_what_the_detached_process_says(error: int, status: int) -> None:
    assert run(f"daemon.done({error})").returncode == status


@pytest.mark.parametrize("end", ["os._exit(0)", "os.abort()", "sys.exit(1)", "raise ValueError"])
def test_a_detached_process_that_dies_without_a_word_is_esrch(end: str) -> None:
    assert run(end).returncode == 3


def test_messages_of_the_start_reach_the_caller_and_later_ones_do_not() -> None:
    done = run(
        "print('out before'); print('err before', file=sys.stderr)\n"
        "daemon.done()\n"
        "print('out after', flush=True); print('err after', file=sys.stderr, flush=True)\n"
    )
    assert (done.stdout, done.stderr) == ("out before\n", "err before\n")


def test_a_failure_keeps_standard_output_and_error() -> None:
    done = run("daemon.done(5)\nprint('still heard', file=sys.stderr)\n")
    assert done.returncode == 5
    assert done.stderr == "still heard\n"


def test_the_detached_process_leads_a_session_and_stays_where_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "facts")
    done = run(
        "daemon.done()\n"
        "null = os.stat('/dev/null').st_rdev\n"
        "with open('facts', 'w') as stream:\n"
        "    print(os.getsid(0) == os.getpid(), os.getcwd(), os.umask(0),\n"
        "          [os.fstat(fd).st_rdev == null for fd in (0, 1, 2)], file=stream)\n",
        cwd=tmp_path,
    )
    assert done.returncode == 0
    umask = os.umask(0o022)
    os.umask(umask)
    assert (tmp_path / "facts").read_text() == f"True {tmp_path} {umask} [True, True, True]\n"


def test_a_second_begin_and_a_second_done_are_refused() -> None:
    done = run(
        "import errno\n"
        "try:\n    daemonize_begin()\n"
        "except OSError as error:\n    print(error.errno == errno.EINPROGRESS)\n"
        "sys.stdout.flush()\n"
        "daemon.done(7)\n"
        "try:\n    daemon.done(0)\n"
        "except OSError as error:\n    print(error.errno == errno.ENOENT)\n"
    )
    assert done.returncode == 7
    assert done.stdout == "True\nTrue\n"


def test_it_works_without_standard_descriptors() -> None:
    environ = os.environ | {"PYTHONPATH": str(PROJECT)}
    shell = 'exec "$@" <&- >&- 2>&-'
    done = subprocess.run(["sh", "-c", shell, "sh", *program("daemon.done(9)")], cwd=PROJECT, env=environ)
    assert done.returncode == 9
