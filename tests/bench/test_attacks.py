# SPDX-License-Identifier: MIT
"""The bench still runs: every load once, with tiny numbers."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.crowd import KINDS
from bench.hostile import table
from bench.output import Figure
from tests.support.checkout import ROOT

LOADS = (
    *("none", "100 idle", "50 slow-loris", "20 half handshakes", "3 read nothing", "bombs", "4 guess passwords"),
    "10 ask for *abc*",
    *(f"20 ask for {name}" for name in KINDS),
)


@pytest.mark.soak  # two minutes of processor time, though the numbers are tiny
def test_every_load_runs_on_both_servers():
    """The table has them all; slapd's column is filled where there is one."""
    command = [sys.executable, "-m", "bench.hostile", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()[3:-1]
    assert [load for load in LOADS if not any(row.startswith(load) for row in rows)] == []
    assert len(rows) == 19 + len(KINDS)


@pytest.mark.soak  # eight minutes; tests/ldap holds the same limits one by one
def test_every_load_in_full():
    """What has to be held is held, what has to be closed is closed in time, and memory stays within bounds.

    How long a phone waits is the bench's to judge: here other tests may be at work.
    """
    command = [sys.executable, "-m", "bench.hostile", "--ours"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False)
    rows = done.stdout.splitlines()[3:-1]
    assert len(rows) == 19 + len(KINDS), done.stderr
    assert [row for row in rows if "MISSED" in row and "search" not in row] == []


def test_the_table_judges_us_alone():
    """The goal stands beside the figure; the other server is shown and not judged."""
    ours = [Figure("none", "p99", "3 ms", "< 50 ms"), Figure("none", "memory", "400 MiB", "< 300 MiB", met=False)]
    assert table(ours, [Figure("none", "memory", "9 MiB")]) == [
        "====  ======  =========  =======  ======  =======",
        "Load  Figure  Goal       ldapgw           slapd",
        "====  ======  =========  =======  ======  =======",
        "none  p99     < 50 ms    3 ms     ok      not run",
        "none  memory  < 300 MiB  400 MiB  MISSED  9 MiB",
        "====  ======  =========  =======  ======  =======",
    ]
