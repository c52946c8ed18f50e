# SPDX-License-Identifier: MIT
"""ldapts, for Node.js, against the wire on real sockets: ``tests/node/conversation.mjs`` is what it says and hears."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from tests.support.checkout import ROOT
from tests.support.phonebook import awkward
from tests.support.phonebook.awkward import BASE, DESK1, SECRET
from tests.support.phonebook.listening import Server

NODE = ROOT / "tests" / "node"
ENTRIES = awkward.entries(awkward.make_dit(lenient=True))
CONTACTS = {entry.dn: entry for entry in ENTRIES if entry.dn.startswith("uid=")}
IVAN = next(dn for dn, entry in CONTACTS.items() if entry.attribute("cn") == ("Иван Иванов".encode(),))

pytestmark = pytest.mark.skipif(
    "CI" not in os.environ and (shutil.which("node") is None or not (NODE / "node_modules").exists()),
    reason="needs Node.js and ldapts: scripts/setup",
)


@pytest.mark.parametrize("tls", ["", "starttls", "ldaps"], ids=["clear", "StartTLS", "LDAPS"])
def test_a_conversation(awkward_server: Server, tls: str) -> None:
    """Bind, search, page, sort, schema, compare and refused writes; certificates are verified."""
    asked = {
        "url": awkward_server.tls_url if tls == "ldaps" else awkward_server.url,
        "startTls": tls == "starttls",
        "certificate": awkward_server.certificate,
        "login": DESK1,
        "password": SECRET.decode(),
        "base": BASE,
        "person": IVAN,
    }
    done = subprocess.run(
        ["node", str(NODE / "conversation.mjs"), json.dumps(asked)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["anonymous"], found["wrong"]) == (50, 49)
    assert found["whoami"] == f"dn:{DESK1}"
    assert sorted(found["all"]) == sorted(CONTACTS)
    assert [dn for page in found["pages"] for dn in page] == found["all"]
    assert {len(page) for page in found["pages"][:-1]} == {7}
    names = [awkward.sorted_as(CONTACTS[dn].attribute("sn")[0].decode()) for dn in found["sorted"]]
    assert names == sorted(names, reverse=True)
    assert sorted(found["sorted"]) == sorted(CONTACTS)
    assert any("NAME 'inetOrgPerson'" in one for one in found["classes"])
    assert (found["entry"]["cn"], found["compared"]) == ("Иван Иванов", True)
    assert found["refused"] == [53, 53, 53, 53]
