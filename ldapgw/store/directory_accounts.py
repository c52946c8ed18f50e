# SPDX-License-Identifier: MIT
"""The account through which a tenant's Workspace directory is fetched, and failures of single sources.

The contacts of the directory belong to one account of the tenant, the directory account.  Another account can take over
the directory.  A source may fail while the other sources of its account are synced.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, select, update

from ldapgw.contact import Source
from ldapgw.errors import DamagedStore, GoogleError
from ldapgw.store import accounts, contacts
from ldapgw.store.accounts import Account, SourceState
from ldapgw.store.database import CHUNK
from ldapgw.store.tables import account, contact, source, value_of


@dataclass(frozen=True, slots=True)
class DirectoryCandidate:
    """An account through which the gateway may fetch the directory.

    :ivar state: state of the account's directory source, or None before the first request.
    :ivar account_error: error code of the account's own contacts, or empty if they were synced.
    :ivar directory_error: error code of the last request for the directory through this account, or empty if the
        request succeeded.
    :ivar is_directory_account: whether the contacts of the directory belong to this account.
    """

    account_id: int
    scopes: frozenset[str]
    state: SourceState | None
    asked_at: float | None
    account_error: str = ""
    directory_error: str = ""
    next_try: float | None = None
    is_directory_account: bool = False
    hd: str | None = None


class DirectoryPerson(msgspec.Struct, frozen=True, gc=False):
    """A person of the Workspace directory: the parts of the stored contact by which an account is recognized.

    :ivar source_id: Google's stable key of the person.
    :ivar emails: the person's e-mail addresses, the best address first.
    """

    source_id: str = ""
    name: str = ""
    emails: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Omit the person, whom a log must not contain."""
        return "<DirectoryPerson>"


_IS_DIRECTORY_ACCOUNT = contacts.has_source(Source.DIRECTORY)

_person_decoder = msgspec.json.Decoder(DirectoryPerson)


def read_people(connection: Connection, account_id: int, most: int | None = None) -> Iterator[DirectoryPerson]:
    """Iterate over the people and companies of the Workspace directory that is stored under an account.

    :param most: the largest number of people to read, or None to read everybody.
    :raises DamagedStore: when a stored contact cannot be decoded.
    """
    of_directory = contact.c.account_id == account_id, contact.c.source == Source.DIRECTORY
    query = select(contact.c.content).where(*of_directory, contact.c.content.is_not(None)).limit(most)
    with connection.execute(query, execution_options={"yield_per": CHUNK}) as rows:
        for row in rows:
            try:
                yield _person_decoder.decode(row.content)
            except ValueError:  # msgspec raises `UnicodeDecodeError` if the octets are not UTF-8
                raise DamagedStore("a stored contact cannot be read") from None


def find_directory_account(connection: Connection, tenant: str) -> DirectoryCandidate | None:
    """Return the account under which the tenant's Workspace directory is stored, or None if no directory is stored."""
    return next(iter(read_candidates(connection, tenant, _CANDIDATES.where(_IS_DIRECTORY_ACCOUNT))), None)


# Both statements are built once.  Each sync of a tenant with a directory executes `_CURRENT_CANDIDATES`, and SQLAlchemy
# needs longer to build a statement than to execute it.  `_CURRENT_CANDIDATES` is built from `_CANDIDATES`.
_CANDIDATES = (
    select(
        *(account.c.id.label("account_id"), account.c.scopes, account.c.error_code.label("account_error")),
        *(account.c.hd, source.c.state, source.c.asked_at, source.c.error_code.label("directory_error")),
        *(source.c.next_try, _IS_DIRECTORY_ACCOUNT.label("is_directory_account")),
    )
    .join_from(
        account, source, and_(source.c.account_id == account.c.id, source.c.source == Source.DIRECTORY), isouter=True
    )
    .where(account.c.tenant == bindparam("tenant"), account.c.connected_at.is_not(None))
    .order_by(account.c.id)
)
_CURRENT_CANDIDATES = _CANDIDATES.where(source.c.asked_at.is_not(None), _IS_DIRECTORY_ACCOUNT)


