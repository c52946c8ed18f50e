# SPDX-License-Identifier: MIT
"""The phone books that phones without LDAP fetch over HTTP: XML in the formats of six vendors, and JSON for softphones.

A `BookFormat` reads a client's request and writes the answer.  The XML formats follow the vendors' public documents;
``docs/reference/phones.rst`` lists the details that no document confirms.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from urllib.parse import urlencode
from xml.sax.saxutils import escape, quoteattr

from ldapgw.directory.book import DIRECTORY
from ldapgw.phones.book_reader import ListLength
from ldapgw.phones.contact_list import DIALLED, BookChoice, ListedContact, ListQuery
from ldapgw.phones.description import MODELS

# The maximum number of characters of a text that is searched for.
MAX_TEXT = 100
# The parameters in which phones send the text of a search.  The gateway's own links send the text in the first
# parameter.
SEARCHED = ("q", "query", "search", "name")
# No directory has this many contacts, so a limit of this size limits nothing.
MAX_CONTACTS = 10_000_000

Parameters = Mapping[str, str]
# The elements of each contact in an answer.
Elements = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, repr=False)
class ListAddress:
    """The address of a phone book, for links in its answers.

    :ivar url: the URL without its query.  The URL may hold the phone's secret.
    :ivar parameters: the parameters of the request that links have to keep.
    """

    url: str
    parameters: Parameters

    def link(self, **parameters: object) -> str:
        """Return the URL with further parameters."""
        query = urlencode({**self.parameters, **parameters})
        return f"{self.url}?{query}" if query else self.url


@dataclass(frozen=True, slots=True)
class BookFormat:
    """The format of a phone book.

    :ivar name: the name of the format.  The name of an XML format is the vendor's key in `MODELS`.
    :ivar contact: writes the elements of a contact.
    :ivar write: writes the answer from the elements of each contact.
    :ivar read: reads a request, and returns either a query or the text of a page without contacts (a menu, or a form
        for a search).
    :ivar has_flags: whether `contact` writes the contact's flags.
    :ivar has_origin: whether `contact` writes the contact's id, book and labels.
    :ivar has_total: whether `write` writes the number of all matching contacts.
    :ivar has_links: whether `write` writes links to the phone book's own address.
    :ivar media_type: the media type of all answers.
    """

    name: str
    contact: Callable[[ListedContact], Sequence[str]]
    write: Callable[[Elements, ListQuery, ListLength, ListAddress], str]
    read: Callable[[Parameters, ListAddress], ListQuery | str]
    has_flags: bool = False
    has_origin: bool = False
    has_total: bool = False
    has_links: bool = False
    media_type: str = "text/xml; charset=utf-8"


def _searched_text(parameters: Parameters) -> str:
    """Return the text that a phone searches for; empty if the phone sends no text."""
    return next((text for name in SEARCHED if (text := parameters.get(name, "").strip("* "))), "")[:MAX_TEXT]


def _read_query(parameters: Parameters, most: int) -> ListQuery:
    """Read a request for the whole book, for a part of the book or for a search.

    :param most: the maximum number of contacts in an answer, which is also the default.
    """
    letter = parameters.get("letter", "").lower()
    book = parameters.get("book", "")
    return ListQuery(
        text=_searched_text(parameters),
        letter=letter if letter == "#" or (len(letter) == 1 and "a" <= letter <= "z") else "",
        book=BookChoice(book) if book in (BookChoice.OWN, BookChoice.SHARED, DIRECTORY) else BookChoice.ALL,
        first=_number(parameters.get("first", ""), 0, MAX_CONTACTS),
        count=_number(parameters.get("count", ""), most, most),
    )


def _number(text: str, default: int, most: int) -> int:
    return min(int(text), most) if text.isascii() and text.isdigit() and len(text) < 9 else default


# --- XML --------------------------------------------------------------------------------------------------------------

# The characters that no XML document can hold (XML 1.0, section 2.2).
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# A parser reads CR LF as LF, unless the CR is written as a reference (XML 1.0, section 2.11).
_LINE_ENDS = {"\r": "&#13;"}


def xml_text(value: str) -> str:
    """Return a text as the content of an element; a character that XML cannot hold becomes a blank."""
    # Nearly all values need no change, and this test is quicker than the replacements below.
    if value.isprintable() and not ("&" in value or "<" in value or ">" in value):
        return value
    return escape(_UNPRINTABLE.sub(" ", value), _LINE_ENDS)


def xml_attribute(value: str) -> str:
    """Return a text as the value of an attribute, in quotes; a character that XML cannot hold becomes a blank."""
    if value.isprintable() and not ("&" in value or "<" in value or ">" in value or '"' in value):
        return f'"{value}"'
    return quoteattr(_UNPRINTABLE.sub(" ", value))


def _element(name: str, value: str) -> str:
    return f"<{name}>{xml_text(value)}</{name}>"


def _elements(*pairs: tuple[str, str]) -> str:
    """Return XML elements for the values that are not empty."""
    return "".join([_element(name, value) for name, value in pairs if value])


def _document(root: str, content: Iterable[str], attributes: str = "") -> str:
    return "\n".join(('<?xml version="1.0" encoding="UTF-8"?>', f"<{root}{attributes}>", *content, f"</{root}>", ""))


def _listing(root: str) -> Callable[[Elements, ListQuery, ListLength, ListAddress], str]:
    """Return a function that writes an answer with contacts and nothing else."""
    return lambda contacts, *_: _document(root, chain.from_iterable(contacts))


def _whole(vendor: str) -> Callable[[Parameters, ListAddress], ListQuery]:
    """Return a function that reads a request for the whole book, for a part of the book or for a search."""
    return lambda parameters, _: _read_query(parameters, MODELS[vendor].xml_entries)


# --- Yealink: XML Browser Developer's Guide, remote phone book --------------------------------------------------------

_LABELS = {"work": "Office", "mobile": "Mobile", "home": "Home"}


def _yealink_contact(contact: ListedContact) -> Sequence[str]:
    numbers = "".join(
        [f'<Telephone label="{_LABELS[kind]}">{xml_text(number)}</Telephone>' for number, kind in contact.numbers]
    )
    return (f"<DirectoryEntry>{_element('Name', contact.name)}{numbers}</DirectoryEntry>",)


# --- Snom: service hub, "Remote XML Directory" and the tag tbook, version 2 -------------------------------------------

_SNOM_TYPES = {"work": "business", "mobile": "mobile", "home": "home"}


def _snom_contact(contact: ListedContact) -> Sequence[str]:
    # The phone shows only the given name and the family name.  For a contact without a given name, such as a company,
    # the whole name is written as the family name.
    family_name = contact.family_name if contact.given_name else contact.name
    flags = f'fav={_boolean(contact.flags.favourite)} vip="false" blocked={_boolean(contact.flags.blocked)}'
    numbers = "".join(
        [
            f'<number no={xml_attribute(number)} type="{_SNOM_TYPES[kind]}" outgoing_id="0"/>'
            for number, kind in contact.numbers
        ]
    )
    names = _elements(("first_name", contact.given_name), ("last_name", family_name), ("organization", contact.company))
    return (f"<contact {flags}>{names}<numbers>{numbers}</numbers></contact>",)


def _boolean(value: bool) -> str:  # noqa: FBT001 - the boolean is the value to write
    return '"true"' if value else '"false"'


def _snom(contacts: Elements, query: ListQuery, length: ListLength, _address: ListAddress) -> str:
    # If an answer is marked complete, the phone deletes all its contacts that the answer lacks.  So an answer with a
    # part of the book must not be marked complete.
    is_whole = not (query.text or query.letter or query.first or length.has_more)
    return _document("tbook", chain.from_iterable(contacts), f' e="2" version="2.0" complete={_boolean(is_whole)}')


# --- Grandstream: XML Based Phonebook ---------------------------------------------------------------------------------

_GRANDSTREAM_TYPES = {"work": "Work", "mobile": "Cell", "home": "Home"}


def _grandstream_contact(contact: ListedContact) -> Sequence[str]:
    given_name, family_name = contact.given_name, contact.family_name
    if not given_name:
        given_name, family_name = contact.name, ""
    numbers = "".join(
        [
            f'<Phone type="{_GRANDSTREAM_TYPES[kind]}">'
            f"{_element('phonenumber', number)}<accountindex>0</accountindex></Phone>"
            for number, kind in contact.numbers
        ]
    )
    names = _elements(("FirstName", given_name), ("LastName", family_name), ("Company", contact.company))
    return (f"<Contact>{names}<Frequent>{int(contact.flags.favourite)}</Frequent>{numbers}</Contact>",)


# --- Fanvil: remote XML phone book ------------------------------------------------------------------------------------

_FANVIL_KINDS = (("Telephone", ("work",)), ("Mobile", ("mobile",)), ("Other", DIALLED))


def _fanvil_contact(contact: ListedContact) -> Sequence[str]:
    """Write a contact in one or more entries, because an entry has room for only one number of each kind."""
    left = list(contact.numbers)
    entries = []
    while left:
        shown: dict[str, tuple[str, str]] = {}
        for element, kinds in _FANVIL_KINDS:
            found = next((pair for pair in left if pair[1] in kinds), None)
            if found is not None:
                shown[element] = found
                left.remove(found)
        numbers = "".join(_element(element, number) for element, (number, _) in shown.items())
        entries.append(f"<DirectoryEntry>{_element('Name', contact.name)}{numbers}</DirectoryEntry>")
    return entries


# --- Cisco: IP Phone Services Application Development Notes -----------------------------------------------------------

_TITLE = "Contacts"
# The maximum number of characters of a name in a list.
_CISCO_NAME = 64
_CISCO_LETTERS = "abcdefghijklmnopqrstuvwxyz#"


def _cisco_contact(contact: ListedContact) -> Sequence[str]:
    """Write one entry per number, because an entry has room for only one number."""
    several = len(contact.numbers) > 1
    return [
        f"<DirectoryEntry>{_element('Name', _cisco_name(contact.name, f' ({kind})' if several else ''))}"
        f"{_element('Telephone', number)}</DirectoryEntry>"
        for number, kind in contact.numbers[: MODELS["cisco"].xml_entries]
    ]


def _cisco_name(name: str, kind: str) -> str:
    return name[: _CISCO_NAME - len(kind)] + kind


def _read_cisco(parameters: Parameters, address: ListAddress) -> ListQuery | str:
    """Read a request.

    The first request gets a menu.  The items of the menu lead to a search form, to all contacts, and to the contacts of
    each letter.
    """
    if "form" in parameters:
        field = f"{_element('DisplayName', 'Name')}<QueryStringParam>q</QueryStringParam><InputFlags>A</InputFlags>"
        texts = (_element("Title", _TITLE), _element("Prompt", "Name or number"), _element("URL", address.link()))
        return _document("CiscoIPPhoneInput", (*texts, f"<InputItem>{field}<DefaultValue/></InputItem>"))
    if parameters.keys() & {*SEARCHED, "letter", "first"}:
        return _read_query(parameters, MODELS["cisco"].xml_entries)
    items = [("Search", address.link(form=1)), ("All contacts", address.link(first=0))]
    items += [(letter.upper(), address.link(letter=letter)) for letter in _CISCO_LETTERS]
    menu = [f"<MenuItem>{_element('Name', name)}{_element('URL', url)}</MenuItem>" for name, url in items]
    return _document("CiscoIPPhoneMenu", (_element("Title", _TITLE), _element("Prompt", "Choose"), *menu))


def _cisco(contacts: Elements, query: ListQuery, length: ListLength, address: ListAddress) -> str:
    entries: list[str] = []
    shown = 0
    for shown, elements in enumerate(contacts, start=1):
        if len(entries) + len(elements) > MODELS["cisco"].xml_entries:
            shown -= 1
            break
        entries += elements
    keys = [("Dial", "SoftKey:Dial"), ("EditDial", "SoftKey:EditDial"), ("Exit", "SoftKey:Exit")]
    if shown < len(contacts) or length.has_more:
        kept = {name: value for name, value in (("q", query.text), ("letter", query.letter)) if value}
        keys.append(("Next", address.link(**kept, first=query.first + shown)))
    soft_keys = [
        f"<SoftKeyItem>{_element('Name', name)}{_element('URL', url)}<Position>{at}</Position></SoftKeyItem>"
        for at, (name, url) in enumerate(keys, start=1)
    ]
    texts = (_element("Title", _TITLE), _element("Prompt", "Records" if length.total else "Nobody was found"))
    return _document("CiscoIPPhoneDirectory", (*texts, *entries, *soft_keys))


# --- Gigaset: "Online directory" of the bases' XML protocol -----------------------------------------------------------

_GIGASET_NUMBERS = ("hm", "mb", "fx", "sip")
_GIGASET_NAMES = ("ln", "fn")


def _read_gigaset(parameters: Parameters, _address: ListAddress) -> ListQuery:
    """Read a request.  A base station sends ``*`` in each field that is not searched, and counts contacts from 1."""
    asked = {name: value.strip() for name, value in parameters.items() if value.strip("* ")}
    query = _read_query(parameters, MODELS["gigaset"].xml_entries)
    return ListQuery(
        text=" ".join(asked[name].strip("* ") for name in _GIGASET_NAMES if name in asked)[:MAX_TEXT] or query.text,
        number=next((asked[name].strip("* ") for name in _GIGASET_NUMBERS if name in asked), ""),
        book=query.book,
        first=max(0, query.first - 1),
        count=query.count,
    )


def _gigaset_contact(contact: ListedContact) -> Sequence[str]:
    """Write only one entry, with a fixed and a mobile number, because the base station counts entries as contacts."""
    fixed = [number for number, kind in contact.numbers if kind != "mobile"]
    mobile = [number for number, kind in contact.numbers if kind == "mobile"]
    given_name, family_name = contact.given_name, contact.family_name
    if not given_name:
        family_name = contact.name
    numbers = (("hm", next(iter(fixed), "")), ("mb", next(iter(mobile), "")))
    return (f"<entry>{_elements(('ln', family_name), ('fn', given_name), *numbers)}</entry>",)


def _gigaset(contacts: Elements, query: ListQuery, length: ListLength, _address: ListAddress) -> str:
    attributes = ' response="get_list" type="pb"'
    if not contacts:
        notfound = ' notfound="hm"' if query.number else ""
        return _document("list", (), f'{attributes}{notfound} total="0"')
    last = query.first + len(contacts)
    return _document(
        "list",
        chain.from_iterable(contacts),
        f'{attributes} total="{length.total}" first="{query.first + 1}" last="{last}"',
    )


XML_BOOKS: Mapping[str, BookFormat] = MappingProxyType(
    {
        book.name: book
        for book in (
            BookFormat("yealink", _yealink_contact, _listing("YealinkIPPhoneDirectory"), _whole("yealink")),
            BookFormat("snom", _snom_contact, _snom, _whole("snom"), has_flags=True),
            BookFormat(
                "grandstream", _grandstream_contact, _listing("AddressBook"), _whole("grandstream"), has_flags=True
            ),
            BookFormat("fanvil", _fanvil_contact, _listing("FanvilIPPhoneDirectory"), _whole("fanvil")),
            BookFormat("cisco", _cisco_contact, _cisco, _read_cisco, has_links=True),
            BookFormat("gigaset", _gigaset_contact, _gigaset, _read_gigaset, has_total=True),
        )
    }
)


# --- JSON for softphones ----------------------------------------------------------------------------------------------

# Each contact has the gateway's fields and the fields of Acrobits' "Contacts JSON", so that Acrobits' apps read the
# feed without a transformation (https://doc.acrobits.net/cloudsoftphone/contacts.html).  Acrobits' values are texts, so
# an unknown value is an empty text.

# A reused encoder is faster than `json.dumps` with arguments.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def _feed_contact(contact: ListedContact) -> Sequence[str]:
    fields = {
        "name": contact.name,
        "company": contact.company,
        "numbers": [{"number": number, "kind": kind} for number, kind in contact.numbers],
        "label": next(iter(contact.flags.labels), ""),
        "book": contact.book,
        "contactId": contact.id,
        "displayName": contact.name,
        "fname": contact.given_name,
        "lname": contact.family_name,
        "contactEntries": [
            {"entryId": f"tel:{at}", "type": "tel", "label": kind, "uri": number}
            for at, (number, kind) in enumerate(contact.numbers)
        ],
    }
    return (_ENCODER.encode(fields),)


def _write_feed(contacts: Elements, _query: ListQuery, _length: ListLength, _address: ListAddress) -> str:
    return '{"contacts":[\n' + ",\n".join(chain.from_iterable(contacts)) + "\n]}\n"


def _read_feed(parameters: Parameters, _address: ListAddress) -> ListQuery:
    """Read a request for the whole feed, which has no limit unless the client asks for a limit."""
    return _read_query(parameters, MAX_CONTACTS)


CONTACT_FEED = BookFormat(
    "contacts", _feed_contact, _write_feed, _read_feed, has_origin=True, media_type="application/json"
)
