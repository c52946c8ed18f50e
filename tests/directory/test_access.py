# SPDX-License-Identifier: MIT
"""One table has what each viewer sees of each sharing, and every kind of search has to agree with the table."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import replace
from functools import cache, partial

import pytest

from ldapgw.contact import Contact, Kind, Sharing
from ldapgw.directory.access import NOBODY, Access, BookAccess, ReplicaAccess, ReplicatedBranch, TenantViewer, Viewer
from ldapgw.directory.book import Book, build_book, with_sharing
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.dn import Dn
from ldapgw.directory.filter import Scope
from ldapgw.directory.search import compare
from ldapgw.directory.special_entries import Features
from ldapgw.errors import DirectoryError
from ldapgw.ldap.admission import CallerIdLimits
from ldapgw.phones.book_reader import BookReader, ListLength
from ldapgw.phones.carddav.books import address_books
from ldapgw.phones.contact_browser import ContactBrowser
from ldapgw.phones.contact_list import ListQuery
from ldapgw.phones.explain.view import PhoneView
from tests.support.phonebook import BASE, naming_context
from tests.support.phonebook.entries import phone
from tests.support.phonebook.trees import entries_found
from tests.support.results import result_of

# Alice's book has Anna, who has the labels Customers and Family, and Bert, who has no label.  Alice and Bob are in the
# group sales, Carol is in the group staff.  A letter stands for a contact: a capital for a contact that the viewer
# finds in every way, a small letter for a contact that only a search for its complete number finds.  A dot stands for
# nobody.
TABLE = """
sharing     label     | alice bob carol hall anonymous stranger nobody | bob+alice carol+bob bob+carol | replica vault
private     -         | AB    .   .     .    .         .        .      | AB        .         .         | .       AB
private     customers | AB    .   .     .    .         .        .      | AB        .         .         | .       AB
callers     -         | AB    ab  ab    ab   ab        .        .      | AB        ab        ab        | .       AB
callers     customers | AB    a   a     a    a         .        .      | AB        a         a         | .       AB
callers     friends   | AB    .   .     .    .         .        .      | AB        .         .         | .       AB
shared      -         | AB    AB  AB    AB   AB        .        .      | AB        AB        AB        | AB      AB
shared      customers | AB    A   A     A    A         .        .      | AB        A         A         | A       AB
shared      friends   | AB    .   .     .    .         .        .      | AB        .         .         | .       AB
group:sales -         | AB    AB  .     .    .         .        .      | AB        .         AB        | .       AB
group:sales customers | AB    A   .     .    .         .        .      | AB        .         A         | .       AB
group:sales friends   | AB    .   .     .    .         .        .      | AB        .         .         | .       AB
group:gone  -         | AB    .   .     .    .         .        .      | AB        .         .         | .       AB
"""
SEVERAL = ("bob+alice", "carol+bob", "bob+carol")
VIEWERS = {
    **{name: Viewer(f"cn={name}", (Access("acme", (name,)),)) for name in ("alice", "bob", "carol")},
    "hall": Viewer("cn=hall", (Access("acme"),)),
    "anonymous": Viewer(access=(Access("acme"), Access("other"))),
    "stranger": Viewer("cn=stranger", (Access("other", ("alice",)),)),
    "nobody": NOBODY,
    # The phones of several accounts: the first account counts for what others share.
    **{name: Viewer(f"cn={name}", (Access("acme", tuple(name.split("+"))),)) for name in SEVERAL},
}
REPLICAS = {"replica": ReplicaAccess("acme"), "vault": ReplicaAccess("acme", private=True)}
GROUPS = {
    "sales": frozenset({"alice@acme.example", "bob@acme.example", "nobody@acme.example"}),
    "staff": frozenset({"carol@acme.example"}),
}
CONTEXT = replace(naming_context(), groups=GROUPS)
OTHER = replace(naming_context(), name="other", base=Dn.parse("dc=other,dc=example"))
NUMBERS = {"Anna": "+49 30 5550001", "Bert": "+49 30 5550002"}
BOOK = f"ou=alice@acme.example,{BASE}"
LABEL = f"ou=Customers,{BOOK}"
FAMILY = f"ou=Family,{BOOK}"
DNS = {"Anna": (f"uid=c0,{BOOK}", f"uid=c0,{LABEL}"), "Bert": (f"uid=c1,{BOOK}", f"uid=c1,{LABEL}")}


def rows() -> Iterable[tuple[str, str, str, str]]:
    """Sharing, label, viewer and what is seen, for each cell of the table."""
    head, *lines = [line.replace("|", "").split() for line in TABLE.strip().splitlines()]
    for line in lines:
        sharing, label, *cells = line
        for viewer, cell in zip(head[2:], cells, strict=True):
            yield sharing, label.replace("-", ""), viewer, cell.replace(".", "")


@cache
def serve(sharing: str, label: str) -> Dit:
    people = []
    for at, (name, text) in enumerate(NUMBERS.items()):
        labels = () if at else ("g1", "g2")
        people.append(Contact(f"c{at}", name=name, phones=(phone(Kind.WORK, text),), labels=labels))
    alice = _book("alice", people, {"g1": "Customers", "g2": "Family"})
    books = (with_sharing(alice, Sharing(sharing), label), _book("bob"), _book("carol"))
    return Dit((Directory(CONTEXT, books), Directory(OTHER)), Features("1"))


def _book(key: str, people: Iterable[Contact] = (), labels: Mapping[str, str] | None = None) -> Book:
    return build_book(CONTEXT, key, f"{key}@acme.example", Sharing.PRIVATE, people, labels or {}, per_number=True)


# --- kinds of search --------------------------------------------------------------------------------------------------


def ldap(dit: Dit, viewer: Viewer, text: str, base: str = BASE, scope: Scope = Scope.WHOLE_SUBTREE) -> set[str]:
    """The names of Anna and Bert among the contacts that a search finds; nobody where it is refused."""
    try:
        found = entries_found(dit, viewer, text, base, scope)
    except DirectoryError:
        return set()
    # An entry for one number has the kind of the number behind the name.
    names = [value.decode() for entry in found for value in entry.attribute("cn")]
    return {name for name in NUMBERS if any(one.startswith(name) for one in names)}


def has_entry(dit: Dit, viewer: Viewer, dn: str) -> bool:
    return bool(ldap(dit, viewer, "(objectClass=*)", dn, Scope.BASE_OBJECT))


def is_compared(dit: Dit, viewer: Viewer, dn: str, name: str) -> bool:
    try:
        return compare(dit, viewer, dn, "cn", name.encode())
    except DirectoryError:
        return False


async def _at_once(_login: str) -> None:
    """Wait for nobody's turn."""


