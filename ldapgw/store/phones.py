# SPDX-License-Identifier: MIT
"""Phone logins: the names and password hashes that desk phones bind with, and each phone's last bind and search.

The logins of replicas are stored in the same table, because a phone and a replica cannot have the same name.  Functions
that read phones leave replicas out, except `read_logins` and `read_some`.  Functions that set something return False if
no phone has the given name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import IPv6Address
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, delete, func, insert, select, union_all, update

from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.store import recordings
from ldapgw.store.database import ascii_lower, chunks
from ldapgw.store.tables import further_account, phone, provisioning, recording, value_of, window_phone


class NumberMode(StrEnum):
    """The forms of a contact with several numbers: one entry with several values, or one entry for each number."""

    VALUES = "values"
    ENTRIES = "entries"


class ReplicaBooks(StrEnum):
    """The contents of a replica of the directory.

    A replica has only the shared books, or the private books too.  The entries have extra values for servers that
    compare values literally, unless the content is "plain".
    """

    SHARED = "shared"
    SHARED_PLAIN = "shared plain"
    PRIVATE = "private"
    PRIVATE_PLAIN = "private plain"

    @classmethod
    def of(cls, *, private: bool, extra_values: bool) -> ReplicaBooks:
        """Return the member whose properties `private` and `extra_values` have these values."""
        return cls(("private" if private else "shared") + ("" if extra_values else " plain"))

    @property
    def private(self) -> bool:
        """Return whether the replica has all books, not only the books that are shared with everybody."""
        return self.value.startswith("private")

    @property
    def extra_values(self) -> bool:
        """Return whether entries also have numbers in other formats and names in folded form."""
        return not self.value.endswith("plain")


# The values of the columns about refused logins for a phone that has no refused logins.
_NOT_REFUSED: Mapping[str, None] = dict.fromkeys(("refused_at", "refused_address", "refused_count"))

# The name is part of DNs, URLs and names of provisioning files; a name of dots only would be a path segment such as
# "..".
_NAME = re.compile(r"(?!\.+$)[A-Za-z0-9._-]{1,64}")


def is_valid_name(name: str) -> bool:
    """Return whether a phone can have this name: 1 to 64 ASCII letters, digits, dots, underscores and hyphens."""
    return _NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Logins that were refused because of a wrong password, since the last good login from the same site.

    :ivar when: the time of the last refused login, in seconds since the epoch.
    :ivar address: the IP address of the last refused login.
    :ivar count: the number of refused logins.
    """

    when: float
    address: str
    count: int


@dataclass(frozen=True, slots=True)
class PhoneLogin:
    """The login of a phone, a row of the table ``phone``.

    :ivar account_id: the first account that the phone belongs to, or None for a phone that sees only the shared books
        and the Workspace directory.
    :ivar password: the hash of the password; the password itself was shown once.
    :ivar refused: the last refused logins; `wrong_password` says whether these logins still count.
    :ivar replica: the content of a replica, or None if the login belongs to a phone.
    :ivar next_password: the hash of the password in the file that the phone fetched in a provisioning window.  When the
        phone first logs in with this password, the hash replaces `password`.  Empty if there is no such password.
    :ivar mac: the MAC address, 12 hexadecimal digits in lower case; empty if not known.
    :ivar label: the text by which people know the phone (`ldapgw.phones.description`); empty if the phone has no label.
    :ivar former_owner: whether somebody who no longer owns the phone may know its password.
    :ivar further_ids: the other accounts that the phone belongs to, in order.
    """

    name: str
    tenant: str
    account_id: int | None
    numbers: NumberMode
    password: str
    created_at: float
    model: str = ""
    last_seen: float | None = None
    last_address: str | None = None
    searched_at: float | None = None
    search_hint: str = ""
    worked_at: float | None = None
    book_secret: str = ""
    number_format: NumberFormat | None = None
    refused: Refusal | None = None
    placeholder: str = ""
    replica: ReplicaBooks | None = None
    area_code: str = ""
    password_at: float | None = None
    next_password: str = ""
    mac: str = ""
    label: str = ""
    former_owner: bool = False
    further_ids: tuple[int, ...] = ()

    @property
    def account_ids(self) -> tuple[int, ...]:
        """Return the accounts that the phone belongs to, in order."""
        return () if self.account_id is None else (self.account_id, *self.further_ids)

    def owners(self, addresses: Mapping[int, str]) -> list[str]:
        """Return the addresses of the phone's accounts in order.

        :param addresses: the addresses of accounts by their ids.
        """
        return [addresses[account_id] for account_id in self.account_ids if account_id in addresses]

    def with_accounts(self, account_ids: Sequence[int]) -> PhoneLogin:
        """Return the phone with other accounts."""
        return replace(self, account_id=next(iter(account_ids), None), further_ids=tuple(account_ids[1:]))

    @property
    def title(self) -> str:
        """Return the label followed by the name, or only the name if the label is empty or equal to the name."""
        return self.name if self.label in ("", self.name) else f"{self.label} ({self.name})"

    @property
    def password_made_at(self) -> float:
        """Return the time at which the phone got its present password, in seconds since the epoch."""
        return self.created_at if self.password_at is None else self.password_at

    @property
    def has_unused_password(self) -> bool:
        """Return whether the phone got a new password and has not bound with this password yet."""
        return self.password_at is not None and self.last_seen is None

    def __repr__(self) -> str:
        """Omit the hashes."""
        return f"<PhoneLogin {self.name} of {self.tenant}>"


