"""What every test gets: skips that say exactly what is missing, and no ERROR in the log unnoticed."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

PROJECT = Path(__file__).resolve().parents[1]
SHARED = PROJECT.parent / "shared"

#: The Debian package of each program that tests compare with or make their input with.
DEBIAN_PACKAGE = {
    "fls": "sleuthkit", "fsstat": "sleuthkit", "icat": "sleuthkit", "istat": "sleuthkit",
    "blkstat": "sleuthkit", "ifind": "sleuthkit", "hexdump": "bsdextrautils",
    "mmls": "sleuthkit", "tsk_recover": "sleuthkit", "grub-fstest": "grub-common", "makefs": "makefs",
    "xz": "xz-utils", "zstd": "zstd", "fusermount3": "fuse3", "sfdisk": "fdisk", "sgdisk": "gdisk",
    "cc": "gcc", "gcc": "gcc", "man": "man-db", "systemd-analyze": "systemd",
}  # fmt: skip

#: Programs that `make setup` does not install: shells, and what brings more than a tool.
EXTRAS = ("bash", "fish", "hexdump", "man", "systemd-analyze", "zsh")

# A run in the background ignores SIGINT, and what it starts would do so as well.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Debian keeps makefs and others in /usr/sbin, which is not on the path of a user who is not root.
os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"

# The same examples in every run, so that a failure is never a matter of luck; RUMPFS_HYPOTHESIS=explore
# looks for new ones.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None, database=None)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("RUMPFS_HYPOTHESIS", "same"))


def why_not(need: str) -> str | None:
    """Return why a program or Python package that a test compares with cannot be used, or None."""
    if "." in need:
        package = need.partition(".")[0]
        if importlib.util.find_spec(package) is None or importlib.util.find_spec(need) is None:
            return f"the Python package {need} is not installed (make setup installs it)"
        return None
    if shutil.which(need) is None:
        package = DEBIAN_PACKAGE.get(need, need)
        remedy = "" if need in EXTRAS else "; make setup installs it"
        return f"{need} is not installed (Debian package {package}{remedy})"
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine cannot run."""
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip(f"needs root, and runs as uid {os.geteuid()}")
    for marker in item.iter_markers("oracle"):
        for need in marker.args:
            if reason := why_not(need):
                pytest.skip(reason)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The directory of specifications, recordings and sample images beside the project."""
    if not SHARED.is_dir():
        pytest.skip(f"no directory {os.path.relpath(SHARED, PROJECT)} beside the project")
    return SHARED


class _ErrorLog(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line, and the traceback when there is one."""
        self.texts.append(self.format(record))


@pytest.fixture(autouse=True)
def no_unexpected_errors(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test whose code logs an ERROR, unless the test is marked `error_log(regex)`.

    A marked test fails as well when no such line is logged.
    """
    expected = [marker.args[0] for marker in request.node.iter_markers("error_log")]
    log = _ErrorLog()
    logging.getLogger().addHandler(log)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(log)
    surprises = [text for text in log.texts if not any(re.search(regex, text) for regex in expected)]
    if surprises:
        pytest.fail("logged as an ERROR:\n" + "\n".join(surprises), pytrace=False)
    for regex in expected:
        if not any(re.search(regex, text) for text in log.texts):
            pytest.fail(f"no ERROR was logged that matches {regex!r}", pytrace=False)
