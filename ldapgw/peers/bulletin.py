# SPDX-License-Identifier: MIT
"""Tells the other gateways on the database what this gateway has only in memory, and hears what they tell.

At most once a second a gateway notifies one encrypted message of at most `MAX_OCTETS`, if there is something to tell
and another gateway to hear it.  Neither binds nor searches wait for a message.  What does not fit is left out, the
oldest first; what is lost, because the database was away, is lost.

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
from ldapgw.store.periodic import PeriodicService
from ldapgw.store.postgresql_schema import BULLETIN_CHANNEL
from ldapgw.store.secrets import SecretBox
from ldapgw.store.worker import Store

BULLETIN_SECONDS: Final = 1.0
# PostgreSQL refuses a payload of 8,000 octets.
MAX_OCTETS: Final = 7_900

log = Logger()


@dataclass(frozen=True, slots=True)
class Topic:
    """A kind of news.

    :ivar name: names the news in messages.
    :ivar type: a dataclass of tuples and mappings, the oldest item first, each empty by default.
    :ivar take: returns the news since the last call.
    :ivar add: takes over the news of another gateway.
    """

    name: str
    type: type[Any]
    take: Callable[[], Any]
    add: Callable[[Any], object]


class Bulletin(PeriodicService):
    """The service that tells other gateways what is new here, and takes over what they tell.

    :param store: for transactions that run beside those of pages and syncs, and wait for none of them.
    :param topics: the most important topic first; if not everything fits, the last topic loses news first.
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
        failed = partial(log.failure, "telling other gateways failed", event="bulletin_failed")
        super().__init__(clock, BULLETIN_SECONDS, self._tell, failed, waits=True)

    def hear(self, payload: str) -> None:
        """Take over what another gateway tells; called on any thread.

        A message that this gateway cannot read was encrypted with another key, or another version sent the message: the
        gateway ignores such a message.
        """
        sender, _, sealed = payload.partition(" ")
        if sender == self._gateway_id:
            return
        try:
            packed = zlib.decompress(self._secret_box.unseal_octets(sealed.encode()))
            told = msgspec.msgpack.decode(packed, type=dict[str, msgspec.Raw])
            news = [
                (topic, msgspec.msgpack.decode(told[topic.name], type=topic.type))
                for topic in self._topics
                if topic.name in told
            ]
        except (UnfitKey, zlib.error, msgspec.DecodeError):
            return
        self._call_from_thread(self._add, news)

    def _add(self, news: Sequence[tuple[Topic, Any]]) -> None:
        if self.running:
            for topic, told in news:
                topic.add(told)

    async def _tell(self) -> None:
        """Tell what is new since the last call."""
        news = {topic.name: told for topic in self._topics if (told := topic.take()) != topic.type()}
        if news:
            await self._store.run(_notify, self._secret_box, self._gateway_id, news)


def _notify(connection: Connection, secret_box: SecretBox, gateway_id: str, news: Mapping[str, Any]) -> None:
    payload = seal(secret_box, gateway_id, news)
    connection.execute(select(func.pg_notify(BULLETIN_CHANNEL, payload)))


def seal(secret_box: SecretBox, gateway_id: str, news: Mapping[str, Any]) -> str:
    """Encrypt as much of the news as fits into one notification.

    :param news: by topic, the most important topic first.
    :returns: the payload; at most `MAX_OCTETS` of ASCII.
    """
    left = dict(news)
    while True:
        sealed = secret_box.seal_octets(zlib.compress(msgspec.msgpack.encode(left)))
        payload = f"{gateway_id} {sealed.decode()}"
        if len(payload) <= MAX_OCTETS:
            return payload
        last = next(reversed(left))
        left[last] = _newer_half(left[last])
        if left[last] == type(left[last])():
            del left[last]


def _newer_half(news: Any) -> Any:
    """Return the news without the older half of each kind of items."""
    halves = {}
    for field in fields(news):
        items = getattr(news, field.name)
        kept = [*items.items()] if isinstance(items, Mapping) else [*items]
        kept = kept[(len(kept) + 1) // 2 :]
        halves[field.name] = dict(kept) if isinstance(items, Mapping) else tuple(kept)
    return replace(news, **halves)
