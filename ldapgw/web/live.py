# SPDX-License-Identifier: MIT
"""Change notification for open pages: publish and subscribe by topic, inside this process.

A topic is a string.  An open page subscribes to the topics of everything that it shows; code that has changed something
notifies the matching topic.  A notification carries no content: the page then fetches itself again.

Mutable: the subscriptions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import Final

from sqlalchemy import Connection

from ldapgw.store import sync_state
from ldapgw.store.worker import Store

OnChange = Callable[[], None]

# The topic of the list of living gateways.
GATEWAYS_TOPIC: Final = "gateways"


class ChangeNotifier:
    """The topics and their listeners."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[OnChange]] = {}

    def subscribe(self, topics: Iterable[str], on_change: OnChange) -> Callable[[], None]:
        """Call `on_change` at each notification of any of the topics.

        :returns: a function that ends the subscription, and must be called once.
        """
        unique_topics = tuple(dict.fromkeys(topics))
        for topic in unique_topics:
            self._listeners.setdefault(topic, []).append(on_change)

        def unsubscribe() -> None:
            for topic in unique_topics:
                self._listeners[topic].remove(on_change)
                if not self._listeners[topic]:
                    del self._listeners[topic]

        return unsubscribe

    def notify(self, topic: str) -> None:
        """Call every listener of the topic."""
        for on_change in tuple(self._listeners.get(topic, ())):
            on_change()

    def topics(self) -> Collection[str]:
        """Return the topics that have listeners."""
        return self._listeners.keys()


def person_topic(tenant: str, sub: str) -> str:
    """Return the topic of all accounts that a person's overview shows."""
    return f"person {tenant} {sub}"


class AccountWatcher:
    """The watcher that notifies the topics of persons whose accounts have changed in the database.

    Mutable: the last known states of the watched accounts.

    :param recoveries: returns how often the database has recovered from a failure.  Each recovery changes all pages,
        because pages show the failure.
    """

    def __init__(self, store: Store, notifier: ChangeNotifier, recoveries: Callable[[], int]) -> None:
        self._store = store
        self._notifier = notifier
        self._recoveries = recoveries
        self._last_states: Mapping[str, Hashable] = {}

    async def check(self) -> None:
        """Compare the watched accounts with their last known states, after any change of the database.

        :raises StoreError: when the database cannot be used.
        """
        watched = [topic for topic in self._notifier.topics() if topic.startswith("person ")]
        recoveries = self._recoveries()
        states = await self._store.read(_account_states, watched, recoveries) if watched else {}
        last_states, self._last_states = self._last_states, states
        for topic, state in states.items():
            # A topic that is watched for the first time is notified too, because the person's accounts may have changed
            # since the page was rendered.
            if topic not in last_states or last_states[topic] != state:
                self._notifier.notify(topic)


def _account_states(connection: Connection, topics: Collection[str], recoveries: int) -> dict[str, Hashable]:
    """Return the changeable data of each person's accounts, by topic."""
    persons = [tuple(topic.split(" ", 2)[1:]) for topic in topics]
    status_keys = sync_state.read_status_keys(connection, {sub for _, sub in persons})
    return {person_topic(tenant, sub): (recoveries, status_keys.get((tenant, sub), ())) for tenant, sub in persons}
