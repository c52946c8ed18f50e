# SPDX-License-Identifier: MIT
"""Exchanges data that gateways have only in memory, such as counts of wrong passwords, with the other gateways.

At most once a second, a gateway with new data sends one encrypted message of at most `MAX_OCTETS` by NOTIFY.  Neither
binds nor searches wait for a message.  If the data do not fit, the oldest items are left out.  A message that is lost,
because the database was not reachable, is not sent again.

Mutable: `Bulletin`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, func, select
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ldapgw.errors import UnfitKey
from ldapgw.store.changes import BULLETIN_CHANNEL
from ldapgw.store.periodic import PeriodicService
from ldapgw.store.secrets import SecretBox
from ldapgw.store.worker import Store

BULLETIN_SECONDS: Final = 1.0
# PostgreSQL refuses a payload of 8,000 octets.
MAX_OCTETS: Final = 7_900

log = Logger()


@dataclass(frozen=True, slots=True)
class Topic:
    """A kind of data that gateways exchange.

    :ivar name: the key of the data in messages.
    :ivar type: a dataclass whose fields are tuples and mappings, with the oldest item first; a field is empty by
        default.
    :ivar take: returns the data that are new since the last call.
    :ivar add: takes over the data of another gateway.
    """

    name: str
    type: type[Any]
    take: Callable[[], Any]
    add: Callable[[Any], object]


class Bulletin(PeriodicService):
    """The service that sends new data to the other gateways, and takes over their data.

    :param store: a store whose transactions do not wait for the transactions of pages and syncs.
    :param topics: the most important topic first; if the data do not fit into one message, items of the last topic are
        left out first.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        call_from_thread: Callable[..., object],
        store: Store,
        gateway_id: str,
        secret_box: SecretBox,
        topics: Sequence[Topic],
    ) -> None:
        self._call_from_thread = call_from_thread
        self._store = store
        self._gateway_id = gateway_id
        self._secret_box = secret_box
        self._topics = topics
        failed = partial(log.failure, "sending data to other gateways failed", event="bulletin_failed")
        super().__init__(clock, BULLETIN_SECONDS, self._send, failed, waits=True)

    def receive(self, payload: str) -> None:
        """Take over the data in a message of another gateway; called on any thread.

        A message that cannot be read is ignored, because it was encrypted with another key, or sent by another version.
        """
        sender, _, sealed = payload.partition(" ")
        if sender == self._gateway_id:
            return
        try:
            packed = zlib.decompress(self._secret_box.unseal_octets(sealed.encode()))
            received = msgspec.msgpack.decode(packed, type=dict[str, msgspec.Raw])
            data = [
                (topic, msgspec.msgpack.decode(received[topic.name], type=topic.type))
                for topic in self._topics
                if topic.name in received
            ]
        except (UnfitKey, zlib.error, msgspec.DecodeError):
            return
        self._call_from_thread(self._add, data)

    def _add(self, data: Sequence[tuple[Topic, Any]]) -> None:
        if self.running:
            for topic, received in data:
                topic.add(received)

    async def _send(self) -> None:
        """Send the data that are new since the last call."""
        data = {topic.name: taken for topic in self._topics if (taken := topic.take()) != topic.type()}
        if data:
            await self._store.run(_notify, self._secret_box, self._gateway_id, data)


def _notify(connection: Connection, secret_box: SecretBox, gateway_id: str, data: Mapping[str, Any]) -> None:
    payload = seal(secret_box, gateway_id, data)
    connection.execute(select(func.pg_notify(BULLETIN_CHANNEL, payload)))


def seal(secret_box: SecretBox, gateway_id: str, data: Mapping[str, Any]) -> str:
    """Encrypt as much of the new data as fits into one notification.

    :param data: the new data by topic, the most important topic first.
    :returns: the payload; at most `MAX_OCTETS` of ASCII.
    """
    left = dict(data)
    while True:
        sealed = secret_box.seal_octets(zlib.compress(msgspec.msgpack.encode(left)))
        payload = f"{gateway_id} {sealed.decode()}"
        if len(payload) <= MAX_OCTETS:
            return payload
        last = next(reversed(left))
        left[last] = _newer_half(left[last])
        if left[last] == type(left[last])():
            del left[last]


def _newer_half(data: Any) -> Any:
    """Return the data of a topic without the older half of each tuple and mapping."""
    halves = {}
    for field in fields(data):
        items = getattr(data, field.name)
        newer = [*items.items()] if isinstance(items, Mapping) else [*items]
        newer = newer[(len(newer) + 1) // 2 :]
        halves[field.name] = dict(newer) if isinstance(items, Mapping) else tuple(newer)
    return replace(data, **halves)
