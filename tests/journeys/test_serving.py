# SPDX-License-Identifier: MIT
"""Serving through everything that happens: both front doors, kills, a Google that is gone, a database that is gone."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
import pytest_twisted

from ldapgw.google.sandbox.tenant import ALICE, BOB
from tests.support.running import Process, Site, fetch, wait_until

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
    """What a search for Müller finds, by name."""
    status, said = site.ldapsearch("(sn=mueller)", "telephoneNumber")
    return [line for line in said.splitlines() if line.startswith("telephoneNumber")] if status == 0 else [f"{status}"]


NUMBER = ["telephoneNumber: +493023125100"]


@pytest.mark.parametrize("door", ["ldapgw run", "twistd"])
@pytest_twisted.ensureDeferred
async def test_both_front_doors_serve(site: Site, door: str) -> None:
    """The same gateway; SIGTERM ends either, and nothing is left behind."""
    command = [*TWISTD, str(site.file)] if door == "twistd" else None
    with site.running(command) as gateway:
        await connected(site)
        assert found(site) == NUMBER
        # twistd ends by the signal that it was sent, once all is shut down.
        assert gateway.end(signal.SIGTERM) == (-signal.SIGTERM if command else 0)
    assert "Traceback" not in gateway.said
    assert not list(site.folder.glob("*.pid"))
    assert site.phones["desk1"] not in gateway.said


@pytest_twisted.ensureDeferred
async def test_a_kill_loses_nothing_and_google_is_not_needed(site: Site) -> None:
    """SIGKILL, Google unreachable, start: the same answers, the same login, no new consent."""
    with site.running() as gateway:
        await connected(site)
        assert gateway.end(signal.SIGKILL) == -signal.SIGKILL
    site.end_sandbox()
    with site.running(name="second"):
        assert found(site) == NUMBER
        (account,) = site.accounts()
        assert (account["contacts"], account["sharing"]) == (1, "private")
        asked = site.ldapgw("sync", "--wait", ALICE)
        assert asked.returncode == 1
        (account,) = site.accounts()
        assert account["error"]["code"] == "network"
        assert found(site) == NUMBER


@pytest_twisted.ensureDeferred
async def test_changes_reach_phones(site: Site) -> None:
    """At Google, by a sync; by a command, within two seconds and without one."""
    with site.running():
        await connected(site)
        site.turn("add-person", account=ALICE, person=person("Ida Müller", "030 23125 101"))
        done = site.ldapgw("sync", ALICE, "--wait")
        assert done.returncode == 0, done.stderr
        assert found(site) == ["telephoneNumber: +493023125101", *NUMBER]
        site.add_phone("hall", "--tenant", "acme")
        assert site.names(phone="hall") == []
        assert site.ldapgw("share", ALICE, "shared").returncode == 0
        wait_until(lambda: len(site.names(phone="hall")) == 2, "the shared book is seen")
        assert site.ldapgw("phones", "remove", "hall").returncode == 0
        wait_until(lambda: site.ldapsearch(phone="hall")[0] == 49, "the removed phone is refused")


@pytest_twisted.ensureDeferred
async def test_figures_for_prometheus(site: Site) -> None:
    """From this machine, as long as the configuration does not say otherwise; they are of what has happened."""
    with site.running():
        await connected(site)
        assert found(site) == NUMBER
        status, body = fetch(f"http://127.0.0.1:{site.web_port}/metrics")
        lines = body.splitlines()
        assert status == 200
        assert "ldapgw_ready 1.0" in lines
        assert 'ldapgw_contacts{tenant="acme"} 1.0' in lines
        assert 'ldapgw_phones{tenant="acme"} 1.0' in lines
        assert any(line.startswith('ldapgw_ldap_searches_total{result="success"}') for line in lines)
    text = site.file.read_text()
    site.file.write_text(text.replace("[web]", '[web]\nmetrics_networks = ["192.0.2.0/24"]'))
    with site.running(name="second"):
        assert fetch(f"http://127.0.0.1:{site.web_port}/metrics")[0] == 403


@pytest_twisted.ensureDeferred
async def test_disconnecting_revokes_and_forgets(site: Site) -> None:
    """At Google and here; the phone finds nothing any more."""
    with site.running():
        await connected(site)
        done = site.ldapgw("disconnect", ALICE)
        assert done.returncode == 0, done.stderr
        wait_until(lambda: found(site) == [], "the book is gone")
        (account,) = site.accounts()
        assert (account["state"], account["contacts"]) == ("disconnected", 0)


@pytest_twisted.ensureDeferred
async def test_a_refused_consent_is_one_page_and_stores_nothing(site: Site) -> None:
    """And the next one works."""
    with site.running():
        visit = await site.consent(cancel=True)
        assert "Traceback" not in visit.body
        assert visit.url.startswith(f"http://127.0.0.1:{site.web_port}/")
        assert site.accounts() == []
        await connected(site)
        assert found(site) == NUMBER


@pytest_twisted.ensureDeferred
async def test_who_is_not_allowed_is_told_and_not_stored(site: Site) -> None:
    """A private address where the company's are asked for."""
    with site.running():
        visit = await site.consent("carol.private@gmail.example")
        assert visit.status == 403
        assert site.accounts() == []