@dataclass(frozen=True, slots=True)
class LastSearch:
    """The time and outcome of a phone's last search, without the search text.

    :ivar worked_at: when the search found a contact, or None if it found no contact.
    """

    searched_at: float
    search_hint: str
    worked_at: float | None = None


@dataclass(frozen=True, slots=True)
class LastBind:
    """A phone's last successful bind.

    :ivar password: the hash of the password at that time.
    :ivar over_tls: whether the password was protected on the network, as with TLS.
    """

    when: float
    address: str
    password: str = field(repr=False)
    over_tls: bool = True


# The time for which refused logins from one site count, even after a good login from another site.
REFUSAL_SECONDS = 24 * 3600.0


def is_same_site(one: str, other: str) -> bool:
    """Return whether two normalized IP addresses seem to be at one site: in the same /24 (IPv4) or /64 (IPv6)."""
    return site_of(one) == site_of(other)


def site_of(address: str) -> str | int:
    """Return a key that normalized IP addresses have in common if they are at one site (`is_same_site`)."""
    if ":" in address:
        return int(IPv6Address(address)) >> 64
    return address.rpartition(".")[0] or address


def wrong_password(login: PhoneLogin, now: float) -> Refusal | None:
    """Return the refused logins of a phone that has a wrong password, or None if its password seems right.

    The password is right if a later login from the same site succeeded.  A successful login from another site proves
    nothing during the first 24 hours after the refusal, because somebody may have tried the password on another
    machine.
    """
    refused, seen = login.refused, login.last_seen
    if refused is None or seen is None or seen < refused.when:
        return refused
    is_same = is_same_site(refused.address, login.last_address or "")
    return None if is_same or now - refused.when >= REFUSAL_SECONDS else refused


_IS_PHONE = phone.c.replica.is_(None)


def read_logins(connection: Connection) -> tuple[PhoneLogin, ...]:
    """Read all phones and replicas of the gateway, ordered by name."""
    return read_some(connection)


def read_replicas(connection: Connection, tenant: str) -> tuple[PhoneLogin, ...]:
    """Read the replicas of a tenant, ordered by name."""
    return read_some(connection, phone.c.tenant == tenant, phone.c.replica.is_not(None))


def read_all(connection: Connection) -> tuple[PhoneLogin, ...]:
    """Read all phones of the gateway, ordered by name."""
    return read_some(connection, _IS_PHONE)


def read_some(
    connection: Connection, *where: ColumnElement[bool], order: ColumnElement[str] = phone.c.name
) -> tuple[PhoneLogin, ...]:
    """Read the phones and replicas that meet all conditions."""
    rows = connection.execute(select(phone).where(*where).order_by(order)).all()
    names = select(phone.c.name).where(*where)
    query = select(further_account).where(further_account.c.phone.in_(names)).order_by(further_account.c.position)
    further: dict[str, list[int]] = {}
    for row in connection.execute(query) if rows else ():
        further.setdefault(row.phone, []).append(row.account_id)
    return tuple([_login(row, further.get(row.name, ())) for row in rows])


def read_by_names(connection: Connection, names: Collection[str]) -> tuple[PhoneLogin, ...]:
    return read_some(connection, phone.c.name.in_(names), _IS_PHONE)