def read_candidates(
    connection: Connection, tenant: str, query: Select[Any] = _CANDIDATES
) -> tuple[DirectoryCandidate, ...]:
    """Read the connected accounts of a tenant, the oldest first.

    :param query: a statement that limits `_CANDIDATES`.
    """
    rows = connection.execute(query, {"tenant": tenant})
    return tuple(value_of(DirectoryCandidate, row) for row in rows)


def read_current_candidates(connection: Connection, tenant: str) -> tuple[DirectoryCandidate, ...]:
    """Read the directory account of a tenant, if that account has requested the directory before.

    Each sync of each account needs the directory account, and in a large tenant a list of all accounts
    (`read_candidates`) would cost more than the rest of the sync.
    """
    return read_candidates(connection, tenant, _CURRENT_CANDIDATES)


def read_directory_account(connection: Connection, tenant: str) -> Account | None:
    """Read the account to which the tenant's stored directory belongs, or None if no directory is stored."""
    where = and_(account.c.tenant == tenant, _IS_DIRECTORY_ACCOUNT)
    return next(iter(accounts.read_some(connection, where)), None)


def take_over_directory(connection: Connection, successor: Account) -> None:
    """Move the tenant's stored directory, if there is one, to the account `successor`."""
    for candidate in read_candidates(connection, successor.tenant):
        if candidate.is_directory_account and candidate.account_id != successor.id:
            contacts.hand_over(connection, candidate.account_id, successor.id, Source.DIRECTORY)


def hand_over_directory(connection: Connection, account_id: int) -> None:
    """Move the directory from its account to another account that can fetch the directory, if there is one."""
    if account_id not in contacts.accounts_with_source(connection, Source.DIRECTORY, [account_id]):
        return
    predecessor = accounts.read(connection, account_id)
    if predecessor is None:
        return
    for candidate in read_candidates(connection, predecessor.tenant):
        is_able = candidate.state is SourceState.ON and not candidate.directory_error
        if candidate.account_id != account_id and is_able:
            contacts.hand_over(connection, account_id, candidate.account_id, Source.DIRECTORY)
            return


def failing_since(connection: Connection, account_id: int, of: Source) -> float | None:
    """Return when a source began to fail, in seconds since the epoch, or None if the source does not fail."""
    where = source.c.account_id == account_id, source.c.source == of
    since: float | None = connection.execute(select(source.c.error_since).where(*where)).scalar()
    return since


def record_failure(
    connection: Connection,
    account_id: int,
    of: Source,
    error: GoogleError,
    now: float,
    next_try: float,
    failed_part: str = "",
) -> None:
    """Record that one source of an account failed, while the account's other sources did not.

    The source's row has to exist.

    :param failed_part: the part of the source that failed, or empty for the whole source.
    """
    where = and_(source.c.account_id == account_id, source.c.source == of)
    code, facts = error.code, {**error.facts, "source": failed_part or of.value}
    connection.execute(
        update(source)
        .where(where)
        .values(
            asked_at=now,
            next_try=next_try,
            error_since=accounts.error_since(source, code, now),
            error_code=code,
            error_facts=facts,
        )
    )


def clear_directory_failures(connection: Connection, tenant: str) -> None:
    """Clear the directory failures of all accounts of a tenant, after one account has fetched the directory."""
    account_ids = select(account.c.id).where(account.c.tenant == tenant)
    _clear(connection, source.c.account_id.in_(account_ids), Source.DIRECTORY)


def clear_failure(connection: Connection, account_id: int, of: Source) -> None:
    """Clear the failure of a source that the account has fetched, or need not fetch."""
    _clear(connection, source.c.account_id == account_id, of)


def _clear(connection: Connection, of_accounts: ColumnElement[bool], of: Source) -> None:
    cleared = dict.fromkeys(("error_code", "error_since", "error_facts", "next_try"))
    connection.execute(update(source).where(of_accounts, source.c.source == of).values(cleared))
