# SPDX-License-Identifier: MIT
"""The whole program serves phones and pages, by both front doors, and refuses what it cannot do with a line.

Only a process has the front doors, a limit of descriptors, and a lock that another process meets.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from ldapgw.google.sandbox.tenant import ALICE
from tests.support import pdu
from tests.support.filter_text import encode, read_filter
from tests.support.phonebook.listening import DONE
from tests.support.program import promtool
from tests.support.site.running import PATIENCE, Process, Site, fetch, new_site, wait_until

WRONG = "wrong-password"
TWISTD = [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "ldapgw", "--config"]


def person(name: str, number: str) -> dict[str, object]:
    given, _, family = name.partition(" ")
    return {"names": [{"givenName": given, "familyName": family}], "phoneNumbers": [{"value": number, "type": "work"}]}


async def connected(site: Site) -> None:
    """Alice is connected and synced, and has a phone."""
    site.empty_sandbox()
    site.turn("add-person", account=ALICE, person=person("Jörg Müller", "030 23125 100"))
    visit = await site.consent()
    assert (visit.status, visit.url) == (200, site.page)
    site.synced()
    site.add_phone()


def found(site: Site) -> list[str]:
    """Return the numbers that a search for Müller finds."""
    status, said = site.ldapsearch("(sn=mueller)", "telephoneNumber")
    return [line for line in said.splitlines() if line.startswith("telephoneNumber")] if status == 0 else [f"{status}"]


NUMBER = ["telephoneNumber: +493023125100"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A gateway that runs, with Alice connected, for all that leaves it as it was."""
    with new_site(tmp_path_factory.mktemp("served")) as site:
        with site.running() as gateway:
            pytest_twisted.blockon(Deferred.fromCoroutine(connected(site)))
            yield site
        assert "Traceback" not in gateway.said
        assert WRONG not in gateway.said


@pytest.mark.long  # tests/cli has it without a gateway
def test_phones_test(served: Site, tmp_path: Path) -> None:
    """The command does what the phone does; it ends with 1 when a step fails, and names no password."""
    password = tmp_path / "password"
    for written, code, last in (
        (served.phones["desk1"], 0, ("search by number", "ok")),
        (WRONG, 1, ("login", "failed")),
        ("", 0, ("search by number", "skipped")),
        ("\udcff", 1, ("login", "failed")),
    ):
        password.write_bytes(written.encode(errors="surrogateescape") + b"\n")
        done = served.process("phones", "test", "desk1", "--password-file", str(password), "--json")
        assert done.returncode == code, done.stderr
        step = json.loads(done.stdout)["steps"][-1]
        assert (step["step"], step["state"]) == last
        assert not written or written not in done.stdout + done.stderr


@pytest_twisted.ensureDeferred
async def test_from_a_consent_to_a_phone(site: Site) -> None:
    """SIGTERM ends the gateway, and nothing is left behind; by twistd it is the same gateway once more."""
    with site.running() as gateway:
        await connected(site)
        assert found(site) == NUMBER
        assert gateway.end(signal.SIGTERM) == 0
    assert "Traceback" not in gateway.said
    assert not list(site.folder.glob("*.pid"))
    assert site.phones["desk1"] not in gateway.said


@pytest_twisted.ensureDeferred
@pytest.mark.long
async def test_connections_to_the_page_turn_no_phone_away(site: Site) -> None:
    """400 that say nothing, where the system gives 300 file descriptors; then fifty phones come at once."""
    with ExitStack() as stack:
        gateway = stack.enter_context(
            site.running(["sh", "-c", 'ulimit -n 300 && exec "$@"', "sh", *site.command("run")])
        )
        await connected(site)
        for _ in range(400):
            stack.enter_context(socket.create_connection(("127.0.0.1", site.web_port), PATIENCE))
        phones = [stack.enter_context(socket.create_connection(("127.0.0.1", site.ldap_port), 30)) for _ in range(50)]
        for phone in phones:
            phone.sendall(pdu.message(1, pdu.bind("desk1", site.phones["desk1"].encode())))
        assert [[one.code for one in pdu.responses(phone.recv(4096))] for phone in phones] == [[0]] * 50
        for phone in phones:
            phone.sendall(pdu.message(2, pdu.search("dc=acme,dc=example", 2, encode(read_filter("(sn=mueller)")))))
        answers = [pdu.responses(phone.recv(65536)) for phone in phones]
        assert [[one.code for one in answer if one.kind == DONE] for answer in answers] == [[0]] * 50
        assert {len(answer) for answer in answers} == {2}
        assert found(site) == NUMBER
        assert "300 files, so the web server accepts at most 75 connections; raise LimitNOFILE" in gateway.said
        assert gateway.said.count("web: too many connections, from 127.0.0.1") == 1
    assert "few file descriptors are left" not in gateway.said
    assert "Traceback" not in gateway.said


