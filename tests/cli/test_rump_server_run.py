"""rump_server and rump_allserver at work: the manual page's examples, detaching, signals, sockets, drives."""

from __future__ import annotations

import errno
import functools
import operator
import os
import signal
import socket
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rumpfs.abi.mount import TMPFS_ARGS
from rumpfs.abi.stat import STAT
from rumpfs.client.errors import RumpError
from rumpfs.client.raw import RawClient
from tests.cli.servers import BIN, background, banner, foreground, listener, run, wait_for_end
from tests.cli.verbs import Shell

SIZE, MODE, RDEV = 15, 1, 6  # places in struct stat


def client(directory: Path, name: str = "sock") -> RawClient:
    return RawClient(f"unix://{directory / name}")


def fails(number: int, function: Any, *args: Any) -> None:
    with pytest.raises(RumpError) as caught:
        function(*args)
    assert caught.value.errno == number


def mount_tmpfs(kernel: RawClient, path: str) -> None:
    args = TMPFS_ARGS.pack(1, 0, 0, 0, 0, 0o755)
    kernel.sys.mount("tmpfs\0", path, 0, args, len(args))


def halt(kernel: RawClient) -> None:
    kernel.sys.reboot(0, 0)


# --- the examples of rump_server(1) -----------------------------------------------------------------


def test_example_1_a_module_after_the_start(tmp_path: Path) -> None:
    with background(tmp_path, "rump_server", "-lrumpvfs", "-m", "tmpfs.kmod", "unix://sock") as pid:
        with client(tmp_path) as kernel:
            kernel.sys.mkdir("/mnt", 0o755)
            mount_tmpfs(kernel, "/mnt")
            kernel.sys.mkdir("/mnt/below", 0o755)
            halt(kernel)
        wait_for_end(pid)
        assert not (tmp_path / "sock").exists()


def test_without_the_module_there_is_no_tmpfs(tmp_path: Path) -> None:
    with background(tmp_path, "rump_server", "-lrumpvfs", "unix://sock"), client(tmp_path) as kernel:
        fails(errno.ENODEV, mount_tmpfs, kernel, "/tmp")


def test_example_1_ends_by_rump_halt(tmp_path: Path) -> None:
    directory = run(tmp_path, "rump_server", "--print-module-dir").stdout.strip()
    path = f"{directory}/tmpfs.kmod"
    with background(tmp_path, "rump_server", "-lrumpvfs", "-m", path, "unix://sock") as pid:
        done = run(tmp_path, "rump.halt", RUMP_SERVER="unix://sock")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        wait_for_end(pid)


def test_example_2_a_drive_is_created_sparse_and_is_a_block_device(tmp_path: Path) -> None:
    os.umask(old := os.umask(0o022))
    with background(tmp_path, "rump_allserver", "-d", "key=/dev/dk,hostpath=dk.img,size=1g", "unix://sock"):
        made = (tmp_path / "dk.img").stat()
        assert (made.st_size, made.st_mode & 0o7777) == (1 << 30, 0o644 & ~old)
        assert made.st_blocks * 512 < 1 << 20
        with client(tmp_path) as kernel:
            fields = STAT.unpack(kernel.sys.stat("/dev/dk"))
            # a block device, mode 0755, major 197, minor 0 (sysproxy.md 14.1)
            assert (fields[MODE], fields[RDEV], fields[SIZE]) == (0o060755, 0xC500, 1 << 30)


