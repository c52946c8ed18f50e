# SPDX-License-Identifier: MIT
"""The texts of an explanation in plain words: reasons why a contact matched or was missed, and advice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ldapgw.phrase import gettext_noop


class MatchKind(StrEnum):
    """How a value fulfils a term."""

    WORDS = "words"
    KEYS = "keys"
    ALSO = "also"
    NUMBER = "number"
    OTHER_KIND = "other_kind"
    NUMBER_END = "number_end"
    DIGITS = "digits"
    VALUE = "value"
    PRESENT = "present"


class MissReason(StrEnum):
    """Why a phone does not find a contact; reasons that the phone's owner can change least come first."""

    PRIVATE_BOOK = "private_book"
    GROUP_BOOK = "group_book"
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
class ReasonText:
    """The text of a reason; a `misses.MissCause` has the values for the placeholders.

    :ivar advice: the advice to an administrator.
    :ivar user_advice: the advice to a user; empty if the advice is the same.
    """

    message: str
    advice: str
    user_advice: str = ""


REASON_TEXTS: Mapping[MissReason, ReasonText] = {
    MissReason.PRIVATE_BOOK: ReasonText(
        gettext_noop("It is in the private book of %(book)s, which this phone does not see."),
        gettext_noop("Let all phones find it: ldapgw share %(book)s %(sharing)s."),
    ),
    MissReason.GROUP_BOOK: ReasonText(
        gettext_noop(
            "It is in the book of %(book)s, which is shared with the group %(group)s, and this phone's account is not "
            "in that group."
        ),
        gettext_noop(
            "Add the account to the group in the tenant's settings, or let all phones find it: ldapgw share %(book)s "
            "%(sharing)s."
        ),
    ),
    MissReason.CALLERS_BOOK: ReasonText(
        gettext_noop(
            "It is in the book of %(book)s, which tells other phones the name behind a whole number, and nothing else."
        ),
        gettext_noop("Let all phones find the book: ldapgw share %(book)s shared."),
    ),
    MissReason.OUTSIDE_BASE: ReasonText(
        gettext_noop("It matches, but is not below the base that was searched."),
        gettext_noop("Give the phone the base %(base)s, or the contact the label at Google."),
    ),
    MissReason.SIZE_LIMIT: ReasonText(
        gettext_noop("It matches, but comes behind the last of the %(count)s entries that one answer holds."),
        gettext_noop("Type more of the name, or raise ldap.size_limit."),
        gettext_noop("Type more of the name."),
    ),
    MissReason.DUPLICATE: ReasonText(
        gettext_noop(
            "It matches, but by its name and a number or an address it is the same person as in %(other)s, and is "
            "returned once."
        ),
        gettext_noop("Nothing is wrong."),
    ),
    MissReason.NO_NUMBER: ReasonText(
        gettext_noop("It matches, but has no telephone number, and this phone gets an entry for each number."),
        gettext_noop("Add a number at Google, or add the phone anew with --numbers values."),
        gettext_noop("Add a number at Google."),
    ),
    MissReason.NUMBER_ENTRIES: ReasonText(
        gettext_noop(
            "It matches, but this phone gets an entry for each number, which holds the number in telephoneNumber alone."
        ),
        gettext_noop("Let the phone ask for telephoneNumber, or add it anew with --numbers values."),
        gettext_noop("Let the phone ask for telephoneNumber."),
    ),
    MissReason.STRICT_MATCHING: ReasonText(
        gettext_noop(
            "It has %(attribute)s “%(value)s”, which matches as people read it; but this tenant matches by the letter."
        ),
        gettext_noop('Set matching = "lenient" for the tenant.'),
        gettext_noop("Type it exactly as it is stored."),
    ),
    MissReason.FILTER_TERM: ReasonText(
        gettext_noop("It has what is asked for, but does not fulfil %(terms)s of the filter."),
        gettext_noop("Change the filter in the phone's settings, or the contact at Google."),
    ),
    MissReason.OTHER_ATTRIBUTE: ReasonText(
        gettext_noop("It has this as %(attribute)s “%(value)s”, which the phone does not ask for."),
        gettext_noop("Add %(attribute)s to the phone's filter."),
    ),
    MissReason.WHOLE_VALUE: ReasonText(
        gettext_noop("It has %(attribute)s “%(value)s”, and the filter asks for the whole of it."),
        gettext_noop("Put a star behind what is asked for: it finds beginnings then."),
    ),
    MissReason.INSIDE_WORD: ReasonText(
        gettext_noop(
            "It has the text within a word of %(attribute)s “%(value)s”, and the phone asks for beginnings of words."
        ),
        gettext_noop("Type the word from its beginning, or put a star before it in the phone's filter."),
        gettext_noop("Type the word from its beginning."),
    ),
    MissReason.WORDS_APART: ReasonText(
        gettext_noop("It has all the words, but not one behind the other in one field: %(value)s."),
        gettext_noop("Type one of the words."),
    ),
    MissReason.SOME_WORDS: ReasonText(
        gettext_noop("It has %(value)s, but not %(missing)s."),
        gettext_noop("Type one of the words, or correct the contact at Google."),
    ),
    MissReason.SPELLING: ReasonText(
        gettext_noop("It has %(attribute)s “%(value)s”, which is spelt otherwise."),
        gettext_noop("Type less of the name, or correct the contact at Google."),
    ),
    MissReason.OTHER_COUNTRY: ReasonText(
        gettext_noop("It has %(attribute)s %(value)s: the same number in another country."),
        gettext_noop(
            "Correct the number at Google; where it was typed without a country, region in the tenant's settings "
            "decides."
        ),
        gettext_noop("Correct the number at Google, with its country."),
    ),
    MissReason.LAST_DIGITS: ReasonText(
        gettext_noop("It has %(attribute)s %(value)s, which differs in %(digits)s."),
        gettext_noop("If that is the caller's company, add this number at Google."),
    ),
    MissReason.ONE_DIGIT: ReasonText(
        gettext_noop("It has %(attribute)s %(value)s, which differs in one digit."),
        gettext_noop("Correct the number at Google."),
    ),
    MissReason.OTHER_BEGINNING: ReasonText(
        gettext_noop("It has %(attribute)s %(value)s: %(digits)s are the same, and what stands before them is not."),
        gettext_noop("Compare the numbers with the user, and correct the wrong one."),
    ),
    MissReason.SHORT_NUMBER: ReasonText(
        gettext_noop(
            "It has %(attribute)s %(value)s. Numbers of less than 7 digits are internal ones, and match exactly or not "
            "at all."
        ),
        gettext_noop("Store the number as it is signalled, or let the telephone system signal the whole number."),
    ),
}

