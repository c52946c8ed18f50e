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
        gettext_noop("The contact is in the private address book of %(book)s, which this phone can’t see."),
        gettext_noop("To let all phones find the contact, run: ldapgw share %(book)s %(sharing)s"),
    ),
    MissReason.GROUP_BOOK: ReasonText(
        gettext_noop(
            "The contact is in the address book of %(book)s. It is shared with the group %(group)s, and this phone’s "
            "account isn’t in the group."
        ),
        gettext_noop(
            "Add the account to the group in the configuration, or share these contacts with all phones: ldapgw share "
            "%(book)s %(sharing)s"
        ),
    ),
    MissReason.CALLERS_BOOK: ReasonText(
        gettext_noop(
            "The contact is in the address book of %(book)s. From this address book, other people’s phones get only "
            "callers’ names, and only if they search for the complete number."
        ),
        gettext_noop("To share these contacts with all phones, run: ldapgw share %(book)s shared"),
    ),
    MissReason.OUTSIDE_BASE: ReasonText(
        gettext_noop("The contact matches, but it isn’t below the search base."),
        gettext_noop(
            "Set the phone’s search base to %(base)s. If the phone should find only contacts with a certain label, "
            "keep the search base, and give this contact the label in Google Contacts."
        ),
    ),
    MissReason.SIZE_LIMIT: ReasonText(
        gettext_noop(
            "The contact matches, but a phone gets only the first %(count)s results, and this one comes later."
        ),
        gettext_noop("Type more of the name, or raise ldap.size_limit."),
        gettext_noop("Type more of the name."),
    ),
    MissReason.DUPLICATE: ReasonText(
        gettext_noop(
            "The contact matches, but another contact (%(other)s) has the same name and the same number or email, so "
            "the phone gets only the other one."
        ),
        gettext_noop("There’s nothing to fix."),
    ),
    MissReason.NO_NUMBER: ReasonText(
        gettext_noop("The contact matches, but has no phone number. This phone gets one entry per number."),
        gettext_noop(
            "Add a number in Google Contacts, or add the phone again with “One entry with all numbers” (ldapgw phones "
            "add … --numbers values)."
        ),
        gettext_noop("Add a number in Google Contacts."),
    ),
    MissReason.NUMBER_ENTRIES: ReasonText(
        gettext_noop(
            "The contact matches, but this phone gets one entry per number. Each of these entries has its number in "
            "telephoneNumber, but the phone’s filter asks for another attribute."
        ),
        gettext_noop(
            "Set the phone to ask for telephoneNumber, or add the phone again with “One entry with all numbers” "
            "(ldapgw phones add … --numbers values)."
        ),
        gettext_noop("Set the phone to ask for telephoneNumber."),
    ),
    MissReason.STRICT_MATCHING: ReasonText(
        gettext_noop(
            "The contact has %(attribute)s “%(value)s”. This is similar to the search text, but the gateway is set to "
            "accept only exact spelling."
        ),
        gettext_noop('Set matching = "lenient" for the tenant.'),
        gettext_noop("Type it exactly as it’s saved."),
    ),
    MissReason.FILTER_TERM: ReasonText(
        gettext_noop("The contact matches the search text, but doesn’t match this part of the filter: %(terms)s."),
        gettext_noop("Change the filter in the phone’s settings, or the contact in Google Contacts."),
    ),
    MissReason.OTHER_ATTRIBUTE: ReasonText(
        gettext_noop(
            "The text you searched for is saved as %(attribute)s “%(value)s”, and the phone doesn’t search in that "
            "field."
        ),
        gettext_noop("Add %(attribute)s to the phone’s filter."),
    ),
    MissReason.WHOLE_VALUE: ReasonText(
        gettext_noop("The contact has %(attribute)s “%(value)s”, and the filter only accepts the whole value."),
        gettext_noop(
            "In the phone’s filter, add * after the search text. The phone then also finds words that begin with it."
        ),
    ),
    MissReason.INSIDE_WORD: ReasonText(
        gettext_noop(
            "The text is in the middle of a word in %(attribute)s “%(value)s”, and the phone only searches for "
            "beginnings of words."
        ),
        gettext_noop("Type the word from its beginning, or add * before the search text in the phone’s filter."),
        gettext_noop("Type the word from its beginning."),
    ),
    MissReason.WORDS_APART: ReasonText(
        gettext_noop("The contact has all the words, but not as different words of one field: %(value)s."),
        gettext_noop("Type only words that are in one field, such as the name."),
    ),
    MissReason.SOME_WORDS: ReasonText(
        gettext_noop("The contact has %(value)s, but not %(missing)s."),
        gettext_noop("Leave out %(missing)s, or correct the contact in Google Contacts."),
    ),
    MissReason.SPELLING: ReasonText(
        gettext_noop("The contact has %(attribute)s “%(value)s”, which is spelled differently."),
        gettext_noop("Type fewer letters of the name, or correct the contact in Google Contacts."),
    ),
    MissReason.OTHER_COUNTRY: ReasonText(
        gettext_noop("The contact has %(attribute)s %(value)s: the same number, but in another country."),
        gettext_noop(
            "Correct the number in Google Contacts, with its country code. A number without one gets the country code "
            "of the region setting."
        ),
        gettext_noop("Correct the number in Google Contacts, with its country code."),
    ),
    MissReason.LAST_DIGITS: ReasonText(
        gettext_noop("The contact has %(attribute)s %(value)s. The difference: %(digits)s."),
        gettext_noop(
            "If the caller is from the same company as this contact, save the caller’s number in Google Contacts, too."
        ),
    ),
    MissReason.ONE_DIGIT: ReasonText(
        gettext_noop("The contact has %(attribute)s %(value)s. One digit is different."),
        gettext_noop("Correct the number in Google Contacts."),
    ),
    MissReason.OTHER_BEGINNING: ReasonText(
        gettext_noop(
            "The contact has %(attribute)s %(value)s. It has the same ending (%(digits)s), but a different beginning."
        ),
        gettext_noop("Find out which of the two numbers is right, and correct the other."),
    ),
    MissReason.SHORT_NUMBER: ReasonText(
        gettext_noop(
            "The contact has %(attribute)s %(value)s. Numbers with fewer than 7 digits are internal, so they have to "
            "match exactly."
        ),
        gettext_noop(
            "Save the number as your telephone system sends it, or set the telephone system to send the complete "
            "number."
        ),
    ),
}

