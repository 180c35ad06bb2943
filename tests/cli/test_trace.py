"""`rumpfs trace` and `rump_server --trace`: the calls of commands and clients, and nothing else changed."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rumpfs.client import Client
from rumpfs.sysproxy import wire
from tests.cli.servers import background, foreground, run
from tests.cli.verbs import BIN, PATIENCE, Done, Shell
from tests.serving import serving

#: a line of a call, without its time
CALL = re.compile(r"(?P<who>\S+)\.(?P<lwp>\d+) (?P<call>.* = .*) <\d+\.\d{6}>")


def calls(lines: list[str]) -> list[str]:
    """Return the calls among lines, without process and time."""
    return [match["call"] for line in lines if (match := CALL.fullmatch(line))]


def traced(shell: Shell, *words: str | bytes) -> Done:
    """Run `rumpfs trace` with its output in the file `trace`."""
    return shell.run("trace", "-o", "trace", *words)


def trace_of(shell: Shell) -> list[str]:
    return (shell.cwd / "trace").read_text().splitlines()


@pytest.fixture
def tree(kernel: Client, shell: Shell) -> Shell:
    """A file /t/etc/rc.conf."""
    kernel.mkdir("/t/etc")
    with kernel.open("/t/etc/rc.conf", "wb") as file:
        file.write(b"hostname=puffy\n")
    return shell


# --- what is shown ------------------------------------------------------------------------------------


def test_a_command_goes_on_as_ever_and_its_calls_are_shown(tree: Shell) -> None:
    done = traced(tree, "--", BIN / "rumpfs", "cat", ":/t/etc/rc.conf")
    assert done == Done(0, b"hostname=puffy\n", "")
    lines = trace_of(tree)
    assert lines[:2] == ["c1 +++ connect +++", 'c1 +++ guest "rumpfs" +++']
    assert lines[-1] == "c1 +++ disconnect +++"
    shown = calls(lines)
    assert len(shown) == len(lines) - 3
    assert shown[0].startswith('open("/t/etc/rc.conf", O_RDONLY, ')
    assert re.search(r" = 3$", shown[0])
    assert any('"hostname=puffy\\n", ' in call and call.endswith(" = 15") for call in shown)
    assert shown[-1] == "close(3) = 0"


def test_the_trace_is_written_to_standard_error(tree: Shell) -> None:
    done = tree.run("trace", "--", BIN / "rumpfs", "cat", ":/nope")
    assert (done.status, done.out) == (1, b"")
    (call,) = calls(done.err.splitlines())
    assert call.startswith('open("/nope", ')
    assert call.endswith(" = -1 ENOENT (No such file or directory)")
    assert "rumpfs cat: :/nope: No such file or directory\n" in done.err


def test_every_connection_of_a_command_is_shown(tree: Shell) -> None:
    program = (
        "import os\n"
        "from rumpfs.client import Client\n"
        "with Client(comm='parent') as kernel:\n"
        "    print(kernel.sys.getpid())\n"
        "    fd = kernel.sys.open('/t/etc/rc.conf', 0, 0)\n"
        "    if kernel.fork() == 0:\n"
        "        print(kernel.sys.getpid(), kernel.sys.read(fd, 4), flush=True)\n"
        "        os._exit(0)\n"
        "    os.wait()\n"
        "    kernel.exec('other')\n"
        "    kernel.sys.close(fd)\n"
    )
    done = traced(tree, "--", BIN / "python", "-u", "-c", program)
    assert done.status == 0
    parent, child = done.out.split()[0].decode(), done.out.split()[1].decode()
    lines = trace_of(tree)
    cookie = next(line for line in lines if "+++ prefork " in line).split()[3]
    assert f"c2 +++ fork {cookie}, made on c1 +++" in lines
    assert 'c1 +++ guest "parent" +++' in lines
    assert f"{child} +++ process {child} on c2 +++" in lines
    assert any(line.startswith(f'{child}.1 read(3, "host", 4) = 4 ') for line in lines)
    assert lines.index(f'{parent} +++ exec "other" +++') < next(
        at for at, line in enumerate(lines) if line.startswith(f"{parent}.1 close(3) = 0 ")
    )
    assert {f"{parent} +++ disconnect on c1 +++", f"{child} +++ disconnect on c2 +++"} <= set(lines)


def test_large_files_come_through_unchanged(tree: Shell) -> None:
    content = os.urandom(5_000_001)
    (tree.cwd / "in").write_bytes(content)
    script = "rumpfs cp in :/t/big && rumpfs cp :/t/big out"
    done = traced(tree, "--", "sh", "-c", f"PATH={BIN}:$PATH; {script}")
    assert (done.status, done.err) == (0, "")
    assert (tree.cwd / "out").read_bytes() == content
    sizes = [
        int(match[1]) for call in calls(trace_of(tree)) if (match := re.match(r"write\(.*= (\d+)$", call))
    ]
    assert sum(sizes) == len(content)


def test_only_some_calls(tree: Shell) -> None:
    command = ["--", BIN / "rumpfs", "ls", "-l", ":/t/etc"]
    traced(tree, *command)
    everything = {call.partition("(")[0] for call in calls(trace_of(tree))}
    assert {"open", "__lstat50"} < everything
    traced(tree, "-e", "open,lstat", *command)
    assert {call.partition("(")[0] for call in calls(trace_of(tree))} == {"open", "__lstat50"}
    traced(tree, "-e", "!open,__lstat50", *command)
    assert {call.partition("(")[0] for call in calls(trace_of(tree))} == everything - {"open", "__lstat50"}


def test_more_of_each_buffer(tree: Shell) -> None:
    (tree.cwd / "in").write_bytes(b"x" * 50)
    for option, shown in (
        (("-s", "50"), f'"{"x" * 50}", '),
        (("-s", "0"), '""...(50), '),
        ((), f'"{"x" * 32}"...(50), '),
    ):
        traced(tree, *option, "--", BIN / "rumpfs", "cp", "in", ":/t/x")
        (written,) = (call for call in calls(trace_of(tree)) if call.startswith("write("))
        assert written == f"write(3, {shown}50) = 50"


def test_json(tree: Shell) -> None:
    traced(tree, "--json", "--", BIN / "rumpfs", "cat", ":/t/etc/rc.conf", ":/nope")
    first, *records = map(json.loads, trace_of(tree))
    assert first == {"schema_version": 1, "event": "trace"}
    assert [record["event"] for record in (*records[:2], records[-1])] == ["connect", "guest", "disconnect"]
    opened, failed = (record for record in records if record.get("call") == "open")
    assert opened["args"] | {"mode": ""} == {"path": "/t/etc/rc.conf", "flags": "O_RDONLY", "mode": ""}
    assert (opened["result"], opened["error"], opened["lwp"], opened["connection"]) == (3, None, 1, 1)
    assert (failed["result"], failed["error"]) == (None, "ENOENT")
    assert any(
        record["args"].get("buf") == {"text": "hostname=puffy\n", "length": 15}
        for record in records
        if record["event"] == "call"
    )
    documented = tree.ok("help", "json").out.decode()
    for record in records:
        assert all(member in documented for member in record)


def test_counts(tree: Shell) -> None:
    done = traced(tree, "-c", "--", BIN / "rumpfs", "cat", ":/t/etc/rc.conf", ":/nope", ":/none")
    assert done.out == b"hostname=puffy\n"
    head, *rows = trace_of(tree)
    assert head.split() == ["calls", "errors", "seconds", "usecs/call", "call"]
    table = {row.split()[-1]: row.split()[:-1] for row in rows}
    assert table["open"][:2] == ["3", "2"]
    assert table["close"][0] == "1"
    assert int(table["total"][0]) == sum(int(count[0]) for name, count in table.items() if name != "total")
    traced(tree, "-c", "--json", "--", BIN / "rumpfs", "cat", ":/nope")
    (document,) = map(json.loads, trace_of(tree))
    (row,) = document["calls"]
    assert (document["schema_version"], row["call"], row["calls"], row["errors"]) == (1, "open", 1, 1)


def test_what_a_command_did_not_get_an_answer_to(tree: Shell) -> None:
    program = (
        "import os, signal, threading\n"
        "from rumpfs.client import Client\n"
        "kernel = Client()\n"
        "reader, writer = kernel.sys.pipe()\n"
        "threading.Thread(target=kernel.sys.read, args=(reader, 1), daemon=True).start()\n"
        "while Client().sys.getpid() and kernel.sys.fcntl(reader, 1, 0) != 0: pass\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = traced(tree, "--", BIN / "python", "-c", program)
    assert done.status == 128 + signal.SIGKILL
    assert any(re.match(r"read\(3, 0x[0-9a-f]+, 1\) = \?", call) for call in calls(trace_of(tree)))


# --- the command ------------------------------------------------------------------------------------


def test_the_exit_status_is_the_commands(shell: Shell) -> None:
    assert traced(shell, "--", "sh", "-c", "exit 7") == Done(7, b"", "")
    assert traced(shell, "--", "sh", "-c", "kill -TERM $$").status == 128 + signal.SIGTERM
    done = traced(shell, "--", "no-such-command")
    assert done == Done(127, b"", "rumpfs trace: no-such-command: No such file or directory\n")
    (shell.cwd / "data").touch(0o644)
    assert traced(shell, "--", "./data") == Done(126, b"", "rumpfs trace: ./data: Permission denied\n")


def test_the_words_of_the_command_are_its_own(shell: Shell) -> None:
    done = traced(shell, "--", "printf", "%s,", "-o", "--", "-c", "--json")
    assert done == Done(0, b"-o,--,-c,--json,", "")


def test_where_the_command_finds_the_server(shell: Shell, url: str) -> None:
    """The socket is this user's only and goes with the command; what librumpclient puts first is gone."""
    del shell.environ["RUMP_SERVER"]
    shell.environ |= {"RUMP__PARSEDSERVER": "unix://elsewhere", "XDG_RUNTIME_DIR": str(shell.cwd)}
    script = 'echo "$RUMP_SERVER" "$RUMP__PARSEDSERVER"; stat -c %a $(dirname ${RUMP_SERVER#unix://})'
    done = traced(shell, url, "--", "sh", "-c", script)
    where, mode = done.lines
    assert where.startswith(f"unix://{shell.cwd}/rumpfs-")
    assert mode == "700"
    assert not Path(where.strip().removeprefix("unix://")).parent.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "which command is to be traced?"),
        (["unix://sock"], "which command is to be traced?"),
        (["unix://sock", "--"], "which command is to be traced?"),
        (["ls", "--", "ls"], "rump_sp: invalid locator ``ls''"),
        (["-e", "opne", "--", "ls"], "NetBSD has no system call 'opne'; did you mean open?"),
        (["-s", "x", "--", "ls"], "'x' is not a number"),
        (["unix://a", "unix://b", "--", "ls"], "unrecognized arguments: unix://b"),
    ],
)
def test_wrong_command_lines(shell: Shell, words: list[str], said: str) -> None:
    done = shell.run("trace", *words)
    assert (done.status, done.out) == (2, b"")
    assert said in done.err


