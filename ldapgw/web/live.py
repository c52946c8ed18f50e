# SPDX-License-Identifier: MIT
"""Who is told when something on a page has changed.

A topic is a text; pages name those that they show, and whoever changes something tells its topic.  Telling says that
there is something to look at and no more: what it is, a page finds out by asking for itself.

Mutable: who listens.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping

from sqlalchemy import Connection

from ldapgw.store import accounts
from ldapgw.store.worker import Store

OnChange = Callable[[], None]


class ChangeNotifier:
    """Topics, and who listens to them."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[OnChange]] = {}

    def subscribe(self, topics: Iterable[str], on_change: OnChange) -> Callable[[], None]:
        """Have `wake` called at each change of any of the topics.

        :returns: what ends it; good for one call.
        """
        listened = tuple(dict.fromkeys(topics))
        for topic in listened:
            self._listeners.setdefault(topic, []).append(on_change)

        def end() -> None:
            for topic in listened:
                self._listeners[topic].remove(on_change)
                if not self._listeners[topic]:
                    del self._listeners[topic]

        return end

    def notify(self, topic: str) -> None:
        """Something has changed."""
        for wake in tuple(self._listeners.get(topic, ())):
            wake()

    def topics(self) -> Collection[str]:
        """Those that somebody listens to."""
        return self._listeners.keys()


def person_topic(tenant: str, sub: str) -> str:
    """The topic of all that a person's own page says of their accounts."""
    return f"person {tenant} {sub}"


def account_topic(account_id: int) -> str:
    """The topic of how far an account's sync is."""
    return f"account {account_id}"


class AccountWatcher:
    """Tells the topics of persons whose accounts have changed in the database, by whomever.

    Mutable: how the accounts stood that somebody looks at.
    """

    def __init__(self, store: Store, notifier: ChangeNotifier) -> None:
        self._store = store
        self._notifier = notifier
        self._last_states: Mapping[str, Hashable] = {}

    async def check(self) -> None:
        """Something in the database has changed: find out whether anybody is looking at it.

        :raises StoreError: when the database cannot be used.
        """
        watched = [topic for topic in self._notifier.topics() if topic.startswith("person ")]
        found = await self._store.run(_account_states, watched) if watched else {}
        before, self._last_states = self._last_states, found
        for topic, standing in found.items():
            # One that is new here may have changed since its page was made.
            if topic not in before or before[topic] != standing:
                self._notifier.notify(topic)


def _account_states(connection: Connection, topics: Collection[str]) -> dict[str, Hashable]:
    """By topic, all that can change of a person's accounts."""
    persons = [tuple(topic.split(" ", 2)[1:]) for topic in topics]
    found = accounts.read_status_keys(connection, {sub for _, sub in persons})
    return {person_topic(tenant, sub): found.get((tenant, sub), ()) for tenant, sub in persons}
