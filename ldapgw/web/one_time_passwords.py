# SPDX-License-Identifier: MIT
"""Keeps new passwords and secret addresses of phones for ten minutes; only the session that made them can show them.

They are only in memory, because a stored password could be stolen for ever, together with what the settings files of
imported phones are named after.

Where several gateways share a database, the one that shows a phone's page may be another than the one that made the
password, so that each tells the others (`OneTimeSecrets.take_news`).

Mutable: `OneTimePasswords`.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Final

from markupsafe import Markup

# How long a page shows them.
PASSWORD_SECONDS: Final = 600.0
# More generated passwords than this are not kept; the oldest is dropped first.
MAX_PASSWORDS: Final = 1000


@dataclass(frozen=True, slots=True)
class OneTimeChange:
    """A secret that was made, or that all secrets of a phone were forgotten.

    :ivar kind: the name of the attribute of `OneTimeSecrets`.
    :ivar session: the hash of the session that made the secret; empty: of all sessions.
    :ivar phone: the phone's name in lower case.
    :ivar secret: empty: they were forgotten.
    :ivar made_at: in seconds since the epoch.
    """

    kind: str
    session: str = field(repr=False)
    phone: str
    secret: str = field(default="", repr=False)
    made_at: float = 0.0


class OneTimePasswords:
    """Recently generated passwords in memory, by session and phone, with their QR codes.

    :param on_change: called with session, phone, password and time of what was added or, with empty ones, forgotten.
    """

    def __init__(self, on_change: Callable[[str, str, str, float], None] = lambda *_: None) -> None:
        self._on_change = on_change
        self._passwords: OrderedDict[tuple[str, str], tuple[float, str, dict[str, Markup]]] = OrderedDict()

    def add(self, session: str, phone: str, password: str, now: float) -> None:
        """Keep a password that was generated in a session.

        :param now: seconds since the epoch.
        """
        key = _digest(session), phone.lower()
        self.keep(key, password, now, now)
        self._on_change(*key, password, now)

    def keep(self, key: tuple[str, str], password: str, made_at: float, now: float) -> None:
        """Keep a password that was generated here or at another gateway.

        :param key: hash of the session, and the phone's name in lower case.
        """
        self._forget_old(now)
        self._passwords[key] = (made_at, password, {})
        self._passwords.move_to_end(key)
        if len(self._passwords) > MAX_PASSWORDS:
            self._passwords.popitem(last=False)

    def get(self, session: str, phone: str, now: float) -> str:
        """The password; empty if another session generated the password, or more than `PASSWORD_SECONDS` ago."""
        self._forget_old(now)
        _, password, _ = self._passwords.get((_digest(session), phone.lower()), (0.0, "", {}))
        return password

    def cached_qr_code(self, session: str, phone: str, language: str, draw: Callable[[], Markup]) -> Markup:
        """The password's QR code in a language, drawn once: drawing takes milliseconds, and pages reload often.

        :param draw: called if there is a password without a QR code.
        """
        _, password, codes = self._passwords.get((_digest(session), phone.lower()), (0.0, "", {}))
        if password and language not in codes:
            codes[language] = draw()
        return codes.get(language, Markup())

    def forget(self, phone: str) -> None:
        """Forget a phone's passwords, because the phone was removed or has a new password."""
        self.drop(phone.lower())
        self._on_change("", phone.lower(), "", 0.0)

    def drop(self, phone: str) -> None:
        """Forget the passwords of a phone, by its name in lower case, as this or another gateway does."""
        for key in [key for key in self._passwords if key[1] == phone]:
            del self._passwords[key]

    def _forget_old(self, now: float) -> None:
        while self._passwords:
            generated_at, _, _ = next(iter(self._passwords.values()))
            if now - generated_at < PASSWORD_SECONDS:
                return
            self._passwords.popitem(last=False)


@dataclass(frozen=True, slots=True, repr=False)
class OneTimeSecrets:
    """What the pages of phones show for minutes.

    :ivar passwords: passwords of phones.
    :ivar book_secrets: secrets of XML phone books' addresses.
    :ivar addresses: secrets of provisioning addresses.
    :ivar macs: MAC addresses of imported phones, in 12 hexadecimal digits.
    """

    passwords: OneTimePasswords
    book_secrets: OneTimePasswords
    addresses: OneTimePasswords
    macs: OneTimePasswords
    _news: list[OneTimeChange]

    @classmethod
    def create(cls, *, tells_others: bool = False) -> OneTimeSecrets:
        """Empty ones.

        :param tells_others: whether somebody calls `take_news`; else nothing is kept for it.
        """
        news: list[OneTimeChange] = []

        def kept(kind: str) -> OneTimePasswords:
            def note(session: str, phone: str, secret: str, made_at: float) -> None:
                if tells_others:
                    news.append(OneTimeChange(kind, session, phone, secret, made_at))
                    del news[:-MAX_PASSWORDS]

            return OneTimePasswords(note)

        return cls(kept("passwords"), kept("book_secrets"), kept("addresses"), kept("macs"), news)

    @property
    def has_news(self) -> bool:
        """Whether `take_news` has something that other gateways have not been told."""
        return bool(self._news)

    def take_news(self) -> tuple[OneTimeChange, ...]:
        """What has changed since the last call, for other gateways."""
        news = tuple(self._news)
        self._news.clear()
        return news

    def forget(self, phone: str) -> None:
        """Forget what a phone's page shows, because the phone was removed, or has another name or password."""
        for kind in _KINDS:
            kept: OneTimePasswords = getattr(self, kind)
            kept.forget(phone)

    def add(self, news: Iterable[OneTimeChange], now: float) -> None:
        """Take over what has changed at another gateway.

        :param now: seconds since the epoch.
        """
        for change in news:
            if change.kind not in _KINDS:
                continue
            kept: OneTimePasswords = getattr(self, change.kind)
            if change.secret:
                kept.keep((change.session, change.phone), change.secret, change.made_at, now)
            else:
                kept.drop(change.phone)


_KINDS = tuple(one.name for one in fields(OneTimeSecrets) if not one.name.startswith("_"))


def _digest(session: str) -> str:
    return hashlib.sha256(session.encode()).hexdigest()
