# SPDX-License-Identifier: MIT
"""A phone is recorded while it searches; the file names nobody, and each search finds in it what it found.

The command and the gateway are two processes that meet in the database.
"""

from __future__ import annotations

import json
import signal
import stat
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from ldapgw.phones.recording import load
from tests.journeys.test_serving import connected
from tests.support.site.running import Process, Site, new_site, wait_until

pytestmark = pytest.mark.long  # starts a gateway; tests/phones has recordings without

WRONG = "wrong-secret"
# Names, numbers and the login are made of these words; the last one was typed as a password.
REAL = ("Jörg", "Müller", "Mueller", "23125", "desk1", "acme", "alice", WRONG)


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[tuple[Site, Process]]:
    with new_site(tmp_path) as site:
        with site.running() as gateway:
            pytest_twisted.blockon(Deferred.fromCoroutine(connected(site)))
            yield site, gateway
        assert "Traceback" not in gateway.said


def searched(site: Site) -> None:
    """By name and by number, for nobody, and with a wrong password."""
    assert site.ldapsearch("(|(cn=mü*)(sn=mü*))", "cn", "telephoneNumber")[0] == 0
    assert site.ldapsearch("(telephoneNumber=03023125100)", "cn")[0] == 0
    assert site.ldapsearch("(cn=nobody*)", "cn")[0] == 0
    password, site.phones["desk1"] = site.phones["desk1"], WRONG
    assert site.ldapsearch("(cn=mü*)")[0] != 0
    site.phones["desk1"] = password


def record(site: Site, gateway: Process, out: Path, *more: str) -> None:
    """A recording that Ctrl-C ends after a few searches."""
    begun = gateway.said.count("is being recorded")
    command = site.command("record", "--phone", "desk1", "--out", str(out), *more)
    recording = Process(command, site.folder / f"{out.name}.log", site.folder)
    wait_until(lambda: gateway.said.count("is being recorded") > begun, "the gateway records the phone")
    searched(site)
    recording.send(signal.SIGINT)
    assert recording.wait() == 0, recording.said


def everything(file: Path) -> str:
    """The text of a file, and its requests decoded as far as they are text."""
    text = file.read_text()
    requests = [json.loads(line).get("request", "") for line in text.splitlines()]
    octets = b"".join(map(b64decode, requests))
    return text + octets.decode("utf-8", "replace") + octets.decode("latin-1")


def test_a_phone_is_recorded_and_its_searches_are_repeated(recorded: tuple[Site, Process], tmp_path: Path) -> None:
    """The file names nobody, and plays without the gateway; a file with real names plays against the gateway."""
    site, gateway = recorded
    file = tmp_path / "one.jsonl"
    record(site, gateway, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [word for word in REAL if word.lower() in everything(file).lower()] == []
    [recording] = load(file.read_text())
    assert [(len(one.found), one.note) for one in recording.searches] == [(1, None), (1, None), (0, None)]
    assert [one.code for one in recording.binds] == [0, 0, 0, 49]
    assert (recording.left_out, recording.is_cut) == (0, False)
    replayed = site.ldapgw("replay", str(file))
    assert (replayed.returncode, replayed.stdout) == (0, ""), replayed.stderr

    plain, password = tmp_path / "plain.jsonl", tmp_path / "password"
    record(site, gateway, plain, "--plain")
    assert "Müller" in everything(plain)
    assert [word for word in (WRONG, site.phones["desk1"]) if word in everything(plain)] == []
    password.write_text(site.phones["desk1"])
    url = f"ldap://127.0.0.1:{site.ldap_port}"
    for is_different in (False, True):
        replayed = site.ldapgw("replay", str(plain), "--url", url, "--password-file", str(password))
        assert (replayed.returncode, replayed.stdout.count("surplus")) == (is_different, is_different), replayed.stderr
        person = {"names": [{"givenName": "M", "familyName": "Mühe"}]}
        site.turn("add-person", account="alice@acme.example", person=person)
        assert site.ldapgw("sync", "--wait").returncode == 0
