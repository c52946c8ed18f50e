# SPDX-License-Identifier: MIT
"""The texts of the phone pages: the state of a phone, advice about its settings, and the log of its searches."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from ldapgw.errors import ResultCode
from ldapgw.numbers.phone_number import NumberFormat, format_number, parse
from ldapgw.phones.explain.explain import MAX_QUERY_LENGTH
from ldapgw.phones.explain.query import SearchSubject, SubjectKind, subject_of
from ldapgw.phones.hints import HARMLESS, NAME_ADMINISTRATOR, DecodedSearch, Hint, PhoneProfile, hint_text, open_hints
from ldapgw.phones.provisioning.vendors import Advice
from ldapgw.phrase import Phrase, Texts, Timestamp, Translatable, read_texts
from ldapgw.store.phones import PhoneLogin, Refusal, wrong_password

# Seconds for which the page reports an anonymous search from the phone's address.
ANONYMOUS_SECONDS = 900

# These kinds of advice warn of a problem; all other kinds are information.
SERIOUS_ADVICE = frozenset(
    (
        *(Advice.NO_COMMON_SECURITY, Advice.LOOPBACK, Advice.PLAIN_ONLY, Advice.PLAIN_HERE, Advice.HOST_NAME),
        *(Advice.NAME_CHARACTERS, Advice.NAME_LENGTH, Advice.ONE_NUMBER),
    )
)

# Advice about what the gateway offers, which only administrators can change.
ADVICE_FOR_ADMINISTRATORS = frozenset((Advice.LOOPBACK, Advice.PLAIN_HERE))

# Advice whose texts send the reader to the administrator.
ADVICE_NAMING_ADMINISTRATOR = frozenset((Advice.LOOPBACK, Advice.GUESSED_PORT, Advice.NO_COMMON_SECURITY))


class PhoneState(Texts, frozen=True):
    """The state of a phone.

    :ivar kind: the CSS class of the colour.
    """

    kind: str
    title: Translatable
    sentence: Translatable = ""


class _StateTexts(Texts, frozen=True):
    """The states of a phone."""

    wrong_password: PhoneState
    new_password: PhoneState
    to_fetch: PhoneState
    fetched: PhoneState
    works: PhoneState
    works_one_to_fix: PhoneState
    works_some_to_fix: PhoneState
    no_sign_in: PhoneState
    one_to_fix: PhoneState
    some_to_fix: PhoneState
    nobody_found: PhoneState
    no_search: PhoneState
    not_used: PhoneState


class AdministratorsAdvice(Texts, frozen=True):
    """Advice for administrators about what the gateway offers.

    :ivar document: the page of the documentation about the setting, a key of `ldapgw.web.rendering.DOCUMENTS`.
    :ivar sentence: a text with the placeholder ``file``, for the path of the configuration file.
    """

    document: str
    sentence: str


class _PhoneTexts(Texts, frozen=True):
    """The texts of phones.

    :ivar refused_once: a sentence about one login with a wrong password; ``refused_often`` is about several logins.
    :ivar unreadable: the `SearchLogLine.subject` of a search that cannot be decoded.
    :ivar one_entry: the `SearchLogLine.subject` of a search that reads a single directory entry.
    :ivar nobody: the `SearchLogLine.outcome` of a search that found nobody.
    :ivar no_name: the `SearchLogLine.outcome` of a search for a caller who has withheld the number.
    :ivar administrators_advice: the advice that replaces `advice` for administrators.
    :ivar scopes: the texts in the order of `ldapgw.directory.filter.Scope`.
    :ivar controls: the texts by object identifier.
    :ivar codes: the texts by the name of a `ResultCode` in lower case.  A code that no search returns has no text.
    """

    refused_once: str
    refused_often: str
    unreadable: str
    one_entry: str
    nobody: str
    no_name: str
    scopes: tuple[str, ...]
    number_formats: Mapping[NumberFormat, str]
    controls: Mapping[str, str]
    codes: Mapping[str, str]
    subjects: Mapping[SubjectKind, str]
    states: _StateTexts
    administrators_advice: Mapping[Advice, AdministratorsAdvice]
    advice: Mapping[Advice, str]


_TEXTS = read_texts("web/texts/phones", _PhoneTexts)

ADVICE = _TEXTS.advice
ADMINISTRATORS_ADVICE = _TEXTS.administrators_advice
NUMBER_FORMATS = _TEXTS.number_formats


@dataclass(frozen=True, slots=True)
class HintText:
    """A hint about a phone's settings.

    :ivar entries: the values that the text tells people to enter in the phone, in the order of the text.
    :ivar names_administrator: whether the text sends the reader to the administrator.
    """

    text: Phrase
    entries: tuple[str, ...] = ()
    names_administrator: bool = False


@dataclass(frozen=True, slots=True)
class SearchLogLine:
    """A line of the log of searches: a search, with texts about the search.

    :ivar subject: the name or number that was searched for, in plain words.
    :ivar outcome: a text that says why there is no name to show, or what went wrong; empty if the number of entries is
        the outcome.
    :ivar found_nobody: whether the search was for people and found nobody, so that the page offers an explanation.
    """

    decoded: DecodedSearch
    subject: Translatable
    outcome: Translatable
    scope: Translatable
    controls: tuple[Translatable, ...]
    code: Translatable
    found_nobody: bool


def phone_state(
    login: PhoneLogin,
    searches: Sequence[DecodedSearch],
    profile: PhoneProfile,
    anonymous_refused_at: float | None,
    now: float,
    *,
    has_address: bool = False,
    has_fetched: bool = False,
) -> PhoneState:
    """Return the state of a phone, from the stored login and the phone's last searches.

    :param searches: the last searches, newest first.
    :param anonymous_refused_at: time of the last search from the phone's address that was refused for lack of a bind.
        The time is ignored once the phone has worked, because other phones may share the address.
    :param has_address: whether the phone can fetch its new password from a provisioning address.
    :param has_fetched: whether the phone's settings with its new password were fetched, from the provisioning address
        or in a provisioning window.
    """
    texts = _TEXTS.states
    refused = wrong_password(login, now)
    if refused is not None:
        return replace(texts.wrong_password, sentence=refusal_text(refused))
    if login.has_unused_password and (has_fetched or has_address):
        return texts.fetched if has_fetched else texts.to_fetch
    if login.password_at is not None and login.has_unused_password:
        return _state(texts.new_password, when=Timestamp(login.password_at, is_ago=True))
    last_search = max(login.searched_at or 0.0, searches[0].search.when if searches else 0.0)
    first_success = login.worked_at or next(
        (decoded.search.when for decoded in reversed(searches) if decoded.has_contacts), None
    )
    to_fix = len(hints_to_fix(login, searches, profile))
    if first_success is not None:
        works = (texts.works, texts.works_one_to_fix, texts.works_some_to_fix)[min(to_fix, 2)]
        return _state(works, when=Timestamp(first_success, is_ago=True), count=to_fix)
    if (
        anonymous_refused_at is not None
        and anonymous_refused_at > last_search
        and now - anonymous_refused_at < ANONYMOUS_SECONDS
    ):
        return replace(texts.no_sign_in, sentence=hint_text(Hint.ANONYMOUS, profile))
    if to_fix:
        return _state(texts.one_to_fix if to_fix == 1 else texts.some_to_fix, count=to_fix)
    if last_search:
        return texts.nobody_found
    if login.last_seen is not None:
        return texts.no_search
    return texts.fetched if has_fetched else texts.not_used


def _state(state: PhoneState, **values: object) -> PhoneState:
    return replace(state, title=Phrase(str(state.title), values), sentence=Phrase(str(state.sentence), values))


def refusal_text(refused: Refusal) -> Phrase:
    """Return a text that says when, from where and how often a phone had a wrong password, and what to do."""
    values = {"when": Timestamp(refused.when, is_ago=True), "address": refused.address, "count": refused.count}
    return Phrase(_TEXTS.refused_once if refused.count == 1 else _TEXTS.refused_often, values)


def hints_to_fix(login: PhoneLogin, searches: Sequence[DecodedSearch], profile: PhoneProfile) -> tuple[HintText, ...]:
    """Return hints on a phone's settings, the gravest hint first.

    If the phone has not searched since the gateway's start, the stored hint from the last run is returned.
    """
    if searches:
        return tuple(_hint_text(hint, profile, decoded) for hint, decoded in open_hints(searches, profile).items())
    stored = [Hint(code) for code in (login.search_hint,) if code in {*Hint}]
    return tuple(_hint_text(hint, profile, None) for hint in stored if hint not in HARMLESS)


def search_log_line(decoded: DecodedSearch, region: str) -> SearchLogLine:
    """Return the line of a search in the log.

    :param region: the country of numbers without a country code.
    """
    search, request = decoded.search, decoded.request
    subject = subject_of(request.filter) if request and decoded.is_list else None
    is_withheld = subject is not None and subject.kind is SubjectKind.WITHHELD
    name = search.code.name.lower()
    # A code without a text is shown by its name in RFC 4511.
    code = "" if search.code is ResultCode.SUCCESS else _TEXTS.codes.get(name, name.replace("_", " "))
    if is_withheld and not search.entries:
        outcome: Translatable = _TEXTS.no_name
    elif search.code is ResultCode.SUCCESS and not search.entries:
        outcome = _TEXTS.nobody
    else:
        outcome = "" if search.has_entries else code
    return SearchLogLine(
        decoded,
        subject=_subject_text(subject, region) if request else _TEXTS.unreadable,
        outcome=outcome,
        scope=_TEXTS.scopes[request.scope] if request else "",
        controls=tuple(_TEXTS.controls.get(control, control) for control in decoded.controls),
        code=code,
        found_nobody=bool(request)
        and not search.entries
        and decoded.is_list
        and not is_withheld
        and len(decoded.filter) <= MAX_QUERY_LENGTH,
    )


def _subject_text(subject: SearchSubject | None, region: str) -> Translatable:
    if subject is None:
        return _TEXTS.one_entry
    text = readable_number(subject.text, region) if subject.kind is SubjectKind.NUMBER else subject.text
    message = _TEXTS.subjects[subject.kind]
    return Phrase(message, {"text": text}) if text else message


def readable_number(text: str, region: str) -> str:
    """Return a number in the form in which people write numbers, if the number's country is known."""
    number = parse(text, region)
    if number is None or not number.e164:
        return text
    is_national = bool(number.national) and not number.digits.startswith("00") and not text.strip().startswith("+")
    return format_number(number, NumberFormat.NATIONAL if is_national else NumberFormat.INTERNATIONAL, region)


def _hint_text(hint: Hint, profile: PhoneProfile, decoded: DecodedSearch | None) -> HintText:
    text = hint_text(hint, profile, decoded)
    entries = tuple(str(text.values[name]) for name in re.findall(r"%\((\w+)\)s", text.message))
    return HintText(text, entries, hint in NAME_ADMINISTRATOR)
