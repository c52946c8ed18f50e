# SPDX-License-Identifier: MIT
"""The tests show an explanation as lines for people and as an object for programs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ldapgw.directory.access import BookAccess
from ldapgw.phones.explain.model import BookSyncState, ExplanationReader, SearchedBook, explanation_json, report_lines
from ldapgw.phones.explain.view import PhoneView
from tests.support.phonebook import BASE
from tests.support.phonebook.explain import ALICE, BOB, CAROL, DAVE, explained, sight

BOOKS = f"{ALICE} (the phone's own), {BOB} (shared), directory (the Workspace directory), {CAROL} (callers' names only)"


@pytest.fixture(scope="module")
def desk() -> PhoneView:
    return sight()


def test_a_name_for_people(desk: PhoneView) -> None:
    """The report of a name has every part, in the order of the questions on the telephone."""
    assert (
        "\n".join(report_lines(explained("mueller", desk)))
        == f"""\
Asked for  the name mueller
Sent as    (&(objectClass=person)(|(cn=mueller*)(sn=mueller*)(o=mueller*)))
Tried as   “mueller”, “muller”
Base       {BASE}
Searched in  {BOOKS}
Looked up  the smallest set of: names that begin with "mueller" or "muller", \
or other words that begin with "mueller" or "muller" (7); entries with the object class (8)

Found: 1.
  Hans Müller, in {ALICE}
    A word in cn “Hans Müller” begins with the search text.
    A word in sn “Müller” begins with the search text.
    A word in o “Müller Maschinenbau” begins with the search text.

Similar contacts that were not found:
  Iwan Muller, in {CAROL}
    The contact is in the address book of {CAROL}. From this address book, other people’s phones \
get only callers’ names, and only if they search for the complete number.
    → To share these contacts with all phones, run: ldapgw share {CAROL} shared
  Hans Müller, in {BOB}
    The contact matches, but another contact ({ALICE}) has the same name and the same number or email, \
so the phone gets only the other one.
    → There’s nothing to fix."""
    )


def test_a_number_for_people(desk: PhoneView) -> None:
    """The report also gives the sync states of the books."""
    states = (
        BookSyncState(
            BOB, BookAccess.SHARED, "attention", "Google rejects it.", {"empty": 1, "label": 2, "unknown": 9}
        ),
        BookSyncState(CAROL, BookAccess.CALLERS, "waiting", "", {"unreadable_number": 1}),
        BookSyncState("erin@acme.example", BookAccess.SHARED, "disconnected"),
    )
    told = explained("0301234599", desk, states=states)
    assert (
        "\n".join(report_lines(told))
        == f"""\
Asked for  the number 0301234599
Sent as    (|(telephoneNumber=0301234599)(mobile=0301234599)(homePhone=0301234599))
Tried as   +49301234599
Base       {BASE}
Searched in  {BOOKS}
Looked up  numbers that end in "1234599" (0)

Found: nothing.

Similar contacts that were not found:
  Hans Müller, in {ALICE}
    The contact has telephoneNumber +49301234567. The difference: the last 2 digits.
    → If the caller is from the same company as this contact, save the caller’s number in Google Contacts, too.
  Hans Müller, in {BOB}
    The contact has telephoneNumber +49301234567. The difference: the last 2 digits.
  Hans Müller, in {DAVE}
    The contact has telephoneNumber +49301234567. The difference: the last 2 digits. \
In addition, the contact is in the private address book of {DAVE}, which this phone can’t see.
    → If the caller is from the same company as this contact, save the caller’s number in Google Contacts, too. \
To let all phones find the contact, run: ldapgw share {DAVE} callers

