# SPDX-License-Identifier: MIT
"""python-ldap, which is OpenLDAP's libldap, against the wire on real sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ldapgw.errors import ResultCode
from tests.support.phonebook import awkward
from tests.support.phonebook.awkward import BASE, DESK1, OWN_BOOK, SECRET
from tests.support.phonebook.listening import Server, certificate_and_key, library

ldap = library("ldap", "needs python-ldap: scripts/setup")
controls = library("ldap.controls", "needs python-ldap")
dn = library("ldap.dn", "needs python-ldap")
filters = library("ldap.filter", "needs python-ldap")
sss = library("ldap.controls.sss", "needs python-ldap")
vlv = library("ldap.controls.vlv", "needs python-ldap")
subentry = library("ldap.schema.subentry", "needs python-ldap")

ENTRIES = awkward.entries(awkward.make_dit(lenient=True))
CONTACTS = [entry for entry in ENTRIES if entry.dn.startswith("uid=")]
PERSONS = "(objectClass=inetOrgPerson)"

Conversation = Callable[[Any], None]


def connect(server: Server, *, tls: str = "") -> Any:
    """A connection; TLS with "ldaps" or "starttls", the certificate verified."""
    connection = ldap.initialize(server.tls_url if tls == "ldaps" else server.url)
    connection.set_option(ldap.OPT_NETWORK_TIMEOUT, 5)
    connection.set_option(ldap.OPT_TIMEOUT, 10)
    if tls:
        connection.set_option(ldap.OPT_X_TLS_CACERTFILE, server.certificate)
        connection.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
        connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
    if tls == "starttls":
        connection.start_tls_s()
    return connection


def talk(server: Server, conversation: Conversation, *, login: str = DESK1, tls: str = "") -> None:
    """Hold a conversation; "" is nobody."""
    connection = connect(server, tls=tls)
    try:
        if login:
            connection.simple_bind_s(login, SECRET.decode())
        conversation(connection)
    finally:
        connection.unbind_s()


@pytest.mark.parametrize("tls", ["", "starttls", "ldaps"], ids=["clear", "StartTLS", "LDAPS"])
@pytest.mark.parametrize("login", [DESK1, "desk1"], ids=["DN", "bare"])
def test_binds_and_finds(awkward_server: Server, login: str, tls: str) -> None:
    """By DN and by the bare name; and the session is who it said it is."""

    def conversation(connection: Any) -> None:
        assert connection.whoami_s() == f"dn:{DESK1}"
        [(name, attributes)] = connection.search_s(BASE, ldap.SCOPE_SUBTREE, "(sn=ivanov)", ["CN", "telephoneNumber"])
        assert dn.is_dn(name)
        assert set(attributes) <= {"CN", "telephoneNumber"}
        assert attributes["CN"] == ["Иван Иванов".encode()]

    talk(awkward_server, conversation, login=login, tls=tls)


@pytest.mark.parametrize(
    ("login", "password", "error"),
    [
        (DESK1, "guess", ldap.INVALID_CREDENTIALS),
        ("nobody", SECRET.decode(), ldap.INVALID_CREDENTIALS),
        (f"cn=nobody,{BASE}", SECRET.decode(), ldap.INVALID_CREDENTIALS),
        (DESK1, "", ldap.UNWILLING_TO_PERFORM),
    ],
    ids=["wrong password", "wrong name", "wrong DN", "no password"],
)
def test_a_wrong_login_is_refused(awkward_server: Server, login: str, password: str, error: Any) -> None:
    """With the result that says why; the session is nobody's afterwards."""

    def conversation(connection: Any) -> None:
        with pytest.raises(error):
            connection.simple_bind_s(login, password)
        assert connection.whoami_s() == ""
        with pytest.raises(ldap.INSUFFICIENT_ACCESS):
            connection.search_s(BASE, ldap.SCOPE_SUBTREE)

    talk(awkward_server, conversation, login="")


