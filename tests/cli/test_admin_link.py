# SPDX-License-Identifier: MIT
"""``admin-link``: a way in for the time before anybody can sign in."""

from __future__ import annotations

import re

from ldapgw.cli import site
from ldapgw.store import sign_ins
from tests.support.site.command_line import ACME, BETA, HEAD, Gateway

LINK = re.compile(r"https://phonebook\.example\.com/acme/link\?key=([A-Za-z0-9_-]{43})\n")


def taken(gateway: Gateway, key: str, tenant: str = "acme") -> bool:
    with gateway.begin() as connection:
        return sign_ins.take_admin_link(connection, key, tenant, site.now())


def test_the_link_is_all_that_it_prints(gateway: Gateway) -> None:
    """Before the first start too; each time it is another one, and all of them are good."""
    links = []
    for _ in range(2):
        result = gateway.run("admin-link", "--tenant", "acme")
        assert result.exit_code == 0, result.output
        assert result.stderr == "Open it in a browser. It works once, within an hour.\n"
        links.append(LINK.fullmatch(result.stdout))
    keys = [link[1] for link in links if link]
    assert len(set(keys)) == 2
    assert [taken(gateway, key) for key in (*keys, *keys)] == [True, True, False, False]


def test_json(gateway: Gateway) -> None:
    """With when it ends."""
    told = gateway.json("admin-link")
    assert LINK.fullmatch(told["link"] + "\n")
    assert told["tenant"] == "acme"
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", told["expires"])


def test_which_tenant(gateway: Gateway) -> None:
    """It has to be one, and to be said where there are several; a link is for that one alone."""
    assert 'there is no tenant "beta"' in gateway.refused("admin-link", "--tenant", "beta")
    gateway.write(HEAD + ACME + BETA)
    assert gateway.run("admin-link").exit_code == 2
    key = gateway.json("admin-link", "--tenant", "beta")["link"].partition("key=")[2]
    assert not taken(gateway, key)
    assert taken(gateway, key, "beta")
