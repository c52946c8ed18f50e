# SPDX-License-Identifier: MIT
"""ldap3, which speaks LDAP in Python alone, against the wire on real sockets."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import ldap3
import pytest
from ldap3.core.exceptions import LDAPBindError, LDAPInvalidCredentialsResult, LDAPUnwillingToPerformResult
from ldap3.utils.conv import escape_filter_chars
from ldap3.utils.dn import parse_dn

from ldapgw.ldap.controls import SUPPORTED_CONTROLS
from tests.support.phonebook import awkward
from tests.support.phonebook.awkward import BASE, DESK1, OWN_BOOK, SECRET
from tests.support.phonebook.listening import Server

ENTRIES = awkward.entries(awkward.make_dit(lenient=True))
CONTACTS = [entry for entry in ENTRIES if entry.dn.startswith("uid=")]
PERSONS = "(objectClass=inetOrgPerson)"


def connect(server: Server, *, tls: str = "", info: str = ldap3.NONE, login: str = DESK1, **more: Any) -> Any:
    """A bound connection; TLS with "ldaps" or "starttls", the certificate verified."""
    # By name: from Python 3.12 on it compares no addresses.
    trust = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=server.certificate, valid_names=["localhost"])
    url = server.tls_url if tls == "ldaps" else server.url
    at = ldap3.Server(url, get_info=info, connect_timeout=30, tls=trust if tls else None)
    begin = ldap3.AUTO_BIND_TLS_BEFORE_BIND if tls == "starttls" else ldap3.AUTO_BIND_NO_TLS
    who = {"user": login, "password": SECRET.decode()} if login else {}
    return ldap3.Connection(at, **{"auto_bind": begin, "receive_timeout": 30, **who, **more})


def talk(server: Server, conversation: Callable[[Any], None], **more: Any) -> None:
    """Hold a conversation."""
    connection = connect(server, **more)
    try:
        conversation(connection)
    finally:
        connection.unbind()


@pytest.mark.parametrize("tls", ["", "starttls", "ldaps"], ids=["clear", "StartTLS", "LDAPS"])
@pytest.mark.parametrize("login", [DESK1, "desk1", ""], ids=["DN", "bare", "anonymous"])
def test_binds(awkward_server: Server, login: str, tls: str) -> None:
    """And is who it said it is; anonymous sees the root DSE."""

    def conversation(connection: Any) -> None:
        assert connection.extend.standard.who_am_i() == (f"dn:{DESK1}" if login else None)
        assert connection.search("", "(objectClass=*)", ldap3.BASE, attributes=["namingContexts"])
        assert connection.entries[0].namingContexts.values == [BASE]
        assert connection.search(BASE, PERSONS, attributes=["cn"]) is bool(login)
        assert connection.result["result"] == (0 if login else 50)

    talk(awkward_server, conversation, tls=tls, login=login)


def test_a_login_before_starttls_does_not_count(awkward_server: Server) -> None:
    """Where a program makes it sign in first, another sign-in over TLS is all that it needs."""

    def conversation(connection: Any) -> None:
        assert connection.extend.standard.who_am_i() is None
        assert not connection.search(BASE, PERSONS, attributes=["cn"])
        assert connection.bind()
        assert connection.extend.standard.who_am_i() == f"dn:{DESK1}"

    talk(awkward_server, conversation, tls="starttls", auto_bind=ldap3.AUTO_BIND_TLS_AFTER_BIND)


@pytest.mark.parametrize(
    ("login", "password", "error"),
    [(DESK1, "guess", LDAPInvalidCredentialsResult), (f"cn=nobody,{BASE}", "x", LDAPInvalidCredentialsResult)],
    ids=["wrong password", "wrong name"],
)
def test_a_wrong_login_is_refused(awkward_server: Server, login: str, password: str, error: Any) -> None:
    """With the result that says why."""

    def conversation(connection: Any) -> None:
        connection.raise_exceptions = True
        with pytest.raises(error):
            connection.rebind(user=login, password=password)

    talk(awkward_server, conversation)


def test_sasl_plain_on_tls(awkward_server: Server) -> None:
    """The same login."""

    def conversation(connection: Any) -> None:
        assert connection.extend.standard.who_am_i() == f"dn:{DESK1}"

    plain = {"authentication": ldap3.SASL, "sasl_mechanism": "PLAIN"}
    talk(
        awkward_server, conversation, tls="ldaps", login="", **plain, sasl_credentials=(None, "desk1", SECRET.decode())
    )
    with pytest.raises(LDAPBindError):
        talk(awkward_server, conversation, tls="ldaps", login="", **plain, sasl_credentials=(None, "desk1", "guess"))


def test_every_name_comes_back_and_leads_back(awkward_server: Server) -> None:
    """It reads every DN, and finds the entry by it, and it alone."""

    def conversation(connection: Any) -> None:
        connection.search(BASE, "(objectClass=*)", attributes=["*", "+"])
        found = connection.response
        assert sorted(one["dn"] for one in found) == sorted(entry.dn for entry in ENTRIES)
        for one in found:
            assert all(value for _, value, _ in parse_dn(one["dn"]))
            assert connection.search(one["dn"], "(objectClass=*)", ldap3.BASE, attributes=["*", "+"])
            assert [again["raw_attributes"] for again in connection.response] == [one["raw_attributes"]]

    talk(awkward_server, conversation)


def test_every_contact_is_found_by_its_name(awkward_server: Server) -> None:
    """Escaped as ldap3 escapes it."""

    def conversation(connection: Any) -> None:
        for entry in CONTACTS:
            name = entry.attribute("cn")[0].decode()
            assert connection.search(BASE, f"(cn={escape_filter_chars(name)})", attributes=["uid"])
            assert entry.dn in [one["dn"] for one in connection.response]

    talk(awkward_server, conversation)


def test_pages(awkward_server: Server) -> None:
    """Its own generator over RFC 2696 gives every entry once."""

    def conversation(connection: Any) -> None:
        pages = connection.extend.standard.paged_search(BASE, PERSONS, attributes=["cn"], paged_size=7)
        found = [one["dn"] for one in pages]
        assert sorted(found) == sorted(entry.dn for entry in CONTACTS)
        connection.search(BASE, PERSONS, attributes=["cn"], paged_size=7, paged_criticality=True)
        assert len(connection.entries) == 7
        assert connection.result["controls"]["1.2.840.113556.1.4.319"]["value"]["cookie"]

    talk(awkward_server, conversation)


def test_sizes_and_types(awkward_server: Server) -> None:
    """The size limit gives the first entries and says that there are more; types only gives names without values."""

    def conversation(connection: Any) -> None:
        assert connection.search(BASE, PERSONS, attributes=["cn"], size_limit=3)
        assert (len(connection.entries), connection.result["description"]) == (3, "sizeLimitExceeded")
        connection.search(BASE, PERSONS, attributes=["cn"], types_only=True)
        assert {str(one["raw_attributes"]) for one in connection.response} == {"{'cn': None}"}

    talk(awkward_server, conversation)


def test_an_unknown_critical_control(awkward_server: Server) -> None:
    """Is the end of the operation; one that is not critical is passed over."""

    def conversation(connection: Any) -> None:
        assert not connection.search(BASE, PERSONS, controls=[("1.2.3.4", True, None)])
        assert connection.result["description"] == "unavailableCriticalExtension"
        assert connection.search(BASE, PERSONS, controls=[("1.2.3.4", False, None)])

    talk(awkward_server, conversation)


def test_whoever_writes_is_refused(awkward_server: Server) -> None:
    """Every operation that writes."""
    entry = CONTACTS[0].dn

    def conversation(connection: Any) -> None:
        connection.raise_exceptions = True
        for write in (
            lambda: connection.add(f"uid=new,{OWN_BOOK}", "inetOrgPerson", {"cn": "n", "sn": "n"}),
            lambda: connection.modify(entry, {"cn": [(ldap3.MODIFY_REPLACE, ["other"])]}),
            lambda: connection.modify_dn(entry, "uid=other"),
            lambda: connection.delete(entry),
            lambda: connection.extend.standard.modify_password(DESK1, SECRET.decode(), "new"),
        ):
            with pytest.raises(LDAPUnwillingToPerformResult):
                write()
        assert connection.compare(entry, "cn", CONTACTS[0].attribute("cn")[0])

    talk(awkward_server, conversation)


def test_the_root_dse_and_the_schema_are_read(awkward_server: Server) -> None:
    """get_info=ALL: what it shows is what there is, and it checks names and formats values by our schema."""

    def conversation(connection: Any) -> None:
        info, schema = connection.server.info, connection.server.schema
        assert info.naming_contexts == [BASE]
        assert info.vendor_name == ["ldapgw"]
        assert info.schema_entry == ["cn=subschema"]
        assert {oid for oid, *_ in info.supported_controls} == set(SUPPORTED_CONTROLS)
        assert "1.3.6.1.4.1.1466.20037" in {oid for oid, *_ in info.supported_extensions}
        assert schema.is_valid()
        person = schema.object_classes["inetOrgPerson"]
        assert (person.superior, person.kind) == (["organizationalPerson"], "STRUCTURAL")
        assert {"displayName", "mobile", "mail"} <= set(person.may_contain)
        for name, kind in schema.attribute_types.items():
            assert (kind.equality is None) == (name == "jpegPhoto")  # RFC 2798 2.6
            assert kind.equality is None or kind.equality[0] in schema.matching_rules, name
            assert kind.syntax in schema.ldap_syntaxes, name
        assert schema.attribute_types["surname"].oid == "2.5.4.4"
        assert schema.matching_rule_uses
        connection.search(BASE, "(sn=ivanov)", attributes=["modifyTimestamp", "cn", "entryUUID"])
        found = connection.entries[0]
        assert found.modifyTimestamp.value.year > 2000
        assert found.cn.value == "Иван Иванов"
        reader = ldap3.Reader(connection, ldap3.ObjectDef("inetOrgPerson", connection), BASE, "mail: *")
        assert len(reader.search()) == sum(1 for entry in CONTACTS if entry.attribute("mail"))

    talk(awkward_server, conversation, info=ldap3.ALL, check_names=True)
