# SPDX-License-Identifier: MIT
"""Refused logins: a known phone gets the state "Wrong password", and unknown names are remembered.

At first, a refused login is only noted, which takes the same time for known and unknown names.  Once a second, the
noted refusals are *judged*: the gateway finds out which phone each refusal concerns.  A refusal concerns a phone if the
phone has never logged in, or has last logged in from the same site (`ldapgw.store.phones.is_same_site`).  All other
refusals are refusals from *elsewhere*, which may be attempts to guess passwords.  Only the administrator sees refusals
from elsewhere, which are kept only in memory.

Some clients fail before the gateway checks a password.  There are four reasons: the client uses TLS on the port for
LDAP without TLS, uses no TLS on the port for TLS, does not know the authority of the certificate, or sends a password
without TLS.  The gateway keeps these clients in memory, and stores the last clients for ``ldapgw status``.

A name that no phone has may be a password that somebody typed into the wrong field.  So an unknown name is masked
unless the name resembles the known names of logins (`shown_name`).

Mutable: `RefusedLogins`, and `UnknownNames`.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Container, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, NamedTuple

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from ldapgw.directory.catalog import PhoneAccess, PhoneBind
from ldapgw.directory.dn import Dn, InvalidDn
from ldapgw.directory.naming_context import phone_name
from ldapgw.directory.schema import attribute_type
from ldapgw.errors import StoreError
from ldapgw.ldap.admission import LogLine, LogThrottle
from ldapgw.ldap.connection import PLAIN_ON_TLS_PORT, UNKNOWN_AUTHORITY
from ldapgw.ldap.decoder import TLS_ON_PLAIN_PORT
from ldapgw.ldap.session import PASSWORD_WITHOUT_TLS
from ldapgw.phones.description import MODELS
from ldapgw.store import phones, provisioning
from ldapgw.store.database import chunks
from ldapgw.store.periodic import PeriodicService
from ldapgw.store.phones import PhoneLogin, Refusal, is_same_site, site_of, wrong_password
from ldapgw.store.provisioning import Mistake, UnfitClient
from ldapgw.store.worker import Store

# Noted refusals are judged at intervals of this many seconds, so a page shows a refused login after this time at the
# latest.
POLL_SECONDS: Final = 1.0
# The minimum number of seconds between two writes for one phone, and between two writes for all clients that cannot
# connect (`ldapgw.store.provisioning`).
WRITE_SECONDS: Final = 60.0
# Until `RefusedLogins.judge` runs again, at most this many pairs of name and address are noted; further pairs are not
# counted.
MAX_NOTED: Final = 1000
# The number of names that are judged in one turn of the reactor; each name takes up to a millisecond.
_NAMES_A_TURN: Final = 5
# A refused name is cut to this many characters.  The bind DN of a phone is shorter.
_MAX_NAME: Final = 512
# The administrator sees at most `MAX_UNKNOWN` unknown names, and at most `MAX_SHOWN` characters of each name.
MAX_UNKNOWN: Final = 20
MAX_SHOWN: Final = 64
# The maximum number of phones whose refusals from elsewhere (see the module's docstring) are remembered.
MAX_ELSEWHERE: Final = 100
# One message to other gateways contains at most this many refusals of each kind.
MAX_SENT: Final = 100

_MISTAKES: Final[Mapping[str, Mistake]] = {
    TLS_ON_PLAIN_PORT: Mistake.TLS_ON_PLAIN_PORT,
    PLAIN_ON_TLS_PORT: Mistake.PLAIN_ON_TLS_PORT,
    UNKNOWN_AUTHORITY: Mistake.UNKNOWN_AUTHORITY,
    PASSWORD_WITHOUT_TLS: Mistake.PASSWORD_WITHOUT_TLS,
}

MASK: Final = "••••••••"

log = Logger()

# A function that takes a phone's name, and returns the address, password hash and time of the phone's last good login
# (`Catalog.last_login`).
LastLogin = Callable[[str], PhoneBind | None]


@dataclass(frozen=True, slots=True)
class UnknownLogin:
    """Refused logins with a name that no phone has.

    :ivar name: the name as sent, `MAX_SHOWN` characters at most, or `MASK`.
    :ivar tenant: the tenant whose base contains the name; empty if unknown.
    :ivar address: the address from which the last refused login came.
    :ivar when: the time of the last refused login, in seconds since the epoch.
    """

    name: str = field(repr=False)
    tenant: str
    address: str
    count: int
    when: float


@dataclass(frozen=True, slots=True)
class ElsewhereRefusal:
    """Refused logins of a phone from a site that is not the phone's own site."""

    phone: str
    tenant: str
    refused: Refusal