@pytest_twisted.ensureDeferred
async def test_a_wrong_password_is_refused_and_nothing_else_happens(site: Site) -> None:
    """One line from ldapsearch; the right one works afterwards."""
    with site.running() as gateway:
        await connected(site)
        right = site.phones["desk1"]
        site.phones["desk1"] = "wrong-password"
        status, said = site.ldapsearch()
        assert (status, said.strip()) == (
            49,
            "ldap_bind: Invalid credentials (49)\n\tadditional info: name or password is wrong",
        )
        site.phones["desk1"] = right
        assert found(site) == NUMBER
    assert "wrong-password" not in gateway.said


@pytest_twisted.ensureDeferred
async def test_nobody_sees_nothing(site: Site) -> None:
    """Without a login: the root DSE alone."""
    with site.running():
        await connected(site)
        status, said = site.ldapsearch(phone="")
        assert (status, "insufficient" in said.lower()) == (50, True)
        status, said = site.ldapsearch("-s", "base", "vendorName", phone="", base="")
        assert (status, "vendorName: ldapgw" in said) == (0, True)


@pytest_twisted.ensureDeferred
async def test_a_database_that_is_gone_hurts_no_phone(site: Site) -> None:
    """One line in the log; phones are served from memory; once it is back, all of it is there."""
    with site.running() as gateway:
        await connected(site)
        state = site.folder / "state"
        away = site.folder / "away"
        state.rename(away)
        wait_until(lambda: "cannot be used" in gateway.said, "the log says so")
        assert found(site) == NUMBER
        status, page = fetch(site.page + "connect")
        assert status == 503
        assert "Traceback" not in page
        refused = site.ldapgw("sync", ALICE)
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        away.rename(state)
        wait_until(lambda: "can be used again" in gateway.said, "the log says that it is back")
        files = list(state.glob("ldapgw.db*"))
        for file in files:
            file.rename(away.with_name(file.name))
        for command in (("phones", "add", "ghost"), ("accounts",), ("phones", "list")):
            refused = site.ldapgw(*command)
            assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
            assert "the database is gone" in refused.stderr
        assert found(site) == NUMBER
        for file in files:
            away.with_name(file.name).rename(file)
        site.synced()
        assert site.ldapgw("sync", ALICE, "--wait").returncode == 0
        assert found(site) == NUMBER
    assert gateway.said.count("phones are served from memory") <= 2
    assert "Traceback" not in gateway.said


def test_a_second_gateway_is_refused_with_the_first_ones_pid(site: Site) -> None:
    """One line, status 1; the first goes on."""
    with site.running() as first:
        second = Process(site.command("run"), site.folder / "second.log", site.folder)
        assert second.wait() == 1
        assert second.said == (
            f"ldapgw: state_dir = {site.folder / 'state'}: another gateway runs on it (process {first.pid})\n"
        )
        assert site.is_ready()


def test_a_database_that_is_lost_is_not_begun_anew(site: Site) -> None:
    """Whoever took it away has the phones and consents; one line says what to do."""
    with site.running():
        pass
    for file in (site.folder / "state").glob("ldapgw.db*"):
        file.unlink()
    for name, command in (("run", site.command("run")), ("twistd", [*TWISTD, str(site.file)])):
        refused = Process(command, site.folder / f"{name}.log", site.folder)
        assert refused.wait() == 1
        assert refused.said.count("the database is gone, and its key") == 1
        assert "Traceback" not in refused.said
    (site.folder / "state" / "ldapgw.key").unlink()
    with site.running(name="anew"):
        assert site.accounts() == []


