# SPDX-License-Identifier: MIT
"""The reasons in plain words, for somebody who has a user on the telephone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ldapgw.phrase import marked


class How(StrEnum):
    """How a value makes a term true."""

    WORDS = "words"
    KEYS = "keys"
    ALSO = "also"
    NUMBER = "number"
    NUMBER_END = "number_end"
    DIGITS = "digits"
    VALUE = "value"
    PRESENT = "present"


class Reason(StrEnum):
    """Why a contact was not found; what a phone's owner can do least about comes first."""

    PRIVATE_BOOK = "private_book"
    CALLERS_BOOK = "callers_book"
    OUTSIDE_BASE = "outside_base"
    SIZE_LIMIT = "size_limit"
    DUPLICATE = "duplicate"
    NO_NUMBER = "no_number"
    NUMBER_ENTRIES = "number_entries"
    STRICT_MATCHING = "strict_matching"
    FILTER_TERM = "filter_term"
    OTHER_ATTRIBUTE = "other_attribute"
    WHOLE_VALUE = "whole_value"
    INSIDE_WORD = "inside_word"
    WORDS_APART = "words_apart"
    SOME_WORDS = "some_words"
    SPELLING = "spelling"
    OTHER_COUNTRY = "other_country"
    LAST_DIGITS = "last_digits"
    ONE_DIGIT = "one_digit"
    OTHER_BEGINNING = "other_beginning"
    SHORT_NUMBER = "short_number"


@dataclass(frozen=True, slots=True)
class Words:
    """What is said of a reason; who found it gives the values.

    :ivar advice: for an administrator.
    :ivar for_users: for a user, where that is something else.
    """

    message: str
    advice: str
    for_users: str = ""


