# SPDX-License-Identifier: MIT
"""What somebody who waits for a bench is told; standard output is for the results."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """A line on standard error."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
