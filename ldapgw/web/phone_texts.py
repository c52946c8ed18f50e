# SPDX-License-Identifier: MIT
"""The texts of the phone pages: the state of a phone, advice about its settings, and the log of its searches."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ldapgw.errors import ResultCode
from ldapgw.numbers.phone_number import NumberFormat, format_number, parse
from ldapgw.phones.explain.query import SearchSubject, SubjectKind, subject_of
from ldapgw.phones.explainer import MAX_QUERY_LENGTH
from ldapgw.phones.hints import HARMLESS, NAME_ADMINISTRATOR, DecodedSearch, Hint, PhoneProfile, hint_text, open_hints
from ldapgw.phones.provisioning.sheet import Advice
from ldapgw.phrase import Phrase, Timestamp, Translatable, gettext_noop
from ldapgw.store.phones import PhoneLogin, Refusal, wrong_password

# An anonymous search from the phone's address is reported for this long.
ANONYMOUS_SECONDS = 900

ADVICE: Mapping[Advice, str] = {
    Advice.LOOPBACK: gettext_noop(
        "“localhost” only works on the gateway itself. Ask your administrator to set public_url under [web] to a "
        "host name that your phones can reach."
    ),
    Advice.GUESSED_PORT: gettext_noop(
        "This is the usual port, but your gateway may use a different one. If the phone doesn’t connect, ask your "
        "administrator."
    ),
    Advice.NO_COMMON_SECURITY: gettext_noop(
        "This phone can’t sign in: it supports none of the connections that the gateway offers. Your administrator "
        "can change that under [ldap] and [tls]."
    ),
    Advice.PLAIN_ONLY: gettext_noop("This phone doesn’t support encryption. Use it only on a trusted network."),
    Advice.PLAIN_HERE: gettext_noop("This phone connects without encryption. Use it only on a trusted network."),
    Advice.CERTIFICATE: gettext_noop("The connection is encrypted. The phone has to trust the gateway’s certificate."),
    Advice.HOST_NAME: gettext_noop(
        "The server is an IP address, but certificates are for names. A phone that checks certificates won’t connect."
    ),
    Advice.OLD_FIRMWARE: gettext_noop(
        "Older firmware doesn’t support LDAPS, so the setting for it (P8037) is missing. If the phone doesn’t "
        "connect, update the firmware."
    ),
    Advice.TRUST_LIST: gettext_noop(
        "Add the certificate’s file to TRUSTCERTS, too. In DIRSRVR, enter the gateway’s host name, not its IP address."
    ),
    Advice.NAME_CHARACTERS: gettext_noop(
        "This phone only accepts letters and digits in a user name. Rename it so that the name has no dots, "
        "underscores or hyphens."
    ),
    Advice.TLS_UNVERIFIED: gettext_noop(
        "The TLS setting of this phone hasn’t been tested. If the phone doesn’t connect, check its manual."
    ),
    Advice.STAR_ADDED: gettext_noop("Firmware before 10.1.27 adds the * itself. A second * does no harm."),
    Advice.ONE_NUMBER: gettext_noop(
        "This phone can dial only one number per contact. Add it again and choose “One entry per number”."
    ),
    Advice.NO_CALLER_LOOKUP: gettext_noop(
        "This phone can search, but it may not show callers’ names. Its vendor doesn’t document this feature."
    ),
    Advice.FIELDS_ALONE: gettext_noop(
        "Enter these values on the phone’s web page. There’s no settings file for this phone."
    ),
    Advice.NUMBER_FIELDS: gettext_noop(
        "The settings file can’t choose which kinds of numbers this phone shows. The phone decides that itself."
    ),
    Advice.NAME_LENGTH: gettext_noop(
        "This phone accepts at most 50 characters as a user name. Give it a shorter name."
    ),
    Advice.ROOT_CERTIFICATE: gettext_noop(
        "If the gateway’s certificate comes from a private CA, set LDAP_ROOT_CERT_PATH to the URL of the CA "
        "certificate."
    ),
    Advice.GLOBAL_PHONEBOOK: gettext_noop("Also choose LDAP as the type of the base’s global phonebook."),
    Advice.SEARCH_ON_DEMAND: gettext_noop(
        "If you have many contacts, choose “search on demand”. Otherwise the softphone loads all of them each time "
        "it starts."
    ),
    Advice.EXACT_NUMBER: gettext_noop(
        "This phone shows a caller’s name only if the contact has the complete number, not just its last digits. The "
        "country code can be missing."
    ),
}
# Advice that warns of a problem; all other advice is information.
SERIOUS_ADVICE = frozenset(
    (
        *(Advice.NO_COMMON_SECURITY, Advice.LOOPBACK, Advice.PLAIN_ONLY, Advice.PLAIN_HERE, Advice.HOST_NAME),
        *(Advice.NAME_CHARACTERS, Advice.NAME_LENGTH, Advice.ONE_NUMBER),
    )
)

# Advice whose texts send the reader to the administrator.
ADVICE_NAMING_ADMINISTRATOR = frozenset((Advice.LOOPBACK, Advice.GUESSED_PORT, Advice.NO_COMMON_SECURITY))

_CONTROLS: Mapping[str, str] = {
    "1.2.840.113556.1.4.473": gettext_noop("sorted"),
    "1.2.840.113556.1.4.319": gettext_noop("in pages"),
    "2.16.840.1.113730.3.4.9": gettext_noop("in a virtual list view"),
    "2.16.840.1.113730.3.4.2": gettext_noop("no referrals"),
}
# The text of success is empty.  Codes that no search of a phone ends in are shown by their names in RFC 4511.
_CODES: Mapping[ResultCode, str] = {
    ResultCode.SUCCESS: "",
    ResultCode.OPERATIONS_ERROR: gettext_noop("operations error"),
    ResultCode.PROTOCOL_ERROR: gettext_noop("protocol error"),
    ResultCode.TIME_LIMIT_EXCEEDED: gettext_noop("time limit exceeded"),
    ResultCode.SIZE_LIMIT_EXCEEDED: gettext_noop("size limit exceeded"),
    ResultCode.ADMIN_LIMIT_EXCEEDED: gettext_noop("administrative limit exceeded"),
    ResultCode.UNAVAILABLE_CRITICAL_EXTENSION: gettext_noop("unavailable critical extension"),
    ResultCode.NO_SUCH_OBJECT: gettext_noop("no such object"),
    ResultCode.INVALID_DN_SYNTAX: gettext_noop("invalid DN syntax"),
    ResultCode.INSUFFICIENT_ACCESS_RIGHTS: gettext_noop("insufficient access rights"),
    ResultCode.BUSY: gettext_noop("busy"),
    ResultCode.UNAVAILABLE: gettext_noop("unavailable"),
    ResultCode.UNWILLING_TO_PERFORM: gettext_noop("unwilling to perform"),
    ResultCode.SORT_CONTROL_MISSING: gettext_noop("sort control missing"),
    ResultCode.OFFSET_RANGE_ERROR: gettext_noop("offset range error"),
    ResultCode.OTHER: gettext_noop("internal error"),
    ResultCode.CANCELED: gettext_noop("canceled"),
}
_SCOPES: Sequence[str] = (gettext_noop("one entry"), gettext_noop("one level"), gettext_noop("subtree"))


NUMBER_FORMATS: Mapping[NumberFormat, str] = {
    NumberFormat.E164: gettext_noop("E.164: +49301234567"),
    NumberFormat.INTERNATIONAL: gettext_noop("international: +49 30 1234567"),
    NumberFormat.NATIONAL: gettext_noop("national: 030 1234567"),
    NumberFormat.TYPED: gettext_noop("as typed in Google"),
    NumberFormat.DIAL: gettext_noop("as dialed here, with the digits for an outside line"),
}


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The texts of the page that asks before an act on a phone.

    :ivar title: the question, with the phone's name.
    :ivar consequence: what the act does.
    :ivar button: the button that does it.
    """

    title: str
    consequence: str
    button: str


