# SPDX-License-Identifier: MIT
"""Half an hour of load on a real gateway, with all that an administrator does to one in years.

``SOAK_SECONDS`` is the time that it takes, 1800 by default.
Only a process has memory, threads and descriptors of its own.
"""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from time import monotonic

import pytest

from ldapgw.google.sandbox.tenant import ALICE
from tests.soak.callers import Callers, Failure, Question
from tests.support import pdu
from tests.support.certificates import Issued, issue
from tests.support.filter_text import encode, read_filter
from tests.support.site.line import Line
from tests.support.site.running import Process, Site, find_program, free_ports, wait_until
from tests.support.site.visitor import connect

pytestmark = pytest.mark.soak

SECONDS = float(os.environ.get("SOAK_SECONDS", "1800"))
BASE = "dc=acme,dc=example"
GLOBEX = '\n[[tenant]]\nname = "globex"\nbase_dn = "dc=globex,dc=example"\n'

# Contacts: the first ones stay as they are, and callers ask for them; the others change all the time.
PEOPLE, STEADY = 2000, 200
# Seconds between two changes at Google, and between two syncs.
EDIT, INTERVAL = 1.0, "2s"
LISTED = 50
# Seconds for what takes one or two on an idle machine.
PATIENCE = 900.0
# Seconds for which figures are taken.
SETTLE = 5.0

# MiB.  Malloc's arenas and SQLite's caches take some; a leak of a hundred octets a search would take more than that
# in a third of half an hour.
GROWTH = 12.0
EVENTS = 16
PHONE = "desk1"


def typed(number: int, last: int) -> dict[str, object]:
    """A person as Google has them."""
    return {
        "names": [{"givenName": "Zoë", "familyName": f"{'Stable' if number < STEADY else 'Busy'}{number:04}"}],
        "phoneNumbers": [{"type": "work", "value": f"+49 30 {last}"}],
    }


def named(number: int) -> str:
    return f"Zoë Stable{number:04} (work)"


def question(text: str, found: Sequence[int], code: int = 0, size: int = 0) -> Question:
    request = pdu.search(BASE, 2, encode(read_filter(text)), ("cn", "telephoneNumber"), size=size)
    return Question(request, code, tuple(map(named, found)))


QUESTIONS = [
    *(question(f"(telephoneNumber=030{7_000_000 + number})", [number]) for number in range(0, STEADY, 7)),
    *(question(f"(|(cn=stable{ten:03}*)(sn=stable{ten:03}*))", range(10 * ten, 10 * ten + 10)) for ten in range(20)),
    question("(cn=nobody*)", []),
    question("(cn=stable*)", range(LISTED), code=4, size=LISTED),
]


@dataclass(frozen=True)
class Figures:
    """The holdings of a gateway while nobody is connected.

    :ivar resident: MiB of all processes.
    """

    moment: str
    processes: int
    threads: int
    descriptors: int
    resident: float

    def __str__(self) -> str:
        return (
            f"{self.moment:32} {self.processes} processes, {self.threads} threads, {self.descriptors} descriptors, "
            f"{self.resident:.1f} MiB"
        )


