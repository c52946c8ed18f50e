# SPDX-License-Identifier: MIT
"""Accounts: whose consent we hold, and all that is known of them."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    ScalarSelect,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    true,
    update,
)

from ldapgw.contact import Sharing, Source
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tables import account, alarm, contact, label, removed_contact, revocation, source


class SourceState(StrEnum):
    """Whether a source takes part in an account's sync."""

    ON = "on"
    OFF = "off"
    NOT_GRANTED = "not granted"
    UNAVAILABLE = "unavailable"


class SyncRequest(StrEnum):
    """A sync that a person asks for, the strongest last; ``accept`` is a full one that may shrink the book.

    It may shrink by what the person was told would vanish, and no more; where nobody was told, as one likes at one try.
    """

    INCREMENTAL = "incremental"
    FULL = "full"
    ACCEPT = "accept"


@dataclass(frozen=True, slots=True)
class ErrorStatus:
    """Why an account's last sync failed: the error code of status.json, since when, and where to mend it.

    :ivar facts: what else a person should know: how many contacts would vanish, which source it is about.
    """

    code: str
    since: float
    link: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def shrink_key(self) -> str:
        """What a person is told would vanish, as a page's form sends it back: of what, how many, and of how many."""
        return f"{self.facts.get('source', 'book')}-{self.facts.get('lost', 0)}-{self.facts.get('before', 0)}"


@dataclass(frozen=True, slots=True)
class Account:
    """One Google user's grant in a tenant, with the state of its sync.  Times are seconds since the epoch.

    :ivar owner: the sub of another Google user who has added it to their page.
    :ivar trouble: the tenant's alarm, else the account's own, else that of the directory which comes through it.
    :ivar revoked: Google no longer accepts the grant; no call is made with it.
    :ivar accepted: how many contacts may vanish with what is due, by what was told of: the book (``book``) or the
        directory (``directory``); None where a person accepted it untold.
    """

    id: int
    tenant: str
    sub: str
    address: str
    sharing: Sharing
    connected_at: float | None
    scopes: frozenset[str]
    refresh_expires_at: float | None
    syncing: bool
    last_sync: float | None
    next_sync: float | None
    error: ErrorStatus | None
    failures: int
    attempts: int
    requested_sync: SyncRequest | None
    pending_sync: SyncRequest | None
    generation: int
    sources: Mapping[Source, SourceState]
    contacts: int
    numbers: int
    skipped: Mapping[str, int]
    owner: str | None = None
    revoked: bool = False
    accepted_loss: Mapping[str, int] | None = field(default=None, hash=False)

    def max_loss(self, what: str) -> float:
        """How many contacts may vanish without another question.

        :param what: ``book`` or ``directory``.
        """
        if self.pending_sync is not SyncRequest.ACCEPT:
            return 0
        return math.inf if self.accepted_loss is None else self.accepted_loss.get(what, 0)

    @property
    def is_connected(self) -> bool:
        """Whether we hold a grant."""
        return self.connected_at is not None

    def __repr__(self) -> str:
        """Without address and sub: a log must not hold them."""
        return f"<Account {self.id} of {self.tenant}>"


@dataclass(frozen=True, slots=True, repr=False)
class Tokens:
    """What we hold of a grant; times in seconds since the epoch."""

    refresh_token: str
    access_token: str
    access_expires_at: float


@dataclass(frozen=True, slots=True, repr=False)
class NewGrant:
    """What a consent gave; `refresh_token` None keeps the one that is stored."""

    sub: str
    address: str
    scopes: frozenset[str]
    access_token: str
    access_expires_at: float
    refresh_token: str | None
    refresh_expires_at: float | None


def read(connection: Connection, account_id: int, *, counted: bool = True) -> Account | None:
    """One account, None once it is gone.

    :param counted: see `read_all`.
    """
    return next(iter(_accounts(connection, account.c.id == account_id, counted=counted)), None)


def read_all(connection: Connection, tenant: str | None = None, *, counted: bool = True) -> tuple[Account, ...]:
    """All accounts, of one tenant or of all, by tenant and address.

    :param counted: whether contacts and numbers are counted, which looks at each; else the counts are 0.
    """
    return _accounts(connection, true() if tenant is None else account.c.tenant == tenant, counted=counted)


def find_by_address(connection: Connection, address: str, tenant: str | None = None) -> tuple[Account, ...]:
    """The accounts with an address, in whichever case it is written."""
    where = func.lower(account.c.address) == address.lower()
    return _accounts(connection, where if tenant is None else and_(where, account.c.tenant == tenant))


def read_by_sub(connection: Connection, tenant: str, sub: str) -> Account | None:
    """The account of a Google user in a tenant."""
    return next(iter(_accounts(connection, and_(account.c.tenant == tenant, account.c.sub == sub))), None)


