# SPDX-License-Identifier: MIT
"""The bench still runs: all of it once, with tiny numbers."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys

import pytest

from bench.directory.people import person
from bench.process import Peak, resident
from bench.sync.google import CHANGED, answers, changed
from tests.support.checkout import ROOT

ROWS = {
    "nothing": 4,
    "full sync, 2,500": 8,
    "100 changes": 6,
    "no news": 2,
    "start, 500": 2,
    "60 accounts": 3,
    "one change": 3,
    "no change": 1,
    "5 changes": 2,
    "60 accounts every 10 minutes": 2,
}


@pytest.mark.soak  # a minute of processor time
def test_everything_is_measured() -> None:
    """A row each, and none of them without a figure."""
    command = [sys.executable, "-m", "bench.sync", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()[3:-1]
    assert {load: sum(row.startswith(load + "  ") for row in rows) for load in ROWS} == ROWS
    [calls] = [row for row in rows if row.startswith("full sync, 2,500  ") and "calls to Google" in row]
    assert "3, and 1 for labels" in calls


def test_memory_is_that_of_all_processes() -> None:
    """What a process holds that was started counts, while it is there."""
    hold = f"held = bytearray({64 << 20}); held[::4096] = bytes({64 << 8}); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with Peak(os.getpid()) as peak:
            own = resident(os.getpid())
    assert peak.most > own + 60


def test_google_has_pages_and_news() -> None:
    """As many as were asked for; the first person and the last are among those who change."""
    ready = {tokens: json.loads(gzip.decompress(body)) for tokens, body in answers(2500, 100).items()}
    assert {tokens: len(page["connections"]) for tokens, page in ready.items()} == {
        ("", ""): 1000,
        ("", "1000"): 1000,
        ("", "2000"): 500,
        ("full", ""): 100,
    }
    assert ("nextSyncToken" in ready["", "2000"], "nextPageToken" in ready["", "2000"]) == (True, False)
    news = changed(2500, 100)
    assert {one.given for one in news} == {CHANGED}
    assert (news[0].uid, news[-1].uid) == (person(0).uid, person(2499).uid)
    assert len({one.uid for one in news}) == 100