def test_a_file_that_cannot_be_made(shell: Shell) -> None:
    said = shell.fails("trace", "-o", "none/trace", "--", "echo", "ran")
    assert said == "rumpfs trace: none/trace: No such file or directory\n"


def test_a_full_disk_ends_the_trace_and_not_the_command(tree: Shell) -> None:
    done = tree.run("trace", "-o", "/dev/full", "--", BIN / "rumpfs", "cat", ":/t/etc/rc.conf")
    assert (done.status, done.out) == (0, b"hostname=puffy\n")
    assert done.err == "/dev/full: No space left on device: nothing more is written there\n"


def test_a_key_that_interrupts_is_the_commands(shell: Shell) -> None:
    script = 'trap "echo caught; exit 5" INT; echo ready; while :; do read line; done'
    process = subprocess.Popen(
        [BIN / "rumpfs", "trace", "-o", "trace", "--", "sh", "-c", script],
        cwd=shell.cwd, env=shell.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (5, b"caught\n")


# --- what is no rump kernel, or no client -------------------------------------------------------------


@contextmanager
def serving_by_hand(path: Path, talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """Listen: the first client only looks whether somebody is there, with the second one `talk` is called."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(PATIENCE)

        def serve() -> None:
            listener.accept()[0].close()
            client, _ = listener.accept()
            with client:
                client.settimeout(PATIENCE)
                talk(client)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"unix://{path}"
        thread.join()


def read_all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))


def test_a_foreign_server_is_passed_on(tmp_path: Path) -> None:
    """The client says what it says without us; the trace says once that it has given up."""
    shell = Shell(None, tmp_path)
    with serving_by_hand(tmp_path / "imap", lambda sock: sock.sendall(b"* OK IMAP4 ready\r\n")) as where:
        done = traced(shell, where, "--", BIN / "rumpfs", "ls", ":/")
    assert done.status == 1
    assert done.err.endswith("something answers there that is not a rump kernel: b'* OK IMAP4 ready\\r\\n'\n")
    _, stopped, _ = trace_of(shell)
    assert stopped.startswith("c1 +++ tracing of c1 stopped: a server begins with RUMPSP-, not b'* OK IMAP4")


def test_a_foreign_client_is_passed_on(tmp_path: Path) -> None:
    """Every byte goes both ways, the end of each direction as well."""
    sent = b"GET / HTTP/1.1\r\n\r\n" + os.urandom(3_000_000)
    (tmp_path / "sent").write_bytes(sent)
    answer = os.urandom(3_000_000)
    heard = []
    program = (
        "import os, socket, sys\n"
        "sock = socket.socket(socket.AF_UNIX)\n"
        "sock.connect(os.environ['RUMP_SERVER'].removeprefix('unix://'))\n"
        "sock.sendall(open('sent', 'rb').read())\n"
        "sock.shutdown(socket.SHUT_WR)\n"
        "while data := sock.recv(1 << 20): sys.stdout.buffer.write(data)\n"
    )

    def talk(sock: socket.socket) -> None:
        sock.sendall(wire.BANNER)
        heard.append(read_all(sock))
        sock.sendall(answer)

    shell = Shell(None, tmp_path)
    with serving_by_hand(tmp_path / "http", talk) as where:
        done = traced(shell, where, "--", BIN / "python", "-c", program)
    assert (done.status, done.err) == (0, "")
    assert done.out == wire.BANNER + answer
    assert heard == [sent]
    lines = trace_of(shell)
    assert lines[0] == "c1 +++ connect +++"
    assert lines[1].startswith("c1 +++ tracing of c1 stopped: a frame of ")
    assert lines[2:] == ["c1 +++ disconnect +++"]


def test_a_server_that_goes_away(tmp_path: Path) -> None:
    """The call has no answer; the client is told of the end as without a relay."""

    def talk(sock: socket.socket) -> None:
        sock.sendall(wire.BANNER)
        sock.recv(65536)
        sock.sendall(wire.handshake_resp(1))
        sock.recv(65536)

    shell = Shell(None, tmp_path)
    with serving_by_hand(tmp_path / "leaves", talk) as where:
        done = traced(shell, where, "--", BIN / "rumpfs", "ls", ":/a")
    assert done.status == 1
    assert done.err.endswith(": the server closed the connection\n")
    (call,) = calls(trace_of(shell))
    assert re.fullmatch(r"__(l)?stat50\(.*\) = \?", call)


# --- rump_server --trace -----------------------------------------------------------------------------


def test_a_server_traces_all_its_clients(tmp_path: Path) -> None:
    """With processes from the beginning; the file is the owner's, and relative to where the server began."""
    with background(tmp_path, "rump_allserver", "--trace", "calls", f"unix://{tmp_path}/sock"):
        shell = Shell(f"unix://{tmp_path}/sock", tmp_path)
        shell.ok("mkdir", ":/a")
        shell.fails("cat", ":/nope")
        lines = (tmp_path / "calls").read_text().splitlines()
    assert (tmp_path / "calls").stat().st_mode & 0o777 == 0o600
    shown = {line for line in lines if "sock" not in line}
    first, second = (line.split()[0] for line in lines if "+++ guest" in line)
    assert int(second) > int(first) > 1
    assert any(line.startswith(f'{first}.1 mkdir("/a", 0777) = 0 ') for line in shown)
    assert any(
        line.startswith(f'{second}.1 open("/nope", O_RDONLY, ') and " = -1 ENOENT (" in line for line in shown
    )


def test_a_servers_trace_equals_that_of_a_relay(tree: Shell, tmp_path: Path) -> None:
    with serving(tmp_path, "--trace", f"{tmp_path}/calls") as served:
        shell = Shell(served.url, tmp_path)
        traced(shell, "-e", "!getpid", "--", BIN / "rumpfs", "ls", "-lR", ":/")
        inside = (tmp_path / "calls").read_text().splitlines()
    there, here = calls(inside), calls(trace_of(shell))
    assert len(here) > 5
    assert there == here


def test_several_clients_and_calls_at_once(tmp_path: Path) -> None:
    """Each call is whole in a line of its own, and reads what its own process did."""
    with serving(tmp_path, "--trace", f"{tmp_path}/calls") as served:
        clients = [Client(served.url, f"number{index}") for index in range(8)]
        pids = [client.sys.getpid() for client in clients]

        def work(client: Client, pid: int) -> None:
            for turn in range(20):
                client.sys.umask(pid & 0o77)
                client.exists(f"/{pid}/{turn}")

        threads = [threading.Thread(target=work, args=pair) for pair in zip(clients, pids, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for client in clients:
            client.close()
    lines = (tmp_path / "calls").read_text().splitlines()
    for pid in pids:
        own = [line for line in lines if line.startswith(f"{pid}.1 ")]
        looked = [line for line in own if "__lstat50" in line]
        assert len(looked) == 20
        assert all(f'"/{pid}/{turn}"' in line for turn, line in enumerate(looked))


def test_a_trace_on_standard_error(tmp_path: Path) -> None:
    with foreground(tmp_path, "rump_allserver", "--trace", "-", f"unix://{tmp_path}/sock") as process:
        Shell(f"unix://{tmp_path}/sock", tmp_path).ok("mkdir", ":/a")
        process.terminate()
        _, said = process.communicate(timeout=PATIENCE)
    assert any(' mkdir("/a", 0777) = 0 <' in line for line in said.splitlines())


def test_a_full_disk_ends_the_trace_and_not_the_server(tmp_path: Path) -> None:
    with foreground(tmp_path, "rump_allserver", "--trace=/dev/full", f"unix://{tmp_path}/sock") as process:
        shell = Shell(f"unix://{tmp_path}/sock", tmp_path)
        shell.ok("mkdir", ":/a")
        shell.ok("ls", ":/")
        process.terminate()
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert (
        said == "rump_allserver: WARNING: /dev/full: No space left on device: nothing more is written there\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--trace", "none/calls", "unix://sock"],
            "rump_server: --trace none/calls: No such file or directory\n",
        ),
        (["--trace"], "rump_server: option '--trace' requires an argument\n"),
    ],
)
def test_a_trace_that_cannot_begin(tmp_path: Path, words: list[str], said: str) -> None:
    done = run(tmp_path, "rump_server", *words)
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert not (tmp_path / "sock").exists()