def read_for_person(connection: Connection, tenant: str, sub: str) -> tuple[Account, ...]:
    """All accounts on a person's page: their own first, then those that they have added."""
    found = _accounts(connection, and_(account.c.tenant == tenant, or_(account.c.sub == sub, account.c.owner == sub)))
    return tuple(sorted(found, key=lambda one: (one.sub != sub, one.id)))


def read_status_keys(connection: Connection, subs: Collection[str]) -> dict[tuple[str, str], tuple[object, ...]]:
    """By tenant and person, whatever can change of the accounts on their page; of those persons alone."""
    found: dict[tuple[str, str], tuple[object, ...]] = {}
    query = select(account.c.tenant, account.c.sub, *(account.c[name] for name in _STATUS_COLUMNS)).order_by(
        account.c.id
    )
    for row in connection.execute(query.where(or_(account.c.sub.in_(subs), account.c.owner.in_(subs)))):
        for one in {row.sub, row.owner} & set(subs):
            found[row.tenant, one] = (*found.get((row.tenant, one), ()), tuple(row))
    return found


def connect(
    connection: Connection,
    secret_box: SecretBox,
    tenant: str,
    grant: NewGrant,
    sharing: Sharing,
    now: float,
    owner: str | None = None,
) -> int | None:
    """Store what a consent gave; the account of the same `sub` continues.  A full sync is due.

    :param sharing: of a new account; one that we know keeps its own.
    :param owner: the person on whose page it is to be as well; None changes nothing.
    :returns: the account's id; None, and nothing is stored, when there is no refresh token, neither new nor known.
    """
    known = read_by_sub(connection, tenant, grant.sub)
    if grant.refresh_token is None and (known is None or not known.is_connected):
        return None
    values: dict[str, object] = {
        "address": grant.address,
        "connected_at": now,
        "scopes": " ".join(sorted(grant.scopes)),
        "access_token": secret_box.seal(grant.access_token),
        "access_expires_at": grant.access_expires_at,
        "refresh_expires_at": grant.refresh_expires_at,
        "next_sync": now,
        "error_code": None,
        "error_since": None,
        "error_link": None,
        "error_facts": None,
        "failures": 0,
        "labels_token": None,
        "wish": SyncRequest.FULL,
        "due": None,
    }
    if grant.refresh_token is not None:
        values["refresh_token"] = secret_box.seal(grant.refresh_token)
    if owner is not None and owner != grant.sub:
        values["owner"] = owner
    # Google would end the new grant with the old one.
    connection.execute(delete(revocation).where(revocation.c.tenant == tenant, revocation.c.sub == grant.sub))
    if known is None:
        new = insert(account).values(tenant=tenant, sub=grant.sub, sharing=sharing, **values).returning(account.c.id)
        new_id: int = connection.execute(new).scalar_one()
        return new_id
    connection.execute(update(account).where(account.c.id == known.id).values(**values))
    connection.execute(delete(source).where(source.c.account_id == known.id))
    return known.id


def read_tokens(connection: Connection, secret_box: SecretBox, account_id: int) -> Tokens | None:
    """The tokens of a connected account.

    :raises StoreError: when the key does not fit.
    """
    row = connection.execute(
        select(account.c.refresh_token, account.c.access_token, account.c.access_expires_at).where(
            account.c.id == account_id, account.c.connected_at.is_not(None)
        )
    ).first()
    if row is None:
        return None
    return Tokens(
        refresh_token=secret_box.unseal(row.refresh_token),
        access_token=secret_box.unseal(row.access_token),
        access_expires_at=row.access_expires_at,
    )


def store_refreshed_tokens(
    connection: Connection,
    secret_box: SecretBox,
    grant: Account,
    access_token: str,
    expires_at: float,
    refresh_token: str | None,
) -> None:
    """Store a new access token, and a new refresh token where Google sent one; not over those of a later consent."""
    values: dict[str, object] = {"access_token": secret_box.seal(access_token), "access_expires_at": expires_at}
    if refresh_token is not None:
        values["refresh_token"] = secret_box.seal(refresh_token)
    connection.execute(update(account).where(holds_grant(grant)).values(**values))


def disconnect(connection: Connection, account_id: int) -> None:
    """Forget tokens and contacts.  The row stays, so that its phones and its sharing are there at the next consent."""
    for table in (contact, removed_contact, label, source):
        connection.execute(delete(table).where(table.c.account_id == account_id))
    generation = account.c.generation + 1
    connection.execute(
        update(account)
        .where(account.c.id == account_id)
        .values(
            dict.fromkeys(_CLEARED_COLUMNS)
            | {"scopes": "", "syncing": False, "failures": 0, "generation": generation, "known_since": generation}
        )
    )


