"""mount(8) and umount(8) with the helpers installed, in a mount namespace of its own."""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.fuse.mounts import BIN, TIMEOUT
from tests.images_util import makefs, manifest, netbsd_image, scratch_copy
from tests.mount_helpers.place import Place

#: mount(8) as systemd and init may run it: without any environment
BARE = "env -i /bin/"


def shown(out: str) -> dict[str, set[str]]:
    """Return the options of each mount of ours in lines of /proc/mounts, by type."""
    words = [line.split(" ") for line in out.splitlines()]
    return {f"{line[0]} {line[2]}": set(line[3].split(",")) for line in words if line[2:3] == ["fuse.rumpfs"]}


def test_an_image_is_mounted_as_its_type_says(place: Place) -> None:
    image = scratch_copy(netbsd_image("disklabel-le"), place.path)
    done = place.run(f"""
        {BARE}mount -v -t rumpfs {image.name} mnt -o partition=e,ro
        ours
        ls mnt
        {BARE}umount mnt
        flock -n -x {image.name} echo unlocked
        ! ours
    """)
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[0] == f"rumpfs-mount: {image} mounted on {place.path}/mnt"
    assert shown(done.out) == {
        f"{image} fuse.rumpfs": {
            "ro", "nosuid", "nodev", "relatime", "user_id=0", "group_id=0", "default_permissions",
        }
    }  # fmt: skip
    (partition,) = [facts for facts in manifest("disklabel-le")["partitions"] if facts["partition"] == "e"]
    assert {entry["path"].split("/")[1] for entry in partition["entries"]} - {""} <= set(done.out.split())
    assert done.out.splitlines()[-1] == "unlocked"


@pytest.mark.parametrize("fstype", ["rumpfs", "fuse.rumpfs"])
def test_a_line_of_fstab(place: Place, fstype: str) -> None:
    (place.path / "fstab").write_text(
        f"tmpfs {place.path}/mnt {fstype} fstype=tmpfs,size=4m,noauto,nofail,noexec,_netdev,comment=x,"
        "x-systemd.automount,x-systemd.idle-timeout=10min 0 0\n"
    )
    done = place.run(f"""
        {BARE}mount -T fstab "$PLACE/mnt"
        cp /bin/true mnt
        status mnt/true
        df -B1 --output=size mnt
        ours
        {BARE}umount mnt
    """)
    assert done.status == 0, done.err
    assert done.statuses == [126]  # noexec
    assert "\n4194304\n" in done.out.replace(" ", "")
    assert {"rw", "noexec", "nosuid", "nodev"} <= shown(done.out)["tmpfs fuse.rumpfs"]


def test_all_of_fstab_is_mounted_once(place: Place) -> None:
    image = scratch_copy(netbsd_image("disklabel-le"), place.path)
    (place.path / "fstab").write_text(f"{image}:e {place.path}/mnt rumpfs ro 0 0\n")
    done = place.run("mount -a -T fstab\nmount -a -v -T fstab\nours\numount mnt\n! ours")
    assert (done.status, done.err) == (0, "")
    assert re.findall(r"(\S+) *: already mounted", done.out) == [f"{place.path}/mnt"]
    assert list(shown(done.out)) == [f"{image}:e fuse.rumpfs"]


@pytest.mark.parametrize("how", ["-t rumpfs.tmpfs tmpfs", "-t rumpfs -o fstype=tmpfs tmpfs"])
def test_the_file_system_may_be_in_the_type(place: Place, how: str) -> None:
    done = place.run(f"""
        mount {how} mnt
        date >mnt/file
        stat -f -c %T mnt
        umount mnt
    """)
    assert (done.status, done.out, done.err) == (0, "fuseblk\n", "") or done.out == "fuse\n"


def test_by_way_of_mount_fuse(place: Place) -> None:
    """Without a helper for the type, mount.fuse3(8) runs the program that the type names."""
    if shutil.which("mount.fuse3") is None:
        pytest.skip("mount.fuse3 is not installed (Debian package fuse3)")
    # It looks in the directories of the system; here the command is put there.
    (place.sbin / "rumpfs-mount").symlink_to(BIN / "rumpfs-mount")
    done = place.run("""
        mount -t fuse.rumpfs-mount -o fstype=tmpfs,nofail,noatime tmpfs mnt
        ours
        umount mnt
        mount -t fuse -o fstype=tmpfs 'rumpfs-mount#tmpfs' mnt
        umount mnt
    """)
    assert (done.status, done.err) == (0, "")
    assert "noatime" in shown(done.out)["tmpfs fuse.rumpfs"]