Good to know:
  The last sync of {BOB} failed. Google rejects it.
  Left out of {BOB} because they have no name, company, number, email or postal address: 1.
  Left out of {BOB} because they have none of the chosen labels: 2.
  The first sync of {CAROL} hasn’t finished yet. Its contacts will appear after that.
  Numbers in {CAROL} that phones don’t get, because they can’t be dialed: 1.
  erin@acme.example isn’t connected to Google, so none of its contacts are here."""
    )


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ("(cn=685*)", "Tried as   “685”, the letters on these keys"),
        ("(cn=*)", "Tried as   typed"),
        ("(cn=*)", "Asked for  the filter (cn=*)"),
        ("(&)", "Looked up  every entry, because no index fits this filter (8)"),
        ("(|)", "Looked up  nothing, because no entry can match (0)"),
        ("(cn=2*)", 'Looked up  names that begin with the keys "2" (2)'),
        ("(cn=*28*)", 'Looked up  names with "28" or "2t" or "2u" or "2v" or 12 more, or names with the keys "28" (0)'),
        ("(cn=mu ha*)", "Looked up  names with both beginnings (2)"),
        ("(cn=h mu*)", 'Looked up  names with the beginnings "h" and "mu" (2)'),
        ("k m", 'Looked up  the smallest set of: names with the beginnings "k" and "m", or the smallest set of '
         '(other words that begin with "k"; other words that begin with "m") (5); entries with the object class (8)'),
        ("(cn=mu ha*)", "    Each word of the search text is the beginning of a different word in cn “Hans Müller”."),
        ("(cn=680426*)", "    On the phone’s keys, the typed digits stand for “mu han”, which is in cn “Hans Müller”."),
        ("(cn=hans xyz*)", "  Nobody has a word that begins with “xyz”."),
        ("(cn=hans xyz)", "  Nobody has the word “xyz”."),
        ("(&(telephoneNumber=*)(sn=stumm*))",
         'Looked up  the smallest set of: names that begin with "stumm" (1); entries that have the attribute (7)'),
        ("(|(mail=x*)(&(sn=stumm*)(cn=karin*)))",
         'Looked up  mail addresses that begin with "x", or the smallest set of (names that begin with "stumm"; '
         'names that begin with "karin") (1)'),
        ("(cn=685*)", "    On the phone’s keys, the typed digits stand for “mul”, which is in cn “Ann Mulligan”."),
        ("*", "Asked for  everybody (nothing was typed)"),
        ("*", "Looked up  the smallest set of: entries that have the attribute (8); entries with the object class (8)"),
        ("(|(cn=*)(sn=*)(o=*)(mail=*)(pager=*))", "Looked up  entries that have the attribute (8)"),
        ("tanaka", "    Another name or spelling of the contact matches: “tanaka tarou” (cn, sn)."),
        ("00301234567", "Tried as   00301234567, +49301234567 (without the prefix for an outside line)"),
        ("0171 7654321", "  Iwan Muller, as a caller"),
        ("(o=acme*)", "  acme, the tenant's own entry"),
        ("0171 7654321", "    telephoneNumber, mobile +491717654321 is the same phone number."),
        ("(telephoneNumber=1234567)",
         "    telephoneNumber +49301234567 ends with the same digits. "
         "That’s enough, because one of the two numbers has no country code."),
        ("(mobile=*460*)", "    mobile +442079460123 contains these digits."),
        ("(cn>=zo)", "    cn “Zoë Adler” matches (cn>=zo)."),
        ("(facsimileTelephoneNumber=*)",
         "    The contact matches, because it has a value in this field: facsimileTelephoneNumber."),
        ("0171 7654390",
         "    The contact has mobile +491717654399. The difference: the last digit. "
         f"In addition, the contact is in the private address book of {DAVE}, which this phone can’t see."),
        ("(|(cn=x)(shoe=1))", "  (shoe=1) never matches: no entry has that attribute."),
    ],
)  # fmt: skip
def test_lines(desk: PhoneView, asked: str, line: str) -> None:
    """The rows cover each kind of form, reason and note."""
    assert line in list(report_lines(explained(asked, desk)))


def test_what_is_cut_is_said(desk: PhoneView) -> None:
    """The report says when a limit, the length of a page or the width of a line cuts the answer."""
    told = explained("(objectClass=*)", desk, size_limit=3)
    cut = replace(
        told, entry_count=9, books=(SearchedBook(BOB, BookAccess.SHARED),) * 12, plan="an index", lenient=False
    )
    shown = list(report_lines(cut))
    assert "Found: 9, and there are more: the answer reached a limit." in shown
    assert "  … and 6 more." in shown
    assert "  … and 1 more." in shown
    assert "Looked up  an index" in shown
    assert "Tried as   typed, by the strict rules of RFC 4517" in shown
    assert next(line for line in shown if line.startswith("Searched in")).endswith(f"{BOB} (shared), and 2 more")
    assert "Searched in  no address book (this phone can’t see any)" in list(report_lines(replace(told, books=())))


def test_who_must_be_discreet_is_told_a_sentence(desk: PhoneView) -> None:
    """The report has a sentence in place of a hidden name."""
    shown = list(
        report_lines(explained("0171 7654399", desk, reader=ExplanationReader(hides_private_books=True, is_admin=True)))
    )
    assert shown[-2:] == [
        "  A contact in someone else’s private address book has this number.",
        "    → Ask your colleagues who has this contact and could share it.",
    ]


def test_the_object(desk: PhoneView) -> None:
    """Programs get every part of the explanation under stable keys."""
    state = BookSyncState(CAROL, BookAccess.CALLERS, "waiting")
    assert explanation_json(explained("01717654399", desk, states=[state])) == {
        "query": {"asked": "01717654399", "kind": "number"},
        "filter": "(|(telephoneNumber=01717654399)(mobile=01717654399)(homePhone=01717654399))",
        "base": BASE,
        "matching": "lenient",
        "forms": [],
        "keypad": False,
        "numbers": [{"number": "+491717654399", "reading": "typed"}],
        "books": [
            {"name": ALICE, "seen": "own"},
            {"name": BOB, "seen": "shared"},
            {"name": "directory", "seen": "directory"},
            {"name": CAROL, "seen": "callers"},
        ],
        "plan": 'numbers that end in "7654399" (0)',
        "found": 0,
        "complete": True,
        "matches": [],
        "misses": [
            {
                "reason": "private_book",
                "name": "Karla Kolumna",
                "dn": f"uid=karla,ou={DAVE},{BASE}",
                "book": DAVE,
                "message": f"The contact is in the private address book of {DAVE}, which this phone can’t see.",
                "advice": f"To let all phones find the contact, run: ldapgw share {DAVE} callers",
            },
            {
                "reason": "last_digits",
                "name": "Iwan Muller",
                "dn": f"uid=iwan,ou={CAROL},{BASE}",
                "book": CAROL,
                "message": "The contact has mobile +491717654321. The difference: the last 2 digits. "
                f"The contact is also in the address book of {CAROL}, but from that address book, "
                "other people’s phones get only callers’ names.",
                "advice": "If the caller is from the same company as this contact, save the caller’s number in Google "
                "Contacts, too. "
                f"To share these contacts with all phones, run: ldapgw share {CAROL} shared",
            },
        ],
        "more_misses": 0,
        "notes": [
            {
                "code": "waiting",
                "message": f"The first sync of {CAROL} hasn’t finished yet. Its contacts will appear after that.",
            }
        ],
    }


def test_the_object_of_a_match(desk: PhoneView) -> None:
    """The object gives the reasons for the match."""
    [match] = explanation_json(explained("adler", desk))["matches"]
    assert match == {
        "name": "Zoë Adler",
        "dn": f"uid=zoe,ou=directory,{BASE}",
        "book": "directory",
        "because": [
            {"attribute": name, "value": value, "term": f"({name}=adler*)", "how": "words", "form": "adler"}
            for name, value in (("cn", "Zoë Adler"), ("sn", "Adler"))
        ],
        "flags": [],
        "numbers": [],
    }
