"""What tests/conftest.py promises: errors in the log are noticed, and skips say what is missing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import PROJECT

SAMPLE = """
import logging
import os
import pytest

def test_quiet():
    logging.getLogger("a").warning("not an error")

def test_surprise():
    logging.getLogger("a.b").error("disk on fire")

def test_traceback():
    try:
        1 / 0
    except ZeroDivisionError:
        logging.getLogger("a").exception("in getpid")

@pytest.mark.error_log("disk .* fire")
def test_expected():
    logging.getLogger("a.b").error("disk on fire")

@pytest.mark.error_log("disk .* fire")
def test_expected_and_another():
    logging.getLogger("a.b").error("disk on fire")
    logging.getLogger("a.b").error("and the controller")

@pytest.mark.error_log("disk .* fire")
def test_in_vain():
    pass

@pytest.mark.oracle("sh", "os.path")
def test_oracles_at_hand():
    pass

@pytest.mark.oracle("sh", "no-such-program")
def test_program_missing():
    pass

@pytest.mark.oracle("no_such.package")
def test_package_missing():
    pass

@pytest.mark.root
def test_root():
    assert os.geteuid() == 0

def test_beside(shared):
    assert shared.name == "shared"

def test_warning():
    import warnings
    warnings.warn("old")
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest says about the sample, with our settings and nothing beside the project."""
    directory = tmp_path_factory.mktemp("above") / "project"
    (directory / "tests").mkdir(parents=True)
    shutil.copy(PROJECT / "pyproject.toml", directory)
    shutil.copy(PROJECT / "tests" / "conftest.py", directory / "tests")
    (directory / "tests" / "test_sample.py").write_text(SAMPLE)
    command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "--color=no"]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True).stdout


def _outcomes(report: str, outcome: str) -> set[str]:
    return set(re.findall(rf"^{outcome} .*::test_(\w+)", report, re.MULTILINE))


def test_an_error_in_the_log_fails_a_test_that_does_not_expect_it(report: str) -> None:
    assert {"quiet", "expected", "oracles_at_hand"} <= _outcomes(report, "PASSED")
    # The errors are found after the test's body has passed.
    assert _outcomes(report, "ERROR") == {"surprise", "traceback", "expected_and_another", "in_vain"}
    assert _outcomes(report, "FAILED") == {"warning"}


def test_the_report_shows_what_was_logged(report: str) -> None:
    assert "logged as an ERROR:\ndisk on fire" in report
    assert re.search(r"logged as an ERROR:\nin getpid\nTraceback .*\n(.*\n)+ZeroDivisionError", report)
    assert "logged as an ERROR:\nand the controller" in report
    assert "no ERROR was logged that matches 'disk .* fire'" in report


def test_a_skip_says_what_is_missing(report: str) -> None:
    assert "no-such-program is not installed (Debian package no-such-program; make setup" in report
    assert "the Python package no_such.package is not installed" in report
    assert "no directory ../shared beside the project" in report