@pytest.mark.oracle("makefs")
def test_it_is_written_unless_ro_is_said(place: Place, tmp_path: Path) -> None:
    """mount(8) passes rw where nothing is said; what cannot be written is mounted ro, with a warning."""
    (tmp_path / "tree").mkdir()
    image = makefs(tmp_path / "tree", place.path / "fs.img", 2, "le", 8192, 1024, "-s", "4m")
    done = place.run("""
        mount -t rumpfs fs.img mnt
        echo text >mnt/file
        umount mnt
        sha256sum fs.img
        mount --bind -o ro fs.img fs.img
        mount -t rumpfs fs.img mnt
        cat mnt/file
        status touch mnt/other
        umount mnt
        status mount -t rumpfs -o ro fs.img mnt
        umount mnt
    """)
    assert done.status == 0, done.err
    assert done.statuses == [1, 0]
    assert "\ntext\n" in done.out
    assert done.err.count("WARNING") == 1
    assert (
        f"rumpfs-mount: {place.path}/mnt: WARNING: {image} is write-protected, mounted read-only\n"
        in done.err
    )
    assert done.out.split()[0] == hashlib.sha256(image.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        ("-t rumpfs.tmpfs -o siz=4m tmpfs mnt", 1, "-o siz=4m: there is no such option; did you mean size?"),
        ("-t rumpfs.tmpfs -o uid=me tmpfs mnt", 1, "'me' is not the number of a user"),
        ("-t rumpfs.msdos tmpfs mnt", 1, "-t rumpfs.msdos: there is no msdos; there are ufs, ffs, tmpfs"),
        ("-t rumpfs /no/such.img mnt", 32, "/no/such.img: No such file or directory"),
        ("-t rumpfs -o ro sbin mnt", 32, "sbin"),
        ("-t rumpfs.tmpfs tmpfs file", 32, "not a directory"),
        ("-f -t rumpfs.tmpfs tmpfs file", 32, "not a directory"),
    ],
)
def test_why_nothing_is_mounted(place: Place, words: str, status: int, text: str) -> None:
    done = place.run(f"touch file\nstatus mount {words}\n! ours")
    assert done.status == 0
    assert done.statuses == [status]
    assert text in done.err


def test_without_the_device_it_is_the_system_s_fault(place: Place) -> None:
    done = place.run(
        "mount --bind /dev/null /dev/fuse\nmount -t tmpfs tmpfs /dev\nstatus mount -t rumpfs.tmpfs x mnt"
    )
    assert done.statuses == [2]
    assert "/dev/fuse: No such file or directory: modprobe fuse" in done.err


def test_without_the_commands_the_helper_says_what_is_missing(place: Place) -> None:
    installed = place.installed / "usr/sbin/mount.rumpfs"
    helper = place.sbin / "mount.rumpfs"
    helper.write_text(installed.read_text().replace(str(BIN), "/nowhere/bin"))
    helper.chmod(0o755)
    done = place.run("status mount -t rumpfs.tmpfs x mnt")
    assert done.statuses == [2]
    assert "there is no /nowhere/bin/rumpfs-mount" in done.err


def test_faking_and_sloppiness(place: Place) -> None:
    done = place.run("""
        mount -f -t rumpfs.tmpfs tmpfs mnt
        ! ours
        mount -s -n -t rumpfs.tmpfs -o siz=4m,errors=remount-ro,mode=711 tmpfs mnt
        stat -c %a mnt
        umount -n mnt
    """)
    assert (done.status, done.out, done.err) == (0, "711\n", "")


def test_a_mount_is_not_changed_but_the_host_can_refuse_writes(place: Place) -> None:
    done = place.run("""
        mount -t rumpfs.tmpfs tmpfs mnt
        status mount -o remount,ro mnt
        touch mnt/before
        mount -i -o remount,ro mnt
        status touch mnt/after
        mount -i -o remount,rw mnt
        ls mnt
        umount mnt
    """)
    assert done.statuses == [32, 1]
    assert "umount it and mount it again (mount -i -o remount,ro" in done.err
    assert done.out.endswith("before\n")


