# SPDX-License-Identifier: MIT
"""How a phone does and what its settings need to be known with, in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ldapgw.errors import ResultCode
from ldapgw.phones.explainer import MAX_QUERY_LENGTH
from ldapgw.phones.hints import HARMLESS, DecodedSearch, Hint, PhoneProfile, find_hints, hint_text
from ldapgw.phones.provisioning.sheet import Advice
from ldapgw.phrase import Phrase, Timestamp, Translatable, gettext_noop
from ldapgw.store.phones import PhoneLogin

# What somebody at the phone's address has done without a login is of interest for so long.
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
    Advice.NO_CALLER_LOOKUP: gettext_noop("This phone does not look up callers; it can only search."),
    Advice.FIELDS_ALONE: gettext_noop(
        "Enter these values on the phone’s own web page; a file for it is not known for sure."
    ),
    Advice.NUMBER_FIELDS: gettext_noop(
        "Which numbers it shows cannot be set by a file for sure; it asks for those that it knows."
    ),
    Advice.EXACT_NUMBER: gettext_noop("It compares callers’ numbers whole, which is what the gateway does, too."),
}
# Only these are a reason to be careful.
SERIOUS_ADVICE = frozenset(
    (
        *(Advice.NO_COMMON_SECURITY, Advice.LOOPBACK, Advice.PLAIN_ONLY, Advice.PLAIN_HERE, Advice.HOST_NAME),
        *(Advice.NAME_CHARACTERS, Advice.ONE_NUMBER),
    )
)

_CONTROLS: Mapping[str, str] = {
    "1.2.840.113556.1.4.473": gettext_noop("sorted"),
    "1.2.840.113556.1.4.319": gettext_noop("in pages"),
    "2.16.840.1.113730.3.4.9": gettext_noop("in a window"),
    "2.16.840.1.113730.3.4.2": gettext_noop("no referrals"),
}
# Success says nothing, and a code that no search of a phone ends in has the name that RFC 4511 gives it.
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


@dataclass(frozen=True, slots=True)
class PhoneState:
    """How a phone does: the class of its colour, a few words and a sentence."""

    kind: str
    title: str
    sentence: Translatable


@dataclass(frozen=True, slots=True)
class HintText:
    """A hint in words; grave or not.

    :ivar entries: what it tells to enter, as it stands in the words.
    """

    is_serious: bool
    text: Phrase
    entries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchLogLine:
    """A search as its line in the log says it.

    :ivar milliseconds: that it took.
    :ivar in_vain: it looked for somebody and found nobody, which can be explained.
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
    seen: Sequence[DecodedSearch],
    habits: PhoneProfile,
    anonymous_refused_at: float | None,
    now: float,
) -> PhoneState:
    """How a phone does, by what is stored of it and by its last searches.

    :param stranger: when somebody at its address was refused last for want of a login; of no account once the phone
        has worked, for others may share the address.
    """
    last = max(login.searched_at or 0.0, seen[0].search.when if seen else 0.0)
    worked = login.worked_at or next((one.search.when for one in reversed(seen) if one.has_contacts), None)
    if worked is not None:
        good = Phrase(gettext_noop("It found somebody for the first time on %(when)s."), {"when": Timestamp(worked)})
        return PhoneState("good", gettext_noop("Works"), good)
    if (
        anonymous_refused_at is not None
        and anonymous_refused_at > last
        and now - anonymous_refused_at < ANONYMOUS_SECONDS
    ):
        return PhoneState("warn", gettext_noop("Searches without logging in"), hint_text(Hint.ANONYMOUS, habits))
    grave = _most_serious_hint(login, seen, habits)
    if grave is not None:
        return PhoneState("warn", gettext_noop("Searches, but something is off"), grave)
    if last:
        nobody = gettext_noop("It has searched and found nobody yet. Try the name of one of your contacts.")
        return PhoneState("warn", gettext_noop("Connected"), nobody)
    if login.last_seen is not None:
        logged_in = gettext_noop("It has logged in and not searched yet. Open the directory on the phone.")
        return PhoneState("warn", gettext_noop("Logged in"), logged_in)
    waiting = gettext_noop(
        "Enter the settings in the phone, then search for somebody there. This page shows when it works."
    )
    return PhoneState("warn", gettext_noop("Waiting for its first search"), waiting)


def _most_serious_hint(login: PhoneLogin, seen: Sequence[DecodedSearch], habits: PhoneProfile) -> Phrase | None:
    """The gravest hint of the last search; after a restart, the one that is stored."""
    found = (
        find_hints(seen[0], habits) if seen else tuple(Hint(code) for code in (login.search_hint,) if code in {*Hint})
    )
    return next((hint_text(hint, habits) for hint in found if hint not in HARMLESS), None)


def search_log_lines(seen: Iterable[DecodedSearch], habits: PhoneProfile) -> tuple[SearchLogLine, ...]:
    """The log of a phone."""
    return tuple(_search_log_line(one, habits) for one in seen)


def _search_log_line(seen: DecodedSearch, habits: PhoneProfile) -> SearchLogLine:
    search, request = seen.search, seen.request
    return SearchLogLine(
        when=search.when,
        address=search.address,
        filter=seen.filter,
        base=request.base if request else "",
        scope=_SCOPES[request.scope] if request else "",
        attributes=" ".join(request.attributes) if request else "",
        controls=tuple(_CONTROLS.get(control, control) for control in seen.controls),
        limit=request.size_limit if request else None,
        entries=search.entries,
        code=_CODES.get(search.code, search.code.name.replace("_", " ").lower()),
        milliseconds=search.seconds * 1000,
        hints=tuple(_hint_text(hint, habits) for hint in find_hints(seen, habits)),
        found_nobody=bool(request) and not search.entries and seen.is_list and len(seen.filter) <= MAX_QUERY_LENGTH,
    )


def _hint_text(hint: Hint, habits: PhoneProfile) -> HintText:
    said = hint_text(hint, habits)
    entries = tuple(str(said.values[name]) for name in re.findall(r"%\((\w+)\)s", said.message))
    return HintText(hint not in HARMLESS, said, entries)
