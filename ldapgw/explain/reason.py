# SPDX-License-Identifier: MIT
"""The reasons in plain words, for somebody who has a user on the telephone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


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
    """What is said of a reason; the braces are filled by whoever found it.

    :ivar advice: for an administrator.
    :ivar for_users: for a user, where that is something else.
    """

    message: str
    advice: str
    for_users: str = ""


WORDS: Mapping[Reason, Words] = {
    Reason.PRIVATE_BOOK: Words(
        "It is in the private book of {book}, which this phone does not see.",
        "Let all phones find it: ldapgw share {book} {sharing}.",
        "Ask your colleagues whether somebody shares the book that has it.",
    ),
    Reason.CALLERS_BOOK: Words(
        "It is in the book of {book}, which tells other phones the name behind a whole number, and nothing else.",
        "Let all phones find the book: ldapgw share {book} shared.",
    ),
    Reason.OUTSIDE_BASE: Words(
        "It matches, but is not below the base that was searched.",
        "Give the phone the base {base}, or the contact the label at Google.",
    ),
    Reason.SIZE_LIMIT: Words(
        "It matches, but comes behind the last of the {count} entries that one answer holds.",
        "Type more of the name, or raise ldap.size_limit.",
        "Type more of the name.",
    ),
    Reason.DUPLICATE: Words(
        "It matches, but is the same person with the same numbers as in {other}, and is returned once.",
        "Nothing is wrong.",
    ),
    Reason.NO_NUMBER: Words(
        "It matches, but has no telephone number, and this phone gets an entry for each number.",
        "Add a number at Google, or add the phone anew with --numbers values.",
        "Add a number at Google.",
    ),
    Reason.NUMBER_ENTRIES: Words(
        "It matches, but this phone gets an entry for each number, which holds the number in telephoneNumber alone.",
        "Let the phone ask for telephoneNumber, or add it anew with --numbers values.",
        "Let the phone ask for telephoneNumber.",
    ),
    Reason.STRICT_MATCHING: Words(
        "It has {attribute} “{value}”, which matches as people read it; but this tenant matches by the letter.",
        'Set matching = "lenient" for the tenant.',
        "Type it exactly as it is stored.",
    ),
    Reason.FILTER_TERM: Words(
        "It has what is asked for, but does not fulfil {terms} of the filter.",
        "Change the filter in the phone's settings, or the contact at Google.",
    ),
    Reason.OTHER_ATTRIBUTE: Words(
        "It has this as {attribute} “{value}”, which the phone does not ask for.",
        "Add {attribute} to the phone's filter.",
    ),
    Reason.WHOLE_VALUE: Words(
        "It has {attribute} “{value}”, and the filter asks for the whole of it.",
        "Put a star behind what is asked for: it finds beginnings then.",
    ),
    Reason.INSIDE_WORD: Words(
        "It has the text within a word of {attribute} “{value}”, and the phone asks for beginnings of words.",
        "Type the word from its beginning, or put a star before it in the phone's filter.",
        "Type the word from its beginning.",
    ),
    Reason.WORDS_APART: Words(
        "It has all the words, but not one behind the other in one field: {value}.",
        "Type one of the words.",
    ),
    Reason.SOME_WORDS: Words(
        "It has {value}, but not {missing}.",
        "Type one of the words, or correct the contact at Google.",
    ),
    Reason.SPELLING: Words(
        "It has {attribute} “{value}”, which is spelt otherwise.",
        "Type less of the name, or correct the contact at Google.",
    ),
    Reason.OTHER_COUNTRY: Words(
        "It has {attribute} {value}: the same number in another country.",
        "Correct the number at Google; where it was typed without a country, region in the tenant's settings decides.",
        "Correct the number at Google, with its country.",
    ),
    Reason.LAST_DIGITS: Words(
        "It has {attribute} {value}, which differs in the {count}.",
        "If that is the caller's company, add this number at Google.",
    ),
    Reason.ONE_DIGIT: Words(
        "It has {attribute} {value}, which differs in one digit.",
        "Correct the number at Google.",
    ),
    Reason.OTHER_BEGINNING: Words(
        "It has {attribute} {value}: the {count} are the same, and what stands before them is not.",
        "Compare the numbers with the user, and correct the wrong one.",
    ),
    Reason.SHORT_NUMBER: Words(
        "It has {attribute} {value}. Numbers of less than 7 digits are internal ones, and match exactly or not at all.",
        "Store the number as it is signalled, or let the telephone system signal the whole number.",
    ),
}

# What is said where nothing else of somebody's private book may be.
DISCREET = "A contact in somebody else's private book has this number."

# What is added to another reason where the book is in the way too.
BESIDES: Mapping[Reason, str] = {
    Reason.PRIVATE_BOOK: "It is in the private book of {book} besides, which this phone does not see.",
    Reason.CALLERS_BOOK: "It is in the book of {book} besides, which tells other phones callers' names alone.",
}

HELD: Mapping[How, str] = {
    How.WORDS: "{attribute} “{value}” has a word that begins so{as_form}.",
    How.KEYS: "{attribute} “{value}” has “{form}”, which these keys spell.",
    How.ALSO: "{attribute} has another name or a reading that matches: “{form}”.",
    How.NUMBER: "{attribute} {value} is the same telephone number.",
    How.NUMBER_END: "{attribute} {value} ends in the same digits; of one of the two the country is not known.",
    How.DIGITS: "{attribute} {value} has these digits.",
    How.VALUE: "{attribute} “{value}” fulfils {term}.",
    How.PRESENT: "{attribute} is there.",
}
