"""Run the cases, print what became of each, and write docs/conformance.md (`make conformance`)."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.conformance.cases import NOT_APPLICABLE, PASS, Case
from tests.conformance.page import page

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "conformance.md"
FAIL = "FAIL"


class Results:
    """A pytest plugin that keeps the results.

    Attributes:
        missing: why cases did not run that should have.
    """

    def __init__(self) -> None:
        self.missing: set[str] = set()
        self._where: dict[str, tuple[str, str, str]] = {}
        self._results: dict[tuple[str, str, str], set[str]] = defaultdict(set)

    def pytest_collection_modifyitems(self, items: list[pytest.Function]) -> None:
        """Note which cell a test belongs to."""
        for item in items:
            kind = item.callspec.params.get("kind") if hasattr(item, "callspec") else None
            column = "kernel" if kind is None else kind.column
            self._where[item.nodeid] = item.module.PROGRAM, item.originalname, column

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the result of a test, and of its setting up and clearing away."""
        cell = self._results[self._where[report.nodeid]]
        if report.failed:
            cell.add(FAIL)
        elif report.skipped:
            why = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
            if "not applicable" not in why:
                self.missing.add(why)
        elif report.when == "call":
            cell.add(PASS)

    def of(self, case: Case, column: str) -> str:
        """Return the result of a case: the runs in a cell have to agree."""
        if case.expected(column) == NOT_APPLICABLE:
            return NOT_APPLICABLE
        return PASS if self._results[case.program, f"test_{case.name}", column] == {PASS} else FAIL


def main() -> int:
    """Run the cases, slow ones too; the arguments go to pytest, and with any the page is not written."""
    results = Results()
    code = pytest.main([str(HERE), "-q", "--no-header", "-m", "", *sys.argv[1:]], plugins=[results])
    text = page(results.of)
    print(text)
    if results.missing:
        print(f"{PAGE.name} is not written: not all cases ran:", *sorted(results.missing), sep="\n- ")
        return 1
    if not sys.argv[1:]:
        PAGE.write_text(text)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