def read_alike(connection: Connection) -> tuple[tuple[PhoneLogin, int], ...]:
    """Read all phones as groups of phones of one tenant that are in the same condition.

    The condition depends on a phone's last search, and on whether the phone has bound with its present password.  A
    phone with refused logins forms a group of its own.

    :returns: one phone of each group, and the number of phones in the group.
    """
    alike = (
        *(phone.c.tenant, phone.c.search_hint, phone.c.worked_at.is_(None)),
        *(phone.c.password_at.is_(None), phone.c.last_seen.is_(None)),
        case((phone.c.refused_at.is_not(None), phone.c.name)),
    )
    query = select(func.min(phone.c.name).label("name"), func.count().label("size")).where(_IS_PHONE)
    groups = {row.name: row.size for row in connection.execute(query.group_by(*alike))}
    return tuple(
        [
            (login, groups[login.name])
            for names in chunks(groups)
            for login in read_some(connection, phone.c.name.in_(names))
        ]
    )


def count_by_tenant(connection: Connection) -> dict[str, int]:
    """Count the phones of each tenant that has phones."""
    query = select(phone.c.tenant, func.count()).where(_IS_PHONE).group_by(phone.c.tenant)
    return {row.tenant: row[1] for row in connection.execute(query)}


def count_by_account(connection: Connection, tenant: str) -> dict[int, int]:
    """Count the phones of a tenant's accounts, by account id; accounts without phones are left out."""
    first = select(phone.c.account_id).where(phone.c.tenant == tenant, phone.c.account_id.is_not(None))
    further = select(further_account.c.account_id).join(phone).where(phone.c.tenant == tenant)
    return Counter(connection.execute(union_all(first, further)).scalars())


def read_by_accounts(connection: Connection, accounts: Collection[int]) -> tuple[PhoneLogin, ...]:
    """Read the phones of some accounts, ordered by name."""
    return read_some(connection, is_of_accounts(accounts))


def is_of_accounts(accounts: Collection[int]) -> ColumnElement[bool]:
    """Return the condition that a phone belongs to one of some accounts."""
    further = select(further_account.c.phone).where(further_account.c.account_id.in_(accounts))
    return phone.c.account_id.in_(accounts) | phone.c.name.in_(further)


def read_by_tenant(connection: Connection, tenant: str) -> tuple[PhoneLogin, ...]:
    """Read the phones of a tenant, ordered by name."""
    return read_some(connection, phone.c.tenant == tenant, _IS_PHONE, order=func.lower(phone.c.name))


def read_by_name(connection: Connection, name: str) -> PhoneLogin | None:
    """Read a phone by its name, regardless of case; return None if there is no such phone."""
    return next(iter(read_some(connection, func.lower(phone.c.name) == ascii_lower(name), _IS_PHONE)), None)


def read_names(connection: Connection, prefix: str) -> frozenset[str]:
    """Read the names of all phones and replicas that begin with a prefix, in lower case."""
    name = func.lower(phone.c.name)
    return frozenset(connection.execute(select(name).where(name.startswith(prefix, autoescape=True))).scalars())


def _login(row: Row[Any], further: Sequence[int]) -> PhoneLogin:
    refused = None if row.refused_at is None else Refusal(row.refused_at, row.refused_address, row.refused_count)
    return value_of(PhoneLogin, row, refused=refused, further_ids=tuple(further))


def add(connection: Connection, new: PhoneLogin) -> bool:
    """Store a new phone or replica.

    :returns: False if the name is taken, regardless of case; nothing is stored then.
    """
    taken = select(func.count()).where(func.lower(phone.c.name) == ascii_lower(new.name))
    if connection.execute(taken).scalar_one():
        return False
    names = ("name", "tenant", "account_id", "numbers", "model", "password", "created_at", "number_format", "area_code")
    columns = {name: getattr(new, name) for name in (*names, "replica", "label")}
    connection.execute(insert(phone).values(**columns, placeholder=new.placeholder or None, mac=new.mac or None))
    _add_further(connection, new.name, new.further_ids)
    return True


def _add_further(connection: Connection, name: str, account_ids: Sequence[int]) -> None:
    rows = [
        {"phone": name, "account_id": account_id, "position": position}
        for position, account_id in enumerate(account_ids, start=1)
    ]
    if rows:
        connection.execute(insert(further_account), rows)


def add_all(connection: Connection, new: Sequence[PhoneLogin]) -> bool:
    """Store several new phones.

    :returns: False if any name is taken, regardless of case, or any MAC address; nothing is stored then.
    """
    names = {login.name.lower() for login in new}
    if len(names) < len(new) or read_taken(connection, names) or _has_taken_mac(connection, new):
        return False
    for login in new:
        add(connection, login)
    return True


