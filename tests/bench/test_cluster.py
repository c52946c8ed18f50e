# SPDX-License-Identifier: MIT
"""The bench of several gateways still runs, with tiny numbers."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.checkout import ROOT
from tests.support.postgresql import needs_postgresql


@needs_postgresql
@pytest.mark.parametrize(
    ("part", "row"),
    [
        pytest.param("transactions", "transaction of 50, rewritten", marks=pytest.mark.long),
        pytest.param("gateways", "found everywhere, p99", marks=pytest.mark.soak),
        pytest.param("engines", "start with the cached book", marks=pytest.mark.soak),
    ],
)
def test_a_part_prints_its_table(part: str, row: str) -> None:
    """Whether goals are met says little of such numbers."""
    command = [sys.executable, "-m", "bench.cluster", "--only", part, "--contacts", "50", "--rounds", "1"]
    command += ["--seconds", "0.1", "--changes", "2", "--kills", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert row in done.stdout, done.stderr
    assert done.returncode in {0, 1}
