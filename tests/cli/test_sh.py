"""`rumpfs sh`: commands, patterns, the terminal, and a server that comes and goes."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rumpfs.cli.rumpfs import VERBS
from rumpfs.cli.shell import BUILTINS
from rumpfs.cli.shwords import quote
from rumpfs.client import Client
from tests.cli.test_shwords import STRANGE
from tests.cli.verbs import BIN, PATIENCE, Done, Shell
from tests.serving import serving


def sh(shell: Shell, commands: str, *words: str) -> Done:
    """Run `rumpfs sh -c`."""
    return shell.run("sh", *words, "-c", commands)


def script(shell: Shell, text: bytes, *words: str) -> Done:
    """Run `rumpfs sh` with commands on standard input."""
    done = subprocess.run(
        [BIN / "rumpfs", "sh", *words],
        cwd=shell.cwd, env=shell.environ, input=text, capture_output=True, timeout=PATIENCE,
    )  # fmt: skip
    err = os.fsdecode(done.stderr)
    assert "Traceback" not in err, err
    return Done(done.returncode, done.stdout, err)


@pytest.fixture
def tree(kernel: Client, shell: Shell) -> Shell:
    """/t with files a.c b.c c.h .hidden and the directory d with one.c two.h."""
    kernel.mkdir("/t/d")
    for name in ("a.c", "b.c", "c.h", ".hidden", "d/one.c", "d/two.h"):
        with kernel.open(f"/t/{name}", "wb") as file:
            file.write(name.encode() + b"\n")
    return shell


# --- commands ---------------------------------------------------------------------------------------


def test_the_verbs_work_in_the_working_directory(tree: Shell) -> None:
    done = sh(tree, "pwd; cd t; pwd; ls; ls -a d; cat d/one.c; mkdir n; mv a.c n; ls n; rm -r n; ls; cd; pwd")
    assert (done.status, done.err) == (0, "")
    assert done.lines == [
        "/", "/t", "a.c", "b.c", "c.h", "d", ".", "..", "one.c", "two.h", "d/one.c", "a.c",
        "b.c", "c.h", "d", "/",
    ]  # fmt: skip


def test_every_verb_is_a_command(tree: Shell) -> None:
    listed = sh(tree, "help").lines
    for name in (set(VERBS) | set(BUILTINS)) - {"sh"}:
        assert any(line.startswith(name) for line in listed), name
    verbs = sorted(set(VERBS) - {"sh"})
    done = sh(tree, "; ".join(f"help {verb}" for verb in verbs))
    usages = [line.split()[1] for line in done.lines if line.startswith("usage: ")]
    assert (usages, done.err) == (verbs, "")
    assert sh(tree, "ls --help").out == sh(tree, "help ls").out


def test_paths_show_as_they_were_typed(tree: Shell) -> None:
    done = sh(tree, "cd t/d; ls -d ../a.c one.c ../../t /t; cat nope ../none :/t/none")
    assert done.lines == ["../../t", "../a.c", "/t", "one.c"]
    assert done.err == (
        "cat: nope: No such file or directory\n"
        "cat: ../none: No such file or directory\n"
        "cat: :/t/none: No such file or directory\n"
    )


def test_json_has_the_path_in_the_server(tree: Shell) -> None:
    (entry,) = sh(tree, "cd /t; stat --json d/one.c").json["entries"]
    assert (entry["name"], entry["path"]) == ("one.c", "/t/d/one.c")


def test_copying_within_the_server(tree: Shell) -> None:
    done = sh(tree, "cd t; cp -r d e; cat e/two.h; cp a.c e; ls e; cd e; cp -r ../e inside")
    assert done.lines == ["d/two.h", "a.c", "one.c", "two.h"]
    assert done.err.endswith("which cannot be copied into itself\n")
    assert done.status == 1


def test_cd(tree: Shell) -> None:
    done = sh(tree, "ln -s d /t/link; cd /t/link; pwd; cd ..; pwd; cd -; cd a.c; cd nope; cd x y; pwd")
    assert done.lines == ["/t/d", "/t", "/t/d", "/t/d"]
    assert done.err == (
        "cd: /t/d/a.c: No such file or directory\ncd: /t/d/nope: No such file or directory\n"
        "cd: too many operands\nusage: cd [DIRECTORY]\n"
    )
    assert "Not a directory" in sh(tree, "cd /t/a.c").err


def test_the_working_directory_is_in_use(tree: Shell) -> None:
    """As for any process whose working directory is on a file system (mount(2): EBUSY)."""
    done = sh(tree, "mkdir /t/m; mount -t tmpfs tmpfs /t/m; cd /t/m; umount /t/m; cd /; umount /t/m")
    assert done.err.count("\n") == 1
    assert done.err.startswith("umount: /t/m: Device or resource busy: ")
    assert done.status == 0


def test_where_it_begins(tree: Shell, url: str, tmp_path: Path) -> None:
    assert sh(tree, "pwd; ls", f"{url}:/t/d").lines == ["/t/d", "one.c", "two.h"]
    assert sh(tree, "pwd", ":/t").lines == ["/t"]
    assert sh(tree, "pwd", f"{url}:/nope") == Done(1, b"", "rumpfs sh: /nope: No such file or directory\n")
    assert "nope is a path of the host" in tree.fails("sh", "nope", status=2)
    alone = Shell(None, tmp_path)
    assert sh(alone, "ls", url).status == 0


# --- patterns ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("*", "a.c b.c c.h d"), ("*.c", "a.c b.c"), ("?.h", "c.h"), ("[ab].c", "a.c b.c"), ("[!ab].?", "c.h"),
        (".h*", ".hidden"), ("*/*", "d/one.c d/two.h"), ("d/*.c", "d/one.c"), ("/t/d/t*", "/t/d/two.h"),
        ("*/", "d/"),
        ("./?.h", "./c.h"), ("../t/c.*", "../t/c.h"), ("*.h *.c", "a.c b.c c.h"),
    ],
)  # fmt: skip
def test_patterns_match_names_in_the_server(tree: Shell, words: str, found: str) -> None:
    assert sh(tree, f"cd /t; ls -d {words}").lines == found.split()


def test_a_pattern_without_a_match_stays_what_it_is(tree: Shell) -> None:
    done = sh(tree, "cd /t; ls *.x; ls '*.c'")
    assert done.err == "ls: *.x: No such file or directory\nls: *.c: No such file or directory\n"


def test_strange_names(tree: Shell) -> None:
    commands = "\n".join(f"mkdir {quote(name)}" for name in STRANGE)
    done = sh(tree, f"cd /t/d; rm *; {commands}\nls; rm -r 'st*r' \\[c\\]; ls *r* [[]*; rm -r *; ls")
    assert done.lines[: len(STRANGE)] == sorted(STRANGE, key=os.fsencode)
    assert done.status == 0


def test_names_that_are_not_utf8(kernel: Client, shell: Shell) -> None:
    kernel.mkdir(b"/t/\xff\xfe")
    done = script(shell, b"ls /t/*\nrm -r /t/\xff\xfe\nls /t\n")
    assert (done.status, done.err) == (0, "")
    assert script(shell, b"mkdir /t/\xe9; ls /t").out == b"\xe9\n"


# --- the host ---------------------------------------------------------------------------------------


def test_get_and_put(tree: Shell) -> None:
    (tree.cwd / "host.txt").write_text("from the host\n")
    (tree.cwd / "dir").mkdir()
    (tree.cwd / "dir" / "x.txt").write_text("x")
    done = sh(
        tree,
        "cd /t; put host.txt; cat host.txt; put *.txt d; ls d; put -r dir new; ls new; get a.c; "
        "get a.c other; mkdir '*'; put dir/x.txt '*'; ls *; get -r d; lcd dir; get ?.c; get [c].h ..; "
        "put -v x.txt y.txt",
    )
    assert (done.status, done.err) == (0, "")
    assert done.lines[:5] == ["from the host", "host.txt", "one.c", "two.h", "x.txt"]
    assert done.lines[-1] == "x.txt -> y.txt"
    read = {
        str(path.relative_to(tree.cwd)): path.read_text() for path in tree.cwd.rglob("*") if path.is_file()
    }
    assert read == {
        "host.txt": "from the host\n", "dir/x.txt": "x", "a.c": "a.c\n", "other": "a.c\n", "c.h": "c.h\n",
        "d/host.txt": "from the host\n", "d/one.c": "d/one.c\n", "d/two.h": "d/two.h\n",
        "dir/a.c": "a.c\n", "dir/b.c": "b.c\n",
    }  # fmt: skip
    assert sh(tree, "cd /t; get d").err == "get: d: Is a directory: -r copies it with what is in it\n"
    assert (
        sh(tree, "cd /t; get ?.c nowhere").err == "get: nowhere is not a directory: 2 files cannot go there\n"
    )
    assert sh(tree, "get").err.startswith("get: the following arguments are required: REMOTE\nusage: get ")
    assert sh(tree, "put nope").err == "put: nope: No such file or directory\n"
    assert sh(tree, "lcd nope; lcd a b").err.startswith("lcd: nope: No such file or directory\nlcd: too many")


def test_commands_of_the_host_find_the_server(tree: Shell) -> None:
    """Wherever the host's working directory is, and without reading what is meant for the shell."""
    tree.environ["PATH"] = f"{BIN}:{tree.environ['PATH']}"
    assert sh(tree, "lcd /; !rumpfs cat :/t/a.c | tr a z; exit").lines == ["z.c"]
    assert sh(tree, "!exit 9").status == 9
    assert sh(tree, "!kill -9 $$").status == 128 + signal.SIGKILL
    done = script(tree, b"!cat\nls /t/d\n")
    assert (done.status, done.lines) == (0, ["one.c", "two.h"])


