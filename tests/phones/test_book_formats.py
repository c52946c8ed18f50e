# SPDX-License-Identifier: MIT
"""The tests check XML phone books of each vendor against schemas made from the vendors' documents."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from ldapgw.directory.dit import ContactFlags
from ldapgw.phones.book_formats import MAX_TEXT, XML_BOOKS, ListAddress
from ldapgw.phones.book_reader import ListLength
from ldapgw.phones.contact_list import BookChoice, ListedContact, ListQuery
from ldapgw.phones.description import MODELS
from tests.support.checkout import ROOT
from tests.support.examples import examples

URL = "https://phonebook.example.com/acme/book/desk1.k8m2v5x7c4b9n3q6w1et/cisco.xml"
ADDRESS = ListAddress(URL, {})
SCHEMAS = {
    vendor: etree.XMLSchema(file=str(ROOT / "tests" / "data" / "xml_books" / f"{vendor}.xsd")) for vendor in XML_BOOKS
}

ANNA = ListedContact(
    "Anna Berg",
    "Anna",
    "Berg",
    "Berg & Söhne",
    (("+49301234567", "work"), ("+491711234567", "mobile"), ("+49307654321", "home")),
    ContactFlags(favourite=True),
)
FIRM = ListedContact(
    "<Acme> \"& Co\"", "", "Co", "", (("+4930111", "work"), ("+4930222", "work")), ContactFlags(blocked=True)
)  # fmt: skip


def written(vendor: str, *contacts: ListedContact, query: ListQuery | None = None, has_more: bool = False) -> Element:
    """Return the root of the answer, after a check against the schema."""
    book, length = XML_BOOKS[vendor], ListLength(len(contacts), has_more)
    text = book.write([book.contact(one) for one in contacts], query or ListQuery(), length, ADDRESS)
    SCHEMAS[vendor].assertValid(etree.fromstring(text.encode()))
    return ElementTree.fromstring(text)


def rows(root: Element) -> list[object]:
    """Return the names, attributes and texts of the elements below the root."""
    return [(child.tag, child.attrib, child.text, *rows(child)) for child in root]


def test_yealink() -> None:
    anna, firm = written("yealink", ANNA, FIRM)
    assert rows(anna) == [
        ("Name", {}, "Anna Berg"),
        ("Telephone", {"label": "Office"}, "+49301234567"),
        ("Telephone", {"label": "Mobile"}, "+491711234567"),
        ("Telephone", {"label": "Home"}, "+49307654321"),
    ]
    assert [child.text for child in firm] == ['<Acme> "& Co"', "+4930111", "+4930222"]


def test_snom() -> None:
    """An entry has the flags. A contact without a given name has the whole name as the family name."""
    book = written("snom", ANNA, FIRM)
    anna, firm = book
    assert (book.tag, book.attrib) == ("tbook", {"e": "2", "version": "2.0", "complete": "true"})
    assert anna.attrib == {"fav": "true", "vip": "false", "blocked": "false"}
    assert rows(anna) == [
        ("first_name", {}, "Anna"),
        ("last_name", {}, "Berg"),
        ("organization", {}, "Berg & Söhne"),
        (
            "numbers", {}, None,
            ("number", {"no": "+49301234567", "type": "business", "outgoing_id": "0"}, None),
            ("number", {"no": "+491711234567", "type": "mobile", "outgoing_id": "0"}, None),
            ("number", {"no": "+49307654321", "type": "home", "outgoing_id": "0"}, None),
        ),
    ]  # fmt: skip
    assert (firm.attrib["blocked"], [child.tag for child in firm], firm[0].text) == (
        "true",
        ["last_name", "numbers"],
        '<Acme> "& Co"',
    )


@pytest.mark.parametrize(
    ("query", "has_more"),
    [
        (ListQuery(text="an"), False),
        (ListQuery(letter="a"), False),
        (ListQuery(first=1000), False),
        (ListQuery(count=1), True),
    ],
)
def test_snom_keeps_what_a_part_of_the_book_lacks(query: ListQuery, has_more: bool) -> None:
    """A part must not be marked complete, because the phone would delete all other contacts."""
    assert written("snom", ANNA, query=query, has_more=has_more).get("complete") == "false"


def test_grandstream() -> None:
    anna, firm = written("grandstream", ANNA, FIRM)
    assert rows(anna)[:4] == [
        ("FirstName", {}, "Anna"),
        ("LastName", {}, "Berg"),
        ("Company", {}, "Berg & Söhne"),
        ("Frequent", {}, "1"),
    ]
    assert [(phone.get("type"), phone[0].text, phone[1].text) for phone in anna.findall("Phone")] == [
        ("Work", "+49301234567", "0"),
        ("Cell", "+491711234567", "0"),
        ("Home", "+49307654321", "0"),
    ]
    assert (firm[0].text, firm.find("LastName"), firm.findtext("Frequent")) == ('<Acme> "& Co"', None, "0")


def test_fanvil() -> None:
    """A further number of the same kind takes the third place, or a place in an additional entry."""
    more = ListedContact("Eve", "", "Eve", "", tuple((f"+4930{n}", "work") for n in range(3)), ContactFlags())
    anna, firm, first, second = written("fanvil", ANNA, FIRM, more)
    assert [(child.tag, child.text) for child in anna] == [
        ("Name", "Anna Berg"),
        ("Telephone", "+49301234567"),
        ("Mobile", "+491711234567"),
        ("Other", "+49307654321"),
    ]
    assert [(child.tag, child.text) for child in firm][1:] == [("Telephone", "+4930111"), ("Other", "+4930222")]
    assert [child.text for child in (*first, *second)] == ["Eve", "+49300", "+49301", "Eve", "+49302"]


# --- Cisco -----------------------------------------------------------------------------------------------------------


def read(vendor: str, **parameters: str) -> ListQuery:
    query = XML_BOOKS[vendor].read(parameters, ADDRESS)
    assert isinstance(query, ListQuery)
    return query


def page(**parameters: str) -> Element:
    text = XML_BOOKS["cisco"].read(parameters, ADDRESS)
    assert isinstance(text, str)
    SCHEMAS["cisco"].assertValid(etree.fromstring(text.encode()))
    return ElementTree.fromstring(text)


def test_the_menu_of_cisco() -> None:
    """The menu offers a search, all contacts, and each letter."""
    menu = {item.findtext("Name"): item.findtext("URL") for item in page().findall("MenuItem")}
    assert len(menu) == 2 + 27
    assert [menu["Search"], menu["All contacts"], menu["Q"], menu["#"]] == [
        f"{URL}?form=1",
        f"{URL}?first=0",
        f"{URL}?letter=q",
        f"{URL}?letter=%23",
    ]


def test_the_form_of_cisco() -> None:
    """The phone adds the typed text to the URL."""
    form = page(form="1")
    assert (form.tag, form.findtext("URL"), form.findtext("InputItem/QueryStringParam")) == (
        "CiscoIPPhoneInput",
        URL,
        "q",
    )
    assert read("cisco", q="Be") == ListQuery(text="Be", count=32)


def test_a_page_of_cisco() -> None:
    """A page has at most 32 entries, one for each number.

    The next page begins with the first contact that did not fit.
    """
    two = ListedContact("B" * 70, "", "B", "", (("1", "work"), ("2", "mobile")), ContactFlags())
    book = written("cisco", ANNA, *[two] * 20, query=ListQuery(letter="b", first=64, count=32))
    entries = book.findall("DirectoryEntry")
    assert [(one[0].text, one[1].text) for one in entries[:3]] == [
        ("Anna Berg (work)", "+49301234567"),
        ("Anna Berg (mobile)", "+491711234567"),
        ("Anna Berg (home)", "+49307654321"),
    ]
    assert (len(entries), entries[3][0].text, entries[4][0].text) == (31, "B" * 57 + " (work)", "B" * 55 + " (mobile)")
    keys = {key.findtext("Name"): key.findtext("URL") for key in book.findall("SoftKeyItem")}
    assert keys["Next"] == f"{URL}?letter=b&first=79"
    assert keys["Dial"] == "SoftKey:Dial"


@pytest.mark.parametrize("has_more", [True, False])
def test_the_last_page_of_cisco(has_more: bool) -> None:
    book = written("cisco", ANNA, query=ListQuery(text="a b", count=32), has_more=has_more)
    links = [key.findtext("URL") for key in book.findall("SoftKeyItem") if key.findtext("Name") == "Next"]
    assert links == ([f"{URL}?q=a+b&first=1"] if has_more else [])


def test_nobody_on_a_cisco() -> None:
    assert written("cisco").findtext("Prompt") == "Nobody was found"


def test_links_keep_the_part() -> None:
    """The links of a book's menu keep the choice of the book."""
    address = ListAddress(URL, {"book": "own"})
    assert (address.link(letter="a"), address.link()) == (f"{URL}?book=own&letter=a", f"{URL}?book=own")
    assert (ADDRESS.link(), URL in repr(address)) == (URL, False)


