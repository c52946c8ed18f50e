# SPDX-License-Identifier: MIT
"""The texts of the phone pages: the state of a phone, advice about its settings, and the log of its searches."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ldapgw.errors import ResultCode
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.phones.explainer import MAX_QUERY_LENGTH
from ldapgw.phones.hints import HARMLESS, DecodedSearch, Hint, PhoneProfile, find_hints, hint_text
from ldapgw.phones.provisioning.sheet import Advice
from ldapgw.phrase import Phrase, Timestamp, Translatable, gettext_noop
from ldapgw.store.phones import PhoneLogin

# An anonymous search from the phone's address is reported for this long.
ANONYMOUS_SECONDS = 900

ADVICE: Mapping[Advice, str] = {
    Advice.LOOPBACK: gettext_noop(
        "No phone can reach the gateway by this name, which every machine calls itself. The administrator has to set "
        "public_url under [web] to a name that phones can reach."
    ),
    Advice.GUESSED_PORT: gettext_noop(
        "The port is the usual one, as the gateway is not told its own. If the phone does not connect, ask the "
        "administrator for the port."
    ),
    Advice.NO_COMMON_SECURITY: gettext_noop(
        "This phone cannot log in here: what it can do and what the gateway offers do not meet. The administrator can "
        "change that under [ldap] and [tls]."
    ),
    Advice.PLAIN_ONLY: gettext_noop(
        "This phone has no TLS: the password and searches are not encrypted. Keep it in a network of your own."
    ),
    Advice.PLAIN_HERE: gettext_noop(
        "The gateway offers no TLS that this phone knows, so the password and searches are not encrypted. Keep it in a "
        "network of your own."
    ),
    Advice.CERTIFICATE: gettext_noop("The connection is encrypted; the phone has to trust the gateway’s certificate."),
    Advice.HOST_NAME: gettext_noop(
        "Certificates are for names: with an address as server, a phone that checks them will refuse."
    ),
    Advice.OLD_FIRMWARE: gettext_noop("Old firmware has no LDAPS (P8037): update it, or it will not connect."),
    Advice.TRUST_LIST: gettext_noop(
        "Name the file of the certificate in TRUSTCERTS too. The phone needs the server’s name, not its address."
    ),
    Advice.NAME_CHARACTERS: gettext_noop(
        "This phone takes only letters and digits as a user name: add it again under a name without dots and hyphens."
    ),
    Advice.TLS_UNVERIFIED: gettext_noop(
        "How this phone is told to use TLS is not verified. If it does not connect, look at its own manual."
    ),
    Advice.STAR_ADDED: gettext_noop("Firmware before 10.1.27 adds the star by itself; two stars do no harm."),
    Advice.ONE_NUMBER: gettext_noop(
        "This phone can dial only one number per contact: add it again with an entry for each number."
    ),
    Advice.NO_CALLER_LOOKUP: gettext_noop(
        "It can search, but shows no name when somebody calls: nothing that its maker publishes says that it asks."
    ),
    Advice.FIELDS_ALONE: gettext_noop(
        "Enter these values on the phone’s own web page; a file for it is not known for sure."
    ),
    Advice.NUMBER_FIELDS: gettext_noop(
        "Which numbers it shows cannot be set by a file for sure; it asks for those that it knows."
    ),
    Advice.NAME_LENGTH: gettext_noop(
        "Its field takes 50 characters at most as a user name: add the phone again under a shorter name."
    ),
    Advice.ROOT_CERTIFICATE: gettext_noop(
        "If an authority of your own signed the gateway’s certificate, LDAP_ROOT_CERT_PATH has to name the URL of that "
        "authority’s certificate."
    ),
    Advice.GLOBAL_PHONEBOOK: gettext_noop("Choose LDAP as the type of the base’s global phonebook too."),
    Advice.SEARCH_ON_DEMAND: gettext_noop(
        "Choose “search on demand” if the book is large; otherwise it fetches the whole book each time it starts."
    ),
    Advice.EXACT_NUMBER: gettext_noop("It compares callers’ numbers whole, which is what the gateway does, too."),
}
# Advice that warns of a problem; all other advice is information.
SERIOUS_ADVICE = frozenset(
    (
        *(Advice.NO_COMMON_SECURITY, Advice.LOOPBACK, Advice.PLAIN_ONLY, Advice.PLAIN_HERE, Advice.HOST_NAME),
        *(Advice.NAME_CHARACTERS, Advice.NAME_LENGTH, Advice.ONE_NUMBER),
    )
)

_CONTROLS: Mapping[str, str] = {
    "1.2.840.113556.1.4.473": gettext_noop("sorted"),
    "1.2.840.113556.1.4.319": gettext_noop("in pages"),
    "2.16.840.1.113730.3.4.9": gettext_noop("in a window"),
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
    ResultCode.CANCELED: gettext_noop("cancelled"),
}
_SCOPES: Sequence[str] = (gettext_noop("one entry"), gettext_noop("one level"), gettext_noop("subtree"))


NUMBER_FORMATS: Mapping[NumberFormat, str] = {
    NumberFormat.E164: gettext_noop("E.164: +49301234567"),
    NumberFormat.INTERNATIONAL: gettext_noop("international: +49 30 1234567"),
    NumberFormat.NATIONAL: gettext_noop("national: 030 1234567"),
    NumberFormat.TYPED: gettext_noop("as typed in Google"),
    NumberFormat.DIAL: gettext_noop("as dialled here, with the digits for an outside line"),
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
        gettext_noop("It stops finding contacts immediately, and its login no longer works."),
        gettext_noop("Remove phone"),
    ),
    "reset": Confirmation(
        gettext_noop("Give %(phone)s a new password?"),
        gettext_noop(
            "It stops finding contacts immediately, until you enter the new password in the phone. Its secret address "
            "stops working, too."
        ),
        gettext_noop("Create new password"),
    ),
    "book-address": Confirmation(
        gettext_noop("Give %(phone)s a new secret address?"),
        gettext_noop("The old secret address stops working immediately."),
        gettext_noop("Create new address"),
    ),
    "book-address/end": Confirmation(
        gettext_noop("End the secret address of %(phone)s?"),
        gettext_noop("Whatever uses the address gets no more contacts. The address can’t be brought back."),
        gettext_noop("End secret address"),
    ),
    "record": Confirmation(
        gettext_noop("Delete the recording of %(phone)s?"),
        gettext_noop("The file can’t be restored."),
        gettext_noop("Delete recording"),
    ),
}


@dataclass(frozen=True, slots=True)
class PhoneState:
    """The state of a phone: the CSS class of the colour, a few words and a sentence."""

    kind: str
    title: str
    sentence: Translatable


@dataclass(frozen=True, slots=True)
class HintText:
    """A hint about a search.

    :ivar entries: the values in the text that are to be entered in the phone, in the order of the text.
    """

    is_serious: bool
    text: Phrase
    entries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchLogLine:
    """A line of the log of searches.

    :ivar milliseconds: the duration of the search.
    :ivar found_nobody: whether the search was for people and found none, so that the page offers an explanation.
    """

    when: float
    address: str
    filter: str
    base: str
    scope: Translatable
    attributes: str
    controls: tuple[Translatable, ...]
    limit: int | None
    entries: int
    code: Translatable
    milliseconds: float
    hints: tuple[HintText, ...]
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
    last_search = max(login.searched_at or 0.0, searches[0].search.when if searches else 0.0)
    first_success = login.worked_at or next(
        (decoded.search.when for decoded in reversed(searches) if decoded.has_contacts), None
    )
    if first_success is not None:
        sentence = Phrase(
            gettext_noop("It found somebody for the first time on %(when)s."), {"when": Timestamp(first_success)}
        )
        return PhoneState("good", gettext_noop("Works"), sentence)
    if (
        anonymous_refused_at is not None
        and anonymous_refused_at > last_search
        and now - anonymous_refused_at < ANONYMOUS_SECONDS
    ):
        return PhoneState("warn", gettext_noop("Searches without logging in"), hint_text(Hint.ANONYMOUS, profile))
    hint = _most_serious_hint(login, searches, profile)
    if hint is not None:
        return PhoneState("warn", gettext_noop("Searches, but something is off"), hint)
    if last_search:
        nobody = gettext_noop("It has searched and found nobody yet. Try the name of one of your contacts.")
        return PhoneState("warn", gettext_noop("Connected"), nobody)
    if login.last_seen is not None:
        logged_in = gettext_noop("It has logged in and not searched yet. Open the directory on the phone.")
        return PhoneState("warn", gettext_noop("Logged in"), logged_in)
    waiting = gettext_noop(
        "Enter the settings in the phone, then search for somebody there. This page shows when it works."
    )
    return PhoneState("warn", gettext_noop("Waiting for its first search"), waiting)


def _most_serious_hint(login: PhoneLogin, searches: Sequence[DecodedSearch], profile: PhoneProfile) -> Phrase | None:
    """The most serious hint of the last search; after a restart, the stored hint."""
    if searches:
        hints = find_hints(searches[0], profile)
    else:
        hints = tuple(Hint(code) for code in (login.search_hint,) if code in {*Hint})
    return next((hint_text(hint, profile) for hint in hints if hint not in HARMLESS), None)


def search_log_lines(searches: Iterable[DecodedSearch], profile: PhoneProfile) -> tuple[SearchLogLine, ...]:
    """The log of a phone's searches."""
    return tuple(_search_log_line(decoded, profile) for decoded in searches)


def _search_log_line(decoded: DecodedSearch, profile: PhoneProfile) -> SearchLogLine:
    search, request = decoded.search, decoded.request
    return SearchLogLine(
        when=search.when,
        address=search.address,
        filter=decoded.filter,
        base=request.base if request else "",
        scope=_SCOPES[request.scope] if request else "",
        attributes=" ".join(request.attributes) if request else "",
        controls=tuple(_CONTROLS.get(control, control) for control in decoded.controls),
        limit=request.size_limit if request else None,
        entries=search.entries,
        code=_CODES.get(search.code, search.code.name.replace("_", " ").lower()),
        milliseconds=search.seconds * 1000,
        hints=tuple(_hint_text(hint, profile, decoded) for hint in find_hints(decoded, profile)),
        found_nobody=bool(request)
        and not search.entries
        and decoded.is_list
        and len(decoded.filter) <= MAX_QUERY_LENGTH,
    )


def _hint_text(hint: Hint, profile: PhoneProfile, decoded: DecodedSearch) -> HintText:
    text = hint_text(hint, profile, decoded)
    entries = tuple(str(text.values[name]) for name in re.findall(r"%\((\w+)\)s", text.message))
    return HintText(hint not in HARMLESS, text, entries)
