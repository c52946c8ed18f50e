# SPDX-License-Identifier: MIT
"""New passwords and secret addresses of phones: for ten minutes, the session that made a secret can show the secret.

A consent replaces the session of its person; the new session can then show what the former session has made.

The passwords are only in memory, because a stored password could still be stolen years later.

Only the gateway that made a password can show the password.  A proxy before several gateways must therefore send all
requests of a browser to the same gateway.

Mutable: `OneTimePasswords`.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from markupsafe import Markup

# Seconds for which a page shows a password.
PASSWORD_SECONDS: Final = 600.0
# The maximum number of generated passwords that are kept; the oldest password is dropped first.
MAX_PASSWORDS: Final = 1000


class OneTimePasswords:
    """Recently generated passwords in memory, by session and phone, with their QR codes.

    :param seconds: the time for which a password is kept.
    """

    def __init__(self, seconds: float = PASSWORD_SECONDS) -> None:
        self._seconds = seconds
        self._passwords: OrderedDict[tuple[str, str], tuple[float, str, dict[str, Markup]]] = OrderedDict()

    def add(self, session: str, phone: str, password: str, now: float) -> None:
        """Keep a password that was generated in a session.

        :param now: seconds since the epoch.
        """
        self._forget_old(now)
        key = _digest(session), phone.lower()
        self._passwords[key] = (now, password, {})
        self._passwords.move_to_end(key)
        if len(self._passwords) > MAX_PASSWORDS:
            self._passwords.popitem(last=False)

    def get(self, session: str, phone: str, now: float) -> str:
        """Return the password; empty if the session generated no password within the last `PASSWORD_SECONDS`."""
        self._forget_old(now)
        _, password, _ = self._passwords.get((_digest(session), phone.lower()), (0.0, "", {}))
        return password

    def cached_qr_code(self, session: str, phone: str, language: str, draw: Callable[[], Markup]) -> Markup:
        """Return the password's QR code in a language, drawn once: drawing takes milliseconds, and pages reload often.

        :param draw: called if there is a password without a QR code.
        """
        _, password, codes = self._passwords.get((_digest(session), phone.lower()), (0.0, "", {}))
        if password and language not in codes:
            codes[language] = draw()
        return codes.get(language, Markup())

    def hand_over(self, former: str, session: str) -> None:
        """Let a session show the passwords that the same person's former session has generated."""
        old, new = _digest(former), _digest(session)
        # The passwords stay in the order of their times (`_forget_old`).
        self._passwords = OrderedDict(
            ((new if of == old else of, phone), entry) for (of, phone), entry in self._passwords.items()
        )

    def forget(self, *phones: str) -> None:
        """Forget the passwords of phones, because the phones were removed or have new passwords."""
        names = {phone.lower() for phone in phones}
        for key in [key for key in self._passwords if key[1] in names]:
            del self._passwords[key]

    def _forget_old(self, now: float) -> None:
        while self._passwords:
            generated_at, _, _ = next(iter(self._passwords.values()))
            if now - generated_at < self._seconds:
                return
            self._passwords.popitem(last=False)


@dataclass(frozen=True, slots=True, repr=False)
class OneTimeSecrets:
    """The passwords and secrets that the pages of phones show for `PASSWORD_SECONDS`.

    :ivar passwords: passwords of phones.
    :ivar book_secrets: secrets of XML phone books' addresses.
    :ivar addresses: secrets of provisioning addresses.
    """

    passwords: OneTimePasswords = field(default_factory=OneTimePasswords)
    book_secrets: OneTimePasswords = field(default_factory=OneTimePasswords)
    addresses: OneTimePasswords = field(default_factory=OneTimePasswords)

    def hand_over(self, former: str, session: str) -> None:
        """Let a session show all passwords and secrets that the same person's former session has made."""
        for secrets in (self.passwords, self.book_secrets, self.addresses):
            secrets.hand_over(former, session)

    def forget(self, *phones: str) -> None:
        """Forget everything about phones, because the phones were removed, or have other names or passwords."""
        for secrets in (self.passwords, self.book_secrets, self.addresses):
            secrets.forget(*phones)


def _digest(session: str) -> str:
    return hashlib.sha256(session.encode()).hexdigest()
