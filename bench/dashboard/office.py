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
from dataclasses import replace
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
# The trouble at Google: the part of the time that has passed, and the sandbox's control with its arguments.
_TROUBLES: tuple[tuple[float, str, dict[str, Any]], ...] = (
    (0.45, "revoke", {"account": _ACCOUNTS[-1]}),
    (0.45, "expire-access-tokens", {"account": _ACCOUNTS[-1]}),
    (0.45, "inject-fault", {"name": "error_resource_exhausted_429", "times": 30}),
    (0.45, "inject-fault", {"name": "error_unavailable_503"}),
    (0.62, "clear-faults", {}),
)


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
        self._added = _FIRST_ADDED
        self._troubles = list(_TROUBLES)

    def __enter__(self) -> Self:
        # The last account that is connected is that of the administrator.
        cookie = connect(self._site.page, *reversed(_ACCOUNTS))
        self._site.wait_for_sync(len(_ACCOUNTS))
        phones = [Target(self._site.ldap_port, 0, BASE, *login) for login in self._add_phones()]
        assert len(phones) == _PHONES
        self._begun = time.monotonic()
        for target in phones:
            self._start(_BETWEEN_CALLS, self._work_with_phone, target)
        for at, target in enumerate(phones[-_FORGOTTEN:]):
            self._start(1.5, self._try_old_password, replace(target, password="left-from-last-year"), at)
        self._start(4, self._search_wrong_base, phones[0])
        self._start(0.7, self._read_page, cookie)
        self._start(5, self._read_address_book, phones[1])
        self._start(3, self._edit_contacts)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        for thread in self._threads:
            thread.join()

    def _start(self, mean: float, act: Callable[..., None], *given: object) -> None:
        """Start a thread that acts again and again until the office closes.

        :param mean: the seconds between two acts, on average, while the office is busiest.
        :param act: gets a random generator; a connection that the gateway refuses or ends is a part of the load.
        """
        choice = random.Random(len(self._threads))

        def work() -> None:
            while self._pause(choice, mean):
                with suppress(OSError):
                    act(choice, *given)

        thread = threading.Thread(target=work)
        self._threads.append(thread)
        thread.start()

    def _pause(self, choice: random.Random, mean: float) -> bool:
        """Pause, most shortly in the middle of the time, and return whether the office is still open."""
        busy = 0.35 + 0.65 * math.sin(math.pi * min(1.0, max(0.0, self._part))) ** 2
        return not self._closed.wait(choice.expovariate(busy / mean))

    @property
    def _part(self) -> float:
        """The part of the time that has passed."""
        return (time.monotonic() - self._begun) / self._seconds

    def _add_phones(self) -> list[tuple[str, str]]:
        """Import phones as an administrator does, and return their names and passwords."""
        desks, written = self._site.folder / "desks.csv", self._site.folder / "desks"
        lines = [f"desk{at + 1},{_ACCOUNTS[at % len(_ACCOUNTS)]},yealink\n" for at in range(_PHONES)]
        desks.write_text("name,account,model\n" + "".join(lines))
        added = self._site.ldapgw("phones", "import", str(desks), "--out", str(written), "--yes")
        if added.returncode:
            raise SystemExit(added.stderr)
        texts = [file.read_text() for file in written.rglob("*.cfg")]
        logins = {name: password for text in texts for name, password in _LOGIN.findall(text)}
        return sorted(logins.items(), key=lambda login: int(login[0].removeprefix("desk")))

    def _work_with_phone(self, choice: random.Random, target: Target) -> None:
        """Type names, get calls, and open the whole list now and then, on one connection."""
        with Phone(target, f"127.1.0.{choice.randrange(1, 250)}") as phone:
            phone.bind()
            for _ in range(choice.randrange(10, 40)):
                for request in _asked(choice):
                    phone.ask(request)
                    if self._closed.wait(0.3):
                        return
                if not self._pause(choice, _BETWEEN_CALLS):
                    return

    def _try_old_password(self, _choice: random.Random, target: Target, at: int) -> None:
        """Try an old password, once the office has been open for a while."""
        if self._part > _OLD_PASSWORDS:
            with Phone(target, f"127.2.0.{at + 1}") as phone:
                phone.ask(target.bind())

    def _search_wrong_base(self, _choice: random.Random, target: Target) -> None:
        """Search below a base that is not the tenant's."""
        with Phone(target, "127.3.0.1") as phone:
            phone.bind()
            phone.ask(search("dc=example,dc=com", "(cn=m*)"))

    def _read_page(self, choice: random.Random, cookie: str) -> None:
        """Read a page, with a sign-in or without; some addresses are mistyped."""
        pages = ("", "contacts", "contacts?letter=m", "phones/desk1", "?q=mai", "activity", "admin", "admin/phones")
        if choice.random() < 0.25:
            fetch(self._site.page + choice.choice(("", "privacy", "phone")))
        else:
            fetch(self._site.page + choice.choice(pages), cookie)

    def _read_address_book(self, _choice: random.Random, target: Target) -> None:
        """Fetch a phone book over HTTP."""
        login = base64.b64encode(f"{target.login}:{target.password}".encode()).decode()
        asked = Request(self._site.page + "book/snom.xml", headers={"Authorization": f"Basic {login}"})
        with urlopen(asked, timeout=30) as answer:
            answer.read()

    def _edit_contacts(self, choice: random.Random) -> None:
        """Add a contact at Google, and begin or end the trouble if the time has come."""
        self._added += 1
        self._site.turn("add-person", account=choice.choice(_ACCOUNTS[:-1]), person=_resource(self._added))
        while self._troubles and self._part > self._troubles[0][0]:
            _, control, given = self._troubles.pop(0)
            self._site.turn(control, **given)


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
