# SPDX-License-Identifier: MIT
"""``record`` waits for the gateway to write a recording; ``replay`` says what differs.

What needs a running gateway is in ``journeys/test_recording.py``.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ldapgw.cli import record as record_module
from ldapgw.directory.filter import Scope, SearchRequest, Substrings
from ldapgw.phones.recording import Difference
from ldapgw.phones.recording_file import dump
from ldapgw.server.state_dir import KEY_FILE
from ldapgw.store import phones, recordings
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.store.recordings import MAX_RUNNING, STORE_SECONDS, RecordingPart
from tests.support.phonebook import BASE, phonebook
from tests.support.phonebook.recorded import record, requests
from tests.support.site.command_line import Gateway

MÜLLER = SearchRequest(BASE, Scope.WHOLE_SUBTREE, Substrings("cn", b"M\xc3\xbcller", (), None), attributes=("cn",))
ARGUMENTS = ("record", "--phone", "DESK1")


@pytest.fixture
def recorded(gateway: Gateway) -> Iterator[Gateway]:
    """A gateway that runs, with a phone."""
    assert gateway.secret_box
    with gateway.running():
        with gateway.begin() as connection:
            phones.add(connection, PhoneLogin("desk1", "acme", None, NumberMode.VALUES, "", 0.0))
        yield gateway


def step(monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], Any]) -> None:
    """What happens meanwhile, each time that the command waits."""
    left = iter(steps)
    monkeypatch.setattr(record_module.time, "sleep", lambda _seconds: next(left)())


def store(gateway: Gateway, searches: int = 2) -> None:
    """Do what two gateways do at the end of a recording."""
    with gateway.begin() as connection:
        stored = recordings.read(connection, "desk1")
        assert stored is not None
        for part in (RecordingPart(searches, "the recording of Müller\n"), RecordingPart(0, "of another gateway\n")):
            assert recordings.store_part(connection, gateway.secret_box, stored, part.content, part)


def pass_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait until the recording has ended and all gateways have stored their parts."""
    now = record_module.now()
    monkeypatch.setattr(record_module, "now", lambda: now + 600 + STORE_SECONDS)


def end_by_key() -> None:
    raise KeyboardInterrupt


