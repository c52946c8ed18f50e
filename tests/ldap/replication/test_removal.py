# SPDX-License-Identifier: MIT
"""Nothing but the composition root needs the package: the rest passes its tests without the folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tests.support.released import copy_checkout

# Tests import ldapgw from the folder above their own, and the process that runs this test has imported the package:
# only another process, in a copy of the checkout, can show what goes on without the folder.
pytestmark = pytest.mark.long  # it runs the tests of two packages once more, which takes minutes


def test_ldap_and_directory_without_replication(tmp_path: Path) -> None:
    """The tests of both packages pass, and so do the commands for phones, which can add the login of a replica."""
    copy = copy_checkout(tmp_path / "copy")
    shutil.rmtree(copy / "ldapgw/ldap/replication")
    shutil.rmtree(copy / "tests/ldap/replication")
    if (ROOT / "tests/node/node_modules").exists():
        (copy / "tests/node/node_modules").symlink_to(ROOT / "tests/node/node_modules")
    # With few examples for tests of drawn inputs, which are no other without the folder.
    environment = {name: value for name, value in os.environ.items() if name not in ("ALL_EXAMPLES", "SOAK")}
    environment["PYTHONPATH"] = str(copy)
    for arguments in (
        ("-c", "import ldapgw; print(ldapgw.__path__[0])"),
        ("-m", "ldapgw", "phones", "add", "--help"),
        ("-m", "pytest", "-x", "-m", "not (long or soak or no_cover)", "tests/directory", "tests/ldap"),
    ):
        done = subprocess.run(
            [sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        if arguments[0] == "-c":
            assert done.stdout == f"{copy}/ldapgw\n"
