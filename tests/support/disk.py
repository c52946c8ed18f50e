# SPDX-License-Identifier: MIT
"""A small disk that can be filled and made read-only, and a crash that leaves the database's log on it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


class Disk:
    """A disk that is mounted on a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Leave no room."""
        with self._filler.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(512)):
                pass

    def make_room(self) -> None:
        self._filler.unlink()

    def make_read_only(self) -> None:
        subprocess.run(["mount", "-o", "remount,ro", self.folder], check=True)

    def make_writable(self) -> None:
        subprocess.run(["mount", "-o", "remount,rw", self.folder], check=True)


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Disk]:
    """A disk of some kilobytes; where we may not mount one, the test is left out."""
    folder.mkdir()
    options = f"size={kilobytes}k,mode=0700"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def crash(folder: Path, close: Callable[[], object]) -> None:
    """Close what has files in a folder open; the files stay as they are now, which nobody tidies up."""
    octets = {file: file.read_bytes() for file in folder.glob("ldapgw.db*")}
    close()
    for file, content in octets.items():
        file.write_bytes(content)
