"""Tuning file systems in images."""

from __future__ import annotations

import os
from argparse import Namespace
from typing import Any, Final

from rumpfs.cli.images.opening import opened
from rumpfs.cli.tool import USAGE, Failure, Tool, json_text
from rumpfs.cli.verbs.tunefs import NUMBERS
from rumpfs.fs.ffs.tunefs import (
    OPTIMIZATION,
    SETTINGS,
    change_log,
    change_settings,
    log_of,
    write_superblock,
)
from rumpfs.ondisk.ufs.superblock import Superblock, find_superblock

_VOLNAME_MAX: Final = 31
_LOG_FIELDS: Final = ("fs_journal_flags", "fs_journal_location", "fs_journallocs")


def run(tool: Tool, args: Namespace) -> None:
    """Tune a file system as the command line says."""
    wanted = _wanted(args)
    changing = bool(wanted) or args.log is not None
    if not (changing or args.show or args.json):
        raise Failure("there is nothing to change; -N shows how it is", USAGE)
    with opened(args.image, readonly=args.show or not changing) as window:
        fs = find_superblock(window.pread, window.size, args.image)
        if args.log and not fs.fs_clean & 1:
            raise Failure(
                f"{args.image}: it was not unmounted cleanly; repair it first: rumpfs fsck {args.image}"
            )
        said = change_settings(fs, wanted)
        if args.log is not None:
            said.append(change_log(fs, args.log))
        changed = {name: getattr(fs.record, name) for name in wanted}
        if args.log is not None:
            changed |= {name: getattr(fs.record, name) for name in _LOG_FIELDS}
        if changing and not args.show:
            write_superblock(fs, window, changed, args.all)
        if args.json:
            tool.write(json_text(_document(args.image, fs, not args.show and changing)))
            return
        tool.write("".join(f"{tool.name}: {line}\n" for line in [f"tuning {args.image}", *said]))
        if args.show or not changing:
            tool.write(_settings(args.image, fs))


def _wanted(args: Namespace) -> dict[str, int | bytes]:
    """Return field -> value of what is to be changed."""
    if args.quota is not None:
        raise Failure(
            f"-q {args.quota}: quotas inside the file system (quota2) are not made here, since a mount for "
            "writing would have to keep them; rumpfs quota reads quota.user and quota.group in its root",
            USAGE,
        )
    wanted: dict[str, Any] = {
        name: getattr(args, name) for _, name, *_ in NUMBERS if getattr(args, name) is not None
    }
    if args.optim is not None:
        wanted["fs_optim"] = {text: number for number, text in OPTIMIZATION.items()}[args.optim]
    if args.volname is not None:
        volname = os.fsencode(args.volname)
        if len(volname) > _VOLNAME_MAX:
            raise Failure(f"a label has up to {_VOLNAME_MAX} bytes, not {len(volname)}", USAGE)
        wanted["fs_volname"] = volname
    return wanted


def _settings(image: str, fs: Superblock) -> str:
    """Return the settings, as tunefs -N shows them."""
    lines = [f"tunefs: current settings of {image}"]
    for field, (text, unit) in SETTINGS.items():
        value = getattr(fs, field)
        if field == "fs_optim":
            lines.append(f"\t{text}: {OPTIMIZATION.get(value, value)}")
        elif field == "fs_volname":
            if value:
                lines.append(f"\t{text}: {value.decode('utf-8', 'backslashreplace')}")
        else:
            colon = ":" if field in ("fs_avgfilesize", "fs_avgfpdir") else ""
            lines.append(f"\t{text}{colon} {value}{unit}")
    log = log_of(fs)
    if log.place:
        lines += [
            f"\tjournal log file location: {log.place}",
            f"\tjournal log file size: {log.size} bytes",
            " ".join(["\tjournal log flags:", *log.flags]),
        ]
    lines.append(f"\tquotas{_quotas(fs)}")
    return "\n".join([*lines, "tunefs: no changes made"]) + "\n"


def _quotas(fs: Superblock) -> str:
    if not fs.has_quota2:
        return " disabled"
    types = [name for name, bit in (("user", 1), ("group", 2)) if fs.fs_quota_flags & bit]
    return f" {', '.join(types)} enabled"


def _document(image: str, fs: Superblock, written: bool) -> dict[str, object]:
    """Return the JSON document of what a file system is tuned to."""
    log = log_of(fs)
    return {
        "image": image,
        "written": written,
        "maxcontig": fs.fs_maxcontig,
        "maxbpg": fs.fs_maxbpg,
        "minfree": fs.fs_minfree,
        "optimization": OPTIMIZATION.get(fs.fs_optim, str(fs.fs_optim)),
        "avgfilesize": fs.fs_avgfilesize,
        "avgfpdir": fs.fs_avgfpdir,
        "label": fs.fs_volname.decode("utf-8", "backslashreplace"),
        "log": {"place": log.place or None, "size": log.size, "flags": list(log.flags)},
        "quotas": [
            name for name, bit in (("user", 1), ("group", 2)) if fs.has_quota2 and fs.fs_quota_flags & bit
        ],
    }