# By the path of the form below the phone's page.
CONFIRMATIONS: Mapping[str, Confirmation] = {
    "remove": Confirmation(
        gettext_noop("Remove %(phone)s?"),
        gettext_noop("The phone stops finding contacts immediately and can no longer sign in."),
        gettext_noop("Remove phone"),
    ),
    "reset": Confirmation(
        gettext_noop("Give %(phone)s a new password?"),
        gettext_noop(
            "The phone stops finding contacts until you enter the new password in it. Its secret address also stops "
            "working."
        ),
        gettext_noop("Create new password"),
    ),
    "book-address": Confirmation(
        gettext_noop("Give %(phone)s a new secret address?"),
        gettext_noop("The old secret address stops working immediately."),
        gettext_noop("Create new address"),
    ),
    "book-address/end": Confirmation(
        gettext_noop("Revoke the secret address of %(phone)s?"),
        gettext_noop("Anything that uses this address gets no more contacts. You can’t restore the address."),
        gettext_noop("Revoke secret address"),
    ),
    "record": Confirmation(
        gettext_noop("Delete the recording of %(phone)s?"),
        gettext_noop("You can’t restore the file."),
        gettext_noop("Delete recording"),
    ),
}


@dataclass(frozen=True, slots=True)
class PhoneState:
    """The state of a phone: the CSS class of the colour, a few words and a sentence."""

    kind: str
    title: Translatable
    sentence: Translatable


