# SPDX-License-Identifier: MIT
"""Other servers are measured where they are there; none is fetched unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.directory.peers import has_ldapjs


@pytest.mark.parametrize(
    ("node", "modules", "found"),
    [
        ("/usr/bin/node", "node_modules/ldapjs", True),
        ("/usr/bin/node", "node_modules/other", False),
        (None, "node_modules/ldapjs", False),
    ],
    ids=["both", "without ldapjs", "without Node"],
)
def test_ldapjs_is_measured_where_it_is_there(tmp_path: Path, node: str | None, modules: str, found: bool) -> None:
    """Node, and the modules that somebody has installed."""
    (tmp_path / modules).mkdir(parents=True)
    assert has_ldapjs(node, tmp_path) is found
