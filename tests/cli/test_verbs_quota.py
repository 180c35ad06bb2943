"""rumpfs quota, on images that NetBSD made."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rumpfs.client import Client
from tests.cli.verbs import Shell
from tests.fs.ffs.editor import Editor
from tests.images_util import manifest, netbsd_image, scratch_copy
from tests.serving import serving

IMAGES = {"/both": "quota2-v2le", "/groups": "quota2-v1be", "/none": "clean-v2be-16k-2k"}
NOLIMIT = 2**64 - 1


@pytest.fixture(scope="module")
def quota_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with quotas of users and groups, of groups alone, and none."""
    drives: list[str] = []
    for path, image in IMAGES.items():
        drives += ["-d", f"key=/dev{path},hostpath={netbsd_image(image)},size=host,ro"]
    with serving(tmp_path_factory.mktemp("quota"), *drives) as served:
        with Client(served.url) as client:
            for path in IMAGES:
                client.mkdir(path)
                client.mount("ffs", f"/dev{path}", path, 1)
        yield served.url


@pytest.fixture
def quota_shell(quota_url: str, tmp_path: Path) -> Shell:
    return Shell(quota_url, tmp_path)


def test_the_table(quota_shell: Shell) -> None:
    """Space in KiB; + where a limit is exceeded, which shows how much longer the soft one may be."""
    title, head, columns, *rows = quota_shell.ok("quota", "-u", ":/both").lines
    assert title == "*** Report for user quotas on /both (/dev/both)"
    assert re.fullmatch(r" +Block limits +File limits", head)
    assert columns.split() == ["User", "used", "soft", "hard", "grace", "used", "soft", "hard", "grace"]
    cells = {row.split()[0]: row.split()[1:] for row in rows}
    default, *idents = cells
    assert default == "default"
    assert idents == sorted(idents, key=int)
    assert cells["0"] == ["--", "1463", "-", "-", "178", "-", "-"]
    assert cells["1000"] == ["--", "37", "2000", "4500", "3", "4000", "9000"]
    assert cells["1001"][:4] == ["+-", "45", "0", "10"]
    assert cells["1002"][:7] == ["-+", "54", "-", "-", "3", "1", "3"]
    for cell in (cells["1001"][4], cells["1002"][7]):
        assert re.fullmatch(r"none|\d+days|\d+:\d\d|\d+", cell)
    assert len({row.rindex(row.split()[1]) for row in rows}) == 1  # in columns


def test_all_file_systems_are_the_default(quota_shell: Shell) -> None:
    titles = [line for line in quota_shell.ok("quota").lines if line.startswith("***")]
    assert titles == [
        "*** Report for user quotas on /both (/dev/both)",
        "*** Report for group quotas on /both (/dev/both)",
        "*** Report for group quotas on /groups (/dev/groups)",
    ]
    url = quota_shell.environ["RUMP_SERVER"]
    assert quota_shell.ok("quota", url).out == quota_shell.ok("quota", "-u", "-g").out
    lines = quota_shell.ok("quota", "-g", url).lines
    assert [line for line in lines if line.startswith("***")] == titles[1:]
    assert quota_shell.ok("quota", "-u", ":/groups").out == b""


def test_readable_sizes(quota_shell: Shell) -> None:
    (line,) = [line for line in quota_shell.ok("quota", "-hu", ":/both").lines if line.startswith("1000 ")]
    assert line.split() == ["1000", "--", "37K", "2.0M", "4.4M", "3", "4000", "9000"]


def test_json(quota_shell: Shell) -> None:
    document = quota_shell.ok("quota", "--json", ":/both", ":/groups").json
    found = {(q["mountpoint"], q["idtype"], q["id"]): q for q in document["quotas"]}
    assert len(found) == len(document["quotas"])
    names = {"blocks": ("space", 512), "files": ("files", 1)}
    for path in ("/both", "/groups"):
        for fact in manifest(IMAGES[path])["quota"]:
            if "errno" in fact:
                continue
            ident = None if fact["id"] == "default" else fact["id"]
            record = found[path, fact["idtype"], ident]
            assert record["source"] == f"/dev{path}"
            name, unit = names[fact["objtype"]]
            limits = {key: None if fact[key] == NOLIMIT else fact[key] * unit for key in ("soft", "hard")}
            assert record[name] == {
                "used": fact["usage"] * unit,
                **limits,
                "expires_ns": fact["expire"] * 10**9 or None,
                "grace_seconds": fact["grace"],
            }


def test_what_has_no_quotas(quota_shell: Shell) -> None:
    assert quota_shell.fails("quota", ":/none") == (
        "rumpfs quota: :/none: Operation not supported: the file system has no quotas\n"
    )
    assert "No such file or directory" in quota_shell.fails("quota", ":/missing")
    assert quota_shell.fails("quota", "--json", ":/none").count("\n") == 1
    assert "is a path of the host" in quota_shell.fails("quota", "/both", status=2)


def test_damaged_quotas_do_not_hide_others(tmp_path: Path) -> None:
    damaged = scratch_copy(netbsd_image("quota2-v2le"), tmp_path)
    with Editor(damaged) as editor:
        editor.write(editor.at(editor.dinode(editor.fs.fs_quotafile[0]).di_db[0]), bytes(4))
    images = {"/a": damaged, "/b": netbsd_image("quota2-v1be")}
    drives = [
        word for at, image in images.items() for word in ("-d", f"key=/dev{at},hostpath={image},size=host,ro")
    ]
    with serving(tmp_path, *drives) as served, Client(served.url) as client:
        for at in images:
            client.mkdir(at)
            client.mount("ffs", f"/dev{at}", at, 1)
        done = Shell(served.url, tmp_path).run("quota")
    assert (done.status, done.err) == (1, "rumpfs quota: /a: Input/output error\n")
    assert done.lines[0] == "*** Report for group quotas on /b (/dev/b)"


def test_the_help_says_what_the_json_is(quota_shell: Shell) -> None:
    text = quota_shell.ok("help", "json").out.decode()
    for key in ("quotas", "idtype", "space", "files", "expires_ns", "grace_seconds"):
        assert key in text.partition("quota ")[2]
    assert b"-u" in quota_shell.ok("quota", "--help").out