@dataclass(frozen=True, slots=True)
class HintText:
    """A hint about a phone's settings.

    :ivar entries: the values in the text that are to be entered in the phone, in the order of the text.
    :ivar names_administrator: whether the text sends the reader to the administrator.
    """

    text: Phrase
    entries: tuple[str, ...] = ()
    names_administrator: bool = False


@dataclass(frozen=True, slots=True)
class SearchLogLine:
    """A line of the log of searches.

    :ivar subject: what was searched for, in plain words.
    :ivar outcome: why there is no name to show, or what went wrong; empty: the number of entries says it.
    :ivar milliseconds: the duration of the search.
    :ivar found_nobody: whether the search was for people and found none, so that the page offers an explanation.
    """

    when: float
    address: str
    subject: Translatable
    outcome: Translatable
    filter: str
    base: str
    scope: Translatable
    attributes: str
    controls: tuple[Translatable, ...]
    limit: int | None
    entries: int
    code: Translatable
    milliseconds: float
    found_nobody: bool


def phone_state(
    login: PhoneLogin,
    searches: Sequence[DecodedSearch],
    profile: PhoneProfile,
    anonymous_refused_at: float | None,
    now: float,
) -> PhoneState:
    """The state of a phone, from the stored login and the phone's last searches.

    :param searches: the last searches, newest first.
    :param anonymous_refused_at: time of the last search from the phone's address that was refused for lack of a bind;
        ignored once the phone has worked, because other phones may share the address.
    """
    refused = wrong_password(login, now)
    if refused is not None:
        return PhoneState("bad", gettext_noop("Wrong password"), refusal_text(refused))
    if login.password_at is not None and login.has_unused_password:
        new = gettext_noop(
            "The password was created on %(when)s. Enter it in the phone, then search for someone there. This page "
            "updates as soon as it works."
        )
        title = gettext_noop("New password, waiting for the phone")
        return PhoneState("quiet", title, Phrase(new, {"when": Timestamp(login.password_at)}))
    last_search = max(login.searched_at or 0.0, searches[0].search.when if searches else 0.0)
    first_success = login.worked_at or next(
        (decoded.search.when for decoded in reversed(searches) if decoded.has_contacts), None
    )
    to_fix = len(hints_to_fix(login, searches, profile))
    if first_success is not None:
        sentence = Phrase(
            gettext_noop("This phone first found someone on %(when)s."), {"when": Timestamp(first_success)}
        )
        if not to_fix:
            return PhoneState("good", gettext_noop("Works"), sentence)
        works = (
            gettext_noop("Works, 1 setting to fix") if to_fix == 1 else gettext_noop("Works, %(count)s settings to fix")
        )
        return PhoneState("warn", Phrase(works, {"count": to_fix}), sentence)
    if (
        anonymous_refused_at is not None
        and anonymous_refused_at > last_search
        and now - anonymous_refused_at < ANONYMOUS_SECONDS
    ):
        return PhoneState("warn", gettext_noop("Doesn’t sign in"), hint_text(Hint.ANONYMOUS, profile))
    if to_fix:
        fix = gettext_noop("1 setting to fix") if to_fix == 1 else gettext_noop("%(count)s settings to fix")
        needs = gettext_noop("The phone is connected, but one of its settings needs to change.")
        return PhoneState("warn", Phrase(fix, {"count": to_fix}), needs)
    if last_search:
        nobody = gettext_noop("The phone has searched, but found nobody. Try the name of one of your contacts.")
        return PhoneState("quiet", gettext_noop("Nobody found yet"), nobody)
    if login.last_seen is not None:
        logged_in = gettext_noop("The phone has signed in. Now search for someone on the phone.")
        return PhoneState("quiet", gettext_noop("No search yet"), logged_in)
    waiting = gettext_noop(
        "Enter the settings in the phone, then search for someone there. This page updates as soon as it works."
    )
    return PhoneState("quiet", gettext_noop("Not used yet"), waiting)


