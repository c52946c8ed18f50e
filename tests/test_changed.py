# SPDX-License-Identifier: MIT
"""``scripts/test --changed`` runs the tests of what has changed; a hook checks the first line of a commit's message."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from tests.support.changed import find_tests
from tests.support.checkout import ROOT, project_files


@pytest.mark.parametrize(
    ("changed", "tests"),
    [
        ("ldapgw/server/counters.py", {"tests/server/test_counters.py", "tests/server/test_metrics.py"}),
        ("ldapgw/directory/access.py", {"tests/directory/test_access.py"}),
        ("ldapgw/ber.py", {"tests/test_ber.py"}),
        ("tests/ldap/test_turns.py", {"tests/ldap/test_turns.py"}),
        ("docs/explanation/architecture.rst", {"tests/test_docs.py"}),
        ("bench/report.py", {"tests/bench/test_figures.py"}),
    ],
)
def test_a_module_has_the_tests_that_name_or_import_it(changed: str, tests: set[str]) -> None:
    found = {str(path) for path in find_tests([Path(changed)], ROOT)}
    assert tests <= found
    assert len({Path(path).parent for path in found}) == 1


@pytest.mark.parametrize(
    ("changed", "test"),
    [
        ("ldapgw/phones/vendors/yealink.j2", "tests/phones/provisioning/test_finding.py"),
        ("ldapgw/phones/vendors/yealink.toml", "tests/web/test_i18n.py"),
        ("ldapgw/web/locale/de.po", "tests/web/test_i18n.py"),
        ("ldapgw/web/texts/phones.toml", "tests/test_texts.py"),
        ("tests/data/provisioning/yealink-ldap.cfg", "tests/phones/provisioning/test_vendors.py"),
        ("tests/support/vendor_rows.py", "tests/phones/provisioning/test_vendors.py"),
        ("tests/data/phones.json", "tests/phones/test_replay.py"),
        ("ldapgw/web/static/style.css", "tests/web/test_style.py"),
        ("ldapgw/web/templates/admin_table.html", "tests/web/test_admin_tables.py"),
        ("ldapgw/web/templates/layout.html", "tests/web/test_i18n.py"),
        ("ldapgw/server/config/tables.py", "tests/test_docs.py"),
        ("ldapgw/server/parts/web_parts.py", "tests/server/test_gateway.py"),
        ("ldapgw/store/migrations/versions/0041_further_accounts.py", "tests/store/test_database.py"),
        ("etc/grafana/ldapgw.json", "tests/server/test_metrics.py"),
        ("debian/control", "tests/test_docs.py"),
    ],
)
def test_other_files_have_the_tests_that_read_them(changed: str, test: str) -> None:
    found = find_tests([Path(changed)], ROOT)
    assert Path(test) in found
    assert [path for path in found if not (ROOT / path).exists()] == []


# The kinds of files that no test imports.
_READ = (
    "Containerfile",
    "debian/*",
    "etc/grafana/*",
    "etc/kubernetes/*",
    "etc/prometheus/*",
    "ldapgw/server/parts/*.py",
    "ldapgw/store/migrations/versions/*.py",
    "ldapgw/web/static/*",
    "ldapgw/web/templates/*.html",
    "setup.cfg",
    "tests/data/phones.json",
)


@pytest.mark.parametrize("pattern", _READ)
def test_each_file_of_these_kinds_has_a_test(pattern: str) -> None:
    files = [path.relative_to(ROOT) for path in project_files()]
    found = {str(path): find_tests([path], ROOT) for path in files if fnmatch(str(path), pattern)}
    assert found
    assert [path for path, tests in found.items() if not tests] == []
    assert {test for tests in found.values() for test in tests} <= {*files}


def test_a_module_that_nearly_all_tests_import_is_left_to_all_of_them() -> None:
    assert find_tests([Path("tests/support/results.py")], ROOT) == []


@pytest.mark.parametrize(
    ("message", "is_accepted"),
    [
        ("Say what is wrong\n", True),
        ("Say what is wrong\n\nBecause nobody knew.\n", True),
        ("say what is wrong\n", False),
        ("Say what is wrong.\n", False),
        (f"Say {'x' * 68}\n", True),
        (f"Say {'x' * 69}\n", False),
    ],
)
def test_the_first_line_of_a_message(message: str, is_accepted: bool) -> None:
    """A capital letter, at most 72 characters, and no full stop."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    [pattern] = [hook["entry"] for hook in hooks if hook["id"] == "first-line"]
    assert bool(re.search(pattern, message, re.MULTILINE)) is is_accepted
