# SPDX-License-Identifier: MIT
"""The bench of replicas still runs, with tiny numbers."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.support import slapd
from tests.support.checkout import ROOT


@pytest.mark.soak  # a whole run, and a part of it waits for processes
@pytest.mark.skipif(slapd.PROGRAM is None, reason="needs slapd: sudo apt-get install slapd")
def test_replica_is_measured() -> None:
    """Each row has a figure; the tenant, the book, the container of logins and the login are entries too."""
    command = [sys.executable, "-m", "bench.replica", "--contacts", "300", "--changes", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout, done.stderr
    figures = re.findall(r"^(\S.*?)  +([0-9.]+) s", done.stdout, re.MULTILINE)
    assert [name for name, _ in figures] == [
        "first copy of 304 entries",
        "processor time of the gateway",
        "processor time of OpenLDAP",
        "3 changes: at the gateway, p50",
        "from the gateway to the replica, p50",
        "p99",
    ]