def read_taken(connection: Connection, names: Iterable[str]) -> frozenset[str]:
    """Return the names that are taken, in lower case."""
    wanted = frozenset(name.lower() for name in names)
    return wanted & frozenset(connection.execute(select(func.lower(phone.c.name))).scalars())


def read_by_mac(connection: Connection, tenant: str, mac: str) -> PhoneLogin | None:
    """Read the phone of a tenant that has a MAC address; return None if there is no such phone."""
    return next(iter(read_some(connection, phone.c.tenant == tenant, phone.c.mac == mac)), None)


def _has_taken_mac(connection: Connection, new: Sequence[PhoneLogin]) -> bool:
    """Return whether two new phones of a tenant, or a new phone and a stored phone, have the same MAC address."""
    macs = [(login.tenant, login.mac) for login in new if login.mac]
    stored = {tenant: read_macs(connection, tenant) for tenant, _ in macs}
    return len(set(macs)) < len(macs) or any(mac in stored[tenant] for tenant, mac in macs)


def read_macs(connection: Connection, tenant: str) -> dict[str, str]:
    """Return the names of a tenant's phones by MAC address."""
    known = select(phone.c.mac, phone.c.name).where(phone.c.tenant == tenant, phone.c.mac.is_not(None))
    return {row.mac: row.name for row in connection.execute(known)}


def set_mac(connection: Connection, name: str, mac: str) -> bool:
    """Store a phone's MAC address; an empty text stands for an unknown address.

    The caller has checked in the same transaction that no other phone of the tenant has the address (`read_by_mac`).
    """
    return _set(connection, name, mac=mac or None)


def set_label(connection: Connection, name: str, label: str) -> bool:
    """Store a phone's label, which may be empty."""
    return _set(connection, name, label=label)


def remove(connection: Connection, name: str) -> bool:
    """Delete a phone or a replica; return False if no phone or replica has this name."""
    return connection.execute(delete(phone).where(phone.c.name == name)).rowcount > 0


def rename(connection: Connection, name: str, new_name: str) -> bool:
    """Give a phone another name, with which the phone logs in from now on; the password and the settings stay.

    The refused logins are cleared, and the provisioning address ends.

    :returns: False if the phone does not exist, or the new name is taken, regardless of case; nothing is changed then.
    """
    row = connection.execute(select(phone).where(phone.c.name == name)).mappings().first()
    taken = select(phone.c.name).where(func.lower(phone.c.name) == ascii_lower(new_name), phone.c.name != name)
    if row is None or connection.execute(taken).first() is not None:
        return False
    if name == new_name:
        return True
    # A new row lets the running gateway notice both that the old login ends and that the new login begins.
    connection.execute(update(phone).where(phone.c.name == name).values(mac=None))  # a MAC address is unique
    connection.execute(insert(phone).values({**row, **_NOT_REFUSED, "name": new_name}))
    connection.execute(update(window_phone).where(window_phone.c.phone == name).values(phone=new_name))
    connection.execute(update(recording).where(recording.c.phone == name).values(phone=new_name))
    connection.execute(update(further_account).where(further_account.c.phone == name).values(phone=new_name))
    connection.execute(delete(phone).where(phone.c.name == name))
    return True


def set_accounts(connection: Connection, name: str, account_ids: Sequence[int]) -> bool:
    """Give a phone to other accounts, or to nobody if `account_ids` is empty.

    The phone's secret addresses end, because a former owner may know them, and the recording of the former owners'
    searches is deleted.  The password stays; `set_password` replaces the password.

    :param account_ids: the accounts in order, without repetition.
    :returns: False if the phone belongs to these accounts already, or there is no such phone; nothing is changed then.
    """
    login = next(iter(read_some(connection, phone.c.name == name)), None)
    if login is None or login.account_ids == tuple(account_ids):
        return False
    new = login.with_accounts(account_ids)
    former_owner = login.former_owner or not {*login.account_ids} <= {*account_ids}
    _set(connection, name, account_id=new.account_id, book_secret=None, former_owner=former_owner)
    connection.execute(delete(further_account).where(further_account.c.phone == name))
    _add_further(connection, name, new.further_ids)
    connection.execute(delete(provisioning).where(provisioning.c.phone == name))
    recordings.remove(connection, name)
    return True


