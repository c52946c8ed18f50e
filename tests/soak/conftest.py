# SPDX-License-Identifier: MIT
"""A soak tells its figures."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[object], None]:
    """Show a line at once: the figures of a soak are what the notes of a release tell."""

    def show(line: object) -> None:
        with capsys.disabled():
            sys.stdout.write(f"soak: {line}\n")
            sys.stdout.flush()

    return show
