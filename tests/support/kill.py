# SPDX-License-Identifier: MIT
"""A process that ends between any two steps, played in this one.

A step is a statement, the end of a transaction, a change of a file, or a call to Google.  At the chosen one `Killed`
leaves it, and from then on every step of the dead process: what its ``except`` and ``finally`` try does not happen.
"""

from __future__ import annotations

import os
import sqlite3
from typing import Any

import pytest
from sqlalchemy import Engine, event

# These calls change files, as pathlib and open name them.
_CALLS = ("open", "rename", "unlink", "fsync", "chown", "close", "write")


class Killed(BaseException):
    """The process is no more."""


class Kill:
    """Counts steps, and ends what runs at one of them.

    :ivar steps: how many there were.
    :ivar left: steps until the end; None: it does not come.
    :ivar dead: whether it came.
    """

    def __init__(self, left: int | None = None) -> None:
        self.steps = 0
        self.left = left
        self.dead = False

    def step(self, *concerned: object) -> None:
        """Something is about to happen."""
        if not self.dead:
            self.steps += 1
            self.dead = self.steps == self.left
        if self.dead:
            for each in concerned:
                if isinstance(each, sqlite3.Cursor):
                    each.close()  # SQLite would hold its locks for as long as a frame knows of it
            raise Killed

    def watch_database(self, engine: Engine) -> None:
        """Statements are steps, and ends of transactions."""
        for name in ("before_cursor_execute", "after_cursor_execute", "commit"):
            event.listen(engine, name, self.step)

    def watch_files(self, patch: pytest.MonkeyPatch) -> None:
        """Changes of files are steps, from now on until the patch is taken back."""
        for name in _CALLS:
            patch.setattr(os, name, self._watched(getattr(os, name)))

    def _watched(self, call: Any) -> Any:
        def watched(*args: object, **kw: object) -> Any:
            self.step()
            return call(*args, **kw)

        return watched
