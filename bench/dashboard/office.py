# SPDX-License-Identifier: MIT
"""An office at work: phones that search, people at the pages, changes at Google, and trouble for some minutes."""

from __future__ import annotations

import base64
import itertools
import math
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from bench.asking import EVERYBODY, any_of, search
from bench.people import entered, person
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


def site_of(folder: Path) -> Site:
    """Return a gateway with TLS and its sandbox, neither of which runs yet."""
    certificate, key = issue(days=120).write(folder)
    more = f'admins = ["{_ACCOUNTS[0]}"]\n[tls]\ncertificate = "{certificate}"\nprivate_key = "{key}"\n'
    people = {
        account: [entered(person(at * _CONTACTS + number)) for number in range(_CONTACTS)]
        for at, account in enumerate(_ACCOUNTS)
    }
    return Site(folder, interval="1m", more=more, people=people)


@contextmanager
def at_work(site: Site, seconds: float) -> Iterator[None]:
    """Connect everybody, add phones, and keep all of them busy until the block ends.

    :param seconds: how long the block lasts: the load rises and falls, and the trouble comes and goes, meanwhile.
    """
    # The last account that is connected is that of the administrator.
    cookie = connect(site.page, *reversed(_ACCOUNTS))
    site.wait_for_sync(len(_ACCOUNTS))
    office = _Office(site, seconds, threading.Event(), time.monotonic(), itertools.count(_FIRST_ADDED), [*_TROUBLES])
    phones = [Target(site.ldap_port, 0, BASE, *login) for login in office.add_phones()]
    assert len(phones) == _PHONES
    forgotten = [replace(target, password="left-from-last-year") for target in phones[-_FORGOTTEN:]]
    # The seconds between two acts, on average, while the office is busiest; and the acts with their arguments.
    acts: list[tuple[float, Callable[..., None], tuple[object, ...]]] = [
        *((_BETWEEN_CALLS, office.work_with_phone, (target,)) for target in phones),
        *((1.5, office.try_old_password, (target, at)) for at, target in enumerate(forgotten)),
        (4, office.search_wrong_base, (phones[0],)),
        (0.7, office.read_page, (cookie,)),
        (5, office.read_address_book, (phones[1],)),
        (3, office.edit_contacts, ()),
    ]
    with ThreadPoolExecutor(len(acts)) as pool:
        done = [pool.submit(office.repeat, random.Random(at), *act) for at, act in enumerate(acts)]
        try:
            yield
        finally:
            office.closed.set()
    for each in done:
        each.result()


@dataclass
class _Office:
    """The acts of people and phones; each act has a thread and a random generator.

    Mutable: the numbers of contacts that are added, and the trouble that is left.
    """

    site: Site
    seconds: float
    closed: threading.Event
    begun: float
    added: Iterator[int]
    troubles: list[tuple[float, str, dict[str, Any]]]

    @property
    def part(self) -> float:
        return (time.monotonic() - self.begun) / self.seconds

    def repeat(self, choice: random.Random, mean: float, act: Callable[..., None], given: Sequence[object]) -> None:
        """Act again and again; a connection that the gateway refuses or ends is a part of the load."""
        while self.pause(choice, mean):
            with suppress(OSError):
                act(choice, *given)

    def pause(self, choice: random.Random, mean: float) -> bool:
        """Pause, most shortly in the middle of the time, and return whether the office is still open."""
        busy = 0.35 + 0.65 * math.sin(math.pi * min(1.0, max(0.0, self.part))) ** 2
        return not self.closed.wait(choice.expovariate(busy / mean))

    def add_phones(self) -> list[tuple[str, str]]:
        """Import phones as an administrator does, and return their names and passwords."""
        desks, written = self.site.folder / "desks.csv", self.site.folder / "desks"
        lines = [f"desk{at + 1},{_ACCOUNTS[at % len(_ACCOUNTS)]},yealink\n" for at in range(_PHONES)]
        desks.write_text("name,account,model\n" + "".join(lines))
        added = self.site.ldapgw("phones", "import", str(desks), "--out", str(written), "--yes")
        if added.returncode:
            raise SystemExit(added.stderr)
        texts = [file.read_text() for file in written.rglob("*.cfg")]
        logins = {name: password for text in texts for name, password in _LOGIN.findall(text)}
        return sorted(logins.items(), key=lambda login: int(login[0].removeprefix("desk")))

    def work_with_phone(self, choice: random.Random, target: Target) -> None:
        """Type names, get calls, and open the whole list now and then, on one connection."""
        with Phone(target, f"127.1.0.{choice.randrange(1, 250)}") as phone:
            for _ in range(choice.randrange(10, 40)):
                for request in _asked(choice):
                    phone.ask(request)
                    if self.closed.wait(0.3):
                        return
                if not self.pause(choice, _BETWEEN_CALLS):
                    return

    def try_old_password(self, _choice: random.Random, target: Target, at: int) -> None:
        """Try an old password, once the office has been open for a while."""
        if self.part > _OLD_PASSWORDS:
            Phone(target, f"127.2.0.{at + 1}")

    def search_wrong_base(self, _choice: random.Random, target: Target) -> None:
        with Phone(target, "127.3.0.1") as phone:
            phone.ask(search("dc=example,dc=com", "(cn=m*)"))

    def read_page(self, choice: random.Random, cookie: str) -> None:
        """Read a page, with a sign-in or without; some addresses are mistyped."""
        pages = ("", "contacts", "contacts?letter=m", "phones/desk1", "?q=mai", "activity", "admin", "admin/phones")
        if choice.random() < 0.25:
            fetch(self.site.page + choice.choice(("", "privacy", "phone")))
        else:
            fetch(self.site.page + choice.choice(pages), cookie)

    def read_address_book(self, _choice: random.Random, target: Target) -> None:
        login = base64.b64encode(f"{target.login}:{target.password}".encode()).decode()
        asked = Request(self.site.page + "book/snom.xml", headers={"Authorization": f"Basic {login}"})
        with urlopen(asked, timeout=30) as answer:
            answer.read()

    def edit_contacts(self, choice: random.Random) -> None:
        """Add a contact at Google, and begin or end the trouble if the time has come."""
        self.site.turn("add-person", account=choice.choice(_ACCOUNTS[:-1]), person=entered(person(next(self.added))))
        while self.troubles and self.part > self.troubles[0][0]:
            _, control, given = self.troubles.pop(0)
            self.site.turn(control, **given)


def _asked(choice: random.Random) -> list[bytes]:
    """Return the searches of one look-up or call; half of the callers are unknown."""
    kind, one = choice.random(), person(choice.randrange(len(_ACCOUNTS) * _CONTACTS))
    if kind < 0.55:
        typed = one.family.lower()
        return [search(BASE, any_of(("cn", "sn"), f"{typed[:count]}*")) for count in range(1, choice.randrange(2, 5))]
    if kind < 0.9:
        number = choice.choice((one.phones[0][1], "+49999123456"))
        return [search(BASE, any_of(("telephoneNumber", "mobile"), number), size=1)]
    if kind < 0.97:
        return [search(BASE, "(cn=*)", size=100)]
    return [search(BASE, EVERYBODY, scope=0, size=1)]