def refusal_text(refused: Refusal) -> Phrase:
    """When, from where and how often a phone had a wrong password, and what to do."""
    once = gettext_noop(
        "Last refused: %(when)s from %(address)s. Enter the password again in the phone, or create a new one."
    )
    often = gettext_noop(
        "Last refused: %(when)s from %(address)s (%(count)s times). Enter the password again in the phone, or "
        "create a new one."
    )
    values = {"when": Timestamp(refused.when), "address": refused.address, "count": refused.count}
    return Phrase(once if refused.count == 1 else often, values)


def hints_to_fix(login: PhoneLogin, searches: Sequence[DecodedSearch], profile: PhoneProfile) -> tuple[HintText, ...]:
    """What has to be changed in the phone's settings, the gravest first; after a restart, what is stored."""
    if searches:
        return tuple(_hint_text(hint, profile, decoded) for hint, decoded in open_hints(searches, profile).items())
    stored = [Hint(code) for code in (login.search_hint,) if code in {*Hint}]
    return tuple(_hint_text(hint, profile, None) for hint in stored if hint not in HARMLESS)


def search_log_lines(searches: Iterable[DecodedSearch], region: str) -> tuple[SearchLogLine, ...]:
    """The log of a phone's searches.

    :param region: the country of numbers without a country code.
    """
    return tuple(_search_log_line(decoded, region) for decoded in searches)


_SUBJECTS: Mapping[SubjectKind, str] = {
    SubjectKind.NUMBER: gettext_noop("number %(text)s"),
    SubjectKind.NAME: gettext_noop("name “%(text)s”"),
    SubjectKind.EVERYBODY: gettext_noop("all contacts"),
    SubjectKind.WITHHELD: gettext_noop("hidden number"),
    SubjectKind.OTHER: gettext_noop("a field that contacts don’t have"),
}


def _search_log_line(decoded: DecodedSearch, region: str) -> SearchLogLine:
    search, request = decoded.search, decoded.request
    subject = subject_of(request.filter) if request and decoded.is_list else None
    is_withheld = subject is not None and subject.kind is SubjectKind.WITHHELD
    code = _CODES.get(search.code, search.code.name.replace("_", " ").lower())
    if is_withheld and not search.entries:
        outcome: Translatable = gettext_noop("no name to show")
    elif search.code is ResultCode.SUCCESS and not search.entries:
        outcome = gettext_noop("nobody found")
    else:
        outcome = "" if search.has_entries else code
    return SearchLogLine(
        when=search.when,
        address=search.address,
        subject=_subject_text(subject, region) if request else gettext_noop("an unreadable search"),
        outcome=outcome,
        filter=decoded.filter,
        base=request.base if request else "",
        scope=_SCOPES[request.scope] if request else "",
        attributes=" ".join(request.attributes) if request else "",
        controls=tuple(_CONTROLS.get(control, control) for control in decoded.controls),
        limit=request.size_limit if request else None,
        entries=search.entries,
        code=code,
        milliseconds=search.seconds * 1000,
        found_nobody=bool(request)
        and not search.entries
        and decoded.is_list
        and not is_withheld
        and len(decoded.filter) <= MAX_QUERY_LENGTH,
    )


def _subject_text(subject: SearchSubject | None, region: str) -> Translatable:
    if subject is None:
        return gettext_noop("one directory entry")
    text = readable_number(subject.text, region) if subject.kind is SubjectKind.NUMBER else subject.text
    return Phrase(_SUBJECTS[subject.kind], {"text": text}) if text else _SUBJECTS[subject.kind]


def readable_number(text: str, region: str) -> str:
    """A number as people write it, if its country is known."""
    number = parse(text, region)
    if number is None or not number.e164:
        return text
    is_national = bool(number.national) and not number.digits.startswith("00") and not text.strip().startswith("+")
    return format_number(number, NumberFormat.NATIONAL if is_national else NumberFormat.INTERNATIONAL, region)


def _hint_text(hint: Hint, profile: PhoneProfile, decoded: DecodedSearch | None) -> HintText:
    text = hint_text(hint, profile, decoded)
    entries = tuple(str(text.values[name]) for name in re.findall(r"%\((\w+)\)s", text.message))
    return HintText(text, entries, hint in NAME_ADMINISTRATOR)