# The only text about a private book whose contacts the reader may not know.
PRIVATE_BOOK_MESSAGE = gettext_noop("A contact in somebody else's private book has this number.")
PRIVATE_BOOK_ADVICE = gettext_noop("Ask your colleagues whether somebody shares the book that has it.")

# Advice if the reader's own book hides the contact.
OWN_BOOK_ADVICE = gettext_noop("That book is yours: choose who sees it, and this phone finds it too.")

# Added to the text of another reason if the book hides the contact as well.
ACCESS_TEXTS: Mapping[MissReason, str] = {
    MissReason.PRIVATE_BOOK: gettext_noop(
        "It is in the private book of %(book)s besides, which this phone does not see."
    ),
    MissReason.GROUP_BOOK: gettext_noop(
        "It is in the book of %(book)s besides, which is shared with the group %(group)s alone."
    ),
    MissReason.CALLERS_BOOK: gettext_noop(
        "It is in the book of %(book)s besides, which tells other phones callers' names alone."
    ),
}

MATCH_TEXTS: Mapping[MatchKind, str] = {
    MatchKind.WORDS: gettext_noop("%(attribute)s “%(value)s” has a word that begins so."),
    MatchKind.KEYS: gettext_noop("%(attribute)s “%(value)s” has “%(form)s”, which these keys spell."),
    MatchKind.ALSO: gettext_noop("%(attribute)s has another name or a reading that matches: “%(form)s”."),
    MatchKind.NUMBER: gettext_noop("%(attribute)s %(value)s is the same telephone number."),
    MatchKind.OTHER_KIND: gettext_noop(
        "%(attribute)s %(value)s is the same telephone number; a whole number is looked for among numbers of all kinds."
    ),
    MatchKind.NUMBER_END: gettext_noop(
        "%(attribute)s %(value)s ends in the same digits; of one of the two the country is not known."
    ),
    MatchKind.DIGITS: gettext_noop("%(attribute)s %(value)s has these digits."),
    MatchKind.VALUE: gettext_noop("%(attribute)s “%(value)s” fulfils %(term)s."),
    MatchKind.PRESENT: gettext_noop("%(attribute)s is there."),
}
# Replaces the text of `MatchKind.WORDS` if value and term agree on a variant that is not obvious.
WORD_VARIANT_TEXT = gettext_noop("%(attribute)s “%(value)s” has a word that begins so, as “%(form)s”.")
