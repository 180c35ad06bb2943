"""docs/conformance.md: the table of NetBSD's test cases and what became of each here."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.conformance.cases import NOT_APPLICABLE, PASS, PROGRAMS_NOT_APPLICABLE, Case, cases, modules
from tests.conformance.filesystems import COLUMNS, KINDS

#: result of a case in a column
Result = Callable[[Case, str], str]

_HEAD = """\
# Conformance

NetBSD's own tests, case by case, from its `tests` directory: each is stated anew as a body of system calls in
`tests/conformance`, and run for every file system, in process and over the socket. A cell is `pass` when all
of its runs pass: those of the ffs column are of FFSv1 and FFSv2 in both byte orders. `make conformance` runs
the cases and writes this page.
"""


def page(result: Result) -> str:
    """Return the page with the result of each case."""
    return "\n".join(_lines(result)) + "\n"


def _lines(result: Result) -> Iterator[str]:
    yield _HEAD
    yield from _totals(result)
    reasons = {module.PROGRAM: getattr(module, "NOT_APPLICABLE", {}) for module in modules()}
    for program, found in cases().items():
        yield f"\n## {program}\n"
        columns = found[0].columns
        assert all(case.columns == columns for case in found), program
        yield _row("case", *columns)
        yield _row("---", *("---" for _ in columns))
        for case in found:
            yield _row(case.name, *(_cell(case, column, result) for column in columns))
        for name, why in reasons[program].items():
            yield _row(name, *(f"{NOT_APPLICABLE}: {why}" for _ in columns))
    yield "\n## Programs without a case here\n"
    for program, why in PROGRAMS_NOT_APPLICABLE.items():
        yield f"- {program}: {why}."


def _totals(result: Result) -> Iterator[str]:
    for column in ("kernel", *COLUMNS):
        of = [result(case, column) for found in cases().values() for case in found if column in case.columns]
        if of:
            passed, skipped = of.count(PASS), of.count(NOT_APPLICABLE)
            yield f"- {column}: {passed} pass, {len(of) - passed - skipped} fail, {skipped} not applicable"


def _cell(case: Case, column: str, result: Result) -> str:
    text = result(case, column)
    if text != NOT_APPLICABLE:
        return text
    reasons = dict.fromkeys(kind.why_not(case.needs) for kind in KINDS if kind.column == column)
    return f"{text}: {'; '.join(filter(None, reasons))}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
