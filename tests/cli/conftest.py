# SPDX-License-Identifier: MIT
"""A gateway's files in a folder of the test's own, and the command run on them in this process."""

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
    """A configured gateway that was never started, in a place where it is UTC."""
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("LDAPGW_CONFIG", raising=False)
    time.tzset()
    yield Gateway(tmp_path)
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that other users may enter, as they may not enter a test's own folder."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[], dict[str, bytes]]:
    """All files below the test's folder with their content: nothing was created or changed where two are equal."""

    def read() -> dict[str, bytes]:
        found = (path for path in tmp_path.rglob("*"))
        return {os.fspath(path): path.read_bytes() if path.is_file() else b"" for path in found}

    return read
