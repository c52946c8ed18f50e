# SPDX-License-Identifier: MIT
"""Prometheus' own checks of metrics, alerts and their tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.checkout import ROOT


def promtool(*arguments: str | Path, text: bytes = b"") -> tuple[int, str]:
    """Run Prometheus' own check."""
    # Where scripts/setup puts it, whatever environment the tests run in.
    program = shutil.which("promtool", path=os.pathsep.join((str(ROOT / ".venv" / "bin"), os.environ["PATH"])))
    if program is None:
        assert "CI" not in os.environ
        pytest.skip("needs promtool: sudo apt-get install prometheus")
    done = subprocess.run([program, *arguments], input=text, capture_output=True, check=False, timeout=60)
    return done.returncode, (done.stdout + done.stderr).decode()
