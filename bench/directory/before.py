# SPDX-License-Identifier: MIT
"""Another checkout of the project, most often an older one, to be measured beside this one.

Its program runs with its own modules, and its own bench fills its store: what is in a store changes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.seed import OWNER, PHONE, SECRET, TENANT

# Where the bench has been, newest first.
_SEEDS = ("bench.seed", "bench.directory.seed")
# Run by that checkout's Python.
_FILL = """
import sys
from importlib import import_module
from pathlib import Path

module, state, count, now, *known = sys.argv[1:]
made = import_module(module)
assert Path(made.__file__).is_relative_to(Path.cwd()), f"{made.__file__} is not that of this checkout"
told = [made.TENANT, made.PHONE, made.SECRET, made.OWNER]
assert told == known, f"its bench has {told}, this one {known}"
made.seed(Path(state), made.alone(int(count)), float(now))
"""


@dataclass(frozen=True)
class Checkout:
    """A folder with the files of the project."""

    root: Path

    @property
    def python(self) -> str:
        """Its own, where `scripts/setup` was run in it."""
        own = self.root / ".venv" / "bin" / "python"
        return str(own) if own.exists() else sys.executable

    @property
    def is_compiled(self) -> bool:
        """Whether `scripts/compile` was run in it."""
        return (self.root / ".compiled").exists()

    @property
    def seeding(self) -> str | None:
        """The module that fills a store; None where there is none, because the folder is no checkout."""
        files = ((name, self.root / f"{name.replace('.', '/')}.py") for name in _SEEDS)
        return next((name for name, file in files if file.is_file()), None)

    @property
    def title(self) -> str:
        """The folder, and the commit where git knows it."""
        command = ["git", "-C", str(self.root), "rev-parse", "--short", "HEAD"]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        return f"{self.root} ({told.stdout.strip()})" if told.returncode == 0 else str(self.root)

    def seed(self, state: Path, count: int, now: float) -> None:
        """Make the store of a phone's own book of so many people, and another's.

        :param now: seconds since the epoch.
        """
        assert self.seeding is not None
        command = [self.python, "-c", _FILL, self.seeding, str(state), str(count), str(now)]
        environment = os.environ | {"PYTHONPATH": str(self.root)}
        subprocess.run([*command, TENANT, PHONE, SECRET, OWNER], cwd=self.root, env=environment, check=True)
