"""What the verbs of `rumpfs` do with images of the host, without a server.

The verbs load these modules when they run, because they need devices and file systems. What those have to say
in the log is said as the verbs say things, unless the command has a place for it.
"""

from __future__ import annotations

import logging

from rumpfs.cli.heldlog import Spoken

logging.lastResort = Spoken(logging.WARNING)