def test_sasl_plain_is_the_same_login(awkward_server: Server) -> None:
    """On TLS alone; other mechanisms are not there."""

    # Not sasl_interactive_bind_s: while that waits for an answer, no other thread of the process runs.
    def on_tls(connection: Any) -> None:
        connection.sasl_bind_s("", "PLAIN", b"\0desk1\0" + SECRET)
        assert connection.whoami_s() == f"dn:{DESK1}"
        with pytest.raises(ldap.INVALID_CREDENTIALS):
            connection.sasl_bind_s("", "PLAIN", b"\0desk1\0guess")
        assert connection.sasl_bind_s("", "PLAIN", None) == ResultCode.SASL_BIND_IN_PROGRESS
        connection.sasl_bind_s("", "PLAIN", b"\0desk1\0" + SECRET)
        assert connection.whoami_s() == f"dn:{DESK1}"
        for mechanism in ("EXTERNAL", "CRAM-MD5", "X-NONE"):
            with pytest.raises(ldap.STRONG_AUTH_NOT_SUPPORTED):
                connection.sasl_bind_s("", mechanism, None)
        assert connection.whoami_s() == ""

    def in_clear(connection: Any) -> None:
        with pytest.raises(ldap.STRONG_AUTH_NOT_SUPPORTED):
            connection.sasl_bind_s("", "PLAIN", b"\0desk1\0" + SECRET)
        assert connection.whoami_s() == ""

    talk(awkward_server, on_tls, login="", tls="ldaps")
    talk(awkward_server, in_clear, login="")


def test_a_certificate_that_is_not_ours_ends_it(awkward_server: Server, tmp_path) -> None:
    """The client believes in another one: no session, and the server goes on."""

    def conversation(connection: Any) -> None:
        with pytest.raises((ldap.CONNECT_ERROR, ldap.SERVER_DOWN)):
            connect(Server(awkward_server.plain, awkward_server.tls, str(other)), tls="starttls")
        assert connection.whoami_s() == f"dn:{DESK1}"

    other = tmp_path / "other.pem"
    other.write_bytes(certificate_and_key()[0])
    talk(awkward_server, conversation)


def test_every_name_comes_back_and_leads_back(awkward_server: Server) -> None:
    """The library reads every DN, writes it anew in its own way, and finds the entry by that, and it alone."""

    def conversation(connection: Any) -> None:
        found = connection.search_s(BASE, ldap.SCOPE_SUBTREE, "(objectClass=*)")
        assert sorted(name for name, _ in found) == sorted(entry.dn for entry in ENTRIES)
        for name, attributes in found:
            rewritten = dn.dn2str(dn.str2dn(name))
            assert connection.read_s(rewritten) == attributes
            assert connection.search_s(rewritten, ldap.SCOPE_BASE, attrlist=["1.1"]) == [(name, {})]

    talk(awkward_server, conversation)


def test_every_contact_is_found_by_what_it_shows(awkward_server: Server) -> None:
    """Names, addresses and numbers as the entry has them, escaped as python-ldap escapes them."""

    def conversation(connection: Any) -> None:
        for entry in CONTACTS:
            for attribute in ("cn", "mail", "telephoneNumber", "o", "labeledURI", "postalAddress"):
                for value in entry.attribute(attribute):
                    asked = filters.filter_format(f"({attribute}=%s)", [value.decode()])
                    found = connection.search_s(BASE, ldap.SCOPE_SUBTREE, asked, ["1.1"])
                    assert entry.dn in [name for name, _ in found], asked

    talk(awkward_server, conversation)


def test_whoever_writes_is_refused(awkward_server: Server) -> None:
    """Every operation that writes, each with its own result; nothing has changed afterwards."""
    entry = CONTACTS[0].dn

    def conversation(connection: Any) -> None:
        before = connection.search_s(BASE, ldap.SCOPE_SUBTREE)
        with pytest.raises(ldap.UNWILLING_TO_PERFORM):
            connection.add_s(
                f"uid=new,{OWN_BOOK}", [("objectClass", [b"inetOrgPerson"]), ("cn", [b"n"]), ("sn", [b"n"])]
            )
        with pytest.raises(ldap.UNWILLING_TO_PERFORM):
            connection.modify_s(entry, [(ldap.MOD_REPLACE, "cn", [b"other"]), (ldap.MOD_DELETE, "mail", None)])
        with pytest.raises(ldap.UNWILLING_TO_PERFORM):
            connection.delete_s(entry)
        with pytest.raises(ldap.UNWILLING_TO_PERFORM):
            connection.rename_s(entry, "uid=other", BASE)
        with pytest.raises(ldap.UNWILLING_TO_PERFORM):
            connection.passwd_s(DESK1, SECRET.decode(), "new")
        assert connection.search_s(BASE, ldap.SCOPE_SUBTREE) == before

    talk(awkward_server, conversation)