def reader(dit: Dit) -> BookReader:
    limits = CallerIdLimits(lambda: 0.0, lambda _login, _address: None)
    return BookReader(lambda: dit, limits.budget, (), lambda: 0.0, _at_once, _at_once)


def phone_book(dit: Dit, viewer: Viewer) -> set[str]:
    async def read() -> set[str]:
        found = reader(dit).contacts(viewer, "192.0.2.1", ListQuery(), ListLength())
        return {one.name async for part in found for one in part}

    names: set[str] = result_of(read())
    return names


def called(dit: Dit, viewer: Viewer, *, may_be_for_callers: bool = True) -> set[str]:
    found = [
        result_of(reader(dit).find_caller(viewer, "192.0.2.1", number, may_be_for_callers=may_be_for_callers))
        for number in NUMBERS.values()
    ]
    return {caller.name for caller in found if caller is not None}


def in_address_books(dit: Dit, viewer: Viewer) -> set[str]:
    directory = dit.directory(viewer.access[0].tenant)
    assert directory is not None
    books = address_books(directory, viewer)
    return {entry.attribute("cn")[0].decode() for book in books for entry in book.entries()}


def page(dit: Dit, viewer: Viewer) -> set[str]:
    browser, (access, *_) = ContactBrowser(lambda: dit, _at_once), viewer.access
    listed = result_of(browser.page(access.tenant, access.books, (access.books or ("",))[0], "", 1))
    return {one.entry.attribute("cn")[0].decode() for one in listed.contacts}


