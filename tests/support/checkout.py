# SPDX-License-Identifier: MIT
"""The files of the project."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The same, but where the tests are run from a copy that is compiled and links to the rest (scripts/compile).
_CHECKOUT = Path(__file__).resolve().parents[2]

# Tools leave these files behind; git knows them by .gitignore.
_LEFT_BEHIND = (".", "__pycache__", "build", "dist", "ldapgw.egg-info", "dropin.cache", "node_modules")
_KEPT = (".ci", ".editorconfig", ".github", ".gitignore", ".pre-commit-config.yaml")


def project_files() -> list[Path]:
    """All files of the project, as git has them or would have them; in a copy without git, all that are there."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if (_CHECKOUT / ".git").exists():
        listed = subprocess.run(command, cwd=_CHECKOUT, capture_output=True, check=True).stdout.decode()
        return sorted(ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file())
    found = (path for path in ROOT.rglob("*") if path.is_file())
    return sorted(path for path in found if not any(map(_is_left_behind, path.relative_to(ROOT).parts)))


def _is_left_behind(name: str) -> bool:
    return name.startswith(_LEFT_BEHIND) and name not in _KEPT
