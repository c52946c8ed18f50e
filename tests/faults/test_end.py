# SPDX-License-Identifier: MIT
"""SIGTERM in every state that a gateway can be in: it ends within five seconds, and loses nothing.

Only a process gets SIGTERM and has an exit status.
"""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from random import Random
from time import monotonic, sleep

import pytest

from ldapgw.google.sandbox.tenant import ALICE
from tests.support import pdu
from tests.support.postgresql import Server
from tests.support.site.office import BOOK, Office
from tests.support.site.running import PATIENCE, Process, Site, fetch, find_program, wait_until
from tests.support.site.visitor import connect
from tests.support.stage.paths import CONNECTIONS, TOKEN

# Each starts gateways, and starves, kills or ends them.  The quick test of tests/journeys/test_provisioning kills one.
pytestmark = pytest.mark.long

PROMISED = 5.0
# Between two looks at a process that ends.
GLANCE = 0.02

State = Callable[[Office, ExitStack], object]


@pytest.fixture(scope="module", name="office")
def _office(tmp_path_factory: pytest.TempPathFactory, engine_server: Server | None) -> Iterator[Office]:
    """One office, whose book stays as it is; each state is met by a gateway that was just started."""
    find_program("ldapsearch", "ldap-utils")
    with closing(Office(tmp_path_factory.mktemp("office"), Random(11), people=300, server=engine_server)) as office:
        with office.running("first"):
            pass
        yield office


def calls(office: Office, path: str) -> int:
    """Count the calls of one of Google's endpoints."""
    return int(json.loads(fetch(f"{office.site.google}/sandbox/state")[1])["calls"].get(path, 0))


def google_says_nothing(office: Office, stack: ExitStack, path: str = CONNECTIONS) -> None:
    """A sync waits for an answer that never comes."""
    office.site.turn("inject-fault", name="broken_silence", path=path)
    stack.callback(office.site.turn, "clear-faults")
    before = calls(office, path)
    assert office.site.ldapgw("sync", ALICE).returncode == 0
    wait_until(lambda: calls(office, path) > before, "the sync calls Google")


def token_endpoint_says_nothing(office: Office, stack: ExitStack) -> None:
    """A renewal waits."""
    office.site.turn("expire-access-tokens")
    google_says_nothing(office, stack, TOKEN)


def database_is_locked(office: Office, stack: ExitStack) -> None:
    """Everything waits for its turn, a page among it."""
    stack.enter_context(office.locked())
    page = stack.enter_context(socket.create_connection(("127.0.0.1", office.site.web_port)))
    page.sendall(b"GET /acme/connect HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")


def phones_read_nothing(office: Office, stack: ExitStack) -> None:
    """Twenty of them asked for everything, many times, and leave it there."""
    for _ in range(20):
        phone = office.phone()
        stack.callback(phone.close)
        phone.send(*(pdu.message(number, pdu.search(BOOK, 2)) for number in range(2, 50)))


def pages_are_half_asked_for(office: Office, stack: ExitStack) -> None:
    """And phones have sent half a message."""
    for _ in range(20):
        page = stack.enter_context(socket.create_connection(("127.0.0.1", office.site.web_port)))
        page.sendall(b"GET / HTTP/1.1\r\nHost:")
        phone = stack.enter_context(socket.create_connection(("127.0.0.1", office.site.ldap_port)))
        phone.sendall(b"\x30\x20\x02\x01")


STATES: dict[str, State] = {
    "Google says nothing": google_says_nothing,
    "the token endpoint says nothing": token_endpoint_says_nothing,
    "the database is locked": database_is_locked,
    "phones read nothing": phones_read_nothing,
    "pages are half asked for": pages_are_half_asked_for,
}


def in_line(pid: int) -> float:
    """For how many seconds the threads of a process have stood in line for a processor (proc(5), schedstat)."""
    waited = 0
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError, IndexError):  # it has ended meanwhile
            waited += int((thread / "schedstat").read_text().split()[1])
    return waited / 1e9


def end_in_time(gateway: Process) -> int:
    """SIGTERM; the exit status, which comes within the time that was promised.

    For how long it had no processor, because the machine does other things too, is not its time.
    """
    begun, before, waited = monotonic(), in_line(gateway.pid), 0.0
    gateway.send(signal.SIGTERM)
    while gateway.status is None:
        # A thread's waiting time goes with the thread when it ends.
        waited = max(waited, in_line(gateway.pid) - before)
        assert monotonic() - begun < PATIENCE
        sleep(GLANCE)
    assert monotonic() - begun - waited < PROMISED
    return gateway.status


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_a_gateway_that_is_told_to_end(office: Office, state: State) -> None:
    """Status 0, no traceback, and the gateway of the next test finds everything."""
    with office.running() as gateway:
        assert office.found() == office.now
        with ExitStack() as stack:
            state(office, stack)
            assert end_in_time(gateway) == 0
        assert "Traceback" not in gateway.said


def test_impatience_changes_nothing(office: Office) -> None:
    """A second signal is no reason for a traceback, nor to end in another way."""
    with office.running() as gateway:
        assert office.found() == office.now
        gateway.send(signal.SIGTERM)
        gateway.send(signal.SIGINT)
        assert end_in_time(gateway) == 0
    assert "Traceback" not in gateway.said
    assert "Unhandled" not in gateway.said


def test_a_gateway_that_is_told_to_end_while_it_starts(office: Office) -> None:
    """At whichever moment; before it serves, the signal may just end it."""
    for moment in range(4):
        gateway = Process(office.site.command("run"), office.folder / "starting.log", office.folder)
        until = monotonic() + moment / 3
        wait_until(lambda until=until: monotonic() > until, "the moment comes")
        assert end_in_time(gateway) in (0, -signal.SIGTERM)
        assert "Traceback" not in gateway.said
    with office.running("after"):
        assert office.found() == office.now
        office.edit()
        office.sync()


def test_a_gateway_that_is_told_to_end_in_a_large_sync(tmp_path: Path) -> None:
    """At whichever moment of a first one, between the first page and the book that is built of all of them."""
    persons = [
        {"names": [{"givenName": "Ida", "familyName": f"Person {at}"}], "phoneNumbers": [{"value": f"+493012{at:06}"}]}
        for at in range(10_000)
    ]
    site = Site(tmp_path, people={ALICE: persons})
    site.start_sandbox()
    try:
        with site.running():
            connect(site.page, ALICE)
        for moment in range(3):
            with site.running(name=f"gateway-{moment}") as gateway:
                until = monotonic() + 1.5 * moment
                wait_until(lambda until=until: monotonic() > until, "the moment comes")
                assert end_in_time(gateway) == 0
            assert "Traceback" not in gateway.said
        with site.running(name="last"):
            [account] = site.accounts()
            assert account["error"] is None
    finally:
        site.end_sandbox()