def test_another_server(tree: Shell, tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        done = sh(
            tree,
            f"cp /t/a.c {served.url}:/copied; cat {served.url}:/copied; ls {served.url}:/; cd {served.url}:/",
        )
        assert done.lines[0] == "a.c"
        assert "copied" in done.lines
        assert "is in another server" in done.err


def test_a_trace_of_a_command(tree: Shell) -> None:
    done = sh(tree, f"trace -e open -- {BIN}/rumpfs cat :/t/a.c")
    assert done.out == b"a.c\n"
    assert 'open("/t/a.c", O_RDONLY, ' in done.err


# --- the status -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("commands", "status", "said"),
    [
        ("ls /", 0, ""),
        ("cat /nope", 1, "cat: /nope: No such file or directory\n"),
        ("cat /nope; pwd", 0, "cat: /nope: No such file or directory\n"),
        ("ls --nope", 2, "ls: unrecognized arguments: --nope\n"),
        ("cat", 2, "cat: the following arguments are required: ADDRESS\n"),
        ("lss", 127, "rumpfs sh: no command 'lss'; did you mean ls?\n"),
        ("xyzzy", 127, "rumpfs sh: no command 'xyzzy'; help lists them\n"),
        ("sh", 127, "rumpfs sh: no command 'sh'; "),
        ("ls '", 2, "rumpfs sh: no closing '\n"),
        ("exit 3; pwd", 3, ""),
        ("cat /nope; exit", 1, "cat: "),
        ("exit 256", 2, "exit: '256' is not an exit status\n"),
        ("help xyzzy", 1, "help: no command 'xyzzy'\n"),
        ("cat ''", 2, "cat: an empty path is no address\n"),
        ("umount /", 1, "umount: /: Invalid argument: "),
    ],
)
def test_the_exit_status_is_that_of_the_last_command(
    shell: Shell, commands: str, status: int, said: str
) -> None:
    done = sh(shell, commands)
    assert done.status == status
    assert done.err.startswith(said)