def contact_by_id(dit: Dit, viewer: Viewer) -> set[str]:
    browser, (access, *_) = ContactBrowser(lambda: dit, _at_once), viewer.access
    found = [browser.contact(access.tenant, access.books, uid) for uid in ("c0", "c1")]
    return {one.entry.attribute("cn")[0].decode() for one in found if one is not None}


def looked_up(dit: Dit, viewer: Viewer, texts: Iterable[str]) -> set[str]:
    finder, (access, *_) = ContactBrowser(lambda: dit, _at_once), viewer.access
    return {one.name for text in texts for one in result_of(finder.find(access.tenant, access.books, text)).contacts}


def explained(dit: Dit, viewer: Viewer) -> set[str]:
    segments = PhoneView(dit, viewer, viewer.access[0].tenant).segments()
    return {entry.attribute("cn")[0].decode() for segment in segments for entry in segment}


SearchKind = Callable[[Dit, Viewer], set[str]]

# These find what the viewer sees in every way.
BROWSING: dict[str, SearchKind] = {
    "name": lambda dit, viewer: ldap(dit, viewer, "(|(cn=ann*)(cn=ber*))"),
    "everybody": lambda dit, viewer: ldap(dit, viewer, "(objectClass=person)"),
    "from the root": lambda dit, viewer: ldap(dit, viewer, "(objectClass=person)", ""),
    "an entry for each number": lambda dit, viewer: ldap(dit, viewer._replace(per_number=True), "(cn=*)"),
    "part of a number": lambda dit, viewer: ldap(dit, viewer, "(telephoneNumber=+4930555*)"),
    "no number": lambda dit, viewer: ldap(dit, viewer, "(!(telephoneNumber=+49301))"),
    "below the book": lambda dit, viewer: ldap(dit, viewer, "(cn=*)", BOOK),
    "entry": lambda dit, viewer: {name for name, dns in DNS.items() if any(has_entry(dit, viewer, dn) for dn in dns)},
    "compare": lambda dit, viewer: {
        name for name, dns in DNS.items() if any(is_compared(dit, viewer, dn, name) for dn in dns)
    },
}
CALLER_LOOKUP: dict[str, SearchKind] = {
    "number": lambda dit, viewer: set().union(
        *(ldap(dit, viewer, f"(telephoneNumber={number})") for number in NUMBERS.values())
    ),
    "number of any kind": lambda dit, viewer: set().union(
        *(ldap(dit, viewer, f"(|(mobile={number})(homePhone={number}))") for number in NUMBERS.values())
    ),
}
# The same for logins of phones.
BROWSING_OF_LOGINS: dict[str, SearchKind] = {
    "phone book": phone_book,
    "address books": in_address_books,
    "explanation": explained,
    "caller of a browsed book": lambda dit, viewer: called(dit, viewer, may_be_for_callers=False),
}
CALLER_LOOKUP_OF_LOGINS: dict[str, SearchKind] = {
    "caller over HTTP": called,
}
# The same for people who read a page, which is the page of one account.
BROWSING_OF_PEOPLE: dict[str, SearchKind] = {
    "page": page,
    "contact of a page": contact_by_id,
    "name in a page's search": lambda dit, viewer: looked_up(dit, viewer, ("ann", "bert")),
}
CALLER_LOOKUP_OF_PEOPLE: dict[str, SearchKind] = {
    "number in a page's search": lambda dit, viewer: looked_up(dit, viewer, NUMBERS.values()),
}


def seen(viewers: Container[str]) -> dict[tuple[str, str, str], str]:
    """The rows of the table for some viewers."""
    return {(sharing, label, viewer): cell for sharing, label, viewer, cell in rows() if viewer in viewers}


LOGINS = {name for name, viewer in VIEWERS.items() if viewer.access}
PEOPLE = LOGINS.difference(SEVERAL)