def test_the_file_has_what_all_gateways_have_stored(
    recorded: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """For its owner alone to read."""
    step(monkeypatch, lambda: (store(recorded), pass_time(monkeypatch)))
    out = tmp_path / "out.jsonl"
    result = recorded.run(*ARGUMENTS, "--minutes", "5", "--out", str(out))
    assert (result.exit_code, result.stdout) == (0, f"{out}: 2 searches of desk1\n")
    assert result.stderr == "The file has pseudonyms; treat it as personal data.\n"
    assert (out.read_text(), stat.S_IMODE(out.stat().st_mode)) == (
        *("of another gateway\nthe recording of Müller\n", 0o600),
    )
    with recorded.begin() as connection:
        stored = recordings.read(connection, "desk1")
    assert stored is not None
    assert (stored.until - stored.begun_at, stored.is_plain) == (300.0, False)


def test_a_name_for_the_file_is_found(recorded: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the current folder; a plain recording is taken away from the gateway."""
    monkeypatch.chdir(tmp_path)
    step(monkeypatch, lambda: (store(recorded, 1), pass_time(monkeypatch)))
    result = recorded.run(*ARGUMENTS, "--plain")
    [file] = tmp_path.glob("desk1-*.jsonl")
    assert result.stdout == f"{file.name}: 1 search of desk1\n"
    assert result.stderr == "The file has real names and numbers.\n"
    with recorded.begin() as connection:
        assert recordings.read(connection, "desk1") is None


def test_ctrl_c_ends_the_recording_and_not_the_command(
    recorded: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What was recorded until then is written, once the gateways have had time to store it."""
    untils = []

    def note_and_store() -> None:
        with recorded.begin() as connection:
            stored = recordings.read(connection, "desk1")
        assert stored is not None
        untils.append(stored.until - stored.begun_at)
        store(recorded)

    step(monkeypatch, end_by_key, note_and_store, lambda: pass_time(monkeypatch))
    assert recorded.run(*ARGUMENTS, "--out", str(tmp_path / "out")).exit_code == 0
    assert untils[0] < 60


@pytest.mark.parametrize("what", ["nothing", "killed", "replaced"])
def test_a_plain_recording_that_fails_is_deleted(
    recorded: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    """It has real names; another recording that has taken its place stays."""

    def happen() -> None:
        if what == "nothing":
            pass_time(monkeypatch)
        elif what == "killed":
            raise SystemExit(143)
        else:
            with recorded.begin() as connection:
                recordings.remove(connection, "desk1")
                recordings.begin(connection, "desk1", 1.0, 1e12, is_plain=False)

    step(monkeypatch, happen)
    assert recorded.run(*ARGUMENTS, "--plain", "--out", str(tmp_path / "out")).exit_code != 0
    with recorded.begin() as connection:
        assert [one.begun_at for one in recordings.read_all(connection)] == ([1.0] if what == "replaced" else [])
    assert not (tmp_path / "out").exists()


def test_a_recording_does_not_begin_without_the_key(recorded: Gateway, tmp_path: Path) -> None:
    """Which opens its file."""
    (recorded.state_dir / KEY_FILE).write_text("no key")
    assert KEY_FILE in recorded.refused(*ARGUMENTS, "--out", str(tmp_path / "out"))
    with recorded.begin() as connection:
        assert recordings.read(connection, "desk1") is None


@pytest.mark.parametrize("what", ["removed", "nothing"])
def test_a_recording_that_comes_to_nothing(
    recorded: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    """Leaves no file, and says why."""

    def remove() -> None:
        with recorded.begin() as connection:
            recordings.remove(connection, "desk1")

    happens, said = {
        "removed": (remove, "the recording of desk1 was removed\n"),
        "nothing": (
            lambda: pass_time(monkeypatch),
            "desk1 sent nothing while it was recorded; if it did, see the gateway's log\n",
        ),
    }[what]
    step(monkeypatch, happens)
    out = tmp_path / "out"
    assert recorded.refused(*ARGUMENTS, "--out", str(out)) == said
    assert not out.exists()


def test_what_cannot_be_recorded(gateway: Gateway, tmp_path: Path) -> None:
    """Without a gateway that runs, an unknown phone, twice at a time, too many at a time, into a file that is there."""
    out = str(tmp_path / "out")
    assert gateway.refused(*ARGUMENTS) == (
        "the gateway isn't running, so there is nothing to record; start it with: ldapgw run\n"
    )
    assert gateway.secret_box
    with gateway.running():
        with gateway.begin() as connection:
            for at in range(MAX_RUNNING + 1):
                phones.add(connection, PhoneLogin(f"desk{at}", "acme", None, NumberMode.VALUES, "", 0.0))
        assert (
            gateway.refused("record", "--phone", "desk99") == "there is no phone named desk99; see ldapgw phones list\n"
        )
        with gateway.begin() as connection:
            recordings.begin(connection, "desk1", 0.0, 1e12, is_plain=False)
        assert "desk1 is already being recorded" in gateway.refused(*ARGUMENTS, "--out", out)
        with gateway.begin() as connection:
            for at in range(2, MAX_RUNNING + 1):
                recordings.begin(connection, f"desk{at}", 0.0, 1e12, is_plain=False)
        assert "8 phones are already being recorded" in gateway.refused("record", "--phone", "desk0", "--out", out)
        there = tmp_path / "there"
        there.touch()
        assert gateway.refused(*ARGUMENTS, "--out", str(there)) == f"{there}: cannot be created: File exists\n"
    assert not Path(out).exists()


def test_a_replay_without_differences(gateway: Gateway, tmp_path: Path) -> None:
    """Says how many searches there were, and what was left out, of all parts."""
    file = tmp_path / "file"
    recording = record(phonebook(), requests(MÜLLER))
    file.write_text(dump(recording))
    result = gateway.run("replay", str(file))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "1 search was asked.\n")
    [search] = recording.searches
    noted = replace(search, found=(), note=Difference((), search.found, 0))
    unbound = replace(search, is_bound=False)
    other = replace(recording, left_out=2, is_cut=True, searches=(noted, unbound))
    file.write_text(dump(recording) + dump(other))
    result = gateway.run("replay", str(file))
    assert (result.exit_code, result.stderr.splitlines()) == (
        0,
        [
            "2 searches were asked.",
            "Not asked, as the phone had not signed in: 1",
            "Noted in the recording, as pseudonyms change what these searches find: 1",
            "Messages left out of the recording, as they may hold a password or cannot be read: 2",
            "The phone sent more than a recording holds.",
        ],
    )
    assert gateway.json("replay", str(file)) == {"searches": 3, "differences": []}


def test_differences_are_shown(gateway: Gateway, tmp_path: Path) -> None:
    """With the filter, what is missing, what came in addition, and the result."""
    recording = record(phonebook(), requests(MÜLLER, replace(MÜLLER, base="uid=nobody")))
    first, *others = recording.entries
    renamed = replace(first, dn=first.dn.replace("uid=", "uid=x-"))
    searches = (recording.searches[0], replace(recording.searches[1], code=50))
    file = tmp_path / "file"
    file.write_text(dump(replace(recording, entries=(renamed, *others), searches=searches)))
    result = gateway.run("replay", str(file))
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "   1.000 s  (cn=Müller*)",
        f"    base     {BASE}",
        f"    missing  {first.dn}",
        f"    surplus  {renamed.dn}",
        "   2.000 s  (cn=Müller*)",
        "    base     uid=nobody",
        "    result   50 (insufficient_access_rights) in the recording, 32 (no_such_object) now",
    ]
    assert result.stderr == "2 searches were asked.\nldapgw: 2 searches differ\n"
    shown = gateway.run("replay", str(file), "--json")
    assert json.loads(shown.stdout)["differences"][0] == {
        "at": 1.0,
        "filter": "(cn=Müller*)",
        "base": BASE,
        "code": {"recorded": 0, "now": 0},
        "missing": [first.dn],
        "surplus": [renamed.dn],
    }


def test_no_recording_is_replayed(gateway: Gateway, tmp_path: Path) -> None:
    """And no address that is none."""
    file = tmp_path / "file"
    file.write_bytes(b"\xff")
    assert gateway.refused("replay", str(file)) == f"{file}: line 1: this is no line of a recording\n"
    file.write_text(dump(record(phonebook(), requests(MÜLLER))))
    password = tmp_path / "password"
    password.write_text("secret\n")
    for url in ("http://localhost", "ldap://", "ldap://a:b"):
        refused = gateway.refused("replay", str(file), "--url", url, "--password-file", str(password))
        assert refused == f"--url {url}: expected ldap://HOST:PORT or ldaps://HOST:PORT\n"
    refused = gateway.refused("replay", str(file), "--url", "ldap://127.0.0.1:1", "--password-file", str(password))
    assert refused == "ldap://127.0.0.1:1: no connection: Connection refused\n"