@pytest.mark.long  # tests/server/test_metrics has the figures
def test_figures_for_prometheus(served: Site) -> None:
    """They are of what has happened."""
    assert found(served) == NUMBER
    assert served.figure("ldapgw_ready") == 1
    assert served.figure("ldapgw_contacts", tenant="acme") == len(served.names())
    # The searches ask for no name, which is a problem of the phone.  The database learns of a search a moment later.
    wait_until(
        lambda: served.figure("ldapgw_phones", tenant="acme", condition="problems") == 1, "the phone has a problem"
    )
    assert served.figure("ldapgw_ldap_searches_total", result="success") >= 2
    assert served.figure("ldapgw_search_duration_seconds_count", kind="name") >= 1
    assert served.figure("ldapgw_ldap_binds_total", result="success") >= 2
    assert served.figure("ldapgw_google_calls_total", answer="ok", source="contacts") >= 1
    assert served.figure("ldapgw_syncs_total", result="ok") >= 1
    assert served.figure("ldapgw_generation_lag_seconds_count") >= 1
    assert served.figure("ldapgw_thread_wait_seconds_count", thread="store") >= 1
    assert served.figure("ldapgw_page_requests_total", method="GET", route="/{tenant}/connect", status="3xx") >= 1
    wait_until(lambda: served.figure("ldapgw_reactor_lag_seconds_count"), "the lag is measured")
    status, text = fetch(f"http://127.0.0.1:{served.web_port}/metrics")
    assert status == 200
    assert promtool("check", "metrics", text=text.encode()) == (0, "")


def test_a_second_gateway_is_refused_with_the_first_ones_pid(served: Site) -> None:
    """One line, status 1; the first goes on."""
    state = served.folder / "state"
    second = Process(served.command("run"), served.folder / "second.log", served.folder)
    assert second.wait() == 1
    pid = int((state / "ldapgw.pid").read_text())
    assert second.said == f"ldapgw: {served.file}: state_dir = {state}: is in use by another gateway (process {pid})\n"
    assert served.is_ready()


@pytest.mark.long  # waits for processes of twistd; tests/journeys/test_logs has a daemon that serves
def test_a_daemon_that_cannot_listen_ends(tmp_path: Path) -> None:
    """Only the daemon finds out, because the preflight tries TCP ports alone; the parent does not wait for ever."""
    other = Site(tmp_path)
    endpoint = f"tcp:{other.ldap_port}:interface=127.0.0.1"
    other.file.write_text(other.file.read_text().replace(endpoint, "unix:/no/such/folder/socket"))
    pidfile, logfile = tmp_path / "twistd.pid", tmp_path / "twistd.log"
    command = [TWISTD[0], f"--pidfile={pidfile}", f"--logfile={logfile}", "ldapgw", "--config", str(other.file)]
    refused = Process(command, tmp_path / "daemon.log", tmp_path)
    assert refused.wait() == 1
    assert "cannot listen" in refused.said
    wait_until(lambda: f"(in {other.file})" in logfile.read_text(), "the daemon has logged it")
    wait_until(lambda: not pidfile.exists(), "the daemon is gone")


@pytest.mark.long  # tests/cli/test_preflight has what a start is refused for
@pytest.mark.parametrize(
    ("former", "changed", "told"),
    [
        ("interval", "intervall", "sync.intervall: is not a key of this table; did you mean interval?"),
        ("{own}", "{taken}", "port {taken} of 127.0.0.1 is in use by another program"),
    ],
    ids=["configuration", "port"],
)
def test_twistd_refuses_with_a_line(tmp_path: Path, former: str, changed: str, told: str) -> None:
    """Faults in twistd's options and in the service are told; nothing is created."""
    bare = Site(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        ports = {"own": str(bare.ldap_port), "taken": str(server.getsockname()[1])}
        bare.file.write_text(bare.file.read_text().replace(former.format(**ports), changed.format(**ports)))
        refused = Process([*TWISTD, str(bare.file)], bare.folder / "twistd.log", bare.folder)
        assert refused.wait() == 1
    [line] = refused.said.splitlines()
    assert line.startswith(f"ldapgw: {bare.file}: ")
    assert told.format(**ports) in line
    assert not (bare.folder / "state").exists()