def leave(connection: Connection, name: str, account_ids: Collection[int]) -> bool:
    """Take accounts away from a phone, which keeps its other accounts (see `set_accounts`).

    :returns: False if the phone would have no account left, or belongs to none of the accounts; nothing is changed
        then.
    """
    login = next(iter(read_some(connection, phone.c.name == name)), None)
    rest = [] if login is None else [each for each in login.account_ids if each not in account_ids]
    return bool(rest) and set_accounts(connection, name, rest)


def set_model(connection: Connection, name: str, model: str, numbers: NumberMode, placeholder: str = "") -> bool:
    """Store a phone's model, and whether the phone gets one entry for each contact or one entry for each number.

    :param model: a model of `ldapgw.phones.description`, or empty if the model is unknown.
    :param placeholder: the placeholder that stands for the typed text in the phone's filters; empty if the placeholder
        is unknown, or if the phone's model determines it.
    """
    return _set(connection, name, model=model, numbers=numbers, placeholder=placeholder or None)


def set_password(connection: Connection, name: str, password: str, now: float) -> bool:
    """Store the hash of a new password, end the phone's secret addresses, and clear its last bind and refused logins.

    If the phone has not yet used the password from a provisioning window, this password ends too.  The outcome of the
    last searches stays, because it helps the person who sets up the phone again.
    """
    cleared = dict.fromkeys(
        ("last_seen", "last_address", "last_over_tls", "book_secret", "next_password", "next_password_at")
    )
    connection.execute(delete(provisioning).where(provisioning.c.phone == name))
    return _set(connection, name, password=password, password_at=now, former_owner=False, **cleared, **_NOT_REFUSED)


def set_book_secret(connection: Connection, name: str, book_secret: str) -> bool:
    """Store the hash of the secret in the address of a phone's XML phone book; an empty hash ends the address."""
    return _set(connection, name, book_secret=book_secret or None)


def set_dialling(connection: Connection, name: str, number_format: NumberFormat | None, area_code: str) -> bool:
    """Store the format and the area code of a phone's numbers.

    :param number_format: the format in which the phone gets numbers, or None for the tenant's format.
    :param area_code: the area code of the phone's site without the trunk prefix, or empty for the tenant's area code.
    """
    return _set(connection, name, number_format=number_format, area_code=area_code)


def _set(connection: Connection, name: str, **columns: object) -> bool:
    return connection.execute(update(phone).where(phone.c.name == name).values(columns)).rowcount > 0


def store_last_binds(connection: Connection, binds: Mapping[str, LastBind]) -> None:
    """Store the times and addresses of phones' last binds, but ignore binds with a former password.

    A bind clears earlier refused logins from the same site.  If a phone binds with its next password, this password
    replaces the former password.

    :param binds: the last binds by name of the phone.
    """
    for login in read_some(connection, phone.c.next_password.is_not(None)):
        bind = binds.get(login.name)
        if bind is not None and bind.password == login.next_password:
            set_password(connection, login.name, bind.password, bind.when)
    for login in read_some(connection, phone.c.refused_at.is_not(None)):
        bind = binds.get(login.name)
        if bind is not None and bind.password == login.password and _is_over(login.refused, bind):
            connection.execute(update(phone).where(phone.c.name == login.name).values(**_NOT_REFUSED))
    for name, bind in binds.items():
        is_current = (phone.c.name == name) & (phone.c.password == bind.password)
        values = {"last_seen": bind.when, "last_address": bind.address, "last_over_tls": bind.over_tls}
        connection.execute(update(phone).where(is_current).values(values))


def _is_over(refused: Refusal | None, bind: LastBind) -> bool:
    return refused is not None and bind.when >= refused.when and is_same_site(bind.address, refused.address)


def store_refusals(connection: Connection, refusals: Mapping[str, tuple[Refusal, str]]) -> None:
    """Store the refused logins of phones, but ignore refusals from the time of a former password.

    :param refusals: the refused logins by name of the phone, each with the hash of the phone's password at that time.
    """
    for name, (refused, password) in refusals.items():
        connection.execute(
            update(phone)
            .where((phone.c.name == name) & (phone.c.password == password))
            .values(refused_at=refused.when, refused_address=refused.address, refused_count=refused.count)
        )


def store_last_searches(connection: Connection, searches: Mapping[str, LastSearch]) -> None:
    """Store the times and outcomes of phones' last searches.

    :param searches: the last searches by name of the phone.
    """
    for name, search in searches.items():
        connection.execute(
            update(phone)
            .where(phone.c.name == name)
            .values(
                searched_at=search.searched_at,
                search_hint=search.search_hint,
                worked_at=func.coalesce(phone.c.worked_at, search.worked_at),
            )
        )
