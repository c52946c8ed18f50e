# SPDX-License-Identifier: MIT
"""bonsai, which drives libldap in a way of its own (asynchronous from the first bind on), against real sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ldapgw.ldap.controls import SUPPORTED_CONTROLS
from tests.support.phonebook import awkward
from tests.support.phonebook.awkward import BASE, DESK1, SECRET
from tests.support.phonebook.listening import Server, library

bonsai = library("bonsai", "needs bonsai: scripts/setup")

SUB = bonsai.LDAPSearchScope.SUB
ENTRIES = awkward.entries(awkward.make_dit(lenient=True))
CONTACTS = [entry for entry in ENTRIES if entry.dn.startswith("uid=")]
PERSONS = "(objectClass=inetOrgPerson)"


def client(server: Server, *, login: str = DESK1, password: bytes = SECRET, tls: str = "") -> Any:
    """TLS with "ldaps" or "starttls", the certificate verified."""
    made = bonsai.LDAPClient(server.tls_url if tls == "ldaps" else server.url, tls=tls == "starttls")
    made.set_cert_policy("demand")
    made.set_ca_cert(server.certificate)
    # It would make numbers of "204".
    made.set_raw_attributes(["sn", "givenName"])
    if login:
        made.set_credentials("SIMPLE", user=login, password=password.decode())
    return made


def talk(server: Server, conversation: Callable[[Any], None], **more: Any) -> None:
    """Hold a conversation."""
    with client(server, **more).connect(timeout=30) as connection:
        conversation(connection)


@pytest.mark.parametrize("tls", ["", "starttls", "ldaps"], ids=["clear", "StartTLS", "LDAPS"])
@pytest.mark.parametrize("login", [DESK1, "desk1", ""], ids=["DN", "bare", "anonymous"])
def test_binds(awkward_server: Server, login: str, tls: str) -> None:
    """And is who it said it is; anonymous sees the root DSE alone."""

    def conversation(connection: Any) -> None:
        assert connection.whoami() == (f"dn:{DESK1}" if login else "anonymous")
        if login:
            assert len(connection.search(BASE, SUB, PERSONS)) == len(CONTACTS)
        else:
            with pytest.raises(bonsai.InsufficientAccess):
                connection.search(BASE, SUB, PERSONS)

    talk(awkward_server, conversation, login=login, tls=tls)


def test_a_wrong_login_is_refused(awkward_server: Server) -> None:
    """With the result that says why."""
    for login, password in ((DESK1, b"guess"), (f"cn=nobody,{BASE}", SECRET)):
        with pytest.raises(bonsai.AuthenticationError):
            talk(awkward_server, lambda _connection: None, login=login, password=password)


def test_the_root_dse(awkward_server: Server) -> None:
    """What it shows of the server."""
    dse = client(awkward_server).get_rootDSE()
    assert dse["namingContexts"] == [BASE]
    assert set(dse["supportedControl"]) == set(SUPPORTED_CONTROLS)


def test_every_name_comes_back_and_leads_back(awkward_server: Server) -> None:
    """It reads every DN, and finds the entry by it, and it alone."""

    def conversation(connection: Any) -> None:
        found = connection.search(BASE, SUB, "(objectClass=*)")
        assert {str(entry.dn) for entry in found} == {str(bonsai.LDAPDN(entry.dn)) for entry in ENTRIES}
        for entry in found:
            [again] = connection.search(entry.dn, bonsai.LDAPSearchScope.BASE)
            assert dict(again) == dict(entry)

    talk(awkward_server, conversation)


def test_every_contact_is_found_by_its_name(awkward_server: Server) -> None:
    """Escaped as bonsai escapes it."""

    def conversation(connection: Any) -> None:
        for entry in CONTACTS:
            name = bonsai.escape_filter_exp(entry.attribute("cn")[0].decode())
            found = connection.search(BASE, SUB, f"(cn={name})", ["uid"])
            assert bonsai.LDAPDN(entry.dn) in [one.dn for one in found]

    talk(awkward_server, conversation)


def test_pages(awkward_server: Server) -> None:
    """Every entry once."""

    def conversation(connection: Any) -> None:
        found = [str(entry.dn) for entry in connection.paged_search(BASE, SUB, PERSONS, ["cn"], page_size=7)]
        assert len(found) == len(set(found)) == len(CONTACTS)

    talk(awkward_server, conversation)


@pytest.mark.parametrize("key", ["sn", "-sn", "givenName"])
def test_sorting_alone_and_with_pages(awkward_server: Server, key: str) -> None:
    """The order asked for; who has no such attribute comes last; the same when it comes in pages."""
    name = key.lstrip("-")

    def conversation(connection: Any) -> None:
        found = connection.search(BASE, SUB, PERSONS, [name], sort_order=[key])
        shown = [awkward.sorted_as(entry[name][0].decode()) for entry in found if name in entry]
        assert shown == sorted(shown, reverse=key.startswith("-"))
        assert len(found) == len(CONTACTS)
        with_one = [name in entry for entry in found]
        assert with_one == sorted(with_one, reverse=not key.startswith("-"))
        paged = connection.paged_search(BASE, SUB, PERSONS, [name], page_size=9, sort_order=[key])
        assert [entry.dn for entry in paged] == [entry.dn for entry in found]

    talk(awkward_server, conversation)


def test_a_list_is_viewed_by_position_and_by_value(awkward_server: Server) -> None:
    """A window, where it stands, and how long the list is."""

    def conversation(connection: Any) -> None:
        everything = [entry.dn for entry in connection.search(BASE, SUB, PERSONS, ["sn"], sort_order=["sn"])]
        view = {"sort_order": ["sn"], "before_count": 1, "after_count": 2}
        found, place = connection.virtual_list_search(BASE, SUB, PERSONS, ["sn"], offset=5, **view)
        assert [entry.dn for entry in found] == everything[3:7]
        assert (place["target_position"], place["list_count"]) == (5, len(everything))
        found, place = connection.virtual_list_search(BASE, SUB, PERSONS, ["sn"], attrvalue="s", **view)
        start = place["target_position"] - 2
        assert [entry.dn for entry in found] == everything[start : start + 4]

    talk(awkward_server, conversation)


def test_whoever_writes_is_refused(awkward_server: Server) -> None:
    """Every operation that writes."""

    def conversation(connection: Any) -> None:
        new = bonsai.LDAPEntry(f"uid=new,{BASE}")
        new["objectClass"] = ["inetOrgPerson"]
        with pytest.raises(bonsai.UnwillingToPerform):
            connection.add(new)
        [entry] = connection.search(BASE, SUB, "(sn=ivanov)")
        with pytest.raises(bonsai.UnwillingToPerform):
            connection.delete(entry.dn)
        with pytest.raises(bonsai.UnwillingToPerform):
            connection.modify_password(DESK1, "new", SECRET.decode())
        entry["cn"] = "other"
        with pytest.raises(bonsai.UnwillingToPerform):
            entry.modify()
        with pytest.raises(bonsai.UnwillingToPerform):
            entry.rename("uid=other," + BASE)
        [again] = connection.search(BASE, SUB, "(sn=ivanov)")
        assert again["cn"] == ["Иван Иванов"]

    talk(awkward_server, conversation)
