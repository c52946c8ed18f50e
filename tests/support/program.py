# SPDX-License-Identifier: MIT
"""Programs that tests run to their end."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

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
