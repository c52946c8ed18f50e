# SPDX-License-Identifier: MIT
"""An office at work: phones that search, people at the pages, changes at Google, and trouble for some minutes."""

from __future__ import annotations

import base64
import math
import random
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import Request, urlopen

from bench.asking import EVERYBODY, any_of, search
from bench.people import Person, person
from bench.phone import Phone, Target
from bench.servers import BASE
from tests.support.certificates import issue
from tests.support.site.running import Site, fetch
from tests.support.site.visitor import connect

# A login in Yealink's settings.
_LOGIN = re.compile(r"^ldap\.user = (\S+)\nldap\.password = (\S+)$", re.MULTILINE)
_PHONES = 24
_NAMES = ("dora", "emil", "frida", "georg", "hanna", "ivo", "jana", "karl", "lena", "max", "nora", "otto")
_ACCOUNTS = [f"{name}@acme.example" for name in _NAMES]
_CONTACTS = 180
# The contacts that are added while the office works.
_FIRST_ADDED = 900_000
# Seconds between two calls of a phone, on average, while the office is busiest.
_BETWEEN_CALLS = 1.5
# Phones with an old password, and the part of the time that has passed when these phones begin to try the password.
_FORGOTTEN, _OLD_PASSWORDS = 5, 0.05
# The part of the time that has passed when Google stops answering well, and when Google does again.
_TROUBLE = (0.45, 0.62)


def _resource(number: int) -> dict[str, Any]:
    """Return a contact of the People API."""
    one = person(number)
    return {
        "names": [{"givenName": one.given, "familyName": one.family, "displayName": one.name}],
        "phoneNumbers": [{"value": value, "canonicalForm": value, "type": "work"} for _, value in one.phones],
    }


def site_of(folder: Path) -> Site:
    """Return a gateway with TLS and its sandbox, neither of which runs yet."""
    certificate, key = issue(days=120).write(folder)
    more = f'admins = ["{_ACCOUNTS[0]}"]\n[tls]\ncertificate = "{certificate}"\nprivate_key = "{key}"\n'
    people = {
        account: [_resource(at * _CONTACTS + number) for number in range(_CONTACTS)]
        for at, account in enumerate(_ACCOUNTS)
    }
    return Site(folder, interval="1m", more=more, people=people)


