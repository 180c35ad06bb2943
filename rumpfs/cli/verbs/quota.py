"""rumpfs quota."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable
from typing import Final, NamedTuple

from rumpfs.abi.errno import EOPNOTSUPP
from rumpfs.abi.quota import QUOTA_BLOCK, QUOTA_NOLIMIT, Quotaval
from rumpfs.cli.listing import human
from rumpfs.cli.places import ServerFiles, printable
from rumpfs.cli.tool import Failure, Parser, Tool, json_name, json_text
from rumpfs.client.errors import RumpError
from rumpfs.client.quota import quotas
from rumpfs.client.records import StatvfsResult

EXAMPLES: Final = """\
  rumpfs quota                           of all file systems that have quotas
  rumpfs quota -u :/home                 those of users, of one file system
  rumpfs quota --json unix://sock:/home | jq '.quotas[] | select(.space.expires_ns)'
"""

_HEAD: Final = ("used", "soft", "hard", "grace")


class Line(NamedTuple):
    """The quotas of one id; None is what new ids get."""

    ident: int | None
    space: Quotaval
    files: Quotaval


class Report(NamedTuple):
    """The quotas of one type of ids of a file system."""

    vfs: StatvfsResult
    idtype: str
    lines: list[Line]


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.flag("-u", "user", "quotas of users; without -u and -g, those of both")
    parser.flag("-g", "group", "quotas of groups")
    parser.flag("-h", "human", "space in K, M, G ...")
    parser.flag("--json", "json", "a JSON document; see rumpfs help json")
    parser.add_argument(
        "address", metavar="ADDRESS", nargs="*", help=":/path, unix://sock:/path or unix://sock"
    )


def run(tool: Tool, args: Namespace) -> None:
    """Show the quotas of what the command line names."""
    wanted = {name for name, given in (("user", args.user), ("group", args.group)) if given}
    reports: list[Report] = []
    for text in args.address or [":"]:
        files, path = tool.server(text)
        try:
            found = _all(tool, files) if path is None else _reports(files, files.statvfs(path), path)
        except OSError as error:
            unsupported = isinstance(error, RumpError) and error.netbsd_errno == EOPNOTSUPP
            tool.failed(text, error, "the file system has no quotas" if unsupported else "")
            continue
        reports += [report for report in found if not wanted or report.idtype in wanted]
    if args.json:
        tool.write(json_text({"quotas": [record for report in reports for record in _records(report)]}))
    else:
        tool.write("\n".join(_table(report, args.human) for report in reports))


def _all(tool: Tool, files: ServerFiles) -> list[Report]:
    """Return the reports of all file systems that have quotas, as far as they can be read."""
    reports: list[Report] = []
    for vfs in files.getvfsstat():
        try:
            reports += _reports(files, vfs, vfs.f_mntonname)
        except RumpError as error:
            if error.netbsd_errno != EOPNOTSUPP:
                tool.failed(printable(vfs.f_mntonname), error)
    return reports


def _reports(files: ServerFiles, vfs: StatvfsResult, path: bytes) -> list[Report]:
    """Return the reports of one file system, sorted by id, the default first."""
    found: dict[str, dict[int, dict[str, Quotaval]]] = {}
    for idtype, ident, objtype, value in quotas(files, path):
        found.setdefault(idtype, {}).setdefault(-1 if ident is None else ident, {})[objtype] = value
    return [
        Report(vfs, idtype, [_line(ident, values) for ident, values in sorted(ids.items())])
        for idtype, ids in found.items()
    ]


def _line(ident: int, values: dict[str, Quotaval]) -> Line:
    try:
        return Line(None if ident < 0 else ident, values["block"], values["file"])
    except KeyError as error:
        raise Failure(f"the server says nothing of the {error.args[0]}s of id {ident}") from error


def _over(value: Quotaval) -> bool:
    """Whether a limit is exceeded (quota_check_limit)."""
    return value.usage > value.softlimit or value.usage > value.hardlimit


def _records(report: Report) -> list[dict[str, object]]:
    return [
        {
            **json_name("source", report.vfs.f_mntfromname),
            **json_name("mountpoint", report.vfs.f_mntonname),
            "idtype": report.idtype,
            "id": line.ident,
            "space": _json(line.space, QUOTA_BLOCK),
            "files": _json(line.files, 1),
        }
        for line in report.lines
    ]


def _json(value: Quotaval, unit: int) -> dict[str, object]:
    return {
        "used": value.usage * unit,
        "soft": None if value.softlimit == QUOTA_NOLIMIT else value.softlimit * unit,
        "hard": None if value.hardlimit == QUOTA_NOLIMIT else value.hardlimit * unit,
        "expires_ns": value.expiretime * 1_000_000_000 if _over(value) else None,
        "grace_seconds": value.grace,
    }


def _table(report: Report, readable: bool) -> str:
    """Return a report as repquota(8) writes it."""
    space = _human if readable else _kilobytes
    rows = [[report.idtype.capitalize(), "", *_HEAD, *_HEAD]]
    for line in report.lines:
        name = "default" if line.ident is None else str(line.ident)
        flags = "".join("+" if _over(value) else "-" for value in (line.space, line.files))
        rows.append([name, flags, *_cells(line.space, space), *_cells(line.files, str)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines: list[str] = []
    for name, flags, *numbers in rows:
        aligned = [cell.rjust(width) for cell, width in zip(numbers, widths[2:], strict=True)]
        half = len(_HEAD)
        left, right = "  ".join(aligned[:half]), "  ".join(aligned[half:])
        if not lines:
            indent = " " * (widths[0] + widths[1] + 2)
            lines.append(f"{indent}  {'Block limits'.center(len(left))}  {'File limits'.center(len(right))}")
        lines.append(f"{name.ljust(widths[0])}  {flags.ljust(widths[1])}  {left}  {right}")
    source, mountpoint = printable(report.vfs.f_mntfromname), printable(report.vfs.f_mntonname)
    title = f"*** Report for {report.idtype} quotas on {mountpoint} ({source})"
    return "".join(f"{line.rstrip()}\n" for line in (title, *lines))


def _cells(value: Quotaval, show: Callable[[int], str]) -> list[str]:
    limits = (value.softlimit, value.hardlimit)
    shown = ["-" if limit == QUOTA_NOLIMIT else show(limit) for limit in limits]
    return [show(value.usage), *shown, _grace(value) if _over(value) else ""]


def _kilobytes(blocks: int) -> str:
    return str(blocks * QUOTA_BLOCK // 1024)


def _human(blocks: int) -> str:
    return human(blocks * QUOTA_BLOCK)


def _grace(value: Quotaval) -> str:
    """Return how long a soft limit may still be exceeded, in days, hours:minutes or minutes."""
    left = value.expiretime - int(time.time())
    if left <= 0:
        return "none"
    minutes = (left + 30) // 60
    hours = (minutes + 30) // 60
    if hours >= 36:
        return f"{(hours + 12) // 24}days"
    return f"{minutes // 60}:{minutes % 60:02}" if minutes >= 60 else str(minutes)