def test_what_is_in_use_is_not_unmounted_but_by_force(place: Place) -> None:
    done = place.run("""
        mount -t rumpfs.tmpfs tmpfs mnt
        exec 8>mnt/open
        status umount mnt
        status umount -f mnt
        ! ours
    """)
    assert done.statuses == [32, 0], done.err
    assert "busy" in done.err


def test_a_mount_that_is_still_there_elsewhere_is_not_waited_for(place: Place) -> None:
    done = place.run("""
        mkdir other
        mount -t rumpfs.tmpfs tmpfs mnt
        mount --bind mnt other
        status umount mnt
        umount other
        ! ours
    """)
    assert done.status == 0
    assert done.statuses == [32]
    assert f"unmounted here, but it is still on {place.path}/other as process" in done.err


def test_unmounting_lazily_does_not_wait(place: Place) -> None:
    done = place.run("""
        mount -t rumpfs.tmpfs tmpfs mnt
        exec 8>mnt/open
        umount -l mnt
        ! ours
        echo text >&8
        exec 8>&-
    """)
    assert (done.status, done.err) == (0, "")


def test_the_server_keeps_nothing_of_who_mounted(place: Place) -> None:
    """mount(8) under a unit has pipes; nobody may wait for their end because of a daemon."""
    done = place.run("""
        mkfifo said
        cat said >kept &
        mount -v -t rumpfs.tmpfs tmpfs mnt >said 2>&1
        wait $!
        cat kept
        server=$(pgrep -f "rumpfs-mount tmpfs $PLACE/mnt")
        readlink "/proc/$server/fd/0" "/proc/$server/fd/1" "/proc/$server/fd/2" "/proc/$server/cwd"
        ps -o sid= -p "$server" | tr -d ' ' | sed "s/^$server$/leads a session/"
        umount mnt
    """)
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[1:] == ["/dev/null"] * 3 + ["/", "leads a session"]


def test_a_mount_that_lost_its_server(place: Place) -> None:
    done = place.run("""
        mount -t rumpfs.tmpfs tmpfs mnt
        server=$(pgrep -f "rumpfs-mount tmpfs $PLACE/mnt")
        kill -KILL "$server"
        while grep -qs "^State:[^Z]*$" "/proc/$server/status"; do :; done
        status mount -t rumpfs.tmpfs tmpfs mnt
        umount mnt
        mount -t rumpfs.tmpfs tmpfs mnt
        umount mnt
    """)
    assert done.status == 0, done.err
    assert done.statuses == [32]
    assert f"fusermount3 -u -z {place.path}/mnt clears it" in done.err