def remove_owner(connection: Connection, account_id: int) -> None:
    """Take an account off the page of the person who has added it."""
    connection.execute(update(account).where(account.c.id == account_id).values(owner=None))


def set_sharing(connection: Connection, account_id: int, sharing: Sharing) -> None:
    """Set who sees the account's book."""
    connection.execute(update(account).where(account.c.id == account_id).values(sharing=sharing))


def holds_grant(grant: Account) -> ColumnElement[bool]:
    """That an account holds the very grant that somebody began to work with."""
    return and_(account.c.id == grant.id, account.c.connected_at == grant.connected_at)


def set_address(connection: Connection, grant: Account, address: str) -> None:
    """Note that Google knows the account by another address now; its book is named after it."""
    connection.execute(update(account).where(holds_grant(grant)).values(address=address))


_STATUS_COLUMNS = (
    *("owner", "address", "sharing", "connected_at", "scopes", "refresh_expires_at", "syncing", "last_sync"),
    *("next_sync", "error_code", "wish", "due", "generation"),
)

_CLEARED_COLUMNS = (
    *(
        "connected_at",
        "refresh_token",
        "refresh_expires_at",
        "access_token",
        "access_expires_at",
        "last_sync",
        "next_sync",
    ),
    *("error_code", "error_since", "error_link", "error_facts", "labels_token", "wish", "due"),
)


def _accounts(connection: Connection, where: ColumnElement[bool], *, counted: bool = True) -> tuple[Account, ...]:
    rows = connection.execute(select(account).where(where).order_by(account.c.tenant, account.c.address)).all()
    ids = select(account.c.id).where(where).scalar_subquery()
    alarms = {row.tenant: ErrorStatus(row.code, row.since, row.link) for row in connection.execute(select(alarm))}
    states: dict[int, dict[Source, SourceState]] = {}
    troubles: dict[int, ErrorStatus] = {}
    for row in connection.execute(select(source).where(source.c.account_id.in_(ids))):
        states.setdefault(row.account_id, {})[Source(row.source)] = SourceState(row.state)
        if row.error_code:
            troubles[row.account_id] = _error_status(row, "")
    for row in rows:
        if row.error_code:
            troubles[row.id] = _error_status(row, row.error_link)
        if row.tenant in alarms and row.connected_at is not None:
            troubles[row.id] = alarms[row.tenant]
    counts = _counts(connection, ids) if counted else {}
    return tuple(_account(row, troubles.get(row.id), states.get(row.id, {}), counts.get(row.id, {})) for row in rows)


def _error_status(row: Row[Any], link: str | None) -> ErrorStatus:
    return ErrorStatus(row.error_code, row.error_since, link or "", json.loads(row.error_facts or "{}"))


def _counts(connection: Connection, ids: ScalarSelect[int]) -> dict[int, dict[str | None, tuple[int, int, int]]]:
    """By account and reason (None: served): persons, numbers, unreadable numbers."""
    query = (
        select(
            contact.c.account_id,
            contact.c.skipped,
            func.count(),
            func.sum(contact.c.numbers),
            func.sum(contact.c.unreadable),
        )
        .where(contact.c.account_id.in_(ids))
        .group_by(contact.c.account_id, contact.c.skipped)
    )
    found: dict[int, dict[str | None, tuple[int, int, int]]] = {}
    for account_id, skipped, persons, numbers, unreadable in connection.execute(query):
        found.setdefault(account_id, {})[skipped] = (persons, numbers, unreadable)
    return found


def _account(
    row: Row[Any],
    trouble: ErrorStatus | None,
    states: Mapping[Source, SourceState],
    counts: Mapping[str | None, tuple[int, int, int]],
) -> Account:
    contacts, numbers, unreadable = counts.get(None, (0, 0, 0))
    skipped = {reason: persons for reason, (persons, _, _) in sorted(counts.items(), key=str) if reason is not None}
    return Account(
        id=row.id,
        tenant=row.tenant,
        sub=row.sub,
        address=row.address,
        sharing=Sharing(row.sharing),
        connected_at=row.connected_at,
        scopes=frozenset(row.scopes.split()),
        refresh_expires_at=row.refresh_expires_at,
        syncing=row.syncing,
        last_sync=row.last_sync,
        next_sync=row.next_sync,
        error=trouble,
        failures=row.failures,
        attempts=row.attempts,
        requested_sync=SyncRequest(row.wish) if row.wish else None,
        pending_sync=SyncRequest(row.due) if row.due else None,
        generation=row.generation,
        owner=row.owner,
        sources=states,
        contacts=contacts,
        numbers=numbers,
        skipped=skipped | ({"unreadable_number": unreadable} if unreadable else {}),
        revoked=row.error_code == "consent_revoked",
        accepted_loss=json.loads(row.accepted) if row.accepted else None,
    )