def test_example_3_a_tcp_url_with_address_0_listens_on_all_addresses(tmp_path: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with foreground(tmp_path, "rump_server", f"tcp://0:{port}/"):
        for address in "127.0.0.1", "127.0.0.2":
            with RawClient(f"tcp://{address}:{port}/") as kernel:
                assert kernel.sys.getpid() > 0


def test_example_4_a_test_of_a_configuration(tmp_path: Path) -> None:
    words = ["-lrumpvfs", "-lrumpfs_ffs"]
    failed = run(tmp_path, "rump_server", *words, "unix://tsock", LD_BIND_NOW="1")
    assert failed.returncode == 1
    assert "not loaded: rumpdev_disk" in failed.stderr
    words += ["-lrumpdev", "-lrumpdev_disk"]
    for environ in {"LD_BIND_NOW": "1"}, {}:
        with background(tmp_path, "rump_server", *words, "unix://tsock", **environ) as pid:
            with client(tmp_path, "tsock") as kernel:
                halt(kernel)
            wait_for_end(pid)


def test_example_4_what_is_missing_is_missed_at_its_first_use(tmp_path: Path) -> None:
    words = ["-lrumpvfs", "-lrumpfs_ffs", "-d", "key=/dev/dk,hostpath=dk.img,size=1m", "unix://sock"]
    with foreground(tmp_path, "rump_server", *words) as server:
        with client(tmp_path) as kernel:
            for _ in range(2):
                fails(errno.ENXIO, kernel.sys.open, "/dev/dk", 0, 0)
            halt(kernel)
        output, _ = server.communicate(timeout=30)
    assert output.splitlines() == [
        "rumpblk0: component rumpdev_disk is not loaded (add -lrumpdev_disk)",
        "rump kernel halting...",
        "halted",
    ]


def test_example_5_a_limit_of_memory(tmp_path: Path) -> None:
    words = ["-lrumpvfs", "-lrumpfs_ffs", "-lrumpfs_tmpfs", "-r", "16m", "unix://ffs"]
    with background(tmp_path, "rump_server", *words), client(tmp_path, "ffs") as kernel:
        mount_tmpfs(kernel, "/tmp")
        fd = kernel.sys.open("/tmp/file", 0x201, 0o644)
        megabyte = bytes(1 << 20)
        for _ in range(15):
            assert kernel.sys.write(fd, megabyte) == 1 << 20
        fails(errno.ENOSPC, kernel.sys.pwrite, fd, megabyte, 16 << 20)
        assert kernel.sys.getpid() > 0


# --- components and modules -------------------------------------------------------------------------


def test_without_components_there_is_no_file_system(tmp_path: Path) -> None:
    with background(tmp_path, "rump_server", "unix://sock"), client(tmp_path) as kernel:
        assert kernel.sys.getpid() > 0
        fails(errno.ENOSYS, kernel.sys.open, "/", 0, 0)


KMOD = """
NAME = "{0}"
CLASS = "misc"
REQUIRES = ()

def init(kernel):
    kernel.print("module {0} here")
"""


def test_every_module_is_loaded_in_order(tmp_path: Path) -> None:
    # The C program loads the first one again and again.
    for name in "one", "two":
        (tmp_path / f"{name}.kmod").write_text(KMOD.format(name))
    words = ["-lrumpvfs", "-m", "two.kmod", "-m", "tmpfs", "-m", "./one.kmod", "unix://sock"]
    with foreground(tmp_path, "rump_server", *words) as server:
        directory = run(tmp_path, "rump_server", "--print-module-dir").stdout.strip()
        assert server.boot_messages == [  # type: ignore[attr-defined]
            "component rumpvfs initialised",
            "module two here",
            "module two.kmod loaded",
            f"module {directory}/tmpfs.kmod loaded",
            "module one here",
            "module ./one.kmod loaded",
            "listening on unix://sock",
        ]
        with client(tmp_path) as kernel:
            fails(errno.ENOENT, kernel.sys.open, "/module.mod", 0, 0)


def test_the_same_module_twice_is_an_error(tmp_path: Path) -> None:
    done = run(tmp_path, "rump_server", "-lrumpvfs", "-m", "tmpfs", "-m", "tmpfs", "unix://sock")
    assert done.stderr.splitlines()[0] == "module load failed: File exists"
    assert done.returncode == 17
    done = run(tmp_path, "rump_allserver", "-m", "tmpfs", "unix://sock")
    assert done.returncode == 17


COMPONENT = """
from rumpfs.base.component import Component, Phase
COMPONENT = Component("mine", Phase.{phase}, ({requires}), lambda kernel: kernel.print("mine: hello"))
"""


def test_a_component_of_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(COMPONENT.format(phase="POSTINIT", requires='"rumpvfs",'))
    dotted = {"PYTHONPATH": str(tmp_path)}
    for name, environ in ("./mine.py", {}), ("mine.py", {}), ("mine:COMPONENT", dotted):
        with foreground(tmp_path, "rump_server", "-l", name, "-lrumpvfs", "unix://sock", **environ) as server:
            assert server.boot_messages == [  # type: ignore[attr-defined]
                "component rumpvfs initialised",
                "mine: hello",
                "component mine initialised",
                "listening on unix://sock",
            ]


def test_components_are_initialised_by_phase_whatever_their_order(tmp_path: Path) -> None:
    words = ["-lrumpfs_ffs", "-l", "librumpfs_tmpfs.so", "-lrumpdev_disk", "-lrumpdev", "-lrumpvfs"]
    with foreground(tmp_path, "rump_server", *words, "unix://sock") as server:
        names = [line.split()[1] for line in server.boot_messages[:-1]]  # type: ignore[attr-defined]
    assert names[0] == "rumpvfs"
    assert names[1:3] == ["rumpdev", "rumpdev_disk"]
    assert sorted(names[3:]) == ["rumpfs_ffs", "rumpfs_tmpfs"]


# --- drives -----------------------------------------------------------------------------------------


def test_verbose_shows_drives_with_their_windows(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"content")
    words = ["-d", "key=/dev/a,hostpath=a.img,size=2x1k,offset=1b", "-d", "key=/b,hostpath=plain,type=reg,ro"]
    with foreground(tmp_path, "rump_allserver", *words, "unix://sock") as server:
        assert server.boot_messages[-3:] == [  # type: ignore[attr-defined]
            "drive /dev/a: a.img, 2048 bytes from byte 512, blk",
            "drive /b: plain, all from byte 0, reg, read-only",
            "listening on unix://sock",
        ]
        with client(tmp_path) as kernel:
            fd = kernel.sys.open("/b", 0, 0)
            assert kernel.sys.read(fd, 100) == b"content"
    assert (tmp_path / "a.img").stat().st_size == 2560


def test_writes_to_a_drive_arrive_in_its_window(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(b"\xff" * 4096)
    words = ["-d", "key=/dev/dk,hostpath=disk,size=1k,offset=1k", "unix://sock"]
    with background(tmp_path, "rump_allserver", *words), client(tmp_path) as kernel:
        fd = kernel.sys.open("/dev/dk", 2, 0)
        assert kernel.sys.pwrite(fd, b"abc", 1021) == 3
        assert kernel.sys.pwrite(fd, b"abc", 1022) == 2
        assert kernel.sys.pread(fd, 8, 1020) == b"\xffaab"
        kernel.sys.fsync(fd)
    content = (tmp_path / "disk").read_bytes()
    assert content == b"\xff" * 2045 + b"aab" + b"\xff" * 2048


def disklabel(partitions: list[tuple[int, int]]) -> bytes:
    """Return a little-endian NetBSD label (disklabel.md) of partitions: first sector, sectors."""
    label = bytearray(148 + 16 * len(partitions))
    struct.pack_into("<I", label, 0, 0x82564557)
    struct.pack_into("<6I", label, 40, 512, 32, 64, 1, 2048, 2048)
    struct.pack_into("<I2xH", label, 132, 0x82564557, len(partitions))
    for number, (offset, size) in enumerate(partitions):
        struct.pack_into("<IIIBBH", label, 148 + 16 * number, size, offset, 2048, 7, 8, 0)
    checksum = functools.reduce(operator.xor, struct.unpack(f"<{len(label) // 2}H", label))
    struct.pack_into("<H", label, 136, checksum)
    return bytes(label)


def test_a_partition_of_a_disklabel_is_a_drive(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(512) + disklabel([(64, 100), (164, 20)]))
    with image.open("r+b") as stream:
        stream.truncate(2048 * 512)
        stream.seek(164 * 512)
        stream.write(b"start of b")
    drives = [
        word for letter in "ab" for word in ("-d", f"key=/dev/{letter},hostpath=disk.img,disklabel={letter}")
    ]
    with foreground(tmp_path, "rump_allserver", *drives, "unix://sock") as server:
        a, b = [line for line in server.boot_messages if line.startswith("drive ")]  # type: ignore[attr-defined]
        assert a.startswith("drive /dev/a: disk.img, 51200 bytes from byte 32768, partition a of ")
        assert b.startswith("drive /dev/b: disk.img, 10240 bytes from byte 83968, partition b of ")
        with client(tmp_path) as kernel:
            fd = kernel.sys.open("/dev/b", 2, 0)
            assert kernel.sys.pread(fd, 10, 0) == b"start of b"
            assert kernel.sys.pwrite(fd, b"START", 0) == 5
            kernel.sys.fsync(fd)
            assert STAT.unpack(kernel.sys.stat("/dev/a"))[SIZE] == 51200
    assert image.read_bytes()[164 * 512 :][:10] == b"START of b"
    missing = run(tmp_path, "rump_allserver", "-d", "key=/c,hostpath=disk.img,disklabel=c", "unix://other")
    assert missing.stderr.startswith("partition not available: No such file or directory\n")
    assert missing.returncode == errno.ENOENT


def test_a_file_is_extended_and_never_cut(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"x" * 100)
    (tmp_path / "long").write_bytes(b"y" * 5000)
    words = [
        word for name in ("short", "long") for word in ("-d", f"key=/dev/{name},hostpath={name},size=1k")
    ]
    with background(tmp_path, "rump_allserver", *words, "unix://sock"):
        assert (tmp_path / "short").read_bytes() == b"x" * 100 + bytes(924)
        assert (tmp_path / "long").read_bytes() == b"y" * 5000


def test_a_read_only_drive_leaves_the_file_alone(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(1024))
    image.chmod(0o444)
    words = ["-d", "key=/dev/dk,hostpath=image,size=host,ro", "unix://sock"]
    with background(tmp_path, "rump_allserver", *words), client(tmp_path) as kernel:
        fails(errno.EROFS, kernel.sys.open, "/dev/dk", 2, 0)
        fd = kernel.sys.open("/dev/dk", 0, 0)
        assert kernel.sys.read(fd, 2000) == bytes(1024)


def test_a_drive_that_another_server_writes_is_refused(tmp_path: Path) -> None:
    drive = ["-d", "key=/dev/dk,hostpath=dk.img,size=1m"]
    with background(tmp_path, "rump_allserver", *drive, "unix://sock"):
        done = run(tmp_path, "rump_allserver", *drive, "unix://other")
        first, second = done.stderr.splitlines()
        assert first.startswith("etfs hostpath open: ")
        assert "dk.img is locked by another process" in second
        assert done.returncode == errno.EBUSY
        assert not (tmp_path / "other").exists()


# --- detaching, signals, sockets --------------------------------------------------------------------


def test_a_detached_server_leads_a_session_and_keeps_its_directory(tmp_path: Path) -> None:
    with background(tmp_path, "rump_server", "unix://sock") as pid:
        assert os.getsid(pid) == pid
        assert os.readlink(f"/proc/{pid}/cwd") == str(tmp_path)
        assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (0, 1, 2)} == {"/dev/null"}


def test_a_detached_server_says_nothing_and_is_there_when_the_prompt_is(tmp_path: Path) -> None:
    done = run(tmp_path, "rump_server", "unix://sock")
    pid = listener(tmp_path / "sock")
    try:
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert banner(tmp_path / "sock") == b"RUMPSP-0.4-NetBSD-7.99.34/amd64\n"
    finally:
        os.kill(pid, signal.SIGKILL)


def test_why_a_mount_failed_in_the_background_is_in_the_message_buffer(tmp_path: Path) -> None:
    """Standard error is /dev/null then; what NetBSD's kernel warns of is shown by dmesg(8), kern.msgbuf."""
    (tmp_path / "dk.img").write_bytes(bytes(1 << 20))
    drive = ("-d", "key=/dev/dk,hostpath=dk.img,size=host")
    with background(tmp_path, "rump_allserver", *drive, "unix://sock"):
        shell = Shell("unix://sock", tmp_path)
        shell.ok("mkdir", ":/mnt")
        hint = shell.fails("mount", "-o", "ro", "/dev/dk", ":/mnt").rpartition("; ")[2]
        assert hint == "rumpfs sysctl -n kern.msgbuf says why\n"
        lines = shell.ok("sysctl", "-n", "kern.msgbuf").lines
        assert any(line.startswith("dk.img: no FFS superblock") for line in lines), lines
        assert "component rumpvfs initialised" in lines
        assert not [line for line in shell.ok("sysctl", "kern").lines if "msgbuf" in line]


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_an_orderly_halt(tmp_path: Path, signo: signal.Signals) -> None:
    with foreground(tmp_path, "rump_server", "-lrumpvfs", "unix://sock") as server:
        with client(tmp_path) as kernel:
            assert kernel.sys.getpid() > 0
            server.send_signal(signo)
            output, errors = server.communicate(timeout=30)
        assert output == "rump kernel halting...\nhalted\n"
        assert errors == ""
        assert server.returncode == 0
        assert not (tmp_path / "sock").exists()


def test_a_signal_right_after_the_start_is_an_orderly_halt_too(tmp_path: Path) -> None:
    for _ in range(3):
        with background(tmp_path, "rump_server", "unix://sock") as pid:
            os.kill(pid, signal.SIGTERM)
            wait_for_end(pid)
            assert not (tmp_path / "sock").exists()


def test_a_halt_by_a_client_ends_the_server_with_status_0(tmp_path: Path) -> None:
    with foreground(tmp_path, "rump_server", "unix://sock") as server:
        with client(tmp_path) as kernel:
            halt(kernel)
            assert not (tmp_path / "sock").exists()  # gone before the answer
        output, errors = server.communicate(timeout=30)
        assert (output, errors, server.returncode) == ("rump kernel halting...\nhalted\n", "", 0)


def test_a_live_socket_is_refused_and_lives_on(tmp_path: Path) -> None:
    with background(tmp_path, "rump_server", "unix://sock1"):
        done = run(tmp_path, "rump_server", "-s", "unix://sock1")
        assert done.stderr.splitlines() == [
            "rump_sp: failed to bind to URL unix://sock1",
            "rump server init failed: Address already in use",
        ]
        assert done.returncode == 1
        assert run(tmp_path, "rump_server", "unix://sock1").returncode == 48
        assert banner(tmp_path / "sock1").startswith(b"RUMPSP-0.4")


def test_the_socket_of_a_killed_server_is_replaced(tmp_path: Path) -> None:
    # The C program refuses it until somebody removes it.
    with background(tmp_path, "rump_server", "unix://sock") as pid:
        os.kill(pid, signal.SIGKILL)
        wait_for_end(pid)
        assert (tmp_path / "sock").is_socket()
    with background(tmp_path, "rump_server", "unix://sock"):
        assert banner(tmp_path / "sock").startswith(b"RUMPSP-0.4")


def test_only_the_owner_may_use_the_socket(tmp_path: Path) -> None:
    with background(tmp_path, "rump_server", "unix://sock"):
        assert (tmp_path / "sock").stat().st_mode & 0o777 == 0o600


def test_a_server_without_standard_descriptors_keeps_them_free(tmp_path: Path) -> None:
    # Otherwise what the kernel prints would end up in the image that got the number 1.
    command = f"{BIN}/rump_allserver -v -d key=/dev/dk,hostpath=dk.img,size=4k unix://sock <&- >&- 2>&-"
    subprocess.run(command, shell=True, cwd=tmp_path, check=True, timeout=30)
    pid = listener(tmp_path / "sock")
    try:
        assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (0, 1, 2)} == {"/dev/null"}
        with client(tmp_path) as kernel:
            kernel.sys.write(1, b"to the console")
            halt(kernel)
        wait_for_end(pid)
        assert (tmp_path / "dk.img").read_bytes() == bytes(4096)
    finally:
        if os.path.exists(f"/proc/{pid}"):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("program", ["rump_server", "rump_allserver"])
def test_a_server_is_ready_in_less_than_0_4_seconds(tmp_path: Path, program: str) -> None:
    def cpu_seconds() -> float:
        with foreground(tmp_path, program, "unix://sock") as server:
            # utime and stime, proc(5); what other processes of the machine take does not count
            fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    assert min(cpu_seconds() for _ in range(3)) < 0.4
