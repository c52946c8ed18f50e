# SPDX-License-Identifier: MIT
"""Phones with a number format of their own, as they see the directory over LDAP."""

from __future__ import annotations

import pytest

from ldapgw.directory.access import Viewer
from ldapgw.directory.dit import Dit
from ldapgw.directory.entry import PHONE_FORMATS, number_formatter
from ldapgw.ldap.fast_path import FastPath
from ldapgw.ldap.session import DirectoryPort
from ldapgw.numbers.phone_number import NumberFormat
from tests.support import pdu
from tests.support.filter_text import encode, read_filter
from tests.support.phonebook import BASE, awkward
from tests.support.phonebook.trees import ALICE, CONTEXT, NUMBERS, PHONE, TREE
from tests.support.phonebook.wire import SECRET, Client, answered, make_factory

E164, INTERNATIONAL, NATIONAL, TYPED, DIAL = NumberFormat
ADA = "(&(cn=Ada*)(uid=c1))"
ADAS_NUMBERS = {
    None: ("+49301234567", "+491712345678"),
    INTERNATIONAL: ("+49 30 1234567", "+49 171 2345678"),
    NATIONAL: ("030 1234567", "0171 2345678"),
    DIAL: ("00301234567", "001712345678"),
}
FORMATS = pytest.mark.parametrize("form", ADAS_NUMBERS, ids=str)


def phone_with(form: NumberFormat | None, viewer: Viewer = PHONE) -> Viewer:
    return viewer._replace(number_formatter=number_formatter(form, CONTEXT))


def client(viewer: Viewer, dit: Dit = TREE) -> Client:
    """The one phone of a gateway, whose password may be anything."""
    port = DirectoryPort(lambda: dit, lambda *_: viewer, lambda _: viewer, b"key of this process")
    one = Client(make_factory(port))
    [bound] = one.ask(pdu.bind(viewer.login, SECRET), 1)
    assert bound.code == 0
    return one


def request(text: str, *attributes: str, base: str = BASE, types_only: bool = False) -> bytes:
    return pdu.search(base, 2, encode(read_filter(text)), attributes, types_only=types_only)


def found(one: Client, text: str, *attributes: str, base: str = BASE) -> list[dict[str, list[str]]]:
    """The attributes of the entries that a search finds."""
    *entries, done = one.ask(request(text, *attributes, base=base), 2)
    assert done.code == 0
    return [{name: [value.decode() for value in values] for name, values in entry.attributes} for entry in entries]


@FORMATS
def test_numbers_have_the_phones_format(form: NumberFormat | None) -> None:
    """In contacts, in entries for each number, and in a caller's entry, which is made while the search goes on."""
    work, mobile = ADAS_NUMBERS[form]
    one = client(phone_with(form))
    [ada] = found(one, ADA, "cn", "telephoneNumber", "mobile")
    assert ada == {"cn": ["Ada Ärmel"], "telephoneNumber": [work], "mobile": [mobile]}
    entries = found(client(phone_with(form, NUMBERS)), "(cn=Ada*)", "telephoneNumber", base=ALICE)
    assert sorted(entry["telephoneNumber"] for entry in entries) == sorted([[work], [mobile]])
    callers = found(one, "(&(telephoneNumber=+49307654321)(cn=Kai))", "telephoneNumber")
    numbers = {None: "+49307654321", INTERNATIONAL: "+49 30 7654321", NATIONAL: "030 7654321", DIAL: "00307654321"}
    assert [entry["telephoneNumber"] for entry in callers] == [[numbers[form]]] * 2


@FORMATS
@pytest.mark.parametrize("number", ["+49301234567", "0049301234567", "00301234567", "030 1234567", "(030) 123 45-67"])
def test_filters_and_comparisons_know_all_forms(form: NumberFormat | None, number: str) -> None:
    """Whichever form the phone itself gets, and whichever was dialled."""
    one = client(phone_with(form))
    entries = found(one, f"(telephoneNumber={number.replace('(', chr(92) + '28').replace(')', chr(92) + '29')})", "cn")
    assert {"cn": ["Ada Ärmel"]} in entries
    [done] = one.ask(pdu.compare(f"uid=c1,{ALICE}", "telephoneNumber", number.encode()), 2)
    assert done.code == 6


@pytest.mark.parametrize("form", PHONE_FORMATS, ids=str)
@pytest.mark.parametrize("lenient", [True, False], ids=["lenient", "strict"])
def test_both_paths_say_the_same(form: NumberFormat, lenient: bool) -> None:
    """A message in two parts takes the slow path; each request is asked three times, so that messages are kept."""
    dit = awkward.make_dit(lenient=lenient)
    [directory] = dit.directories
    viewer = awkward.VIEWER._replace(number_formatter=number_formatter(form, directory.context))
    first, second = client(viewer, dit), client(viewer, dit)
    fast_path, answers = FastPath(1000), 0
    filters = ["(cn=a*)", "(telephoneNumber=030*)", "(|(cn=m*)(sn=m*))", "(mobile=*)", "(telephoneNumber=204)"]
    selections = [(), ("cn", "telephoneNumber"), ("*", "+"), ("mobile", "FAX", "pager"), ("1.1",)]
    for text in filters:
        for attributes in selections:
            message = pdu.message(7, request(text, *attributes, base=awkward.BASE))
            answers += fast_path.answer(dit, viewer, message) is not None
            for _ in range(3):
                assert answered(first, message) == answered(second, message[:1], message[1:])
    assert answers >= 15


def test_phones_of_two_formats_do_not_get_each_others_messages() -> None:
    """Although they ask for the same, one after the other, and messages are kept."""
    clients = {form: client(phone_with(form)) for form in ADAS_NUMBERS}
    for _ in range(4):
        for form, one in clients.items():
            [ada] = found(one, ADA, "telephoneNumber")
            assert ada == {"telephoneNumber": [ADAS_NUMBERS[form][0]]}


def test_whole_books_have_the_format() -> None:
    """Whole books are sent in pages of encoded messages."""
    dit = awkward.make_dit(lenient=True)
    [directory] = dit.directories
    formatter = number_formatter(NATIONAL, directory.context)
    everybody = pdu.search(awkward.BASE, 2, encode(read_filter("(uid=*)")), ("uid", "mobile"))
    *given, _ = client(awkward.VIEWER._replace(number_formatter=formatter), dit).ask(everybody, 2)
    *plain, _ = client(awkward.VIEWER, dit).ask(everybody, 2)
    assert [(entry.dn, len(entry.attributes)) for entry in given] == [(one.dn, len(one.attributes)) for one in plain]
    numbers = [[dict(one.attributes).get("mobile", ()) for one in entries] for entries in (given, plain)]
    assert [sum(value.startswith(b"+49") for values in one for value in values) > 5 for one in numbers] == [False, True]
