# SPDX-License-Identifier: MIT
"""Programs that tests run to their end."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.checkout import ROOT

# Seconds; an idle machine needs a tenth of them.
PATIENCE = 1200.0


def run(
    *command: object, cwd: Path | None = None, timeout: float = PATIENCE, stdin: str = "", **environment: str
) -> str:
    """Run a program, and return what it prints, once it has ended well.

    :param timeout: the seconds after which the test fails.
    :param environment: variables that the program has besides those of this process.
    """
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **environment},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def promtool(*arguments: str | Path, text: bytes = b"") -> tuple[int, str]:
    """Run Prometheus' own checks of metrics, alerts and their tests."""
    # scripts/setup puts the program there, in whatever environment the tests run.
    program = shutil.which("promtool", path=os.pathsep.join((str(ROOT / ".venv" / "bin"), os.environ["PATH"])))
    if program is None:
        assert "CI" not in os.environ
        pytest.skip("needs promtool: sudo apt-get install prometheus")
    done = subprocess.run([program, *arguments], input=text, capture_output=True, check=False, timeout=60)
    return done.returncode, (done.stdout + done.stderr).decode()
