# SPDX-License-Identifier: MIT
"""One gateway a state_dir."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ldapgw.errors import StoreError
from ldapgw.server.state_dir import Lock, holder


def test_the_second_is_told_who_the_first_is(tmp_path: Path) -> None:
    """Until the first lets go."""
    assert holder(tmp_path) is None
    first = Lock(tmp_path)
    first.name_process()
    assert holder(tmp_path) == os.getpid()
    with pytest.raises(StoreError) as caught:
        Lock(tmp_path)
    assert caught.value.problems == (f"state_dir = {tmp_path}: another gateway runs on it (process {os.getpid()})",)
    first.release()
    assert holder(tmp_path) is None
    Lock(tmp_path).release()


def test_a_file_that_a_killed_process_left_holds_nobody_up(tmp_path: Path) -> None:
    """The kernel's lock counts, not the file."""
    (tmp_path / "ldapgw.pid").write_text("12345678901234\n")
    assert holder(tmp_path) is None
    lock = Lock(tmp_path)
    lock.name_process()
    assert (tmp_path / "ldapgw.pid").read_text() == f"{os.getpid()}\n"
    lock.release()


def test_a_process_that_has_not_named_itself_yet(tmp_path: Path) -> None:
    """It is there, by no name."""
    lock = Lock(tmp_path)
    assert holder(tmp_path) == 0
    lock.release()