def test_compare_cancel_and_abandon(awkward_server: Server) -> None:
    """True, false and the errors; a search that was given up leaves the session as it was."""
    entry = next(entry for entry in CONTACTS if entry.attribute("cn") == ("Иван Иванов".encode(),)).dn

    def conversation(connection: Any) -> None:
        assert connection.compare_s(entry, "cn", "иван иванов".encode()) is True
        assert connection.compare_s(entry, "cn", b"nobody") is False
        with pytest.raises(ldap.UNDEFINED_TYPE):
            connection.compare_s(entry, "nosuch", b"x")
        with pytest.raises(ldap.NO_SUCH_ATTRIBUTE):
            connection.compare_s(entry, "dc", b"x")
        with pytest.raises(ldap.NO_SUCH_OBJECT) as missing:
            connection.compare_s("uid=nobody," + OWN_BOOK, "cn", b"x")
        assert missing.value.args[0]["matched"] == OWN_BOOK
        for give_up in (connection.abandon, connection.cancel):
            give_up(connection.search(BASE, ldap.SCOPE_SUBTREE))
            assert connection.whoami_s() == f"dn:{DESK1}"

    talk(awkward_server, conversation)


# --- controls --------------------------------------------------------------------------------------------------------


def search(connection: Any, *asked: Any, text: str = PERSONS) -> tuple[list[str], dict[str, Any]]:
    """A search with controls: the names found, and the controls that came back by their OIDs."""
    message_id = connection.search_ext(BASE, ldap.SCOPE_SUBTREE, text, ["cn", "sn"], serverctrls=list(asked))
    _, found, _, returned = connection.result3(message_id)
    return [name for name, _ in found], {control.controlType: control for control in returned}


