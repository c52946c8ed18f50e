# SPDX-License-Identifier: MIT
"""An office at work: phones that search, people at the pages, changes at Google, and trouble for some minutes.

Mutable: threads with a random generator each, which end when the office closes.
"""

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

from bench.pages import Visitor
from bench.phone import Phone, Target
from tests.support import pdu
from tests.support.certificates import issue
from tests.support.filter_text import encode, read_filter
from tests.support.site.running import Site

# A login in Yealink's settings.
_LOGIN = re.compile(r"^ldap\.user = (\S+)\nldap\.password = (\S+)$", re.MULTILINE)
TENANT_DN = "dc=acme,dc=example"
PHONES = 24
NAMES = ("dora", "emil", "frida", "georg", "hanna", "ivo", "jana", "karl", "lena", "max", "nora", "otto")
PEOPLE = [f"{name}@acme.example" for name in NAMES]
_CONTACTS = 180
_WHOLE_SUBTREE = 2
# Seconds between two calls of a phone, on average, while the office is busiest.
_BETWEEN_CALLS = 1.5
# Phones with an old password, and what part of the time has passed when they begin to try it.
_FORGOTTEN, _OLD_PASSWORDS = 5, 0.05
# What part of the time has passed when Google stops answering well, and when it does again.
_TROUBLE = (0.45, 0.62)

_FAMILY = (
    *("Albrecht", "Bauer", "Conrad", "Dietrich", "Engel", "Fischer", "Graf", "Hartmann", "Jansen", "Keller", "Lang"),
    *("Maier", "Neumann", "Otto", "Peters", "Richter", "Schulz", "Thomas", "Ulrich", "Vogt", "Weber", "Ziegler"),
)
_GIVEN = ("Anna", "Ben", "Clara", "David", "Eva", "Felix", "Greta", "Hans", "Ida", "Jonas", "Lea", "Marie", "Paul")


def persons(account: int) -> list[dict[str, Any]]:
    """Contacts of somebody, as the People API has them."""
    choice = random.Random(account)
    return [_person(choice, account * 1000 + at) for at in range(_CONTACTS)]


def _person(choice: random.Random, at: int) -> dict[str, Any]:
    given, family, number = choice.choice(_GIVEN), choice.choice(_FAMILY), f"+49301{at:06}"
    return {
        "names": [{"givenName": given, "familyName": family, "displayName": f"{given} {family}"}],
        "phoneNumbers": [{"value": number, "canonicalForm": number, "type": "work"}],
    }


def site_of(folder: Path) -> Site:
    """A gateway with TLS and its sandbox, neither of which runs yet."""
    certificate, key = issue(days=120).write(folder)
    more = f'admins = ["{PEOPLE[0]}"]\n[tls]\ncertificate = "{certificate}"\nprivate_key = "{key}"\n'
    people = {account: persons(number) for number, account in enumerate(PEOPLE, start=1)}
    return Site(folder, interval="1m", more=more, people=people)


