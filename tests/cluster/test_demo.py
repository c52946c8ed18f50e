# SPDX-License-Identifier: MIT
"""What ``scripts/demo-cluster`` prints works as it is printed."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tests.support.postgresql import needs_postgresql
from tests.support.site.running import PATIENCE, Process, fetch, wait_until

pytestmark = [needs_postgresql, pytest.mark.long]


def said_by(command: str) -> str:
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, timeout=PATIENCE, check=False)
    return done.stdout


def test_a_gateway_is_killed_and_the_phone_searches_on(tmp_path: Path) -> None:
    """Through HAProxy, which leads to the other one; at the end nothing runs."""
    demo = Process([sys.executable, "-m", "tests.cluster.demo"], tmp_path / "log", ROOT)
    try:
        wait_until(lambda: "Ctrl-C ends" in demo.said or demo.status is not None, "all of it runs", 2 * PATIENCE)
        [search] = re.findall(r"^  (ldapsearch .*)$", demo.said, re.MULTILINE)
        [gateways] = re.findall(r"^  (.* gateways)$", demo.said, re.MULTILINE)
        [page] = re.findall(r"http://[^ ]*/acme/", demo.said)
        first, _ = re.findall(r"kill -9 (\d+)$", demo.said, re.MULTILINE)
        everybody = said_by(search)
        assert everybody.count("dn: ") == 20
        wait_until(lambda: said_by(gateways).count("✓") == 3, "both live, and one syncs")
        said_by(f"kill -9 {first}")
        wait_until(lambda: said_by(search) == everybody, "the other one answers")
        wait_until(lambda: fetch(page)[0] == 200, "the page is served")
    finally:
        assert demo.end(signal.SIGINT) == 0, demo.said
