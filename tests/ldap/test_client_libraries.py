# SPDX-License-Identifier: MIT
"""Client libraries for Python against the wire on real sockets: python-ldap, bonsai and ldap3.

python-ldap and bonsai drive OpenLDAP's libldap, bonsai asynchronously; ldap3 speaks LDAP in Python alone.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from typing import Any

import ldap3
import pytest
from ldap3.core.exceptions import LDAPOperationResult
from ldap3.utils.conv import escape_filter_chars
from ldap3.utils.dn import parse_dn

from ldapgw.ldap.controls import SUPPORTED_CONTROLS
from tests.support.certificates import issue
from tests.support.phonebook import awkward
from tests.support.phonebook.awkward import BASE, DESK1, OWN_BOOK, SECRET
from tests.support.phonebook.listening import Server, library

ENTRIES = awkward.entries(awkward.make_dit(lenient=True))
CONTACTS = [entry for entry in ENTRIES if entry.dn.startswith("uid=")]
IVAN = next(entry.dn for entry in CONTACTS if entry.attribute("cn") == ("Иван Иванов".encode(),))
EVERYTHING, PERSONS = "(objectClass=*)", "(objectClass=inetOrgPerson)"

Write = Callable[[], object]


class PythonLdap:
    """A session of python-ldap."""

    def __init__(self, server: Server) -> None:
        self.ldap = library("ldap", "needs python-ldap: scripts/setup")
        self.controls = library("ldap.controls", "needs python-ldap")
        self.sss = library("ldap.controls.sss", "needs python-ldap")
        self.vlv = library("ldap.controls.vlv", "needs python-ldap")
        self.dn = library("ldap.dn", "needs python-ldap")
        self.escape = library("ldap.filter", "needs python-ldap").escape_filter_chars
        self.error = self.ldap.LDAPError
        self._server = server

    def bind(self, login: str = DESK1, password: bytes = SECRET, tls: str = "") -> None:
        self.connection = self.ldap.initialize(self._server.tls_url if tls == "ldaps" else self._server.url)
        self.connection.set_option(self.ldap.OPT_NETWORK_TIMEOUT, 5)
        self.connection.set_option(self.ldap.OPT_TIMEOUT, 10)
        if tls:
            self.connection.set_option(self.ldap.OPT_X_TLS_CACERTFILE, self._server.certificate)
            self.connection.set_option(self.ldap.OPT_X_TLS_REQUIRE_CERT, self.ldap.OPT_X_TLS_DEMAND)
            self.connection.set_option(self.ldap.OPT_X_TLS_NEWCTX, 0)
        if tls == "starttls":
            self.connection.start_tls_s()
        if login:
            self.connection.simple_bind_s(login, password.decode())

    def bind_plain(self, credentials: tuple[str, bytes], tls: str) -> None:
        self.bind("", tls=tls)
        # Not sasl_interactive_bind_s: while that waits for an answer, no other thread of the process runs.
        self.connection.sasl_bind_s("", "PLAIN", b"\0%s\0%s" % (credentials[0].encode(), credentials[1]))

    def end(self) -> None:
        self.connection.unbind_s()

    def code(self, error: Any) -> int:
        return int(error.args[0]["result"])

    def whoami(self) -> str:
        return self.connection.whoami_s() or "anonymous"

    def root_dse(self) -> dict[str, list[str]]:
        [(_, found)] = self.connection.search_s("", self.ldap.SCOPE_BASE, attrlist=["+"])
        return {name: [value.decode() for value in values] for name, values in found.items()}

    def search(self, text: str = PERSONS, base: str = BASE) -> dict[str, Any]:
        return dict(self.connection.search_s(base, self.ldap.SCOPE_SUBTREE, text))

    def rewritten(self, name: str) -> str:
        """Return the DN as the library writes what the library has read."""
        return str(self.dn.dn2str(self.dn.str2dn(name)))

    def pages(self, size: int) -> list[str]:
        found, cookie = [], b""
        while not found or cookie:
            page = self.controls.SimplePagedResultsControl(True, size=size, cookie=cookie)
            names, returned = self._controlled(page)
            assert len(names) <= size
            cookie = returned[page.controlType].cookie
            found += names
        return found

    def sorted(self, key: str) -> list[str]:
        names, returned = self._controlled(self.sss.SSSRequestControl(criticality=True, ordering_rules=[key]))
        assert returned[self.sss.SSSResponseControl.controlType].result == 0
        return names

    def viewed(self, before: int, after: int, target: int | str) -> tuple[list[str], int, int]:
        """Return a window on the contacts sorted by surname, the position of its target, and their number."""
        wanted = {"greater_than_or_equal": target} if isinstance(target, str) else {"offset": target}
        view = self.vlv.VLVRequestControl(True, before, after, content_count=0, **wanted)
        names, returned = self._controlled(self.sss.SSSRequestControl(True, ["sn"]), view)
        found = returned[self.vlv.VLVResponseControl.controlType]
        return names, found.targetPosition, found.contentCount

    def _controlled(self, *asked: Any) -> tuple[list[str], dict[str, Any]]:
        number = self.connection.search_ext(BASE, self.ldap.SCOPE_SUBTREE, PERSONS, ["cn"], serverctrls=list(asked))
        _, found, _, returned = self.connection.result3(number)
        return [name for name, _ in found], {control.controlType: control for control in returned}

    def writes(self, entry: str) -> list[Write]:
        new = [("objectClass", [b"inetOrgPerson"]), ("cn", [b"n"]), ("sn", [b"n"])]
        changes = [(self.ldap.MOD_REPLACE, "cn", [b"other"]), (self.ldap.MOD_DELETE, "mail", None)]
        return [
            lambda: self.connection.add_s(f"uid=new,{OWN_BOOK}", new),
            lambda: self.connection.modify_s(entry, changes),
            lambda: self.connection.delete_s(entry),
            lambda: self.connection.rename_s(entry, "uid=other", BASE),
            lambda: self.connection.passwd_s(DESK1, SECRET.decode(), "new"),
        ]


class Bonsai:
    """A session of bonsai."""

    def __init__(self, server: Server) -> None:
        self.bonsai = library("bonsai", "needs bonsai: scripts/setup")
        self.sub = self.bonsai.LDAPSearchScope.SUB
        self.error, self.escape = self.bonsai.LDAPError, self.bonsai.escape_filter_exp
        self._server = server

    def bind(self, login: str = DESK1, password: bytes = SECRET, tls: str = "") -> None:
        url = self._server.tls_url if tls == "ldaps" else self._server.url
        self.client = self.bonsai.LDAPClient(url, tls=tls == "starttls")
        self.client.set_cert_policy("demand")
        self.client.set_ca_cert(self._server.certificate)
        if login:
            self.client.set_credentials("SIMPLE", user=login, password=password.decode())
        self.connection = self.client.connect(timeout=30)

    def end(self) -> None:
        self.connection.close()

    def code(self, error: Any) -> int:
        return int(error.code)

    def whoami(self) -> str:
        return str(self.connection.whoami())

    def root_dse(self) -> dict[str, list[str]]:
        return dict(self.client.get_rootDSE())

    def search(self, text: str = PERSONS, base: str = BASE) -> dict[str, Any]:
        return {str(entry.dn): dict(entry) for entry in self.connection.search(base, self.sub, text)}

    def rewritten(self, name: str) -> str:
        return str(self.bonsai.LDAPDN(name))

    def pages(self, size: int) -> list[str]:
        return [str(one.dn) for one in self.connection.paged_search(BASE, self.sub, PERSONS, ["cn"], page_size=size)]

    def sorted(self, key: str) -> list[str]:
        found = self.connection.search(BASE, self.sub, PERSONS, ["cn"], sort_order=[key])
        paged = self.connection.paged_search(BASE, self.sub, PERSONS, ["cn"], page_size=9, sort_order=[key])
        assert [entry.dn for entry in paged] == [entry.dn for entry in found]
        return [str(entry.dn) for entry in found]

    def viewed(self, before: int, after: int, target: int | str) -> tuple[list[str], int, int]:
        wanted = {"attrvalue": target} if isinstance(target, str) else {"offset": target}
        window = {"before_count": before, "after_count": after, **wanted}
        found, place = self.connection.virtual_list_search(BASE, self.sub, PERSONS, ["cn"], sort_order=["sn"], **window)
        return [str(entry.dn) for entry in found], place["target_position"], place["list_count"]

    def writes(self, entry: str) -> list[Write]:
        new = self.bonsai.LDAPEntry(f"uid=new,{BASE}")
        new["objectClass"] = ["inetOrgPerson"]
        [changed] = self.connection.search(entry, self.sub)
        changed["cn"] = "other"
        return [
            lambda: self.connection.add(new),
            changed.modify,
            lambda: self.connection.delete(entry),
            lambda: changed.rename(f"uid=other,{BASE}"),
            lambda: self.connection.modify_password(DESK1, "new", SECRET.decode()),
        ]


class Ldap3:
    """A session of ldap3."""

    error, escape = LDAPOperationResult, staticmethod(escape_filter_chars)

    def __init__(self, server: Server) -> None:
        self._server = server

    def bind(self, login: str = DESK1, password: bytes = SECRET, tls: str = "", **more: Any) -> None:
        # By name: from Python 3.12 on ldap3 compares no addresses.
        trust = ldap3.Tls(ssl.CERT_REQUIRED, ca_certs_file=self._server.certificate, valid_names=["localhost"])
        url = self._server.tls_url if tls == "ldaps" else self._server.url
        at = ldap3.Server(url, get_info=ldap3.NONE, connect_timeout=30, tls=trust if tls else None)
        who = {"user": login, "password": password.decode()} if login else {}
        self.connection: Any = ldap3.Connection(at, raise_exceptions=True, receive_timeout=30, **who, **more)
        self.connection.open()
        if tls == "starttls":
            self.connection.start_tls()
        if who or more:
            self.connection.bind()

    def bind_plain(self, credentials: tuple[str, bytes], tls: str) -> None:
        told = (None, credentials[0], credentials[1].decode())
        self.bind("", tls=tls, authentication=ldap3.SASL, sasl_mechanism="PLAIN", sasl_credentials=told)

    def end(self) -> None:
        self.connection.unbind()

    def code(self, error: Any) -> int:
        return int(error.result)

    def whoami(self) -> str:
        return self.connection.extend.standard.who_am_i() or "anonymous"

    def root_dse(self) -> dict[str, list[str]]:
        self.connection.search("", EVERYTHING, ldap3.BASE, attributes=["+"])
        return dict(self.connection.response[0]["attributes"])

    def search(self, text: str = PERSONS, base: str = BASE) -> dict[str, Any]:
        self.connection.search(base, text, attributes=["*"])
        return {one["dn"]: dict(one["raw_attributes"]) for one in self.connection.response}

    def rewritten(self, name: str) -> str:
        assert all(value for _, value, _ in parse_dn(name))
        return name

    def pages(self, size: int) -> list[str]:
        # Not extend.standard.paged_search: its generator turns each page round.
        found, cookie = [], b""
        while not found or cookie:
            self.connection.search(BASE, PERSONS, paged_size=size, paged_cookie=cookie, paged_criticality=True)
            found += [one["dn"] for one in self.connection.response]
            cookie = self.connection.result["controls"]["1.2.840.113556.1.4.319"]["value"]["cookie"]
        return found

    def writes(self, entry: str) -> list[Write]:
        new = {"cn": "n", "sn": "n"}
        return [
            lambda: self.connection.add(f"uid=new,{OWN_BOOK}", "inetOrgPerson", new),
            lambda: self.connection.modify(entry, {"cn": [(ldap3.MODIFY_REPLACE, ["other"])]}),
            lambda: self.connection.delete(entry),
            lambda: self.connection.modify_dn(entry, "uid=other"),
            lambda: self.connection.extend.standard.modify_password(DESK1, SECRET.decode(), "new"),
        ]


@pytest.fixture(name="client", params=[PythonLdap, Bonsai, Ldap3], ids=["python-ldap", "bonsai", "ldap3"])
def _client(request: pytest.FixtureRequest, awkward_server: Server) -> Iterator[Any]:
    client = request.param(awkward_server)
    yield client
    if hasattr(client, "connection"):
        client.end()


def only(*libraries: type) -> pytest.MarkDecorator:
    """Use these libraries: the others cannot ask for what a test is about."""
    return pytest.mark.parametrize("client", libraries, indirect=True, ids=[one.__name__ for one in libraries])


def refusal(client: Any, act: Callable[[], object]) -> int:
    """Return the result code with which the library raises an error."""
    with pytest.raises(client.error) as raised:
        act()
    return int(client.code(raised.value))


@pytest.mark.parametrize("tls", ["", "starttls", "ldaps"], ids=["clear", "StartTLS", "LDAPS"])
@pytest.mark.parametrize("login", [DESK1, "desk1", ""], ids=["DN", "bare", "anonymous"])
def test_a_login_binds_and_finds(client: Any, login: str, tls: str) -> None:
    """The certificate is verified; an anonymous client sees the root DSE alone."""
    client.bind(login, tls=tls)
    assert client.whoami() == (f"dn:{DESK1}" if login else "anonymous")
    dse = client.root_dse()
    assert (dse["namingContexts"], set(dse["supportedControl"])) == ([BASE], set(SUPPORTED_CONTROLS))
    if login:
        assert len(client.search()) == len(CONTACTS)
    else:
        assert refusal(client, client.search) == 50


def test_a_wrong_password_is_refused(client: Any) -> None:
    assert refusal(client, lambda: client.bind(DESK1, b"guess")) == 49


@only(PythonLdap, Ldap3)
def test_sasl_plain_on_tls_is_the_same_login(client: Any) -> None:
    """A login in clear is refused, and so is a wrong password."""
    for login, tls, code in ((("desk1", b"guess"), "ldaps", 49), (("desk1", SECRET), "", 7)):
        assert refusal(client, lambda login=login, tls=tls: client.bind_plain(login, tls)) == code
        assert client.whoami() == "anonymous"
        client.end()
    client.bind_plain(("desk1", SECRET), "ldaps")
    assert client.whoami() == f"dn:{DESK1}"


def test_every_name_comes_back_and_leads_back(client: Any) -> None:
    """The library reads every DN, and finds by its own writing of the DN the entry, and it alone."""
    client.bind()
    found = client.search(EVERYTHING)
    assert sorted(map(client.rewritten, found)) == sorted(client.rewritten(entry.dn) for entry in ENTRIES)
    for name, attributes in found.items():
        below = client.search(EVERYTHING, client.rewritten(name))
        assert below[name] == attributes
        assert len(below) == 1 or not name.startswith("uid=")


def test_every_contact_is_found_by_what_it_shows(client: Any) -> None:
    """Names, addresses and numbers as the entry has them, escaped as the library escapes them."""
    client.bind()
    for entry in CONTACTS:
        for attribute in ("cn", "mail", "telephoneNumber", "o", "labeledURI", "postalAddress"):
            for value in entry.attribute(attribute):
                asked = f"({attribute}={client.escape(value.decode())})"
                assert client.rewritten(entry.dn) in map(client.rewritten, client.search(asked)), asked


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_pages_are_the_whole(client: Any, size: int) -> None:
    """Every entry comes once, in the order of a search without pages (RFC 2696)."""
    client.bind()
    assert client.pages(size) == list(client.search())


@only(PythonLdap, Bonsai)
@pytest.mark.parametrize("key", ["sn", "-sn", "givenName"])
def test_sorting(client: Any, key: str) -> None:
    """All are in the order asked for, and who has no such attribute comes last (RFC 2891)."""
    values = {client.rewritten(entry.dn): entry.attribute(key.lstrip("-")) for entry in CONTACTS}
    client.bind()
    found = [values.pop(client.rewritten(name)) for name in client.sorted(key)]
    shown = [awkward.sorted_as(one[0].decode()) for one in found if one]
    is_turned = key.startswith("-")
    assert (values, shown) == ({}, sorted(shown, reverse=is_turned))
    assert [bool(one) for one in found] == sorted(map(bool, found), reverse=not is_turned)


@only(PythonLdap, Bonsai)
def test_a_list_is_viewed_by_position_and_by_value(client: Any) -> None:
    """A window, where it stands, and how long the list is, as phones and address books scroll."""
    folded = {client.rewritten(one.dn): awkward.sorted_as(one.attribute("sn")[0].decode()) for one in CONTACTS}
    client.bind()
    everything = client.sorted("sn")
    assert client.viewed(2, 3, 10) == (everything[7:13], 10, len(everything))
    names, position, count = client.viewed(1, 2, "m")
    assert (names, count) == (everything[position - 2 : position + 2], len(everything))
    assert folded[client.rewritten(names[0])] < "m" <= folded[client.rewritten(names[1])]


def test_whoever_writes_is_refused(client: Any) -> None:
    """Every operation that writes has the result unwillingToPerform, and nothing has changed afterwards."""
    client.bind()
    before = client.search(EVERYTHING)
    assert [refusal(client, write) for write in client.writes(IVAN)] == [53] * 5
    assert client.search(EVERYTHING) == before


# --- what one library has ---------------------------------------------------------------------------------------------


@only(Ldap3)
def test_a_login_before_starttls_does_not_count(client: Any) -> None:
    """A program that makes ldap3 sign in first only needs to sign in again over TLS."""
    client.bind()
    client.connection.server.tls = ldap3.Tls(ssl.CERT_REQUIRED, ca_certs_file=client._server.certificate,
                                             valid_names=["localhost"])  # fmt: skip
    client.connection.start_tls(read_server_info=False)
    assert client.whoami() == "anonymous"
    assert refusal(client, client.search) == 50
    client.connection.bind()
    assert client.whoami() == f"dn:{DESK1}"


@only(PythonLdap)
def test_a_certificate_that_is_not_ours_ends_it(client: Any, awkward_server: Server, tmp_path: Any) -> None:
    """The client trusts another authority: it has no session, and the server goes on."""
    other = tmp_path / "other.pem"
    other.write_bytes(issue(which=1).pem)
    mistrustful = PythonLdap(Server(awkward_server.plain, awkward_server.tls, str(other)))
    with pytest.raises((client.ldap.CONNECT_ERROR, client.ldap.SERVER_DOWN)):
        mistrustful.bind(tls="starttls")
    client.bind()
    assert client.whoami() == f"dn:{DESK1}"


@only(PythonLdap)
def test_compare_cancel_and_abandon(client: Any) -> None:
    """A comparison is true, false or an error; a search that was given up leaves the session as it was."""
    client.bind()
    compare = client.connection.compare_s
    assert [compare(IVAN, "cn", name.encode()) for name in ("иван иванов", "nobody")] == [True, False]
    for name, attribute, code in ((IVAN, "nosuch", 17), (IVAN, "dc", 16), (f"uid=nobody,{OWN_BOOK}", "cn", 32)):
        with pytest.raises(client.error) as raised:
            compare(name, attribute, b"x")
        told = raised.value.args[0]
        assert (told["result"], told.get("matched")) == (code, OWN_BOOK if code == 32 else None)
    for give_up in (client.connection.abandon, client.connection.cancel):
        give_up(client.connection.search(BASE, client.ldap.SCOPE_SUBTREE))
        assert client.whoami() == f"dn:{DESK1}"


@only(PythonLdap)
def test_python_ldap_reads_the_schema(client: Any) -> None:
    """Its parser finds everything that the schema refers to, and every entry keeps to the schema."""
    subentry = library("ldap.schema.subentry", "needs python-ldap")
    client.bind()
    where = client.connection.search_subschemasubentry_s(BASE)
    assert where == "cn=subschema"
    schema = subentry.SubSchema(client.connection.read_subschemasubentry_s(where))
    assert not schema.non_unique_oids
    for oid in schema.listall(subentry.AttributeType):
        kind = schema.get_obj(subentry.AttributeType, oid)
        for rule in filter(None, (kind.equality, kind.ordering, kind.substr)):
            assert schema.get_obj(subentry.MatchingRule, rule) is not None, (kind.names, rule)
        assert schema.get_obj(subentry.LDAPSyntax, kind.syntax) is not None
        assert all(schema.get_obj(subentry.AttributeType, parent) for parent in kind.sup)
    classes = ["top", "person", "organizationalPerson", "inetOrgPerson"]
    assert schema.get_structural_oc(classes) == "2.16.840.1.113730.3.2.2"
    for name, attributes in client.search(EVERYTHING).items():
        must, may = schema.attribute_types([value.decode() for value in attributes["objectClass"]])
        allowed = {oid.lower() for oid in (*must, *may)}
        held = {schema.getoid(subentry.AttributeType, attribute).lower() for attribute in attributes}
        assert {oid.lower() for oid in must} <= held <= allowed, name


def test_ldap3_reads_the_root_dse_and_the_schema(awkward_server: Server) -> None:
    """With get_info=ALL, ldap3 checks names and formats values by our schema."""
    at = ldap3.Server(awkward_server.url, get_info=ldap3.ALL, connect_timeout=30)
    with ldap3.Connection(at, DESK1, SECRET.decode(), receive_timeout=30, check_names=True) as bound:
        assert (at.info.vendor_name, at.info.schema_entry) == ("ldapgw", "cn=subschema")
        assert "1.3.6.1.4.1.1466.20037" in {oid for oid, *_ in at.info.supported_extensions}
        assert at.schema.is_valid()
        person = at.schema.object_classes["inetOrgPerson"]
        assert (person.superior, person.kind) == (["organizationalPerson"], "STRUCTURAL")
        assert {"displayName", "mobile", "mail"} <= set(person.may_contain)
        for name, kind in at.schema.attribute_types.items():
            assert (kind.equality is None) == (name == "jpegPhoto")  # RFC 2798 2.6
            assert kind.equality is None or kind.equality[0] in at.schema.matching_rules, name
            assert kind.syntax in at.schema.ldap_syntaxes, name
        assert at.schema.attribute_types["surname"].oid == "2.5.4.4"
        assert at.schema.matching_rule_uses
        bound.search(BASE, "(sn=ivanov)", attributes=["modifyTimestamp", "cn", "entryUUID"])
        [found] = bound.entries
        assert (found.modifyTimestamp.value.year > 2000, found.cn.value) == (True, "Иван Иванов")
        reader = ldap3.Reader(bound, ldap3.ObjectDef("inetOrgPerson", bound), BASE, "mail: *")
        assert len(reader.search()) == sum(1 for entry in CONTACTS if entry.attribute("mail"))
