# SPDX-License-Identifier: MIT
"""The provisioning window, from an import of phones to a search with the login that a phone has fetched.

Only processes show that the password of a file works as soon as the phone has the file, and that a killed gateway has
lost nothing.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.readers import yealink
from tests.support.site.running import Site, fetch, new_site, wait_until

MAC = "001565aabbcc"
DESKS = f"name,model,mac\ndesk1,yealink,{MAC}\ndesk2,yealink,001565aabbdd\n"
INVALID_CREDENTIALS = 49


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with new_site(tmp_path, more='provisioning_networks = ["127.0.0.0/8"]\n') as site:
        yield site


def test_from_an_import_to_a_search(site: Site) -> None:
    desks, out = site.folder / "desks.csv", site.folder / "out"
    desks.write_text(DESKS)
    with site.running() as gateway:
        imported = site.ldapgw("phones", "import", str(desks), "--out", str(out), "--yes")
        assert imported.returncode == 0, imported.stderr
        site.phones["desk1"] = old = yealink((out / f"{MAC}.cfg").read_text())["ldap.password"]
        wait_until(lambda: site.ldapsearch("-s", "base")[0] == 0, "the imported login works")
        opened = site.ldapgw("phones", "provision", "--open", "15m", "desk1", "--json")
        assert opened.returncode == 0, opened.stderr
        address = json.loads(opened.stdout)["address"]
        status, text = fetch(f"{address}{MAC}.cfg")
        assert status == 200
        new = yealink(text)["ldap.password"]
        assert fetch(f"{address}{MAC}.cfg")[0] == fetch(f"{address}001565aabbdd.cfg")[0] == 404
        gateway.end(signal.SIGKILL)
    with site.running(name="again"):
        for password in (old, new):
            site.phones["desk1"] = password
            assert site.ldapsearch("-s", "base")[0] == 0
        site.phones["desk1"] = old
        wait_until(lambda: site.ldapsearch("-s", "base")[0] == INVALID_CREDENTIALS, "the old password ends")
        site.phones["desk1"] = new
        assert site.ldapsearch("-s", "base")[0] == 0
        shown = json.loads(site.ldapgw("phones", "provision", "--json").stdout)
    assert [(one["name"], one["signed_in"], one["fetched_from"]) for one in shown["phones"]] == [
        ("desk1", True, "127.0.0.1")
    ]
    assert {(one["mac"], one["reason"]) for one in shown["refused"]} == {
        ("00:15:65:aa:bb:cc", "fetched"),
        ("00:15:65:aa:bb:dd", "not_chosen"),
    }