class Office:
    """Connects everybody, adds phones, and keeps all of them busy until the block ends.

    :param seconds: how long that will be: the load rises and falls, and the trouble comes and goes, within that time.
    """

    def __init__(self, site: Site, seconds: float) -> None:
        self._site = site
        self._seconds = seconds
        self._begun = 0.0
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []
        self._visitors: list[Visitor] = []

    def __enter__(self) -> Self:
        self._connect()
        passwords = self._add_phones()
        assert len(passwords) == PHONES
        self._begun = time.monotonic()
        for at, (name, password) in enumerate(passwords.items()):
            self._start(self._phone, at, Target(self._site.ldap_port, 0, TENANT_DN, name, password))
        for at in range(_FORGOTTEN):
            self._start(self._wrong_password, 50 + at, f"desk{PHONES - at}", f"127.2.0.{at + 1}")
        self._start(self._wrong_base, 101, Target(self._site.ldap_port, 0, TENANT_DN, *next(iter(passwords.items()))))
        self._start(self._reader, 102)
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

    def _connect(self) -> None:
        for account in PEOPLE:
            visitor = Visitor()
            visitor.connect(self._site.page, account)
            self._visitors.append(visitor)
        self._site.wait_for_sync(len(PEOPLE))

    def _add_phones(self) -> dict[str, str]:
        """Import phones as an administrator does; their passwords, by name."""
        desks, written = self._site.folder / "desks.csv", self._site.folder / "desks"
        lines = [f"desk{at + 1},{PEOPLE[at % len(PEOPLE)]},yealink\n" for at in range(PHONES)]
        desks.write_text("name,account,model\n" + "".join(lines))
        added = self._site.ldapgw("phones", "import", str(desks), "--out", str(written), "--yes")
        if added.returncode:
            raise SystemExit(added.stderr)
        texts = [file.read_text() for file in written.rglob("*.cfg")]
        return dict(login.groups() for text in texts for login in _LOGIN.finditer(text))

    # --- the threads ---

    def _wait(self, seconds: float) -> bool:
        """Whether the office is still open after some seconds."""
        return not self._closed.wait(seconds)

    @property
    def _part(self) -> float:
        return (time.monotonic() - self._begun) / self._seconds

    def _pause(self, choice: random.Random, mean: float) -> bool:
        """A pause that is shortest in the middle of the time."""
        busy = 0.35 + 0.65 * math.sin(math.pi * min(1.0, max(0.0, self._part))) ** 2
        return self._wait(choice.expovariate(busy / mean))

    def _phone(self, choice: random.Random, target: Target) -> None:
        """Somebody types a name, gets calls, and opens the whole list now and then."""
        while self._pause(choice, _BETWEEN_CALLS):
            with suppress(OSError), Phone(target, f"127.1.0.{choice.randrange(1, 250)}") as phone:
                phone.bind()
                for _ in range(choice.randrange(10, 40)):
                    for filter_text, scope, size in _asked(choice):
                        phone.ask(_search(TENANT_DN, filter_text, scope, size))
                        if not self._wait(0.3):
                            return
                    if not self._pause(choice, _BETWEEN_CALLS):
                        return

    def _wrong_password(self, choice: random.Random, name: str, address: str) -> None:
        """A phone with an old password tries again and again, once the office has been open for a while."""
        target = Target(self._site.ldap_port, 0, TENANT_DN, name, "left-from-last-year")
        while self._wait(choice.uniform(1, 2)):
            if self._part > _OLD_PASSWORDS:
                with suppress(OSError), Phone(target, address) as phone:
                    phone.ask(target.bind())

    def _wrong_base(self, choice: random.Random, target: Target) -> None:
        while self._pause(choice, 4):
            with suppress(OSError), Phone(target, "127.3.0.1") as phone:
                phone.bind()
                phone.ask(_search("dc=example,dc=com", "(cn=m*)", _WHOLE_SUBTREE, 50))

    def _reader(self, choice: random.Random) -> None:
        """People at the pages; some addresses are mistyped."""
        outsider = Visitor()
        pages = ("", "contacts", "contacts?letter=m", "phones/desk1", "?q=mai", "activity", "admin", "admin/phones")
        while self._pause(choice, 0.7):
            if choice.random() < 0.25:
                _open(outsider, self._site.page + choice.choice(("", "privacy", "phone")))
            else:
                _open(self._visitors[0], self._site.page + choice.choice(pages))

    def _address_books(self, choice: random.Random, name: str, password: str) -> None:
        """A phone that fetches a book over HTTP."""
        while self._pause(choice, 5):
            _fetch(self._site.page + "book/snom.xml", name, password)

    def _google(self, choice: random.Random) -> None:
        """People write contacts at Google, which answers badly for a while; somebody revokes a consent."""
        turn = self._site.turn
        in_trouble = over = False
        number = 900_000
        while self._pause(choice, 3):
            number += 1
            turn("add-person", account=choice.choice(PEOPLE[:-1]), person=_person(choice, number))
            if not in_trouble and self._part > _TROUBLE[0]:
                in_trouble = True
                turn("revoke", account=PEOPLE[-1])
                turn("expire-access-tokens", account=PEOPLE[-1])
                turn("inject-fault", name="error_resource_exhausted_429", times=30)
                turn("inject-fault", name="error_unavailable_503")
            if in_trouble and not over and self._part > _TROUBLE[1]:
                over = True
                turn("clear-faults")


def _asked(choice: random.Random) -> list[tuple[str, int, int]]:
    """The searches of one call or look-up: filters, scopes and size limits."""
    kind = choice.random()
    if kind < 0.55:
        name = choice.choice(_FAMILY).lower()
        return [(f"(|(cn={name[:n]}*)(sn={name[:n]}*))", _WHOLE_SUBTREE, 50) for n in range(1, choice.randrange(2, 5))]
    if kind < 0.9:
        number = f"+49301{choice.randrange(1, 13):03}{choice.randrange(2 * _CONTACTS):03}"
        return [(f"(|(telephoneNumber={number})(mobile={number}))", _WHOLE_SUBTREE, 1)]
    if kind < 0.97:
        return [("(cn=*)", _WHOLE_SUBTREE, 100)]
    return [("(objectClass=*)", 0, 1)]


def _search(base: str, filter_text: str, scope: int, size: int) -> bytes:
    attributes = ("cn", "sn", "telephoneNumber", "mobile")
    return pdu.message(2, pdu.search(base, scope, encode(read_filter(filter_text)), attributes, size=size))


def _open(visitor: Visitor, url: str) -> None:
    # A page that is not there is part of the load.
    with suppress(OSError):
        visitor.open(url)


def _fetch(url: str, name: str, password: str) -> None:
    login = base64.b64encode(f"{name}:{password}".encode()).decode()
    asked = Request(url, headers={"Authorization": f"Basic {login}"})
    with suppress(OSError), urlopen(asked, timeout=30) as answer:
        answer.read()
