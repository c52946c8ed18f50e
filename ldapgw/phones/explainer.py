# SPDX-License-Identifier: MIT
"""The explanation of a phone's search, for pages, in the directory that the phone searches at present.

An explanation searches the directory dozens of times, which is too long for the thread that serves phones, so each
explanation runs on another thread.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from ldapgw.directory.access import TenantViewer
from ldapgw.directory.catalog import Snapshot
from ldapgw.directory.dn import Dn
from ldapgw.phones.explain.explain import explain
from ldapgw.phones.explain.model import BookSyncState, Explanation, ExplanationReader
from ldapgw.phones.explain.query import parse_query
from ldapgw.phones.explain.view import PhoneView
from ldapgw.phones.number_texts import notes_on
from ldapgw.phrase import Translatable
from ldapgw.store import contacts
from ldapgw.store.account_status import error_message, state
from ldapgw.store.accounts import Account
from ldapgw.store.phones import PhoneLogin

# The longest query that a page accepts, in characters.  A form sends a character in at most twelve octets, and so the
# query in at most 12 kB.
MAX_QUERY_LENGTH = 1000


@dataclass(frozen=True, slots=True, repr=False)
class ExplainRequest:
    """A page's request to explain a search.

    :ivar text: a name, a number or a filter.
    :ivar base: the phone's search base; empty for the tenant's base.
    :ivar accounts: the accounts for which the reader may see the state of the sync.
    :ivar page_name: the name of the page that shows these accounts.
    """

    text: str
    base: str
    reader: ExplanationReader
    accounts: tuple[Account, ...]
    page_name: Translatable


class PhoneExplainer:
    """The explainer of searches in the directory's published snapshot.

    :param served: returns the snapshot of the directory that phones search now.
    :param now: returns the seconds since the epoch.
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
        """Explain which contacts a phone finds and why; None if the directory does not serve the phone yet.

        :raises UserError: if the query is a filter that cannot be parsed.
        :raises DirectoryError: if the base is no DN, or the phone sees no such entry.
        """
        snapshot = self._served()
        login = snapshot.logins.get(phone.name.lower())
        if login is None:
            return None
        view = PhoneView(snapshot.dit, login.viewer, phone.tenant)
        states = book_sync_states(
            request.accounts,
            view.tenant_viewer,
            self._now(),
            lambda _: request.page_name,
            commands=request.reader.is_admin,
        )
        explanation: Explanation = await self._run_off_thread(self._explain, view, request, tuple(states), phone.model)
        return explanation

    def _explain(
        self, view: PhoneView, request: ExplainRequest, states: Iterable[BookSyncState], model: str
    ) -> Explanation:
        from ldapgw.ldap.filter_text import read_filter  # importing ldaptor takes a tenth of the time of a command

        return explain(
            parse_query(request.text, read_filter, view.context.strip),
            view,
            private=view.hidden_books(),
            states=states,
            size_limit=self._size_limit,
            base=request.base,
            reader=request.reader,
            model=model,
        )


def read_number_notes(
    connection: Connection,
    tenant: str,
    explanation: Explanation,
    known: Iterable[Account],
) -> Explanation:
    """Add to found contacts a note on each number that is not dialled as it is stored.

    :param known: the accounts whose stored contacts the reader may know.
    """
    subs = {account.address: account.sub for account in known}
    keys = {
        match.dn: (subs[match.book], Dn.parse(match.dn).rdns[0][0][1])
        for match in explanation.matches
        if match.book in subs and match.dn.startswith("uid=")
    }
    stored = contacts.read_persons(connection, tenant, keys.values()) if keys else {}
    matches = [
        replace(match, number_notes=tuple(notes_on(stored[keys[match.dn]]))) if keys.get(match.dn) in stored else match
        for match in explanation.matches
    ]
    return replace(explanation, matches=tuple(matches))


def book_sync_states(
    accounts: Iterable[Account],
    viewer: TenantViewer,
    now: float,
    page: Callable[[Account], Translatable],
    *,
    commands: bool = True,
) -> Iterator[BookSyncState]:
    """Return the sync states of the accounts whose books the phone sees.

    :param viewer: the phone.
    :param now: seconds since the epoch.
    :param page: a function that returns the name of the page that shows an account.
    :param commands: whether error messages may name commands.
    """
    for account in accounts:
        access = viewer.access_to(account.sub, account.sharing)
        if access.is_hidden:
            continue
        message = error_message(account.error, account, page(account), commands=commands) if account.error else ""
        yield BookSyncState(account.address, access, state(account, now), message, account.skipped)
