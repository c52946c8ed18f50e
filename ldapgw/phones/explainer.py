# SPDX-License-Identifier: MIT
"""What a page asks about a phone's search, and who explains it: values.

Explains a phone's search, for the pages: before the very directory that it is served now, on a thread of its own.

An explanation asks the search dozens of times, which is too long for the thread that serves phones.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from ldapgw.directory.catalog import PhoneAccess, Snapshot
from ldapgw.directory.dit import Dit
from ldapgw.ldap.filter_text import read_filter
from ldapgw.phones.explain.explain import explain
from ldapgw.phones.explain.model import BookAccess, BookSyncState, Explanation, ExplanationReader
from ldapgw.phones.explain.query import parse_query
from ldapgw.phones.explain.view import PhoneView
from ldapgw.phrase import Translatable
from ldapgw.store.account_status import error_message, state
from ldapgw.store.accounts import Account
from ldapgw.store.phones import PhoneLogin

# The longest filter that a page offers to explain; in a form it has three times as many octets at most.
MAX_QUERY_LENGTH = 1000


@dataclass(frozen=True, slots=True, repr=False)
class ExplainRequest:
    """Why was this not found?

    :ivar asked: a name, a number or a filter.
    :ivar base: where the phone's search begins; empty: at the tenant's base.
    :ivar reader: who asks.
    :ivar accounts: those of whose syncs the reader may be told.
    :ivar page: what the page of those is called.
    """

    text: str
    base: str
    reader: ExplanationReader
    accounts: tuple[Account, ...]
    page_name: Translatable


class Explainer(Protocol):
    """Explains what phones find."""

    def explain(self, phone: PhoneLogin, request: ExplainRequest) -> Awaitable[Explanation | None]:
        """Why a phone finds what it finds; None: it is not served yet.

        :raises UserError: when what was asked for is a filter that cannot be read.
        :raises DirectoryError: when the base is no DN, or there is no such entry for this phone.
        """


class PhoneExplainer:
    """Explains what phones find.

    :param served: what they are served now.
    :param size_limit: most entries in one answer.
    :param run_off_thread: calls a function with its arguments off the reactor's thread.
    :param now: seconds since the epoch.
    """

    def __init__(
        self,
        served: Callable[[], Snapshot],
        size_limit: int,
        run_off_thread: Callable[..., Awaitable[Any]],
        now: Callable[[], float],
    ) -> None:
        self._served = served
        self._size_limit = size_limit
        self._run_off_thread = run_off_thread
        self._now = now

    async def explain(self, phone: PhoneLogin, request: ExplainRequest) -> Explanation | None:
        """Why a phone finds what it finds; None: it is not served yet.

        :raises UserError: when what was asked for is a filter that cannot be read.
        :raises DirectoryError: when the base is no DN, or there is no such entry for this phone.
        """
        served = self._served()
        login = served.logins.get(phone.name.lower())
        if login is None:
            return None
        states = book_sync_states(
            request.accounts,
            phone.account_id,
            self._now(),
            lambda _: request.page_name,
            commands=request.reader.is_admin,
        )
        explanation: Explanation = await self._run_off_thread(
            _explain, served.dit, login, phone.tenant, request, tuple(states), self._size_limit
        )
        return explanation


def _explain(
    dit: Dit, login: PhoneAccess, tenant: str, request: ExplainRequest, states: Iterable[BookSyncState], size_limit: int
) -> Explanation:
    view = PhoneView(dit, login.viewer, tenant)
    return explain(
        parse_query(request.text, read_filter),
        view,
        private=view.hidden_books(),
        states=states,
        size_limit=size_limit,
        base=request.base,
        reader=request.reader,
    )


def book_sync_states(
    accounts: Iterable[Account],
    owner_id: int | None,
    now: float,
    page: Callable[[Account], Translatable],
    *,
    commands: bool = True,
) -> Iterator[BookSyncState]:
    """How the syncs go of the accounts whose books a phone sees.

    :param owner: the account that the phone belongs to.
    :param page: where a person finds an account.
    :param commands: whether commands may be named.
    """
    for account in accounts:
        access = BookAccess.OWN if account.id == owner_id else BookAccess(account.sharing.value)
        if access is BookAccess.PRIVATE:
            continue
        words = error_message(account.error, account, page(account), commands=commands) if account.error else ""
        yield BookSyncState(account.address, access, state(account, now), words, account.skipped)