# --- Gigaset ---------------------------------------------------------------------------------------------------------

STARS = dict.fromkeys(("fn", "ln", "ct", "st", "hm", "nr", "mb", "fx", "sip", "zc", "em", "in", "bp"), "*")
BASE = {"command": "get_list", "type": "pb", **STARS, "lang": "9", "first": "1", "count": "20", "limit": "2048"}


def test_what_a_gigaset_asks() -> None:
    """A Gigaset asks for a whole list, for a name, or for a caller."""
    assert read("gigaset", **BASE) == ListQuery(count=20)
    assert read("gigaset", **BASE | {"ln": "Ber*", "first": "21"}) == ListQuery(text="Ber", first=20, count=20)
    assert read("gigaset", **BASE | {"ln": "Ber*", "fn": "An"}) == ListQuery(text="Ber An", count=20)
    assert read("gigaset", **BASE | {"hm": "0301234567", "count": "1", "reqsrc": "auto"}) == ListQuery(
        number="0301234567", count=1
    )


def test_gigaset() -> None:
    """Each contact has one entry, so the count of the base is right."""
    found = written("gigaset", ANNA, FIRM, query=ListQuery(first=20, count=2))
    assert found.attrib == {"response": "get_list", "type": "pb", "total": "2", "first": "21", "last": "22"}
    assert [[(child.tag, child.text) for child in entry] for entry in found] == [
        [("ln", "Berg"), ("fn", "Anna"), ("hm", "+49301234567"), ("mb", "+491711234567")],
        [("ln", '<Acme> "& Co"'), ("hm", "+4930111")],
    ]