class Office:
    """Connects everybody, adds phones, and keeps all of them busy until the block ends.

    Mutable: the office has threads with a random generator each, which end when the office closes.

    :param seconds: how long the block lasts: the load rises and falls, and the trouble comes and goes, meanwhile.
    """

    def __init__(self, site: Site, seconds: float) -> None:
        self._site = site
        self._seconds = seconds
        self._begun = 0.0
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        # The last account that is connected is that of the administrator.
        cookie = connect(self._site.page, *reversed(_ACCOUNTS))
        self._site.wait_for_sync(len(_ACCOUNTS))
        passwords = self._add_phones()
        assert len(passwords) == _PHONES
        self._begun = time.monotonic()
        phones = [Target(self._site.ldap_port, 0, BASE, *login) for login in passwords.items()]
        for at, target in enumerate(phones):
            self._start(self._phone, at, target)
        for at in range(_FORGOTTEN):
            self._start(self._wrong_password, 50 + at, f"desk{_PHONES - at}", f"127.2.0.{at + 1}")
        self._start(self._wrong_base, 101, phones[0])
        self._start(self._reader, 102, cookie)
        self._start(self._address_books, 103, "desk2", passwords["desk2"])
        self._start(self._google, 104)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        for thread in self._threads:
            thread.join()

    def _start(self, work: Callable[..., None], seed: int, *given: object) -> None:
        thread = threading.Thread(target=work, args=(random.Random(seed), *given))
        self._threads.append(thread)
        thread.start()

    def _add_phones(self) -> dict[str, str]:
        """Import phones as an administrator does, and return their passwords by name."""
        desks, written = self._site.folder / "desks.csv", self._site.folder / "desks"
        lines = [f"desk{at + 1},{_ACCOUNTS[at % len(_ACCOUNTS)]},yealink\n" for at in range(_PHONES)]
        desks.write_text("name,account,model\n" + "".join(lines))
        added = self._site.ldapgw("phones", "import", str(desks), "--out", str(written), "--yes")
        if added.returncode:
            raise SystemExit(added.stderr)
        texts = [file.read_text() for file in written.rglob("*.cfg")]
        return dict(login.groups() for text in texts for login in _LOGIN.finditer(text))

    # --- the threads ---

    @property
    def _part(self) -> float:
        """The part of the time that has passed."""
        return (time.monotonic() - self._begun) / self._seconds

    def _pause(self, choice: random.Random, mean: float) -> bool:
        """Pause, most shortly in the middle of the time, and return whether the office is still open."""
        busy = 0.35 + 0.65 * math.sin(math.pi * min(1.0, max(0.0, self._part))) ** 2
        return not self._closed.wait(choice.expovariate(busy / mean))

    def _phone(self, choice: random.Random, target: Target) -> None:
        """Type names, get calls, and open the whole list now and then."""
        while self._pause(choice, _BETWEEN_CALLS):
            with suppress(OSError), Phone(target, f"127.1.0.{choice.randrange(1, 250)}") as phone:
                phone.bind()
                for _ in range(choice.randrange(10, 40)):
                    for request in _asked(choice):
                        phone.ask(request)
                        if self._closed.wait(0.3):
                            return
                    if not self._pause(choice, _BETWEEN_CALLS):
                        return

    def _wrong_password(self, choice: random.Random, name: str, address: str) -> None:
        """Try an old password again and again, once the office has been open for a while."""
        target = Target(self._site.ldap_port, 0, BASE, name, "left-from-last-year")
        while not self._closed.wait(choice.uniform(1, 2)):
            if self._part > _OLD_PASSWORDS:
                with suppress(OSError), Phone(target, address) as phone:
                    phone.ask(target.bind())

    def _wrong_base(self, choice: random.Random, target: Target) -> None:
        """Search below a base that is not the tenant's."""
        while self._pause(choice, 4):
            with suppress(OSError), Phone(target, "127.3.0.1") as phone:
                phone.bind()
                phone.ask(search("dc=example,dc=com", "(cn=m*)"))

    def _reader(self, choice: random.Random, cookie: str) -> None:
        """Read pages, with a sign-in or without; some addresses are mistyped, which is part of the load."""
        pages = ("", "contacts", "contacts?letter=m", "phones/desk1", "?q=mai", "activity", "admin", "admin/phones")
        while self._pause(choice, 0.7):
            if choice.random() < 0.25:
                fetch(self._site.page + choice.choice(("", "privacy", "phone")))
            else:
                fetch(self._site.page + choice.choice(pages), cookie)

    def _address_books(self, choice: random.Random, name: str, password: str) -> None:
        """Fetch a phone book over HTTP."""
        login = base64.b64encode(f"{name}:{password}".encode()).decode()
        asked = Request(self._site.page + "book/snom.xml", headers={"Authorization": f"Basic {login}"})
        while self._pause(choice, 5):
            with suppress(OSError), urlopen(asked, timeout=30) as answer:
                answer.read()

    def _google(self, choice: random.Random) -> None:
        """Write contacts at Google, which answers badly for a while, and revoke a consent."""
        turn = self._site.turn
        in_trouble = over = False
        number = _FIRST_ADDED
        while self._pause(choice, 3):
            number += 1
            turn("add-person", account=choice.choice(_ACCOUNTS[:-1]), person=_resource(number))
            if not in_trouble and self._part > _TROUBLE[0]:
                in_trouble = True
                turn("revoke", account=_ACCOUNTS[-1])
                turn("expire-access-tokens", account=_ACCOUNTS[-1])
                turn("inject-fault", name="error_resource_exhausted_429", times=30)
                turn("inject-fault", name="error_unavailable_503")
            if in_trouble and not over and self._part > _TROUBLE[1]:
                over = True
                turn("clear-faults")


def _asked(choice: random.Random) -> list[bytes]:
    """Return the searches of one look-up or call; half of the callers are unknown."""
    kind, one = choice.random(), _somebody(choice)
    if kind < 0.55:
        typed = one.family.lower()
        return [search(BASE, any_of(("cn", "sn"), f"{typed[:count]}*")) for count in range(1, choice.randrange(2, 5))]
    if kind < 0.9:
        number = choice.choice((one.phones[0][1], "+49999123456"))
        return [search(BASE, any_of(("telephoneNumber", "mobile"), number), size=1)]
    if kind < 0.97:
        return [search(BASE, "(cn=*)", size=100)]
    return [search(BASE, EVERYBODY, scope=0, size=1)]


def _somebody(choice: random.Random) -> Person:
    return person(choice.randrange(len(_ACCOUNTS) * _CONTACTS))
