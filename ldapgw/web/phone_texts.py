# SPDX-License-Identifier: MIT
"""How a phone does and what its settings need to be known with, in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ldapgw.errors import ResultCode
from ldapgw.phones.explainer import LONGEST
from ldapgw.phones.hints import HARMLESS, Habits, Hint, Seen, hints, words
from ldapgw.phones.provisioning.sheet import Advice
from ldapgw.phrase import Moment, Phrase, Said, marked
from ldapgw.store.phones import PhoneLogin

# What somebody at the phone's address has done without a login is of interest for so long.
STRANGER_SECONDS = 900

ADVICE: Mapping[Advice, str] = {
    Advice.LOOPBACK: marked(
        "No phone can reach the gateway by this name, which every machine calls itself. The administrator has to set "
        "public_url under [web] to a name that phones can reach."
    ),
    Advice.GUESSED_PORT: marked(
        "The port is the usual one, as the gateway is not told its own. If the phone does not connect, ask the "
        "administrator for the port."
    ),
    Advice.NO_WAY: marked(
        "This phone cannot log in here: what it can do and what the gateway offers do not meet. The administrator can "
        "change that under [ldap] and [tls]."
    ),
    Advice.PLAIN_ONLY: marked(
        "This phone has no TLS: the password and searches are not encrypted. Keep it in a network of your own."
    ),
    Advice.PLAIN_HERE: marked(
        "The gateway offers no TLS that this phone knows, so the password and searches are not encrypted. Keep it in a "
        "network of your own."
    ),
    Advice.CERTIFICATE: marked("The connection is encrypted; the phone has to trust the gateway’s certificate."),
    Advice.HOST_NAME: marked(
        "Certificates are for names: with an address as server, a phone that checks them will refuse."
    ),
    Advice.OLD_FIRMWARE: marked("Old firmware has no LDAPS (P8037): update it, or it will not connect."),
    Advice.TRUST_LIST: marked(
        "Name the file of the certificate in TRUSTCERTS too. The phone needs the server’s name, not its address."
    ),
    Advice.NAME_CHARACTERS: marked(
        "This phone takes only letters and digits as a user name: add it again under a name without dots and hyphens."
    ),
    Advice.TLS_UNVERIFIED: marked(
        "How this phone is told to use TLS is not verified. If it does not connect, look at its own manual."
    ),
    Advice.STAR_ADDED: marked("Firmware before 10.1.27 adds the star by itself; two stars do no harm."),
    Advice.ONE_NUMBER: marked(
        "This phone can dial only one number per contact: add it again with an entry for each number."
    ),
    Advice.NO_CALLER_LOOKUP: marked("This phone does not look up callers; it can only search."),
    Advice.FIELDS_ALONE: marked("Enter these values on the phone’s own web page; a file for it is not known for sure."),
    Advice.NUMBER_FIELDS: marked(
        "Which numbers it shows cannot be set by a file for sure; it asks for those that it knows."
    ),
    Advice.EXACT_NUMBER: marked("It compares callers’ numbers whole, which is what the gateway does, too."),
}
# Only these are a reason to be careful.
GRAVE = frozenset(
    (
        *(Advice.NO_WAY, Advice.LOOPBACK, Advice.PLAIN_ONLY, Advice.PLAIN_HERE, Advice.HOST_NAME),
        *(Advice.NAME_CHARACTERS, Advice.ONE_NUMBER),
    )
)

_CONTROLS: Mapping[str, str] = {
    "1.2.840.113556.1.4.473": marked("sorted"),
    "1.2.840.113556.1.4.319": marked("in pages"),
    "2.16.840.1.113730.3.4.9": marked("in a window"),
    "2.16.840.1.113730.3.4.2": marked("no referrals"),
}
# Success says nothing, and a code that no search of a phone ends in has the name that RFC 4511 gives it.
_CODES: Mapping[ResultCode, str] = {
    ResultCode.SUCCESS: "",
    ResultCode.OPERATIONS_ERROR: marked("operations error"),
    ResultCode.PROTOCOL_ERROR: marked("protocol error"),
    ResultCode.TIME_LIMIT_EXCEEDED: marked("time limit exceeded"),
    ResultCode.SIZE_LIMIT_EXCEEDED: marked("size limit exceeded"),
    ResultCode.ADMIN_LIMIT_EXCEEDED: marked("administrative limit exceeded"),
    ResultCode.UNAVAILABLE_CRITICAL_EXTENSION: marked("unavailable critical extension"),
    ResultCode.NO_SUCH_OBJECT: marked("no such object"),
    ResultCode.INVALID_DN_SYNTAX: marked("invalid DN syntax"),
    ResultCode.INSUFFICIENT_ACCESS_RIGHTS: marked("insufficient access rights"),
    ResultCode.BUSY: marked("busy"),
    ResultCode.UNAVAILABLE: marked("unavailable"),
    ResultCode.UNWILLING_TO_PERFORM: marked("unwilling to perform"),
    ResultCode.SORT_CONTROL_MISSING: marked("sort control missing"),
    ResultCode.OFFSET_RANGE_ERROR: marked("offset range error"),
    ResultCode.OTHER: marked("internal error"),
    ResultCode.CANCELED: marked("cancelled"),
}
_SCOPES: Sequence[str] = (marked("one entry"), marked("one level"), marked("subtree"))


@dataclass(frozen=True, slots=True)
class PhoneState:
    """How a phone does: the class of its colour, a few words and a sentence."""

    kind: str
    title: str
    sentence: Said


@dataclass(frozen=True, slots=True)
class Told:
    """A hint in words; grave or not.

    :ivar entries: what it tells to enter, as it stands in the words.
    """

    grave: bool
    said: Phrase
    entries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """A search as its line in the log says it.

    :ivar milliseconds: that it took.
    :ivar in_vain: it looked for somebody and found nobody, which can be explained.
    """

    when: float
    address: str
    filter: str
    base: str
    scope: Said
    attributes: str
    controls: tuple[Said, ...]
    limit: int | None
    entries: int
    code: Said
    milliseconds: float
    hints: tuple[Told, ...]
    in_vain: bool


def state(login: PhoneLogin, seen: Sequence[Seen], habits: Habits, stranger: float | None, now: float) -> PhoneState:
    """How a phone does, by what is stored of it and by its last searches.

    :param stranger: when somebody at its address was refused last for want of a login; of no account once the phone
        has worked, for others may share the address.
    """
    last = max(login.searched_at or 0.0, seen[0].search.when if seen else 0.0)
    worked = login.worked_at or next((one.search.when for one in reversed(seen) if one.works), None)
    if worked is not None:
        good = Phrase(marked("It found somebody for the first time on %(when)s."), {"when": Moment(worked)})
        return PhoneState("good", marked("Works"), good)
    if stranger is not None and stranger > last and now - stranger < STRANGER_SECONDS:
        return PhoneState("warn", marked("Searches without logging in"), words(Hint.ANONYMOUS, habits))
    grave = _gravest(login, seen, habits)
    if grave is not None:
        return PhoneState("warn", marked("Searches, but something is off"), grave)
    if last:
        nobody = marked("It has searched and found nobody yet. Try the name of one of your contacts.")
        return PhoneState("warn", marked("Connected"), nobody)
    if login.last_seen is not None:
        logged_in = marked("It has logged in and not searched yet. Open the directory on the phone.")
        return PhoneState("warn", marked("Logged in"), logged_in)
    waiting = marked("Enter the settings in the phone, then search for somebody there. This page shows when it works.")
    return PhoneState("warn", marked("Waiting for its first search"), waiting)


def _gravest(login: PhoneLogin, seen: Sequence[Seen], habits: Habits) -> Phrase | None:
    """The gravest hint of the last search; after a restart, the one that is stored."""
    found = hints(seen[0], habits) if seen else tuple(Hint(code) for code in (login.search_hint,) if code in {*Hint})
    return next((words(hint, habits) for hint in found if hint not in HARMLESS), None)


def lines(seen: Iterable[Seen], habits: Habits) -> tuple[Line, ...]:
    """The log of a phone."""
    return tuple(_line(one, habits) for one in seen)


def _line(seen: Seen, habits: Habits) -> Line:
    search, request = seen.search, seen.request
    return Line(
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
        hints=tuple(_told(hint, habits) for hint in hints(seen, habits)),
        in_vain=bool(request) and not search.entries and seen.is_list and len(seen.filter) <= LONGEST,
    )


def _told(hint: Hint, habits: Habits) -> Told:
    said = words(hint, habits)
    entries = tuple(str(said.values[name]) for name in re.findall(r"%\((\w+)\)s", said.message))
    return Told(hint not in HARMLESS, said, entries)