@dataclass(frozen=True, slots=True)
class NewRefusals:
    """A message to other gateways: the refusals that were judged since the last message and are not stored.

    :ivar unknown: names that no phone has, each with the number of refusals since the last message; names that may be
        passwords are masked.
    :ivar elsewhere: phones with refusals from elsewhere, each with its number of these refusals since the last message.
    :ivar logins: the DNs of logins whose state may have changed.
    :ivar unfit_clients: clients that cannot connect, each with its number of connections since the last message.  In
        these items, the field `name` has a key of `_MISTAKES`: a phrase that describes the mistake.
    """

    unknown: tuple[UnknownLogin, ...] = ()
    elsewhere: tuple[ElsewhereRefusal, ...] = ()
    logins: tuple[str, ...] = ()
    unfit_clients: tuple[UnknownLogin, ...] = ()


class _Own(NamedTuple):
    """A phone's refused logins that wait to be stored, and the hash of the phone's right password."""

    refused: Refusal
    password: str


class RefusedLogins(PeriodicService):
    """The service that judges the refused logins, and stores the refusals of each phone once a minute.

    :param clock: ``seconds()`` returns the seconds since the epoch.
    :param find_login: returns the login that a name in a bind request stands for.
    :param logins: returns the logins of the published directory, by name in lower case.
    :param bases: the search base of each tenant, by the tenant's name.
    :param on_refusal: called with the DN of a login whose state may have changed.
    :param is_shared: whether several gateways can use the database, so that refusals are collected for `take_unsent`.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: Store,
        find_login: Callable[[str], PhoneAccess | None],
        last_login: LastLogin,
        logins: Callable[[], Mapping[str, PhoneAccess]],
        bases: Mapping[str, str],
        on_refusal: Callable[[str], None],
        is_shared: bool,
    ) -> None:
        self._unsent = NewRefusals()
        self._is_shared = is_shared
        self._clock = clock
        self._store = store
        self._find_login = find_login
        self._last_login = last_login
        self._logins = logins
        self._on_refusal = on_refusal
        self._noted: dict[tuple[str, str], tuple[float, int]] = {}
        self._unstored: dict[str, _Own] = {}
        # The refusals that were stored within the last `WRITE_SECONDS`.  The refusals stay in memory, because a page
        # may have read the phone's row just before the write.
        self._stored: dict[str, tuple[float, _Own]] = {}
        self._elsewhere: OrderedDict[str, ElsewhereRefusal] = OrderedDict()
        self._bases = bases
        self._words: tuple[Mapping[str, PhoneAccess] | None, Set[str]] = None, frozenset()
        parsed_bases = {tenant: Dn.parse(base) for tenant, base in bases.items()}
        self._unknown = UnknownNames(parsed_bases)
        self._unfit_clients = UnknownNames(parsed_bases, by_address=True)
        # The clients that cannot connect and are not stored yet, by address and mistake.  The most recent client is the
        # last.
        self._unstored_clients: OrderedDict[tuple[str, Mistake], UnfitClient] = OrderedDict()
        self._clients_stored_at = 0.0
        self._log = LogThrottle()
        self._unknown_log = LogThrottle()
        # Before the service stops, all noted refusals are judged and stored.
        last = partial(self.judge, 0.0)
        super().__init__(clock, POLL_SECONDS, self.judge, _report, waits=True, last=last)

    def note(self, name: str, address: str) -> None:
        """Note a refused login; noting takes the same time for known and unknown names.

        :param name: the name as sent.
        :param address: the client's address, normalized.
        """
        key = name[:_MAX_NAME], address
        _, count = self._noted.get(key, (0.0, 0))
        if count or len(self._noted) < MAX_NOTED:
            self._noted[key] = self._clock.seconds(), count + 1

    def note_unfit_client(self, kind: str, address: str) -> None:
        """Note a client that cannot connect.

        :param kind: a key of `_MISTAKES`.
        """
        noted = UnknownLogin(kind, "", address, 1, self._clock.seconds())
        self._unfit_clients.add_shown(noted)
        key = address, _MISTAKES[kind]
        self._unstored_clients[key] = UnfitClient(*key, noted.when)
        self._unstored_clients.move_to_end(key)
        if len(self._unstored_clients) > provisioning.MAX_UNFIT_CLIENTS:
            self._unstored_clients.popitem(last=False)
        self._queue(unfit_clients=(*self._unsent.unfit_clients, noted))

    def unfit_clients(self, tenant: str, sites: Container[str | int]) -> tuple[tuple[UnknownLogin, Mistake], ...]:
        """Return the clients that could not connect, the most recent first.

        The rules in `unknown` decide which of the clients the tenant sees.

        :param sites: the sites of the tenant's phones.  For the page of a single phone, these are the sites from which
            the gateway has received anything from this phone.
        """
        clients = self._unfit_clients.of(tenant, sites)
        return tuple((client, _MISTAKES[client.name]) for client in clients if client.name in _MISTAKES)

    def take_unsent(self) -> NewRefusals:
        """Return the refusals that `judge` has judged since the last call, for other gateways."""
        unsent, self._unsent = self._unsent, NewRefusals()
        return unsent

    def add_received(self, received: NewRefusals) -> None:
        """Add the refusals that another gateway has judged."""
        for unknown in received.unknown:
            self._unknown.add_shown(unknown)
        for refusal in received.elsewhere:
            self._add_elsewhere(refusal)
        for login in received.logins:
            self._on_refusal(login)
        for client in received.unfit_clients:
            self._unfit_clients.add_shown(client)

    def latest(self, login: PhoneLogin) -> PhoneLogin:
        """Return a stored phone with its newest login and its newest refused logins, which may be only in memory."""
        seen = self._last_login(login.name)
        if seen is not None and seen.password_hash == login.password and seen.when > (login.last_seen or 0.0):
            login = replace(login, last_seen=seen.when, last_address=seen.address)
        own = self._unstored.get(login.name) or self._stored.get(login.name, (0.0, None))[1]
        if own is None or own.password != login.password:
            return login
        is_newer = login.refused is None or login.refused.when < own.refused.when
        return replace(login, refused=own.refused) if is_newer else login

    def elsewhere(self, tenant: str) -> tuple[ElsewhereRefusal, ...]:
        """Return a tenant's phones with a refusal from elsewhere within the last day, the most recent refusal first.

        A refusal is from elsewhere if the phone's last login was from another site.
        """
        since = self._clock.seconds() - phones.REFUSAL_SECONDS
        found = reversed(self._elsewhere.values())
        return tuple(refusal for refusal in found if refusal.tenant == tenant and refusal.refused.when > since)

    def unknown(self, tenant: str, sites: Container[str | int]) -> tuple[UnknownLogin, ...]:
        """Return the names that belong to no phone and that a tenant may see, the most recent first.

        A DN belongs to the tenant of its base.  A tenant sees any other name if there is no other tenant, or if one of
        the tenant's phones has logged in from the same site as the refused client.

        :param sites: the sites of the tenant's phones (`ldapgw.store.phones.site_of`).  The caller reads the sites from
            the database, because a search through all logins would keep phones waiting.
        """
        return self._unknown.of(tenant, sites)

    def forget(self, login: str) -> None:
        """Forget the refusals of a phone that is deleted, or has another name or password.

        :param login: the phone's DN.
        """
        name = phone_name(login)
        self._unstored.pop(name, None)
        self._stored.pop(name, None)
        self._elsewhere.pop(name, None)

    async def judge(self, interval: float = WRITE_SECONDS) -> None:
        """Judge the refusals since the last call, and store the refusals that are due.

        Pages show only the last `MAX_UNKNOWN` unknown names.  So only the last `MAX_UNKNOWN` names are compared with
        known names, and all earlier names are masked.

        :param interval: the minimum number of seconds between two writes for one phone, and between two writes for
            clients that cannot connect.
        """
        noted, self._noted = self._noted, {}
        known: list[tuple[PhoneAccess, Refusal]] = []
        unknown: list[tuple[str, Refusal]] = []
        for number, ((name, address), (when, count)) in enumerate(noted.items(), 1):
            refused = Refusal(when, address, count)
            login = self._find_login(name)
            if login is None:
                unknown.append((name, refused))
            else:
                known.append((login, refused))
            await self._end_turn(number)
        added: list[UnknownLogin] = []
        for number, (name, refused) in enumerate(unknown, 1):
            is_judged = number > len(unknown) - MAX_UNKNOWN
            words = await self._house_words() if is_judged else frozenset[str]()
            added.append(self._unknown.add(refused, name if is_judged else MASK, words))
            self._log_unknown(added[-1])
            await self._end_turn(number)
        self._queue(unknown=(*self._unsent.unknown, *added))
        if known:
            stored = await self._read({login.name for login, _ in known})
            for login, refused in sorted(known, key=lambda pair: pair[1].when):
                self._judge(login, stored.get(login.name), refused)
        for line in self._log.due(self._clock.seconds()):
            _log_refusals(line)
        for line in self._unknown_log.due(self._clock.seconds()):
            _log_unknown(line)
        await self._write(interval)
        await self._write_clients(interval)

    async def _end_turn(self, number: int) -> None:
        """Wait for another turn of the reactor after each `_NAMES_A_TURN` names."""
        if number % _NAMES_A_TURN == 0:
            await deferLater(self._clock, 0.0)

    async def _read(self, names: Iterable[str]) -> Mapping[str, PhoneLogin]:
        """Return the stored phones; empty while the database fails.  The store reports the failure."""
        try:
            return {login.name: login for login in await self._store.read(phones.read_by_names, [*names])}
        except StoreError:
            return {}

    def _log_unknown(self, unknown: UnknownLogin) -> None:
        """Log refused logins with unknown names: for each address, at most one line a minute."""
        # An e-mail address identifies a person, so the log must not contain the address.
        name = MASK if "@" in unknown.name else unknown.name
        now = self._clock.seconds()
        line = self._unknown_log.add("unknown", unknown.address, now, name, unknown.count, tenant=unknown.tenant)
        if line is not None:
            _log_unknown(line)

    def _judge(self, login: PhoneAccess, stored: PhoneLogin | None, refused: Refusal) -> None:
        now = self._clock.seconds()
        tenant, account = login.viewer.tenant, None if stored is None else stored.account_id
        line = self._log.add(login.name, refused.address, now, events=refused.count, tenant=tenant, account=account)
        if line is not None:
            _log_refusals(line)
        phone = None if stored is None or stored.password != login.password_hash else self.latest(stored)
        seen = self._last_login(login.name)
        home = phone.last_address if phone is not None else seen and seen.address
        if home and not is_same_site(home, refused.address):
            refusal = ElsewhereRefusal(login.name, tenant, refused)
            self._add_elsewhere(refusal)
            self._queue(elsewhere=(*self._unsent.elsewhere, refusal))
        else:
            earlier = wrong_password(phone, now) if phone is not None else None
            count = refused.count + (earlier.count if earlier is not None else 0)
            self._unstored[login.name] = _Own(replace(refused, count=count), login.password_hash)
        self._queue(logins=(*self._unsent.logins, login.viewer.login))
        self._on_refusal(login.viewer.login)

    def _queue(self, **new: tuple[Any, ...]) -> None:
        """Queue refusals for the other gateways; only the newest items of each field are kept."""
        if self._is_shared:
            self._unsent = replace(self._unsent, **{name: items[-MAX_SENT:] for name, items in new.items()})

    def _add_elsewhere(self, refusal: ElsewhereRefusal) -> None:
        before = self._elsewhere.pop(refusal.phone, None)
        count = refusal.refused.count + (before.refused.count if before else 0)
        self._elsewhere[refusal.phone] = replace(refusal, refused=replace(refusal.refused, count=count))
        if len(self._elsewhere) > MAX_ELSEWHERE:
            self._elsewhere.popitem(last=False)

    async def _write(self, interval: float) -> None:
        now = self._clock.seconds()
        due: dict[str, _Own] = {}
        for name, own in [*self._unstored.items()]:
            seen = self._last_login(name)
            if seen is not None and seen.when >= own.refused.when and is_same_site(seen.address, own.refused.address):
                del self._unstored[name]  # the phone has logged in since the refusal
            elif now - self._stored.get(name, (0.0, own))[0] >= interval:
                due[name] = own
        if not due:
            return
        await self._store.run(phones.store_refusals, due)
        self._stored = {name: stored for name, stored in self._stored.items() if now - stored[0] < WRITE_SECONDS}
        for name, own in due.items():
            self._stored[name] = now, own
            if self._unstored.get(name) is own:
                del self._unstored[name]

    async def _write_clients(self, interval: float) -> None:
        """Store the clients that could not connect; try again later if the database fails."""
        now = self._clock.seconds()
        if not self._unstored_clients or now - self._clients_stored_at < interval:
            return
        written = dict(self._unstored_clients)
        await self._store.run(provisioning.add_unfit_clients, tuple(written.values()), now)
        self._clients_stored_at = now
        for key, client in written.items():
            if self._unstored_clients.get(key) is client:
                del self._unstored_clients[key]

    async def _house_words(self) -> Set[str]:
        """Return the words that are no secret (`house_words`), computed anew only after the logins have changed."""
        logins = self._logins()
        if logins is not self._words[0]:
            words = set(house_words(self._bases.values()))
            for number, names in enumerate(chunks(logins.keys())):
                if number:
                    await deferLater(self._clock, 0.0)
                words |= house_words(names)
            self._words = logins, words
        return self._words[1]


class UnknownNames:
    """The last refused logins with names that no phone has.

    :param by_address: whether refused logins with the same name are counted separately for each address.
    """

    def __init__(self, bases: Mapping[str, Dn], *, by_address: bool = False) -> None:
        self._by_address = by_address
        self._bases = {tenant: base.key for tenant, base in bases.items()}
        self._names: OrderedDict[tuple[str, str, str], UnknownLogin] = OrderedDict()

    def add(self, refused: Refusal, name: str, words: Set[str]) -> UnknownLogin:
        """Count refused logins.

        :param name: the name that was sent, or `MASK` for a name that must not be shown.
        :param words: the words that a shown name may contain (`house_words`).
        :returns: the refused logins as they are shown.
        """
        shown, tenant = shown_name(name, words), self._tenant_of(name)
        added = UnknownLogin(shown, tenant, refused.address, refused.count, refused.when)
        self.add_shown(added)
        return added

    def add_shown(self, added: UnknownLogin) -> None:
        """Count refused logins that `add` has returned, at this or at another gateway."""
        # All masked names look the same, so phones with masked names are told apart by their addresses.
        key = added.name, added.tenant, added.address if self._by_address or added.name == MASK else ""
        before = self._names.pop(key, None)
        self._names[key] = replace(added, count=added.count + (before.count if before else 0))
        if len(self._names) > MAX_UNKNOWN:
            self._names.popitem(last=False)

    def of(self, tenant: str, sites: Container[str | int]) -> tuple[UnknownLogin, ...]:
        """Return the names that the administrators of a tenant may see, the most recent first.

        :param sites: the sites of the tenant's phones.
        """
        return tuple(
            shown
            for shown in reversed(self._names.values())
            if shown.tenant == tenant
            or (not shown.tenant and (len(self._bases) == 1 or site_of(shown.address) in sites))
        )

    def _tenant_of(self, name: str) -> str:
        if "=" not in name:
            return ""
        try:
            key = Dn.parse(name).key
        except InvalidDn:
            return ""
        # A DN may be below the bases of several tenants, and belongs to the tenant with the longest base.
        below = [tenant for tenant, base in self._bases.items() if base and key[-len(base) :] == base]
        return max(below, key=lambda tenant: len(self._bases[tenant]), default="")


_WORD = re.compile(r"[^\W\d_]+")
# Words that occur in the usual names of phones.
_USUAL_WORDS: Final = frozenset(
    _WORD.findall("""
    account admin base book cell conf conference contacts dect desk desktop device dial directory door ext
    extension fax guest handset ip ldap line lobby login meeting mobile pbx phone phonebook phones sip
    softphone tel telephone user users voip wifi basement building cafeteria canteen entrance floor
    front garage gate hall headquarters kitchen lab main office people reception room shop stock store warehouse
    workshop aastra alcatel konftel polycom unify anschluss apparat aufzug benutzer besprechung
    besprechungsraum besprechungszimmer buchhaltung buero büro chef eingang einkauf empfang erdgeschoss etage
    flur foyer geschoss halle handy hotline kantine kasse keller konferenz konferenzraum konferenzzimmer kueche
    küche labor laden lager leitung mobil nebenstelle pausenraum personal pforte platz raum rezeption saal
    sekretariat serverraum service sitzungssaal sitzungszimmer support telefon telefonbuch theke tisch tuer tür
    verkauf vertrieb werkstatt zentrale zimmer
    """)
)
# A part of a name is a word or a number.  A word may be followed by at most three digits, or may follow at most two
# digits.  Four digits are not allowed after a word, because the digits may be the year in a password.
_PART = re.compile(r"(?P<word>[^\W\d_]{1,20})\d{0,3}|\d{1,2}(?P<counted>[^\W\d_]{1,20})|(?P<number>\d{1,15})")
_EXTENSION_DIGITS: Final = 5
# A known word with at least this many letters may be followed by a few more letters.
_LONG_WORD: Final = 4
# Parts that may stand beside a known word: one or two letters such as EG in EG-Flur, with or without a number, and
# models such as T46S.
_SHORT = re.compile(r"[^\W\d_]{1,2}\d{0,3}|\d{1,2}[^\W\d_]{1,2}|[^\W\d_]\d\d[^\W\d_]")
# Twelve decimal digits are a number, not a MAC address.
_MAC = re.compile(r"(?!\d{12}\Z)(?:SEP)?[0-9A-F]{2}(?:[:-]?[0-9A-F]{2}){5}", re.IGNORECASE)
_E_MAIL = re.compile(r"[^\W\d_]+(?:[._-][^\W\d_]+)*\d{0,3}@(?:[a-z0-9-]+\.)+[a-z]{2,}", re.IGNORECASE)
# The separators between the parts of a name.
_BETWEEN = re.compile(r"[ ._\\/,+-]+")


def house_words(names: Iterable[str]) -> frozenset[str]:
    """Return the words that are no secret: usual words, models of phones, and the words in names of logins.

    The result contains no numbers from names, but zeros in place of each number's digits, because `shown_name` compares
    only the lengths of numbers.  MAC addresses are left out.
    """
    parts = {part for name in names if not _MAC.fullmatch(name) for part in _BETWEEN.split(name)}
    parts = {part for part in parts if not _MAC.fullmatch(part)}
    numbers = {"0" * len(part) for part in parts if part.isdecimal()}
    return _USUAL_WORDS.union(MODELS, numbers, _WORD.findall(" ".join(parts).lower()))


def shown_name(name: str, words: Set[str]) -> str:
    """Return an unknown name for the administrator: shortened, or masked if the name may be a password.

    The administrator sees extensions, MAC addresses, e-mail addresses, and names that consist of known words.  A known
    word may be followed by a short number or by a few more letters.  The administrator also sees a DN of known
    attribute types if its first value is a name that the administrator may see.

    :param words: from `house_words`.
    """
    text = name.strip()
    return text[:MAX_SHOWN] if not text or _is_of_the_house(text, words) else MASK


def _is_of_the_house(text: str, words: Set[str]) -> bool:
    if _MAC.fullmatch(text) or _E_MAIL.fullmatch(text):
        return True
    if "=" in text:
        return _is_dn_of_the_house(text, words)
    parts = _parts(text)
    return bool(parts) and all(_is_known(part, words) for part in parts)


def _is_dn_of_the_house(text: str, words: Set[str]) -> bool:
    try:
        leaf, *above = Dn.parse(text).rdns
    except InvalidDn:
        return False
    # `Dn.parse` accepts any word as an attribute type, so unknown types are refused here.
    if not all(attribute_type(kind) for rdn in (leaf, *above) for kind, _ in rdn):
        return False
    # Only the first RDN's value is the name that a person has entered.  The other RDNs name the server's tree, and are
    # no secret.
    return all("=" not in value and _is_of_the_house(value, words) for _, value in leaf) and all(
        (parts := _parts(value)) and all(map(_PART.fullmatch, parts)) for rdn in above for _, value in rdn
    )


def _is_known(part: str, words: Set[str]) -> bool:
    if _SHORT.fullmatch(part):
        return True
    found = _PART.fullmatch(part)
    if found is None:
        return False
    if number := found["number"]:
        return len(number) <= _EXTENSION_DIGITS or "0" * len(number) in words
    word = (found["word"] or found["counted"]).lower()
    return word in words or (part.isalpha() and _is_longer_word(word, words))


def _is_longer_word(word: str, words: Set[str]) -> bool:
    """Return whether a word is a known word of at least four letters with one to three letters added: ``deskXX``."""
    return any(word[:-more] in words for more in range(1, 4) if len(word) - more >= _LONG_WORD)


def _parts(text: str) -> list[str]:
    return [part for part in _BETWEEN.split(text) if part]


def _log_refusals(line: LogLine) -> None:
    log.info(
        "wrong password for phone {phone} from {address}" + (", {count} times" if line.count > 1 else ""),
        event="wrong_password",
        tenant=line.tenant,
        account=line.account,
        phone=line.kind,
        address=line.origin,
        count=line.count,
    )


def _log_unknown(line: LogLine) -> None:
    is_shown = line.detail != MASK
    log.info(
        "login with an unknown name from {address}"
        + (": {name}" if is_shown else ", which may be a password and is not logged")
        + (", the last of {count}" if line.count > 1 else ""),
        event="unknown_login",
        tenant=line.tenant,
        address=line.origin,
        name=line.detail,
        count=line.count,
    )


def _report(failure: Failure) -> None:
    log.failure("internal error while refused logins were handled", failure, event="refused_logins_failed")