WORDS: Mapping[Reason, Words] = {
    Reason.PRIVATE_BOOK: Words(
        marked("It is in the private book of %(book)s, which this phone does not see."),
        marked("Let all phones find it: ldapgw share %(book)s %(sharing)s."),
    ),
    Reason.CALLERS_BOOK: Words(
        marked(
            "It is in the book of %(book)s, which tells other phones the name behind a whole number, and nothing else."
        ),
        marked("Let all phones find the book: ldapgw share %(book)s shared."),
    ),
    Reason.OUTSIDE_BASE: Words(
        marked("It matches, but is not below the base that was searched."),
        marked("Give the phone the base %(base)s, or the contact the label at Google."),
    ),
    Reason.SIZE_LIMIT: Words(
        marked("It matches, but comes behind the last of the %(count)s entries that one answer holds."),
        marked("Type more of the name, or raise ldap.size_limit."),
        marked("Type more of the name."),
    ),
    Reason.DUPLICATE: Words(
        marked("It matches, but is the same person with the same numbers as in %(other)s, and is returned once."),
        marked("Nothing is wrong."),
    ),
    Reason.NO_NUMBER: Words(
        marked("It matches, but has no telephone number, and this phone gets an entry for each number."),
        marked("Add a number at Google, or add the phone anew with --numbers values."),
        marked("Add a number at Google."),
    ),
    Reason.NUMBER_ENTRIES: Words(
        marked(
            "It matches, but this phone gets an entry for each number, which holds the number in telephoneNumber alone."
        ),
        marked("Let the phone ask for telephoneNumber, or add it anew with --numbers values."),
        marked("Let the phone ask for telephoneNumber."),
    ),
    Reason.STRICT_MATCHING: Words(
        marked(
            "It has %(attribute)s “%(value)s”, which matches as people read it; but this tenant matches by the letter."
        ),
        marked('Set matching = "lenient" for the tenant.'),
        marked("Type it exactly as it is stored."),
    ),
    Reason.FILTER_TERM: Words(
        marked("It has what is asked for, but does not fulfil %(terms)s of the filter."),
        marked("Change the filter in the phone's settings, or the contact at Google."),
    ),
    Reason.OTHER_ATTRIBUTE: Words(
        marked("It has this as %(attribute)s “%(value)s”, which the phone does not ask for."),
        marked("Add %(attribute)s to the phone's filter."),
    ),
    Reason.WHOLE_VALUE: Words(
        marked("It has %(attribute)s “%(value)s”, and the filter asks for the whole of it."),
        marked("Put a star behind what is asked for: it finds beginnings then."),
    ),
    Reason.INSIDE_WORD: Words(
        marked(
            "It has the text within a word of %(attribute)s “%(value)s”, and the phone asks for beginnings of words."
        ),
        marked("Type the word from its beginning, or put a star before it in the phone's filter."),
        marked("Type the word from its beginning."),
    ),
    Reason.WORDS_APART: Words(
        marked("It has all the words, but not one behind the other in one field: %(value)s."),
        marked("Type one of the words."),
    ),
    Reason.SOME_WORDS: Words(
        marked("It has %(value)s, but not %(missing)s."),
        marked("Type one of the words, or correct the contact at Google."),
    ),
    Reason.SPELLING: Words(
        marked("It has %(attribute)s “%(value)s”, which is spelt otherwise."),
        marked("Type less of the name, or correct the contact at Google."),
    ),
    Reason.OTHER_COUNTRY: Words(
        marked("It has %(attribute)s %(value)s: the same number in another country."),
        marked(
            "Correct the number at Google; where it was typed without a country, region in the tenant's settings "
            "decides."
        ),
        marked("Correct the number at Google, with its country."),
    ),
    Reason.LAST_DIGITS: Words(
        marked("It has %(attribute)s %(value)s, which differs in %(digits)s."),
        marked("If that is the caller's company, add this number at Google."),
    ),
    Reason.ONE_DIGIT: Words(
        marked("It has %(attribute)s %(value)s, which differs in one digit."),
        marked("Correct the number at Google."),
    ),
    Reason.OTHER_BEGINNING: Words(
        marked("It has %(attribute)s %(value)s: %(digits)s are the same, and what stands before them is not."),
        marked("Compare the numbers with the user, and correct the wrong one."),
    ),
    Reason.SHORT_NUMBER: Words(
        marked(
            "It has %(attribute)s %(value)s. Numbers of less than 7 digits are internal ones, and match exactly or not "
            "at all."
        ),
        marked("Store the number as it is signalled, or let the telephone system signal the whole number."),
    ),
}

# What is said where nothing else of somebody's private book may be, and what to do.
DISCREET = marked("A contact in somebody else's private book has this number.")
ASK = marked("Ask your colleagues whether somebody shares the book that has it.")

# What to do where the book that is in the way is the reader's own.
OWN_BOOK = marked("That book is yours: choose who sees it, and this phone finds it too.")

# What is added to another reason where the book is in the way too.
BESIDES: Mapping[Reason, str] = {
    Reason.PRIVATE_BOOK: marked("It is in the private book of %(book)s besides, which this phone does not see."),
    Reason.CALLERS_BOOK: marked(
        "It is in the book of %(book)s besides, which tells other phones callers' names alone."
    ),
}

HELD: Mapping[How, str] = {
    How.WORDS: marked("%(attribute)s “%(value)s” has a word that begins so."),
    How.KEYS: marked("%(attribute)s “%(value)s” has “%(form)s”, which these keys spell."),
    How.ALSO: marked("%(attribute)s has another name or a reading that matches: “%(form)s”."),
    How.NUMBER: marked("%(attribute)s %(value)s is the same telephone number."),
    How.NUMBER_END: marked(
        "%(attribute)s %(value)s ends in the same digits; of one of the two the country is not known."
    ),
    How.DIGITS: marked("%(attribute)s %(value)s has these digits."),
    How.VALUE: marked("%(attribute)s “%(value)s” fulfils %(term)s."),
    How.PRESENT: marked("%(attribute)s is there."),
}
# Instead of that of `How.WORDS`, where they meet in a form that is not plain.
WORDS_AS = marked("%(attribute)s “%(value)s” has a word that begins so, as “%(form)s”.")