@pytest.mark.parametrize(
    ("search", "viewers", "is_whole_number"),
    [
        *(pytest.param(search, VIEWERS, False, id=kind) for kind, search in BROWSING.items()),
        *(pytest.param(search, VIEWERS, True, id=kind) for kind, search in CALLER_LOOKUP.items()),
        *(pytest.param(search, LOGINS, False, id=kind) for kind, search in BROWSING_OF_LOGINS.items()),
        *(pytest.param(search, LOGINS, True, id=kind) for kind, search in CALLER_LOOKUP_OF_LOGINS.items()),
        *(pytest.param(search, PEOPLE, False, id=kind) for kind, search in BROWSING_OF_PEOPLE.items()),
        *(pytest.param(search, PEOPLE, True, id=kind) for kind, search in CALLER_LOOKUP_OF_PEOPLE.items()),
    ],
)
def test_a_search_finds_what_the_table_says(search: SearchKind, viewers: Container[str], is_whole_number: bool) -> None:
    expected = {
        row: "".join(letter for letter in cell.upper() if is_whole_number or letter in cell)
        for row, cell in seen(viewers).items()
    }
    found = {row: search(serve(*row[:2]), VIEWERS[row[2]]) for row in expected}
    assert {row: "".join(sorted(name[0] for name in names)) for row, names in found.items()} == expected


def test_a_replica_holds_what_the_table_says() -> None:
    """A replica without private books holds what a phone without an account sees, and the vault holds all.

    A book of which a replica holds no contact has no entry there either.
    The vault says with whom which contacts are shared, for the access rules of its server.
    """
    held: dict[tuple[str, str, str], str] = {}
    shared: dict[tuple[str, str, str], tuple[str, str]] = {}
    for sharing, label, replica in seen(REPLICAS):
        book = serve(sharing, label).directories[0].books[0]
        branches = list(REPLICAS[replica].branches_of(book))
        assert any(one.has_contacts for one in branches) is bool(branches)
        held[sharing, label, replica] = _initials(branches)
        for named in {one.sharing for one in branches} - {""}:
            part = [one for one in branches if one.sharing == named]
            shared[sharing, label, replica] = (named, _initials(part))
    assert held == seen(REPLICAS)
    parts = {"": "AB", "customers": "A"}
    assert shared == {
        (sharing, label, "vault"): (sharing, parts[label])
        for sharing, label, _ in seen(["vault"])
        if sharing not in ("private", "callers") and label in parts
    }


def _initials(branches: Iterable[ReplicatedBranch]) -> str:
    segments = [segment for one in branches if one.has_contacts for segment in one.branch.segments.contacts]
    entries = [entry for segment in segments for entry in segment]
    return "".join(sorted({entry.attribute("cn")[0].decode()[0] for entry in entries}))


@pytest.mark.parametrize("viewer", VIEWERS)
def test_names_of_entries(viewer: str) -> None:
    """Viewers who browse a contact see its book's entry; others see a shared label's contacts below the label.

    The names of the other labels of such a book are not shown.
    """
    for (sharing, label, _), cell in seen([viewer]).items():
        listed = partial(_listed, serve(sharing, label), VIEWERS[viewer])
        names, is_label = [name for name in NUMBERS if name[0] in cell], label != "" and "alice" not in viewer
        family = [FAMILY] if names and not is_label else []
        labels, people = [LABEL, *family] if names else [], [DNS[name][is_label] for name in names]
        assert (BOOK in listed(BASE, Scope.SINGLE_LEVEL)) is bool(names)
        assert listed(BOOK, Scope.BASE_OBJECT) == ([BOOK] if names else [])
        assert listed(BOOK, Scope.SINGLE_LEVEL) == [*labels, *([] if is_label else people)]
        assert listed(BOOK, Scope.WHOLE_SUBTREE) == ([BOOK, *labels, *people] if names else [])
        assert listed(LABEL, Scope.WHOLE_SUBTREE) == ([LABEL, DNS["Anna"][1]] if names else [])
        assert listed(FAMILY, Scope.BASE_OBJECT) == family
        for name, dns in DNS.items():
            for dn, is_there in zip(dns, (not is_label, name == "Anna"), strict=True):
                assert listed(dn, Scope.BASE_OBJECT) == ([dn] if is_there and name in names else [])


def _listed(dit: Dit, viewer: Viewer, base: str, scope: Scope) -> list[str]:
    try:
        return [entry.dn for entry in entries_found(dit, viewer, "(objectClass=*)", base, scope)]
    except DirectoryError:
        return []


