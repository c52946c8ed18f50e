# SPDX-License-Identifier: MIT
"""The texts of an explanation in plain words: reasons why a contact matched or was missed, and advice."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from ldapgw.phrase import Texts, read_texts


class MatchKind(StrEnum):
    """The ways in which a value fulfils a term."""

    WORDS = "words"
    SEVERAL_WORDS = "several_words"
    KEYS = "keys"
    ALSO = "also"
    NUMBER = "number"
    OTHER_KIND = "other_kind"
    NUMBER_END = "number_end"
    SWITCHBOARD = "switchboard"
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


class ReasonText(Texts, frozen=True):
    """The text of a reason; a `misses.MissCause` has the values for the placeholders.

    :ivar advice: the advice to an administrator.
    :ivar user_advice: the advice to a user; empty if the advice is the same.
    """

    message: str
    advice: str
    user_advice: str = ""


class ValueTexts(Texts, frozen=True):
    """Texts that are values of other texts."""

    last_digit: str
    last_digits: str
    word: str
    word_in_attribute: str


class NoteTexts(Texts, frozen=True):
    """Notes on a query and on the sync of a book; most fields are codes of `model.ExplanationNote`."""

    unknown_attribute: str
    empty_number: str
    no_number: str
    no_such_beginning: str
    no_such_word: str
    region: str
    ringing: str
    stripped: str
    affix: str
    trouble: str


class _ExplanationTexts(Texts, frozen=True):
    """The texts of explanations.

    :ivar word_variant: replaces the text of `MatchKind.WORDS` if value and term agree on a variant that is not obvious.
    :ivar private_book_message: the only text about a private book whose contacts the reader may not know.
    :ivar own_book_advice: the advice if the reader's own book hides the contact.
    :ivar access: added to the text of another reason if the book hides the contact as well.
    :ivar states: by the state of a book's sync.
    :ivar skipped: by the reasons in an account's ``skipped``.
    """

    word_variant: str
    private_book_message: str
    private_book_advice: str
    own_book_advice: str
    reasons: Mapping[MissReason, ReasonText]
    access: Mapping[MissReason, str]
    matches: Mapping[MatchKind, str]
    values: ValueTexts
    notes: NoteTexts
    states: Mapping[str, str]
    skipped: Mapping[str, str]


TEXTS = read_texts("phones/texts/explain", _ExplanationTexts)