def test_impatience_changes_nothing(site: Site) -> None:
    """A second signal is no reason for a traceback."""
    with site.running() as gateway:
        os.kill(gateway.pid, signal.SIGTERM)
        os.kill(gateway.pid, signal.SIGTERM)
        os.kill(gateway.pid, signal.SIGINT)
        assert gateway.wait() == 0
    assert "Traceback" not in gateway.said
    assert "Unhandled" not in gateway.said


def test_a_daemon_whose_port_is_taken_ends(site: Site) -> None:
    """Its parent is told, and does not wait for ever."""
    with site.running():
        (site.folder / "other").mkdir()
        other = Site(site.folder / "other")
        other.file.write_text(other.file.read_text().replace(str(other.ldap_port), str(site.ldap_port)))
        pidfile, logfile = other.folder / "twistd.pid", other.folder / "twistd.log"
        command = [TWISTD[0], f"--pidfile={pidfile}", f"--logfile={logfile}", "ldapgw", "--config", str(other.file)]
        refused = Process(command, other.folder / "daemon.log", other.folder)
        assert refused.wait() == 1
        assert "cannot be listened on" in refused.said
        wait_until(lambda: not pidfile.exists(), "the daemon is gone")


def test_a_daemon_serves_until_it_is_ended(site: Site) -> None:
    """Its process is the one that the lock file names."""
    pidfile, logfile = site.folder / "twistd.pid", site.folder / "twistd.log"
    command = [TWISTD[0], f"--pidfile={pidfile}", f"--logfile={logfile}", "ldapgw", "--config", str(site.file)]
    assert Process(command, site.folder / "daemon.log", site.folder).wait() == 0
    wait_until(site.is_ready, "the daemon serves")
    pid = int(pidfile.read_text())
    assert int((site.folder / "state" / "ldapgw.pid").read_text()) == pid
    site.add_phone("desk1", "--tenant", "acme")
    assert site.names() == []
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not pidfile.exists(), "the daemon is gone")
    assert "Traceback" not in logfile.read_text()


def test_a_port_that_is_taken_is_one_line(site: Site) -> None:
    """By whichever front door."""
    with site.running():
        other = Site(site.folder / "other") if (site.folder / "other").mkdir() is None else site
        other.file.write_text(other.file.read_text().replace(str(other.ldap_port), str(site.ldap_port)))
        for name, command in (("run", other.command("run")), ("twistd", [*TWISTD, str(other.file)])):
            refused = Process(command, other.folder / f"{name}.log", other.folder)
            assert refused.wait() == 1
            assert "Traceback" not in refused.said
            told = f'ldapgw: ldap.listen "tcp:{site.ldap_port}:interface=127.0.0.1": cannot be listened on: '
            assert told in refused.said
            assert refused.said.count("cannot be listened on") == 1


def test_a_bad_configuration_is_a_line_a_problem(site: Site) -> None:
    """By whichever front door; nothing is created."""
    site.file.write_text(
        site.file.read_text().replace("interval", "intervall").replace('region = "DE"', 'region = "XX"')
    )
    expected = [
        f"{site.file}: sync.intervall: is no key of this table; there are: concurrency, interval",
        f'{site.file}: tenant[1].region = "XX": expected the two-letter code of a country, such as "DE"',
    ]
    for name, command in (("run", site.command("run")), ("twistd", [*TWISTD, str(site.file)])):
        refused = Process(command, site.folder / f"{name}.log", site.folder)
        assert refused.wait() == 1
        assert "Traceback" not in refused.said
        for line in expected:
            assert line in refused.said
    assert not (site.folder / "state").exists()


@pytest_twisted.ensureDeferred
async def test_two_people_and_their_books(site: Site) -> None:
    """Each phone sees its own account's, and a callers' book gives names to numbers alone."""
    with site.running():
        await connected(site)
        assert (await site.consent(BOB)).status == 200
        wait_until(lambda: {a["state"] for a in site.accounts()} == {"ok"}, "both are synced")
        site.add_phone("desk2", "--account", BOB)
        assert not set(site.names()) & set(site.names("(sn=*)", phone="desk2"))
        assert site.ldapgw("share", ALICE, "callers").returncode == 0
        wait_until(
            lambda: "cn:: SsO2cmcgTcO8bGxlcg==" in site.ldapsearch("(telephoneNumber=03023125100)", phone="desk2")[1],
            "the caller's name shows",
        )
        assert site.names("(sn=müller)", phone="desk2") == site.names("(&(sn=müller)(givenName=*))", phone="desk2")
