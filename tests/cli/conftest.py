# SPDX-License-Identifier: MIT
"""The fixtures lay out a gateway's files in a folder of the test's own, and run commands in this process."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.site.command_line import Gateway


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """Yield a configured gateway that was never started; its place is in UTC."""
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("LDAPGW_CONFIG", raising=False)
    time.tzset()
    yield Gateway(tmp_path)
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """Yield a folder that other users may enter, because they may not enter a test's own folder."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[], dict[str, bytes]]:
    """Return a function that reads all files below the test's folder.

    Two equal results show that nothing was created or changed.
    """

    def read() -> dict[str, bytes]:
        found = (path for path in tmp_path.rglob("*"))
        return {os.fspath(path): path.read_bytes() if path.is_file() else b"" for path in found}

    return read