@dataclass
class Soak(Site):
    """A gateway under load.

    :ivar interruptions: when a search may fail: of a restart; and of a reload, on a connection that was there before.
    """

    interval: str = INTERVAL
    interruptions: list[tuple[float, float, bool]] = field(default_factory=list)
    gateway: Process = field(init=False)

    def __post_init__(self) -> None:
        people = [typed(number, 7_000_000 + number) for number in range(PEOPLE)]
        self.people = {ALICE: people}
        super().__post_init__()
        [self.tls_port] = free_ports(1)
        self.authority = issue("authority", authority=True)
        (self.folder / "authority.pem").write_bytes(self.authority.pem)
        self.numbers = count(1)
        self.certificate = self.write_certificate()
        listen = f'[ldap]\nlisten_tls = ["tcp:{self.tls_port}:interface=127.0.0.1"]'
        tls = '[tls]\ncertificate = "cert.pem"\nprivate_key = "key.pem"\n[ldap]'
        self.written = self.file.read_text().replace("[ldap]", listen).replace("[ldap]", tls)
        self.file.write_text(self.written)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False  # phones know an address
        self.context.load_verify_locations(self.folder / "authority.pem")
        self.random = Random(23)
        self.starts = count(1)

    # --- phones ---

    def address(self) -> str:
        """Another one each time, of which the gateway must not remember all."""
        return f"127.{self.random.randrange(256)}.{self.random.randrange(256)}.{self.random.randrange(1, 255)}"

    def plain(self) -> Line:
        return Line(self.ldap_port, self.address())

    def start_tls(self) -> Line:
        with ExitStack() as stack:
            line = stack.enter_context(self.plain())
            [answer] = line.ask(pdu.START_TLS)
            assert answer.code == 0, answer
            line.begin_tls(self.context)
            stack.pop_all()
        return line

    def tls(self) -> Line:
        return Line(self.tls_port, self.address(), self.context)

    def callers(self) -> Callers:
        ways = {
            "plain, one search each": (self.plain, 1),
            "StartTLS, one search each": (self.start_tls, 1),
            "TLS, one search each": (self.tls, 1),
            "plain, kept open": (self.plain, 1_000_000),
            "TLS, kept open": (self.tls, 1_000_000),
        }
        return Callers(ways, (f"cn={PHONE},ou=phones,{BASE}", self.phones[PHONE]), QUESTIONS)

    # --- Google ---

    def edit(self, number: int) -> int:
        """Give somebody another number at Google; its last digits."""
        last = self.random.randrange(2_000_000, 7_000_000)
        self.turn("change-person", account=ALICE, resourceName=self.resource_names[number], person=typed(number, last))
        return last

    def know_everybody(self) -> None:
        families = {person["names"][0]["familyName"]: person["resourceName"] for person in self.persons("contacts")}
        self.resource_names = [families[name] for name in sorted(families, key=lambda name: int(name[-4:]))]

    def expect_a_change(self) -> None:
        """A change at Google is found by a phone."""
        line = f"telephoneNumber: +4930{self.edit(PEOPLE - 1)}\n"

        def is_found() -> bool:
            return line in self.ldapsearch(f"(cn=busy{PEOPLE - 1}*)", "telephoneNumber", phone=PHONE)[1]

        wait_until(is_found, "the change is found", PATIENCE)

    def expect_everybody(self) -> None:
        """The gateway has the contacts."""

        def is_found() -> bool:
            return "telephoneNumber: " in self.ldapsearch("(cn=stable*)", "telephoneNumber", phone=PHONE)[1]

        wait_until(is_found, "the gateway has the contacts", PATIENCE)

    # --- the gateway ---

    def start(self) -> None:
        log = self.folder / f"gateway-{next(self.starts)}.log"
        self.gateway = Process(self.command("run"), log, self.folder)
        wait_until(lambda: self.is_ready() or self.gateway.status is not None, "the gateway is ready", PATIENCE)
        assert self.gateway.status is None, self.gateway.said

    def ldapgw(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One of our commands, of the version that PYTHONPATH names: the current folder would come before it."""
        command = self.command(*arguments)
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=self.folder)

    def stop(self) -> None:
        assert self.gateway.end() == 0
        assert "Traceback" not in self.gateway.said

    def pids(self) -> list[int]:
        """Of all that belong to the gateway, those that parse its pages included, which end when there are none."""
        found = [self.gateway.pid]
        for pid in found:
            with suppress(OSError):  # it has ended meanwhile
                tasks = Path(f"/proc/{pid}/task").glob("*/children")
                found += [int(child) for task in tasks for child in task.read_text().split()]
        return found

    def figures(self, moment: str) -> Figures:
        """Of some seconds without helpers, the lowest: syncs go on, which open a connection to Google now and then."""
        wait_until(lambda: len(self.pids()) == 1, "helpers have ended", PATIENCE)
        until, seen = monotonic() + SETTLE, [self._figures(moment)]

        def is_over() -> bool:
            seen.append(self._figures(moment))
            return monotonic() > until

        wait_until(is_over, "some seconds are over")
        lowest = {name: min(getattr(one, name) for one in seen) for name in ("processes", "threads", "descriptors")}
        return Figures(moment, **lowest, resident=min(one.resident for one in seen))

    def _figures(self, moment: str) -> Figures:
        pids = self.pids()
        threads = [thread for pid in pids for thread in Path(f"/proc/{pid}/task").iterdir()]
        descriptors = [file for pid in pids for file in Path(f"/proc/{pid}/fd").iterdir()]
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids]
        resident = sum(pages) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
        return Figures(moment, len(pids), len(threads), len(descriptors), resident)

    # --- what happens to it ---

    def restart(self) -> None:
        began = monotonic()
        self.stop()
        self.start()
        self.interruptions.append((began, monotonic(), True))

    def reload(self) -> None:
        """A tenant more, or that tenant less."""
        is_more = GLOBEX not in self.file.read_text()
        expected = [BASE, "dc=globex,dc=example"] if is_more else [BASE]
        self.file.write_text(self.written + (GLOBEX if is_more else ""))
        began = monotonic()
        self.gateway.send(signal.SIGHUP)
        wait_until(
            lambda: self.naming_contexts() == expected and self.is_ready(), "the configuration is read again", PATIENCE
        )
        self.interruptions.append((began, monotonic(), False))
        assert self.gateway.status is None

    def naming_contexts(self) -> list[str]:
        return sorted(self.values("namingContexts", "-s", "base", phone="", base=""))

    def write_certificate(self) -> Issued:
        made = issue(by=self.authority, which=next(self.numbers))
        made.write(self.folder)
        return made

    def change_certificate(self) -> None:
        self.certificate = self.write_certificate()
        wait_until(
            lambda: self.served_certificate() == self.certificate.pem.decode(), "the certificate is served", PATIENCE
        )

    def served_certificate(self) -> str:
        with closing(self.context.wrap_socket(socket.create_connection(("127.0.0.1", self.tls_port)))) as connection:
            octets = connection.getpeercert(binary_form=True)
        assert octets is not None
        return ssl.DER_cert_to_PEM_cert(octets)

    def run(self, *arguments: str) -> None:
        done = self.ldapgw(*arguments)
        assert done.returncode == 0, done.stderr

    def back_up(self) -> None:
        """With everybody in it; into a new file, as the version before asks for no consent."""
        file = self.folder / f"backup-{monotonic():.3f}.db"
        self.run("backup", str(file))
        with closing(sqlite3.connect(file)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("SELECT COUNT(*) FROM contact").fetchone() == (PEOPLE,)

    def rotate_key(self) -> None:
        self.run("rotate-key")


class Editor(threading.Thread):
    """Changes somebody's number at Google, again and again."""

    def __init__(self, soak: Soak) -> None:
        super().__init__(daemon=True)
        self._soak = soak
        self._random = Random(5)
        self._over = threading.Event()
        self.edits = 0

    def run(self) -> None:
        while not self._over.wait(EDIT):
            self._soak.edit(self._random.randrange(STEADY, PEOPLE - 1))
            self.edits += 1

    def end(self) -> None:
        self._over.set()
        self.join()


@pytest.fixture
def soak(tmp_path: Path) -> Iterator[Soak]:
    """A gateway with everybody synced, and a phone of Alice's."""
    find_program("ldapsearch", "ldap-utils")
    soak = Soak(tmp_path)
    with ExitStack() as stack:
        stack.callback(soak.end_sandbox)
        soak.start_sandbox()
        soak.empty_sandbox()
        soak.know_everybody()
        soak.start()
        stack.callback(lambda: soak.gateway.end())
        connect(soak.page, ALICE)
        # The callers expect an entry for each number.
        soak.add_phone(PHONE, "--account", ALICE, "--numbers", "entries")
        soak.expect_a_change()
        soak.expect_everybody()
        yield soak
        soak.stop()


def is_excused(failure: Failure, interruptions: Sequence[tuple[float, float, bool]]) -> bool:
    """Return True for a failure in a restart, or on a connection that a reload has ended."""
    return any(
        failure.began <= ended and failure.ended >= began and (is_restart or not failure.is_first)
        for began, ended, is_restart in interruptions
    )


def test_half_an_hour_of_load(soak: Soak, say: Callable[[object], None]) -> None:
    """No search fails but in a restart, what is changed at Google is found, and the gateway does not grow."""

    def measure(moment: str) -> Figures:
        callers.rest()
        figures = soak.figures(moment)
        callers.go_on()
        say(figures)
        return figures

    def go_through(*events: Callable[[], None]) -> None:
        for event in events:
            until = monotonic() + SECONDS / EVENTS
            event()
            soak.expect_a_change()
            wait_until(lambda until=until: monotonic() > until, "it is time for the next one", SECONDS)

    quiet = (soak.change_certificate, soak.back_up, soak.rotate_key)
    callers, editor = soak.callers(), Editor(soak)
    begun = monotonic()
    callers.start()
    editor.start()
    try:
        go_through(*quiet, soak.restart)
        begun_anew = measure("after the first restart")
        go_through(*quiet, soak.reload, soak.reload, soak.restart)
        restarted = measure("after the last restart")
        go_through(*quiet)
        halfway = measure("halfway to the end")
        go_through(*quiet)
    finally:
        editor.end()
        callers.rest()
    ended = soak.figures("at the end")
    callers.end()
    say(ended)
    failed = [failure for failure in callers.failures if not is_excused(failure, soak.interruptions)]
    seconds = monotonic() - begun
    say(f"{seconds:.0f} s, {editor.edits} changes at Google, {len(soak.interruptions)} restarts and reloads")
    for caller in callers.all:
        say(
            f"{caller.name}: {caller.asked} searches, {caller.binds} binds, {len(caller.failures)} interrupted, "
            f"slowest {caller.slowest:.2f} s"
        )
    for failure in failed:
        say(f"{failure.began - begun:.2f} s after the beginning: {failure}")
    assert failed == []
    assert min(caller.asked for caller in callers.all) > SECONDS
    assert (ended.processes, ended.threads, ended.descriptors) == (
        restarted.processes,
        restarted.threads,
        restarted.descriptors,
    )
    assert ended.resident <= restarted.resident + GROWTH
    assert ended.resident <= halfway.resident + GROWTH / 2
    assert ended.resident <= begun_anew.resident + 2 * GROWTH
