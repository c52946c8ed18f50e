# SPDX-License-Identifier: MIT
"""Checks what has changed since the last commit: ``scripts/test --changed``.

The checks are style, the types of the changed modules, and the quick tests of the changed modules.  If nothing has
changed since the last commit, the last commit is checked.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.support.checkout import ROOT

_VENDORS = ("tests/phones/provisioning/test_finding.py", "tests/phones/provisioning/test_vendors.py")
# The tests of files that no test imports, and tests in other folders, by the folder or the ending of the file.
_TESTS_OF_DATA = {
    "ldapgw/phones/vendors/": (*_VENDORS, "tests/web/test_i18n.py"),
    "tests/data/provisioning/": _VENDORS,
    "/texts/": ("tests/test_texts.py", "tests/web/test_i18n.py"),
    "tests/data/phones.json": (
        "tests/ldap/test_fast_path.py",
        "tests/phones/explain/test_query.py",
        "tests/phones/test_replay.py",
    ),
    "web/static/": ("tests/web/test_rendering.py", "tests/web/test_style.py"),
    "web/templates/": ("tests/web/test_i18n.py", "tests/web/test_phone_pages.py", "tests/web/test_style.py"),
    "web/templates/admin_": (
        "tests/web/test_activity_page.py",
        "tests/web/test_admin_files.py",
        "tests/web/test_admin_pages.py",
        "tests/web/test_admin_tables.py",
    ),
    "web/templates/contact": ("tests/web/test_contact_pages.py",),
    "web/templates/explain": ("tests/web/test_explain_pages.py",),
    "server/config/tables.py": ("tests/cli/test_variables.py", "tests/test_docs.py"),
    "server/parts/": ("tests/server/test_gateway.py",),
    "store/migrations/": ("tests/store/test_database.py",),
    "etc/grafana/": ("tests/server/test_metrics.py",),
    # All tests of these files are long, so they do not run, but the output names them.
    "etc/kubernetes/": ("tests/test_containers.py",),
    "etc/prometheus/": ("tests/server/test_metrics.py", "tests/test_docs.py"),
    "Containerfile": ("tests/test_docs.py",),
    "debian/": ("tests/test_docs.py",),
    "setup.cfg": ("tests/test_docs.py",),
    ".po": ("tests/web/test_i18n.py",),
    ".rst": ("tests/test_docs.py",),
    ".toml": ("tests/test_docs.py",),
}
# A module of tests/support that more tests import than this is left to all quick tests.
_MAX_IMPORTERS = 10


def find_tests(paths: Iterable[Path], root: Path) -> list[Path]:
    """Return the test modules of changed files, all relative to the checkout.

    The tests of a module are in the folder of its package's tests, and have the module's name or import the module;
    the tests of other files are in `_TESTS_OF_DATA`.
    """
    found: set[Path] = set()
    for path in paths:
        for part, tests in _TESTS_OF_DATA.items():
            if part in str(path):
                found.update(map(Path, tests))
        if path.suffix != ".py" or not (root / path).exists():
            continue
        if path.parts[0] == "tests" and path.name.startswith("test_"):
            found.add(path)
        elif path.is_relative_to("tests/support"):
            importers = [test for test in (root / "tests").rglob("test_*.py") if _imports(test, path)]
            found.update(test.relative_to(root) for test in importers if len(importers) <= _MAX_IMPORTERS)
        elif path.parts[0] in {"ldapgw", "bench"}:
            package = path.parent.relative_to("ldapgw") if path.parts[0] == "ldapgw" else path.parts[0]
            for test in (root / "tests" / package).glob("test_*.py"):
                if path.stem in test.stem or _imports(test, path):
                    found.add(test.relative_to(root))
    return sorted(found)


def _imports(test: Path, module: Path) -> bool:
    imported = (f"{'.'.join(module.parent.parts)} import {module.stem}\n", f"{'.'.join(module.parts)[:-3]} import ")
    text = test.read_text(encoding="utf-8")
    return any(line in text for line in imported)


def changed() -> list[Path]:
    """Return the files that differ from the last commit, or else from the commit before."""
    new = _git("ls-files", "--others", "--exclude-standard")
    return sorted(_git("diff", "--name-only", "HEAD") + new or _git("diff", "--name-only", "HEAD~1"))


def _git(*arguments: str) -> list[Path]:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return [Path(line) for line in done.stdout.splitlines()]


def main() -> int:
    paths = changed()
    modules = [
        str(path) for path in paths if path.parts[0] == "ldapgw" and path.suffix == ".py" and (ROOT / path).exists()
    ]
    tests = [str(path) for path in find_tests(paths, ROOT)]
    commands = [["ruff", "check", "--quiet", "."], ["ruff", "format", "--check", "--quiet", "."]]
    if modules:
        commands.append(["mypy", "--no-error-summary", *modules])
    if tests:
        commands.append(["pytest", "--no-cov", "--quiet", "-m", "not long and not soak", *tests])
    for command in commands:
        sys.stdout.write(f"test: {' '.join(command)}\n")
        sys.stdout.flush()
        status = subprocess.run([Path(sys.executable).with_name(command[0]), *command[1:]], cwd=ROOT, check=False)
        # Pytest's status 5: all tests of the modules are long ones.
        if status.returncode and (command[0], status.returncode) != ("pytest", 5):
            return status.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