def test_nobody_on_a_gigaset() -> None:
    """A search for an unknown caller gets the attribute ``notfound``."""
    nobody = {"response": "get_list", "type": "pb", "total": "0"}
    assert written("gigaset").attrib == nobody
    assert written("gigaset", query=ListQuery(number="030")).attrib == {**nobody, "notfound": "hm"}


# --- requests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["q", "query", "search", "name"])
def test_a_search(name: str) -> None:
    assert read("snom", **{name: " Ber* "}).text == "Ber"
    assert len(read("snom", **{name: "x" * 500}).text) == MAX_TEXT


def test_the_rest_of_a_request() -> None:
    """A request names the book, a letter and a page. Unknown values are ignored."""
    asked = read("yealink", book="shared", letter="Q", first="100", count="50")
    assert asked == ListQuery(letter="q", book=BookChoice.SHARED, first=100, count=50)
    assert [read("yealink", letter=letter).letter for letter in ("#", "ä", "ab", "", "1", "{")] == ["#", *[""] * 5]
    assert [read("yealink", book=book).book.value for book in ("own", "directory", "x", "")] == [
        "own",
        "directory",
        "",
        "",
    ]
    assert read("yealink", first="-1", count="1e3") == ListQuery(count=5000)
    assert read("yealink", count="999999").count == 5000


def test_the_vendors_of_books() -> None:
    """A book exists for exactly the models with a limit of contacts."""
    assert {*XML_BOOKS} == {name for name, model in MODELS.items() if model.xml_entries}


NUMBERS = st.lists(
    st.tuples(st.text("+0123456789", min_size=1, max_size=20), st.sampled_from(["work", "mobile", "home"])),
    min_size=1,
    max_size=40,
    unique_by=lambda one: one[0],
).map(tuple)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=100)


LISTED = st.builds(
    ListedContact,
    NAMES,
    NAMES | st.just(""),
    NAMES,
    NAMES | st.just(""),
    NUMBERS,
    st.builds(ContactFlags, st.booleans(), st.booleans()),
)


@given(st.sampled_from(sorted(XML_BOOKS)), st.lists(LISTED))
@settings(max_examples=examples(200), deadline=None)
def test_anything_that_people_write(vendor: str, contacts: list[ListedContact]) -> None:
    """The book is valid for any names. A page of a Cisco holds as many entries as fit."""
    written(vendor, *contacts, query=ListQuery(count=MODELS[vendor].xml_entries))
