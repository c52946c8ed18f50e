# SPDX-License-Identifier: MIT
"""Passwords that were just made, for the browser that made them: in memory, for some minutes, and never again.

The page shows one together with the settings of any vendor, so it has to last for more than one look
(``docs/decisions/0034-a-fresh-password-lasts-minutes.rst``).

Mutable: `FreshPasswords`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from markupsafe import Markup

# As long as it takes to set a phone up.
SECONDS = 600
MOST = 1000


class FreshPasswords:
    """Keeps them, by session and phone."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], tuple[float, str, dict[str, Markup]]] = OrderedDict()

    def put(self, session: str, phone: str, password: str, now: float) -> None:
        """A password was made in a session."""
        self._forget_old(now)
        self._kept[session, phone.lower()] = (now, password, {})
        self._kept.move_to_end((session, phone.lower()))
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)

    def of(self, session: str, phone: str, now: float) -> str:
        """The password; empty where this session did not make it, or too long ago."""
        self._forget_old(now)
        _, password, _ = self._kept.get((session, phone.lower()), (0.0, "", {}))
        return password

    def drawn(self, session: str, phone: str, language: str, draw: Callable[[], Markup]) -> Markup:
        """The password's QR code in a language, drawn once: that takes milliseconds, and a page looks often.

        :param draw: called if there is a password and no code of it yet.
        """
        _, password, codes = self._kept.get((session, phone.lower()), (0.0, "", {}))
        if password and language not in codes:
            codes[language] = draw()
        return codes.get(language, Markup())

    def forget(self, phone: str) -> None:
        """A phone is gone, or has another password."""
        for key in [key for key in self._kept if key[1] == phone.lower()]:
            del self._kept[key]

    def _forget_old(self, now: float) -> None:
        while self._kept:
            when, _, _ = next(iter(self._kept.values()))
            if now - when < SECONDS:
                return
            self._kept.popitem(last=False)
