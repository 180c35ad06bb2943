"""`make install-helpers`: what it puts where, that it works from there, and that nothing is left."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rumpfs.cli.completion import COMMANDS
from rumpfs.cli.manual import pages
from rumpfs.cli.mountopts import parse
from tests.cli.test_completion import typed
from tests.conftest import PROJECT
from tests.fuse.mounts import BIN
from tests.mount_helpers.place import install

HELPERS = PROJECT / "mount_helpers"
UNITS = sorted((HELPERS / "systemd").iterdir())
FILES = {
    *(f"usr/sbin/{name}" for name in ("mount.rumpfs", "mount.fuse.rumpfs", "umount.fuse.rumpfs")),
    *(
        f"usr/local/lib/systemd/{whose}/{name}"
        for whose in ("system", "user")
        for name in ("rumpfs-mount@.service", "rump_server@.service")
    ),
    "usr/local/share/zsh/site-functions/_rumpfs",
    *(f"usr/local/share/bash-completion/completions/{name}" for name in COMMANDS),
    *(f"usr/local/share/fish/vendor_completions.d/{name}.fish" for name in COMMANDS),
    *(f"usr/local/share/man/man{name[-1]}/{name}" for name, _ in pages(PROJECT / "docs" / "man")),
}


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}


def make(target: str, **variables: object) -> subprocess.CompletedProcess[str]:
    """Run make, with the set-up as it is."""
    words = [f"{name}={value}" for name, value in variables.items()]
    return subprocess.run(
        ["make", "-s", "-o", "setup", target, *words],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_installed_is_said_and_uninstalled(tmp_path: Path) -> None:
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "usr/sbin/mount.other").touch()
    manual = tmp_path / "usr/local/share/man/man8"
    manual.mkdir(parents=True)
    (manual / "rump_msdos.8").touch()
    others = {"usr/sbin/mount.other", "usr/local/share/man/man8/rump_msdos.8"}
    done = make("install-helpers", DESTDIR=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert files(tmp_path) == FILES | others
    assert {str(Path(line).relative_to(tmp_path)) for line in done.stdout.splitlines()} == FILES
    assert (tmp_path / "usr/sbin/mount.rumpfs").stat().st_mode & 0o7777 == 0o755
    for unit in tmp_path.glob("usr/local/lib/systemd/system/*"):
        assert f"ExecStart={BIN}/" in unit.read_text()
    done = make("uninstall-helpers", DESTDIR=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert files(tmp_path) == others


def test_the_directories_can_be_chosen(tmp_path: Path) -> None:
    where = {"DESTDIR": tmp_path, "PREFIX": "/usr", "SBINDIR": "/sbin", "BINDIR": "/opt/rumpfs/bin"}
    assert make("install-helpers", **where).returncode == 0
    assert {path.split("/")[0] for path in files(tmp_path)} == {"usr", "sbin"}
    assert "\nBINDIR=/opt/rumpfs/bin\n" in (tmp_path / "sbin/mount.rumpfs").read_text()
    assert (tmp_path / "usr/share/zsh/site-functions/_rumpfs").exists()
    assert make("uninstall-helpers", **where).returncode == 0
    assert files(tmp_path) == set()


@pytest.mark.parametrize("bindir", ["bin", "/a b", "/a|b", ""])
def test_a_directory_that_a_unit_cannot_name_is_refused(tmp_path: Path, bindir: str) -> None:
    done = install("put", tmp_path, BINDIR=bindir)
    assert done.returncode == 1
    assert f"BINDIR={bindir}: " in done.stderr
    assert files(tmp_path) == set()


def test_the_script_explains_itself(tmp_path: Path) -> None:
    done = install("look", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("Usage: mount_helpers/install put|remove\n")


@pytest.mark.parametrize("name", ["mount.rumpfs", "mount.fuse.rumpfs", "umount.fuse.rumpfs"])
def test_a_helper_needs_no_environment(installed: Path, name: str) -> None:
    done = subprocess.run(
        [installed / "usr/sbin" / name, "--help"],
        cwd="/",
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: rumpfs-{name.partition('.')[0]} ")


def test_the_helper_works_in_the_sources() -> None:
    done = subprocess.run(
        [HELPERS / "mount.rumpfs"], cwd="/", env={}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "the following arguments are required: SOURCE, MOUNTPOINT" in done.stderr


@pytest.mark.oracle("man")
@pytest.mark.parametrize(
    "page", ["1 rumpfs", "1 rumpfs-ls", "8 rumpfs-mount", "1 rump_allserver", "3 rumpfs"]
)
def test_man_finds_what_is_installed(installed: Path, page: str) -> None:
    where = installed / "usr/local/share/man"
    done = subprocess.run(
        ["man", "-M", where, "-w", *page.split()], capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()).is_relative_to(where)


@pytest.mark.oracle("zsh")
def test_zsh_finds_what_is_installed(tmp_path: Path) -> None:
    assert install("put", tmp_path).returncode == 0
    setup = (
        f"fpath=({tmp_path}/usr/local/share/zsh/site-functions $fpath); autoload -U compinit; compinit -u -D"
    )
    typed(tmp_path, ["zsh", "-f", "-i"], setup, "rump_ffs -o part", "rump_ffs -o partition=")
    typed(tmp_path, ["zsh", "-f", "-i"], setup, "rumpfs dumpf", "rumpfs dumpfs ")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.oracle("bash")
def test_bash_finds_a_file_for_each_command(installed: Path, command: str) -> None:
    script = f". {installed}/usr/local/share/bash-completion/completions/{command}; complete -p {command}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"complete -F _rumpfs {command}\n"


# --- systemd, fstab ---------------------------------------------------------------------------------------


def verify(*units: Path) -> str:
    """Return what systemd-analyze(1) says about units."""
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if any(unit.name in line for unit in units)]
    return "\n".join(said) or ("" if done.returncode == 0 else done.stderr)


@pytest.mark.oracle("systemd-analyze")
def test_systemd_accepts_the_units(tmp_path: Path, installed: Path) -> None:
    directory = tmp_path / "system"
    shutil.copytree(installed / "usr/local/lib/systemd/system", directory)
    for unit in UNITS:
        installed = directory / unit.name
        if not installed.exists():
            shutil.copy(unit, directory)
        elif "@" in unit.name:  # an instance of it
            installed.rename(directory / unit.name.replace("@", "@main"))
    units = sorted(directory.iterdir())
    assert len(units) == len(UNITS) == 4
    assert verify(*units) == ""
    broken = directory / "broken.service"
    broken.write_text(
        units[0].read_text().replace(str(BIN), "/nowhere").replace("Type=notify", "Type=notifies")
    )
    assert "notifies" in verify(broken)


def test_the_examples_have_options_that_exist() -> None:
    lines = [
        line.split()
        for line in (HELPERS / "fstab").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert len(lines) >= 5
    for _, mountpoint, fstype, options, dump, passno in lines:
        assert mountpoint.startswith("/mnt/")
        assert fstype in ("rumpfs", "fuse.rumpfs")
        assert (dump, passno) == ("0", "0")
        parse([options])
    unit = (HELPERS / "systemd" / "srv-bsd.mount").read_text()
    (options,) = re.findall(r"^Options=(.*)$", unit, re.MULTILINE)
    parse([options])


@pytest.mark.oracle("systemd-analyze")
def test_systemd_makes_units_of_the_lines_for_fstab(tmp_path: Path) -> None:
    generator = Path("/usr/lib/systemd/system-generators/systemd-fstab-generator")
    if not generator.exists():
        pytest.skip(f"there is no {generator} (Debian package systemd)")
    subprocess.run(
        [generator, tmp_path, tmp_path, tmp_path], env={"SYSTEMD_FSTAB": HELPERS / "fstab"}, check=True
    )
    units = sorted(path for path in tmp_path.iterdir() if path.is_file())
    assert {unit.name for unit in units} >= {"mnt-bsd.mount", "mnt-auto.mount", "mnt-auto.automount"}
    assert "\nTimeoutIdleSec=10min\n" in (tmp_path / "mnt-auto.automount").read_text()
    assert verify(*units) == ""


@pytest.mark.oracle("systemd-analyze")
def test_the_example_has_the_name_of_its_directory() -> None:
    for unit in UNITS:
        where = re.findall(r"^Where=(.*)$", unit.read_text(), re.MULTILINE)
        if where:
            done = subprocess.run(
                ["systemd-escape", "-p", f"--suffix={unit.suffix[1:]}", *where],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            assert done.stdout.strip() == unit.name
