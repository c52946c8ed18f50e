# SPDX-License-Identifier: MIT
"""The comparison of ways to read pages still runs: each way once, with a page."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.aside.server import WAYS
from tests.support.checkout import ROOT


@pytest.mark.soak  # a minute of processor time
def test_every_way_runs():
    """The table has them all; it judges nothing."""
    command = [sys.executable, "-m", "bench.aside", "--pages", "1", "--rounds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert [row[: len(way)] for row, way in zip(done.stdout.splitlines()[3:-1], WAYS, strict=True)] == list(WAYS)
