"""docs/conformance.md lists the cases that exist, with the results that they have to have."""

from __future__ import annotations

from pathlib import Path

from tests.conformance.cases import cases
from tests.conformance.page import page

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_up_to_date() -> None:
    expected = page(lambda case, column: case.expected(column))
    assert (DOCS / "conformance.md").read_text() == expected, "run: make conformance"


def test_each_case_belongs_to_a_program_of_netbsd() -> None:
    for program, found in cases().items():
        directory, _, name = program.rpartition("/")
        assert directory
        assert name.startswith("t_")
        assert found, program