def test_the_first_error_ends_it_with_e(shell: Shell) -> None:
    assert sh(shell, "pwd; cat /nope; pwd", "-e").out == b"/\n"
    done = script(shell, b"pwd\ncat /nope\npwd\n", "-e")
    assert (done.status, done.out) == (1, b"/\n")


def test_a_script_has_no_prompt(shell: Shell) -> None:
    assert script(shell, b"# a comment\npwd\n\ncd /t\npwd") == Done(0, b"/\n/t\n", "")
    assert script(shell, b"") == Done(0, b"", "")


def test_output_that_nobody_reads(tree: Shell) -> None:
    process = subprocess.Popen(
        [BIN / "rumpfs", "sh", "-c", "ls -lR /; ls -lR /; ls -lR /"],
        env=tree.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(PATIENCE) == 141


# --- one connection ---------------------------------------------------------------------------------


def test_the_connection_is_kept(tree: Shell) -> None:
    """All commands are calls of one process."""
    done = tree.run(
        "trace", "-o", "trace", "--", BIN / "rumpfs", "sh", "-c", "ls /t; cd /t; cat *.c; df; stat d"
    )
    assert done.status == 0
    lines = (tree.cwd / "trace").read_text().splitlines()
    assert sum("+++ connect" in line for line in lines) == 1


def test_a_server_that_goes_and_comes_back(tmp_path: Path) -> None:
    """One clear line for the command that finds it gone; the next one connects, where the shell was."""
    read, write = os.pipe()
    with serving(tmp_path) as served:
        shell = Shell(served.url, tmp_path)
        shell.ok("mkdir", ":/here")
        process = subprocess.Popen(
            [BIN / "rumpfs", "sh"],
            env=shell.environ, stdin=read, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
        )  # fmt: skip
        os.close(read)
        assert process.stdout is not None
        os.write(write, b"cd /here\npwd\n")
        assert process.stdout.readline() == b"/here\n"
    os.write(write, b"ls\nls\n!echo gone\n")
    assert process.stdout.readline() == b"gone\n"
    with serving(tmp_path) as served:
        Shell(served.url, tmp_path).ok("mkdir", ":/here")
        os.write(write, b"mkdir new\nls /here\npwd\n")
        os.close(write)
        out, said = process.communicate(timeout=PATIENCE)
    assert out == b"new\n/here\n"
    assert said.decode() == (
        f"ls: {served.url}: the server closed the connection\n"
        f"ls: {served.url}: No such file or directory: no server is there; "
        f"this starts one: rump_allserver {served.url}\n"
    )
    assert process.returncode == 0


def test_a_server_that_comes_back_empty(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        shell = Shell(served.url, tmp_path)
        shell.ok("mkdir", ":/here")
        process = subprocess.Popen(
            [BIN / "rumpfs", "sh", f"{served.url}:/here"],
            env=shell.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            bufsize=0,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"pwd\n")
        assert process.stdout.readline() == b"/here\n"
    with serving(tmp_path) as served:
        out, said = process.communicate(b"ls\nls\npwd\n", timeout=PATIENCE)
    assert out == b"dev\ntmp\n/\n"
    assert (
        said.decode().splitlines()[1]
        == "ls: /here: No such file or directory; the working directory is / now"
    )


# --- the terminal -------------------------------------------------------------------------------------


def _take_terminal() -> None:
    """Make standard input the terminal whose keys send signals to this process."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Screen:
    """`rumpfs sh` on a terminal."""

    def __init__(self, shell: Shell, *words: str) -> None:
        master, slave = pty.openpty()
        self.master = master
        self.seen = b""
        self.process = subprocess.Popen(
            [BIN / "rumpfs", "sh", *words],
            cwd=shell.cwd, env=shell.environ | {"TERM": "dumb", "INPUTRC": "/dev/null"},
            stdin=slave, stdout=slave, stderr=slave, preexec_fn=_take_terminal,
        )  # fmt: skip
        os.close(slave)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def expect(self, regex: str) -> str:
        """Wait until something appears behind what was waited for before, and return it."""
        while not (match := re.search(regex.encode(), self.seen)):
            data = self._read()
            assert data, f"it ended before {regex}: {self.seen!r}"
            self.seen += data
        self.seen = self.seen[match.end() :]
        return match[0].decode()

    def interrupt(self, regex: str) -> None:
        """Type Ctrl-C until something appears: Python's readline misses one between two keys."""
        for _ in range(PATIENCE):
            self.type("\x03")
            if select.select([self.master], [], [], 1)[0]:
                break
        self.expect(regex)

    def end(self) -> int:
        """Wait for the end; return the exit status."""
        while self._read():
            pass
        return self.process.wait(PATIENCE)

    def _read(self) -> bytes:
        ready, _, _ = select.select([self.master], [], [], PATIENCE)
        assert ready, f"nothing more comes behind {self.seen!r}"
        try:
            return os.read(self.master, 65536)
        except OSError:  # nobody has the terminal open any more
            return b""


@contextmanager
def screen(shell: Shell, *words: str) -> Iterator[Screen]:
    shell.environ.setdefault("XDG_STATE_HOME", str(shell.cwd / "state"))
    terminal = Screen(shell, *words)
    try:
        yield terminal
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.master)


def test_a_prompt_shows_the_working_directory(tree: Shell) -> None:
    with screen(tree) as terminal:
        terminal.expect("rumpfs:/> $")
        terminal.type("cd /t/d\n")
        terminal.expect("rumpfs:/t/d> $")
        terminal.type("cat one.c\n")
        terminal.expect("\r\nd/one.c\r\nrumpfs:/t/d> $")
        terminal.type("cat nope\n")
        terminal.expect("cat: nope: No such file or directory\r\nrumpfs:/t/d> $")
        terminal.type("\x04")
        assert terminal.end() == 1


def test_completion(kernel: Client, tree: Shell) -> None:
    kernel.mkdir("/t/with blank")
    (tree.cwd / "local.txt").write_text("x")
    with screen(tree, ":/t") as terminal:
        terminal.expect("> $")
        terminal.type("umo\t/nope\n")
        terminal.expect("umount: /nope: ")
        terminal.type("cat d/o\t\n")
        terminal.expect("\r\nd/one.c\r\n")
        terminal.type("ls -d w\t\n")
        terminal.expect("\r\nwith blank/\r\n")
        terminal.type("put lo\t d\n")
        terminal.expect("> $")
        terminal.type("cat d/loc\t\n")
        terminal.expect("\r\nx")
        terminal.type("cat /t/a.c /t/d/\t\t")
        terminal.expect(r"local.txt\s+one.c\s+two.h")
        terminal.type("two.h\n")
        terminal.expect("a.c\r\nd/two.h\r\n")
        terminal.type("help getx\t\x15cat 'd/on\t\n")
        terminal.expect("d/one.c")


def test_the_history_is_kept(tree: Shell) -> None:
    with screen(tree) as terminal:
        terminal.expect("> $")
        terminal.type("cat /t/a.c\n")
        terminal.expect("a.c\r\n.*> $")
        terminal.type("exit\n")
        assert terminal.end() == 0
    history = tree.cwd / "state" / "rumpfs" / "history"
    assert history.read_text().splitlines()[-2:] == ["cat /t/a.c", "exit"]
    assert history.stat().st_mode & 0o777 == 0o600
    with screen(tree) as terminal:
        terminal.expect("> $")
        terminal.type("\x10\x10\n")  # two lines up
        terminal.expect("\r\na.c\r\n")


def test_a_history_that_cannot_be_kept(tree: Shell) -> None:
    (tree.cwd / "state").write_text("no directory")
    with screen(tree) as terminal:
        terminal.expect("> $")
        terminal.type("pwd\n")
        terminal.expect("\r\n/\r\nrumpfs:/> $")
        terminal.type("\x04")
        terminal.expect("\r\n$")
        assert terminal.end() == 0
        assert b"rumpfs sh:" not in terminal.seen


def test_ctrl_c_ends_the_command_and_not_the_shell(kernel: Client, tree: Shell) -> None:
    """The command is a read of a FIFO that nobody writes to."""
    kernel.mknod("/t/fifo", 0o010644)
    with screen(tree, ":/t") as terminal:
        terminal.expect("rumpfs:/t> $")
        terminal.type("cat fifo\n")
        terminal.expect("cat fifo\r\n")
        with kernel.open("/t/fifo", "wb"):  # it is opened when there is a reader
            pass
        terminal.expect("> $")
        terminal.type("half a line")
        terminal.expect("half a line$")
        terminal.interrupt("\r\nrumpfs:/t> $")
        terminal.type("cat fifo\n")
        terminal.expect("cat fifo\r\n")
        writer = kernel.open("/t/fifo", "wb")
        terminal.interrupt("rumpfs:/t> $")
        writer.close()
        terminal.type("ls d\n")
        terminal.expect("one.c")
        terminal.type("exit 4\n")
        assert terminal.end() == 4


def test_a_terminal_whose_server_goes(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        shell = Shell(served.url, tmp_path)
        with screen(shell) as terminal:
            terminal.expect("> $")
            shell.run(program="rump.halt")
            served.process.communicate(timeout=PATIENCE)
            terminal.type("ls\n")
            said = terminal.expect("ls: [^\r]*\r\n")
            assert said == f"ls: {served.url}: the server closed the connection\r\n"
            terminal.expect("rumpfs:/> $")
            terminal.type("\x04")
            assert terminal.end() == 1