def names_in_order() -> list[str]:
    return [entry.dn for entry in CONTACTS]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_pages_are_the_whole_in_pieces(awkward_server: Server, size: int) -> None:
    """RFC 2696: every entry once, in the order of a search without pages; the last cookie is empty."""

    def conversation(connection: Any) -> None:
        found, cookie, pages = [], b"", 0
        while pages == 0 or cookie:
            names, returned = search(connection, controls.SimplePagedResultsControl(True, size=size, cookie=cookie))
            assert len(names) <= size
            cookie = returned[controls.SimplePagedResultsControl.controlType].cookie
            found += names
            pages += 1
        assert found == search(connection)[0]
        assert pages == -(-len(found) // size)

    talk(awkward_server, conversation)


def test_a_paged_search_can_be_given_up_and_its_cookie_not_be_made_up(awkward_server: Server) -> None:
    """Size 0 ends it; a cookie of one's own, or of another search, is refused."""

    def conversation(connection: Any) -> None:
        paged = controls.SimplePagedResultsControl
        cookie = search(connection, paged(True, size=5, cookie=b""))[1][paged.controlType].cookie
        assert search(connection, paged(True, size=0, cookie=cookie))[0] == []
        cookie = search(connection, paged(True, size=5, cookie=b""))[1][paged.controlType].cookie
        for wrong, text in (
            (b"made up", PERSONS),
            (cookie[:-1] + bytes([cookie[-1] ^ 1]), PERSONS),
            (cookie, "(cn=*)"),
        ):
            with pytest.raises(ldap.UNWILLING_TO_PERFORM):
                search(connection, paged(True, size=5, cookie=wrong), text=text)

    talk(awkward_server, conversation)


@pytest.mark.parametrize(
    ("keys", "attribute", "reverse"),
    [(["sn"], "sn", False), (["-sn"], "sn", True), (["cn:caseIgnoreOrderingMatch"], "cn", False)],
    ids=["sn", "sn reversed", "cn by rule"],
)
def test_sorting(awkward_server: Server, keys: list[str], attribute: str, reverse: bool) -> None:
    """RFC 2891: everything is there, in the order asked for."""

    def conversation(connection: Any) -> None:
        names, returned = search(connection, sss.SSSRequestControl(criticality=True, ordering_rules=keys))
        assert returned[sss.SSSResponseControl.controlType].result == 0
        assert sorted(names) == sorted(names_in_order())
        values = {entry.dn: entry.attribute(attribute)[0].decode() for entry in CONTACTS}
        if ":" not in keys[0]:
            shown = [awkward.sorted_as(values[name]) for name in names]
            assert shown == sorted(shown, reverse=reverse)

    talk(awkward_server, conversation)


def test_sorting_by_what_is_not_there(awkward_server: Server) -> None:
    """Critical: no answer without the order.  Not critical: the answer, and the control says why it is not in order."""

    def conversation(connection: Any) -> None:
        with pytest.raises(ldap.UNAVAILABLE_CRITICAL_EXTENSION):
            search(connection, sss.SSSRequestControl(criticality=True, ordering_rules=["nosuch"]))
        names, returned = search(connection, sss.SSSRequestControl(criticality=False, ordering_rules=["nosuch"]))
        assert (len(names), returned[sss.SSSResponseControl.controlType].result) == (len(CONTACTS), 16)

    talk(awkward_server, conversation)


def test_a_list_is_viewed_by_position_and_by_value(awkward_server: Server) -> None:
    """VLV as phones and address books scroll: a window, where it stands, and how long the list is."""

    def conversation(connection: Any) -> None:
        sort = sss.SSSRequestControl(criticality=True, ordering_rules=["sn"])
        everything = search(connection, sort)[0]
        response = vlv.VLVResponseControl.controlType
        view = vlv.VLVRequestControl(True, before_count=2, after_count=3, offset=10, content_count=0)
        names, returned = search(connection, sort, view)
        assert names == everything[7:13]
        found = returned[response]
        assert (found.targetPosition, found.contentCount, found.result) == (10, len(everything), 0)
        view = vlv.VLVRequestControl(True, 0, 4, greater_than_or_equal="m", context_id=found.context_id)
        names, returned = search(connection, sort, view)
        position = returned[response].targetPosition
        assert names == everything[position - 1 : position + 4]
        folded = {entry.dn: awkward.sorted_as(entry.attribute("sn")[0].decode()) for entry in CONTACTS}
        assert folded[everything[position - 2]] < "m" <= folded[names[0]]
        with pytest.raises(ldap.VLV_ERROR):
            search(connection, view)

    talk(awkward_server, conversation)


# --- schema ----------------------------------------------------------------------------------------------------------


def test_the_schema_is_read_whole(awkward_server: Server) -> None:
    """python-ldap's parser reads it, finds everything that it refers to, and every entry keeps to it."""

    def conversation(connection: Any) -> None:
        where = connection.search_subschemasubentry_s(BASE)
        assert where == "cn=subschema"
        schema = subentry.SubSchema(connection.read_subschemasubentry_s(where))
        assert not schema.non_unique_oids
        for oid in schema.listall(subentry.AttributeType):
            kind = schema.get_obj(subentry.AttributeType, oid)
            for rule in filter(None, (kind.equality, kind.ordering, kind.substr)):
                assert schema.get_obj(subentry.MatchingRule, rule) is not None, (kind.names, rule)
            assert schema.get_obj(subentry.LDAPSyntax, kind.syntax) is not None
            assert all(schema.get_obj(subentry.AttributeType, parent) for parent in kind.sup)
        assert schema.get_structural_oc(["top", "person", "organizationalPerson", "inetOrgPerson"]) == (
            "2.16.840.1.113730.3.2.2"
        )
        for name, attributes in connection.search_s(BASE, ldap.SCOPE_SUBTREE):
            classes = [value.decode() for value in attributes["objectClass"]]
            must, may = schema.attribute_types(classes)
            allowed = {oid.lower() for oid in (*must, *may)}
            held = {schema.getoid(subentry.AttributeType, attribute).lower() for attribute in attributes}
            assert {oid.lower() for oid in must} <= held <= allowed, name

    talk(awkward_server, conversation, login=DESK1)
