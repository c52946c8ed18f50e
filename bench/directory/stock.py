# SPDX-License-Identifier: MIT
"""What takes long to make and is always the same: made anew each time, or kept in a folder for the next time."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from tests.support.checkout import ROOT

# What the made things depend on; when it changes, they are made anew.
_SOURCES = (
    *(f"ldapgw/{name}" for name in ("contact.py", "numbers", "google", "store", "sync")),
    *(f"bench/{name}" for name in ("languages.toml", "people.py", "seed.py", "directory/servers.py")),
)


class Stock:
    """A store of folders.

    :param kept: where they are kept; None: nowhere.
    """

    def __init__(self, kept: Path | None) -> None:
        self._kept = kept

    def bring(self, folder: Path, name: str, make: Callable[[Path], None]) -> Path:
        """Have a folder that is made by a function, or a copy of what it has made before; the folder."""
        if self._kept is None:
            make(folder)
            return folder
        kept = self._kept / f"{name}-{_version()}"
        if not kept.exists():
            made = kept.with_suffix(".new")
            shutil.rmtree(made, ignore_errors=True)
            made.parent.mkdir(parents=True, exist_ok=True)
            make(made)
            made.rename(kept)
        shutil.copytree(kept, folder)
        return folder


def _version() -> str:
    digest = sha256()
    for source in _SOURCES:
        for path in sorted((ROOT / source).rglob("*.py")) or [ROOT / source]:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