def test_in_another_namespace(place: Place) -> None:
    other = subprocess.Popen(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", "echo $$; read word"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert other.stdin is not None
    assert other.stdout is not None
    pid = int(other.stdout.readline())
    try:
        done = place.run(f"""
            mount -N {pid} -t rumpfs.tmpfs tmpfs "$PLACE/mnt"
            ! ours
            grep " $PLACE/mnt " /proc/{pid}/mounts
            umount -N {pid} "$PLACE/mnt"
            ! grep " $PLACE/mnt " /proc/{pid}/mounts
        """)
    finally:
        other.communicate("\n", timeout=TIMEOUT)
    assert (done.status, done.err) == (0, "")
    assert list(shown(done.out)) == ["tmpfs fuse.rumpfs"]


def test_a_server_is_mounted_by_its_url(place: Place) -> None:
    done = place.run("""
        rump_server -lrumpvfs -lrumpfs_tmpfs "unix://$PLACE/sock"
        export RUMP_SERVER="unix://$PLACE/sock"
        rumpfs mkdir :/t
        mount -t rumpfs -o noexec,noatime,sync "$RUMP_SERVER:/t" mnt
        ours
        echo text >mnt/file
        rumpfs cat :/t/file
        umount mnt
        ! ours
        rump.halt
    """)
    assert (done.status, done.err) == (0, "")
    assert done.out.endswith("\ntext\n")
    assert list(shown(done.out)) == [f"unix://{place.path}/sock:/t fuse.rumpfs"]


#: What systemd does for an automount unit (autofs(5)): mount(8) runs in its process group, a user elsewhere.
AUTOMOUNTER = """
import ctypes, fcntl, os, struct, subprocess, sys
where, *command = sys.argv[1:]
reader, writer = os.pipe()
os.setpgid(0, 0)
options = f"fd={writer},pgrp={os.getpgrp()},minproto=5,maxproto=5,direct"
libc = ctypes.CDLL(None, use_errno=True)
failed = libc.mount(b"auto", where.encode(), b"autofs", 0, options.encode())
assert not failed, os.strerror(ctypes.get_errno())
os.close(writer)
directory = os.open(where, os.O_RDONLY | os.O_DIRECTORY)
user = subprocess.Popen(["ls", where], start_new_session=True)
version, kind, token = struct.unpack_from("iiI", os.read(reader, 4096))
try:
    failed = subprocess.run(command, timeout=20).returncode
except subprocess.TimeoutExpired:
    failed = "it waits for itself"
fcntl.ioctl(directory, 0x9361 if failed else 0x9360, token)  # AUTOFS_IOC_FAIL, AUTOFS_IOC_READY
user.wait(20)
sys.exit(failed)
"""


def test_on_a_directory_that_is_automounted(place: Place) -> None:
    if "autofs" not in Path("/proc/filesystems").read_text():
        pytest.skip("this kernel has no autofs")
    (place.path / "automounter.py").write_text(AUTOMOUNTER)
    done = place.run(f"""
        {sys.executable} automounter.py "$PLACE/mnt" mount -t rumpfs.tmpfs -o mode=711 tmpfs "$PLACE/mnt"
        stat -c %a mnt
        umount mnt
        umount mnt
    """)
    assert (done.status, done.out, done.err) == (0, "711\n", "")


def test_a_user_mounts_what_fstab_lets_him(place: Place, users: None) -> None:
    (place.path / "fstab").write_text(f"tmpfs {place.path}/mnt rumpfs fstype=tmpfs,noauto,user 0 0\n")
    done = place.run(
        """
        mount --bind fstab /etc/fstab
        chown 65534 mnt
        nobody mount "$PLACE/mnt"
        nobody sh -c 'echo mine >mnt/file; cat mnt/file'
        status cat mnt/file
        ours
        nobody umount "$PLACE/mnt"
        ! ours
        nobody mount "$PLACE/mnt"
        umount "$PLACE/mnt"
        """,
        users=True,
    )
    assert done.status == 0, done.err
    assert done.out.startswith("mine\n")
    assert done.statuses == [1]  # not even root, without allow_other
    assert {"user_id=65534", "nosuid", "nodev", "noexec"} <= shown(done.out)["tmpfs fuse.rumpfs"]


@pytest.mark.slow
def test_a_user_can_do_what_the_tests_of_mounts_do(place: Place, users: None) -> None:
    """What mounts and unmounts there goes by way of fusermount3."""
    modules = [
        f"tests/fuse/test_{name}.py" for name in ("mounting", "images", "faults", "url", "without_handlers")
    ]
    done = place.run(
        f"""
        mkdir tmp home
        chown 65534 tmp home
        export TMPDIR="$PLACE/tmp" HOME="$PLACE/home"
        cd {shlex.quote(str(PROJECT))}
        nobody {sys.executable} -m pytest -q -p no:cacheprovider {" ".join(modules)}
        """,
        users=True,
        timeout=600,
    )
    assert done.status == 0, done.out
    passed = re.search(r"(\d+) passed", done.out)
    assert passed is not None
    assert int(passed[1]) > 50


def test_others_may_look_where_the_host_lets_them(place: Place, users: None) -> None:
    """fusermount3(1): a user needs user_allow_other in /etc/fuse.conf, root does not."""
    done = place.run(
        """
        chown 65534 mnt
        status nobody rump_tmpfs -o allow_other tmpfs mnt
        echo user_allow_other >fuse.conf
        mount --bind fuse.conf /etc/fuse.conf
        nobody rump_tmpfs -o allow_other tmpfs mnt
        nobody touch mnt/file
        ls mnt
        nobody rumpfs umount mnt
        mount -t rumpfs.tmpfs -o allow_other,mode=755 tmpfs mnt
        nobody ls -d mnt
        umount mnt
        """,
        users=True,
    )
    assert done.status == 0, done.err
    assert done.statuses == [1]
    assert "user_allow_other" in done.err
    assert done.out.splitlines()[1:] == ["file", "mnt"]
