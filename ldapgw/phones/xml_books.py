# SPDX-License-Identifier: MIT
"""XML phone books in the formats of six vendors, for phones without LDAP.

The formats follow the vendors' public documents.  ``docs/reference/phones.rst`` lists the details that no document
confirms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from types import MappingProxyType

from ldapgw.phones.book_format import (
    MAX_TEXT,
    SEARCHED,
    BookFormat,
    Elements,
    ListAddress,
    Parameters,
    read_query,
)
from ldapgw.phones.book_reader import DIALLED, ListedContact, ListLength, ListQuery
from ldapgw.phones.models import MODELS
from ldapgw.phones.xml_text import xml_attribute, xml_text


def _element(name: str, value: str) -> str:
    return f"<{name}>{xml_text(value)}</{name}>"


def _elements(*pairs: tuple[str, str]) -> str:
    """Return XML elements for those values that are not empty."""
    return "".join([_element(name, value) for name, value in pairs if value])


def _document(root: str, content: Iterable[str], attributes: str = "") -> str:
    return "\n".join(('<?xml version="1.0" encoding="UTF-8"?>', f"<{root}{attributes}>", *content, f"</{root}>", ""))


def _listing(root: str) -> Callable[[Elements, ListQuery, ListLength, ListAddress], str]:
    """Return a function that writes an answer which has contacts and nothing else."""
    return lambda contacts, *_: _document(root, chain.from_iterable(contacts))


def _whole(vendor: str) -> Callable[[Parameters, ListAddress], ListQuery]:
    """Return a function that reads a request for the whole book, for a part of it or for a search."""
    return lambda parameters, _: read_query(parameters, MODELS[vendor].xml_entries)


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


def _snom(contacts: Elements, query: ListQuery, _length: ListLength, _address: ListAddress) -> str:
    # If an answer is marked complete, the phone deletes all its contacts that the answer lacks.  So an answer with a
    # part of the book must not be marked complete.
    is_whole = not (query.text or query.letter or query.first)
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

    The answer to the first request is a menu, which leads to a form, to all contacts, or to a letter.
    """
    if "form" in parameters:
        field = f"{_element('DisplayName', 'Name')}<QueryStringParam>q</QueryStringParam><InputFlags>A</InputFlags>"
        texts = (_element("Title", _TITLE), _element("Prompt", "Name or number"), _element("URL", address.link()))
        return _document("CiscoIPPhoneInput", (*texts, f"<InputItem>{field}<DefaultValue/></InputItem>"))
    if parameters.keys() & {*SEARCHED, "letter", "first"}:
        return read_query(parameters, MODELS["cisco"].xml_entries)
    items = [("Search", address.link(form=1)), ("All contacts", address.link(first=0))]
    items += [(letter.upper(), address.link(letter=letter)) for letter in _CISCO_LETTERS]
    menu = (f"<MenuItem>{_element('Name', name)}{_element('URL', url)}</MenuItem>" for name, url in items)
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
    soft_keys = (
        f"<SoftKeyItem>{_element('Name', name)}{_element('URL', url)}<Position>{at}</Position></SoftKeyItem>"
        for at, (name, url) in enumerate(keys, start=1)
    )
    texts = (_element("Title", _TITLE), _element("Prompt", "Records" if length.total else "Nobody was found"))
    return _document("CiscoIPPhoneDirectory", (*texts, *entries, *soft_keys))


# --- Gigaset: "Online directory" of the bases' XML protocol -----------------------------------------------------------

_GIGASET_NUMBERS = ("hm", "mb", "fx", "sip")
_GIGASET_NAMES = ("ln", "fn")


def _read_gigaset(parameters: Parameters, _address: ListAddress) -> ListQuery:
    """Read a request.  A base station sends ``*`` in each field that is not searched, and counts contacts from 1."""
    asked = {name: value.strip() for name, value in parameters.items() if value.strip("* ")}
    query = read_query(parameters, MODELS["gigaset"].xml_entries)
    return ListQuery(
        text=" ".join(asked[name].strip("* ") for name in _GIGASET_NAMES if name in asked)[:MAX_TEXT] or query.text,
        number=next((asked[name].strip("* ") for name in _GIGASET_NUMBERS if name in asked), ""),
        book=query.book,
        first=max(0, query.first - 1),
        count=query.count,
    )


def _gigaset_contact(contact: ListedContact) -> Sequence[str]:
    """Write one entry, with a fixed and a mobile number.  The base station would count further entries as contacts."""
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
            BookFormat("gigaset", _gigaset_contact, _gigaset, _read_gigaset),
        )
    }
)