def test_the_tenant_of_a_viewer() -> None:
    """A client that is not bound and sees several tenants belongs to none."""
    vault = Viewer("cn=vault", replica=REPLICAS["vault"])
    assert [one.tenant for one in (*VIEWERS.values(), vault)] == ["acme"] * 4 + ["", "other", "", *["acme"] * 4]


def test_access_to_a_book() -> None:
    """The rule by itself, as explanations and commands name it."""
    alice = TenantViewer.of_accounts(CONTEXT, ("alice",), "Alice@ACME.example")
    assert alice == TenantViewer(("alice",), ("sales",))
    for sharing, access in (
        ("private", BookAccess.PRIVATE),
        ("callers", BookAccess.CALLERS),
        ("shared", BookAccess.SHARED),
        ("group:sales", BookAccess.GROUP),
        ("group:staff", BookAccess.OTHER_GROUP),
    ):
        assert alice.access_to("alice", Sharing(sharing)) is BookAccess.OWN
        assert alice.access_to("bob", Sharing(sharing)) is access
    books = [
        build_book(CONTEXT, key, key, sharing, [], {}, per_number=False)
        for key, sharing in (
            ("callers", Sharing.CALLERS),
            ("directory", Sharing.SHARED),
            ("dave", Sharing("group:staff")),
            ("erin", Sharing("group:sales")),
            ("frank", Sharing.SHARED),
            ("alice", Sharing.CALLERS),
        )
    ]
    assert [(seen.book.key, seen.access) for seen in alice.seen(books)] == [
        ("alice", BookAccess.OWN),
        ("erin", BookAccess.GROUP),
        ("frank", BookAccess.SHARED),
        ("directory", BookAccess.DIRECTORY),
        ("callers", BookAccess.CALLERS),
    ]
    rest = [(each.key, alice.access_to_rest(each)) for each in books[:-1]]
    assert rest == [(key, BookAccess.OTHER_GROUP if key == "dave" else BookAccess.PRIVATE) for key, _ in rest]
    part = TenantViewer(("bob",)).part_of(serve("shared", "customers").directories[0].books[0])
    assert part is not None
    assert [entry.dn for entry in part.book.containers] == [BOOK, LABEL]


@pytest.mark.parametrize(
    ("access", "for_name", "for_number"),
    [
        *((access, True, True) for access in (BookAccess.OWN, BookAccess.SHARED, BookAccess.GROUP)),
        (BookAccess.DIRECTORY, True, True),
        (BookAccess.CALLERS, False, True),
        *((access, False, False) for access in (BookAccess.PRIVATE, BookAccess.OTHER_GROUP)),
    ],
)
def test_what_is_searched(access: BookAccess, for_name: bool, for_number: bool) -> None:
    """Callers are found in books that nobody may browse."""
    assert (access.is_searched(for_number=False), access.is_searched(for_number=True)) == (for_name, for_number)


@pytest.mark.parametrize(
    ("sharing", "label", "groups", "names"),
    [
        ("group:sales", "", ("staff", "sales"), ["alice@acme.example"]),
        ("group:sales", "customers", ("sales",), ["Customers"]),
        ("group:sales", "friends", ("sales",), []),
        ("group:sales", "", ("staff",), []),
        ("group:sales", "", (), []),
        ("shared", "", ("sales",), []),
    ],
)
def test_branches_of_groups(sharing: str, label: str, groups: tuple[str, ...], names: list[str]) -> None:
    """A book, or the shared label of a book, whose group the account belongs to."""
    books = serve(sharing, label).directories[0].books
    assert [branch.name for branch in TenantViewer(groups=groups).group_branches(books)] == names


def test_the_members_of_google_groups() -> None:
    """They belong to a group beside the accounts that it names; a group of whose members nothing is known has these."""
    context = replace(
        naming_context(),
        groups={"sales": frozenset({"alice@acme.example"}), "hall": frozenset({"bob@acme.example"})},
        google_groups={"sales": "sales@acme.example"},
    )
    known = context.with_members({"sales@acme.example": frozenset({"c"}), "all@acme.example": frozenset({"d"})})
    assert known == replace(context, groups={**context.groups, "sales": frozenset({"alice@acme.example", "c"})})
    assert context.with_members({}) == context
    without = replace(context, google_groups={})
    assert without.with_members({"sales@acme.example": frozenset({"c"})}) is without
