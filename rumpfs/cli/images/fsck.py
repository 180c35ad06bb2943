"""Checking images: what is asked, what is shown, and what is written where."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from typing import Any, Final

from rumpfs.cli.images.opening import opened
from rumpfs.cli.tool import Failure, Tool, json_name, json_text
from rumpfs.cli.verbs.fsck import FSCK_EXIT_USAGE
from rumpfs.dev.window import Window
from rumpfs.fs.ffs.fsck.disk import Disk
from rumpfs.fs.ffs.fsck.finding import Answer, Finding, Unexpected, no, preen, yes
from rumpfs.fs.ffs.fsck.run import NoRoot, Options, Result, check
from rumpfs.ondisk.layout import ORDER_NAMES
from rumpfs.ondisk.ufs.superblock import Superblock

# fsck(8)
FSCK_EXIT_UNRESOLVED: Final = 2
FSCK_EXIT_CHECK_FAILED: Final = 8
FSCK_EXIT_SIGNALLED: Final = 12

#: question -> what fsck -p says that it did
_DONE: Final = {
    "CLEAR": "CLEARED", "ADJUST": "ADJUSTED", "SALVAGE": "SALVAGED", "RECONNECT": "RECONNECTED",
    "CORRECT": "CORRECTED", "CREATE": "CREATED", "REMOVE": "REMOVED", "SET TO DEFAULT": "FIXED",
    "FIX": "FIXED", "MARK FILE SYSTEM CLEAN": "MARKED",
}  # fmt: skip
#: seconds between two lines of progress
_INTERVAL: Final = 0.25


def run(tool: Tool, args: Namespace) -> None:
    """Check an image as the command line says."""
    statuses = FSCK_EXIT_USAGE, FSCK_EXIT_CHECK_FAILED
    tool.unwritten = FSCK_EXIT_CHECK_FAILED
    try:
        with opened(args.image, args.how == "no", *statuses, overlay=args.overlay or "") as window:
            tool.status = _Run(tool, args, window).check()
    except KeyboardInterrupt as error:
        raise Failure("interrupted; nothing was written", FSCK_EXIT_SIGNALLED) from error


class _Run:
    """One check."""

    def __init__(self, tool: Tool, args: Namespace, window: Window) -> None:
        self._tool = tool
        self._args = args
        self._window = window
        self._answer: Answer = {"no": no, "yes": yes, "preen": preen}.get(args.how, self._prompt)
        self._preen = args.how == "preen"
        self._shown = 0
        self._next = time.monotonic() + _INTERVAL

    def check(self) -> int:
        """Check; return the exit status."""
        args = self._args
        disk = Disk(self._window)
        options = Options(
            answer=self._answer,
            readonly=args.how == "no",
            force=args.force,
            sblock=args.sblock,
            told=self._told,
            progress=self._progress,
            say=self._heard,
        )
        if not self._preen:
            self._say(f"** {args.image}{' (NO WRITE)' if options.readonly else ''}")
        try:
            result = check(disk, args.image, options)
        except Unexpected as error:
            raise Failure(f"{args.image}: {error.where}\n{error.why}", FSCK_EXIT_CHECK_FAILED) from error
        except NoRoot as error:
            why = f"{args.image}: without a root directory nothing more can be checked"
            raise Failure(why, FSCK_EXIT_CHECK_FAILED) from error
        finally:
            self._wipe()
        if result.modified and not options.readonly:
            disk.commit()
        self._end(result)
        return FSCK_EXIT_UNRESOLVED if result.unresolved else 0

    # --- what is shown

    def _text(self, text: str) -> None:
        if not self._args.json:
            self._wipe()
            self._tool.write(text)

    def _say(self, text: str) -> None:
        self._text(f"{text}\n")

    def _heard(self, text: str) -> None:
        """Show how a check goes on."""
        self._say(f"{self._args.image}: {text}" if self._preen else text)

    def _told(self, finding: Finding, question: str, answer: bool) -> None:
        """Show a finding, or what was decided about it."""
        if self._preen:
            said = f" ({_DONE.get(question, question)})" if question and answer else ""
            self._text(f"{self._args.image}: {finding.text}{said}\n")
            return
        first = len(finding.answers) <= 1
        if first and self._answer != self._prompt and finding.text != question:
            self._text(finding.text)
        if not question:
            self._text("\n")
        elif self._answer != self._prompt:
            self._text(f"\n{question}? {'yes' if answer else 'no'}\n\n")

    def _prompt(self, finding: Finding, question: str) -> bool:
        """Ask the user; no when there is nobody."""
        known = finding.answers or finding.text == question
        text = f"{question}? [yn] " if known else f"{finding.text}\n{question}? [yn] "
        self._wipe()
        while True:
            self._tool.write(text)
            self._tool.flush()
            line = sys.stdin.readline()
            if not line:
                self._tool.write("\n")
                return False
            if line[:1] in "yYnN" and line.strip():
                self._tool.write("\n")
                return line[:1] in "yY"
            text = f"{question}? [yn] "

    def _progress(self, phase: str, done: int, total: int) -> None:
        """Show how far a pass is, when standard error is a terminal."""
        now = time.monotonic()
        if now < self._next or not total or not sys.stderr.isatty():
            return
        self._next = now + _INTERVAL
        text = f"phase {phase}: {done * 100 // total:3}%"
        print(f"\r{text.ljust(self._shown)}", end="", file=sys.stderr, flush=True)
        self._shown = len(text)

    def _wipe(self) -> None:
        if self._shown:
            print(f"\r{' ' * self._shown}\r", end="", file=sys.stderr, flush=True)
            self._shown = 0

    # --- the end

    def _end(self, result: Result) -> None:
        if self._args.json:
            self._tool.write(json_text(_document(self._args.image, result)))
            return
        ck = result.check
        if ck is None:
            text = result.skipped
            self._heard(text if self._preen else f"** {text[:1].upper()}{text[1:]}")
            return
        if self._preen:
            return
        if result.clean and any(finding.kind == "not-clean" for finding in ck.findings):
            self._say("\n***** FILE SYSTEM MARKED CLEAN *****")
        if result.unresolved:
            self._say("\n***** UNRESOLVED INCONSISTENCIES REMAIN *****")
        if result.modified:
            self._say("\n***** FILE SYSTEM WAS MODIFIED *****")
        if ck.rerun:
            self._say("\n***** PLEASE RERUN FSCK *****")


def _document(image: str, result: Result) -> dict[str, object]:
    """Return the JSON document of a check."""
    ck = result.check
    document: dict[str, object] = {
        "image": image,
        "checked": ck is not None,
        "skipped": result.skipped or None,
        "clean": result.clean,
        "modified": result.modified,
        "unresolved": result.unresolved,
        "rerun": ck is not None and ck.rerun,
        "filesystem": None,
        "findings": [],
        "findings_left_out": 0,
    }
    if ck is not None:
        document["filesystem"] = _filesystem(ck.fs) | {"files": ck.files, "frags_used": ck.blocks}
        document["findings"] = [_finding(finding) for finding in ck.findings]
        document["findings_left_out"] = ck.left_out
    return document


def _filesystem(fs: Superblock) -> dict[str, object]:
    return {
        "format": "UFS2" if fs.ufs2 else "UFS1",
        "byte_order": ORDER_NAMES[fs.order],
        "block_size": fs.fs_bsize,
        "fragment_size": fs.fs_fsize,
        "groups": fs.fs_ncg,
        "frags": fs.fs_size,
        "frags_free": fs.free_frags,
        **json_name("last_mounted_on", fs.fs_fsmnt),
    }


def _finding(finding: Finding) -> dict[str, object]:
    """Return a finding as JSON has it."""
    got: Any = finding.got
    return {
        "kind": finding.kind,
        "pass": finding.phase,
        "inode": finding.inode,
        "group": finding.group,
        "block": finding.block,
        "field": finding.field or None,
        "got": got.decode("utf-8", "backslashreplace") if isinstance(got, bytes) else got,
        "expected": finding.expected,
        **(json_name("path", finding.path) if finding.path else {"path": None}),
        "text": " ".join(finding.text.split()).encode("utf-8", "replace").decode(),
        "repair": finding.type.repair or None,
        "preen": finding.type.preen,
        "answers": [{"question": question, "yes": answer} for question, answer in finding.answers],
        "fixed": finding.fixed,
    }