# The only text about a private book whose contacts the reader may not know.
PRIVATE_BOOK_MESSAGE = gettext_noop("A contact in someone else’s private address book has this number.")
PRIVATE_BOOK_ADVICE = gettext_noop("Ask your colleagues who has this contact and could share it.")

# Advice if the reader's own book hides the contact.
OWN_BOOK_ADVICE = gettext_noop("This contact is yours. If you share your contacts, this phone finds it, too.")

# Added to the text of another reason if the book hides the contact as well.
ACCESS_TEXTS: Mapping[MissReason, str] = {
    MissReason.PRIVATE_BOOK: gettext_noop(
        "In addition, the contact is in the private address book of %(book)s, which this phone can’t see."
    ),
    MissReason.GROUP_BOOK: gettext_noop(
        "In addition, the contact is in the address book of %(book)s, which is shared only with the group %(group)s."
    ),
    MissReason.CALLERS_BOOK: gettext_noop(
        "The contact is also in the address book of %(book)s, but from that address book, other people’s phones get "
        "only callers’ names."
    ),
}

MATCH_TEXTS: Mapping[MatchKind, str] = {
    MatchKind.WORDS: gettext_noop("A word in %(attribute)s “%(value)s” begins with the search text."),
    MatchKind.SEVERAL_WORDS: gettext_noop(
        "Each word of the search text begins another word in %(attribute)s “%(value)s”."
    ),
    MatchKind.KEYS: gettext_noop(
        "On the phone’s keys, the typed digits stand for “%(form)s”, which is in %(attribute)s “%(value)s”."
    ),
    MatchKind.ALSO: gettext_noop("Another name or spelling of the contact matches: “%(form)s” (%(attribute)s)."),
    MatchKind.NUMBER: gettext_noop("%(attribute)s %(value)s is the same phone number."),
    MatchKind.OTHER_KIND: gettext_noop(
        "%(attribute)s %(value)s is the same phone number. A search for a complete number checks numbers of every "
        "type, such as mobile and fax."
    ),
    MatchKind.NUMBER_END: gettext_noop(
        "%(attribute)s %(value)s ends with the same digits. That’s enough, because one of the two numbers has no "
        "country code."
    ),
    MatchKind.SWITCHBOARD: gettext_noop(
        "Nobody has this number, but it begins like the company’s switchboard: %(attribute)s %(value)s. The caller may "
        "be one of its extensions."
    ),
    MatchKind.DIGITS: gettext_noop("%(attribute)s %(value)s contains these digits."),
    MatchKind.VALUE: gettext_noop("%(attribute)s “%(value)s” matches %(term)s."),
    MatchKind.PRESENT: gettext_noop("The contact matches, because it has a value in this field: %(attribute)s."),
}
# Replaces the text of `MatchKind.WORDS` if value and term agree on a variant that is not obvious.
WORD_VARIANT_TEXT = gettext_noop(
    "A word in %(attribute)s “%(value)s” begins with “%(form)s”, another spelling of the search text."
)
