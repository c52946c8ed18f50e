# SPDX-License-Identifier: MIT
"""``record`` waits for the gateway to write a recording; ``replay`` shows differences.

What needs a running gateway is in ``journeys/test_recording.py``.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import NoReturn

import pytest
from click.testing import Result

from ldapgw.ber import integer, octets, tlv
from ldapgw.cli import record as record_module
from ldapgw.directory.filter import Scope, SearchRequest, Substrings
from ldapgw.phones.recording import Difference, dump
from ldapgw.server.state_dir import KEY_FILE
from ldapgw.store import phones, recordings
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.store.recordings import MAX_RUNNING, STORE_SECONDS, RecordingPart
from tests.support import pdu
from tests.support.phonebook import BASE, phonebook
from tests.support.phonebook.recorded import record, requests
from tests.support.site.command_line import Gateway

MÜLLER = SearchRequest(BASE, Scope.WHOLE_SUBTREE, Substrings("cn", b"M\xc3\xbcller", (), None), attributes=("cn",))
ARGUMENTS = ("record", "--phone", "DESK1")


@pytest.fixture
def recorded(gateway: Gateway) -> Iterator[Gateway]:
    """Yield a running gateway with a phone."""
    assert gateway.secret_box
    with gateway.running():
        gateway.do(phones.add, PhoneLogin("desk1", "acme", None, NumberMode.VALUES, "", 0.0))
        yield gateway


class Waiting:
    """The steps happen while the command waits."""

    def __init__(self, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gateway, self.monkeypatch = gateway, monkeypatch
        self.lasted: list[float] = []

    def run(self, steps: str, *arguments: str) -> Result:
        left = iter(steps.split())
        self.monkeypatch.setattr(record_module.time, "sleep", lambda _seconds: getattr(self, next(left))())
        return self.gateway.run(*ARGUMENTS, *arguments)

    def store(self, searches: int = 2) -> None:
        """Store the parts of two gateways, and note how long the recording lasts."""
        with self.gateway.begin() as connection:
            stored = recordings.read(connection, "desk1")
            assert stored is not None
            for part in (
                RecordingPart(searches, "the recording of Müller\n"),
                RecordingPart(0, "of another gateway\n"),
            ):
                assert recordings.store_part(connection, self.gateway.secret_box, stored, part.content, part)
        self.lasted.append(stored.until - stored.begun_at)

    def store_one(self) -> None:
        self.store(searches=1)

    def wait(self) -> None:
        """Wait until the recording has ended, and gateways have had the time to store their parts."""
        now = record_module.now()
        self.monkeypatch.setattr(record_module, "now", lambda: now + 600 + STORE_SECONDS)

    def interrupt(self) -> NoReturn:
        raise KeyboardInterrupt

    def terminate(self) -> NoReturn:
        raise SystemExit(143)

    def fill_disk(self) -> None:
        def fdopen(*_: object, **__: object) -> NoReturn:
            raise OSError(errno.ENOSPC, "No space left on device")

        self.monkeypatch.setattr(os, "fdopen", fdopen)

    def remove(self) -> None:
        self.gateway.do(recordings.remove, "desk1")

    def replace(self) -> None:
        self.remove()
        self.gateway.do(recordings.begin, "desk1", 1.0, 1e12, is_plain=False)


SEARCHES = "{file}: 2 searches of desk1\n"
PSEUDONYMS, REAL = "The file has pseudonyms; treat it as personal data.\n", "The file has real names and numbers.\n"
REMOVED = "ldapgw: the recording of desk1 was removed\n"
NOTHING = "ldapgw: desk1 sent nothing during the recording; if the phone was used, see the gateway's log\n"

# Each row has the steps while the command waits, more arguments, the exit status, stdout, stderr, and whether the
# gateway then has the recording (None: another recording).  The command always deletes a plain recording.
ENDS = {
    "stored": ("store wait", (), 0, SEARCHES, PSEUDONYMS, True),
    "stopped": ("interrupt store wait", (), 0, SEARCHES, PSEUDONYMS, True),
    "plain": ("store_one wait", ("--plain",), 0, "{file}: 1 search of desk1\n", REAL, False),
    "full disk": (
        "store fill_disk wait",
        (),
        1,
        "",
        "ldapgw: {file}: cannot be written: No space left on device\n",
        True,
    ),
    "nothing": ("wait", (), 1, "", NOTHING, True),
    "plain, nothing": ("wait", ("--plain",), 1, "", NOTHING, False),
    "removed": ("remove", (), 1, "", REMOVED, False),
    "plain, replaced": ("replace", ("--plain",), 1, "", REMOVED, None),
    "plain, terminated": ("terminate", ("--plain",), 143, "", "", False),
}


@pytest.mark.parametrize("end", ENDS)
def test_how_a_recording_ends(recorded: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: str) -> None:
    """The command writes the parts of all gateways into a file for the caller alone, or says why there is no file."""
    steps, arguments, status, stdout, stderr, stays = ENDS[end]
    waiting = Waiting(recorded, monkeypatch)
    out = tmp_path / "out.jsonl"
    result = waiting.run(steps, "--minutes", "5", "--out", str(out), *arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (
        status,
        stdout.format(file=out),
        stderr.format(file=out),
    )
    left = recorded.do(recordings.read, "desk1")
    assert (left is not None, left is not None and left.begun_at == 1.0) == (stays is not False, stays is None)
    if status:
        assert not out.exists()
        return
    assert (out.read_text(), stat.S_IMODE(out.stat().st_mode)) == (
        *("of another gateway\nthe recording of Müller\n", 0o600),
    )
    [lasted] = waiting.lasted
    assert lasted < 60 if end == "stopped" else lasted == 300
    assert left is None or not left.is_plain


def test_a_name_for_the_file_is_found(recorded: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The file is in the current folder; the phone is recorded for ten minutes."""
    monkeypatch.chdir(tmp_path)
    waiting = Waiting(recorded, monkeypatch)
    result = waiting.run("store wait")
    [file] = tmp_path.glob("desk1-*.jsonl")
    assert (result.stdout, waiting.lasted) == (SEARCHES.format(file=file.name), [600])


def test_a_recording_does_not_begin_without_the_key(recorded: Gateway, tmp_path: Path) -> None:
    """Without the key the file could not be opened later."""
    (recorded.state_dir / KEY_FILE).write_text("no key")
    assert KEY_FILE in recorded.refused(*ARGUMENTS, "--out", str(tmp_path / "out"))
    assert recorded.do(recordings.read, "desk1") is None


def test_what_cannot_be_recorded(gateway: Gateway, tmp_path: Path) -> None:
    """The command needs a running gateway, a known phone, a free recording, and a new file."""
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
        gateway.do(recordings.begin, "desk1", 0.0, 1e12, is_plain=False)
        assert gateway.refused(*ARGUMENTS, "--out", out) == (
            "desk1 is already being recorded; end the recording on the phone's page, or wait\n"
        )
        with gateway.begin() as connection:
            for at in range(2, MAX_RUNNING + 1):
                recordings.begin(connection, f"desk{at}", 0.0, 1e12, is_plain=False)
        assert gateway.refused("record", "--phone", "desk0", "--out", out) == (
            "8 phones are already being recorded; wait until a recording ends\n"
        )
        there = tmp_path / "there"
        there.touch()
        assert gateway.refused(*ARGUMENTS, "--out", str(there)) == f"{there}: cannot be created: File exists\n"
    assert not Path(out).exists()


def test_a_replay_without_differences(gateway: Gateway, tmp_path: Path) -> None:
    """The command counts the repeated searches of all parts, and says what was left out."""
    file = tmp_path / "file"
    recording = record(phonebook(), requests(MÜLLER))
    file.write_text(dump(recording))
    result = gateway.run("replay", str(file))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "1 search was repeated.\n")
    [search] = recording.searches
    noted = replace(search, found=(), note=Difference((), search.found, 0))
    unbound = replace(search, is_bound=False)
    other = replace(recording, left_out=2, is_cut=True, searches=(noted, unbound))
    file.write_text(dump(recording) + dump(other))
    result = gateway.run("replay", str(file))
    assert (result.exit_code, result.stderr.splitlines()) == (
        0,
        [
            "2 searches were repeated.",
            "Searches not repeated, because the phone had not signed in: 1",
            "Searches whose results were changed by pseudonyms, according to the recording: 1",
            "Messages left out of the recording, because they may contain a password or cannot be read: 2",
            "The recording is incomplete, because the phone sent more than a recording can have.",
        ],
    )
    assert gateway.json("replay", str(file)) == {"searches": 3, "differences": []}


def test_differences_are_shown(gateway: Gateway, tmp_path: Path) -> None:
    """The command shows the filter, missing and surplus entries, and the result."""
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
    assert result.stderr == "2 searches were repeated.\nldapgw: 2 searches differ\n"
    shown = gateway.run("replay", str(file), "--json")
    assert json.loads(shown.stdout)["differences"][0] == {
        "at": 1.0,
        "filter": "(cn=Müller*)",
        "base": BASE,
        "code": {"recorded": 0, "now": 0},
        "missing": [first.dn],
        "surplus": [renamed.dn],
    }
    file.write_text(dump(replace(recording, searches=searches[1:])))
    assert gateway.run("replay", str(file)).stderr == "1 search was repeated.\nldapgw: 1 search differs\n"


def test_no_recording_is_replayed(gateway: Gateway, tmp_path: Path) -> None:
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


def result(tag: int, code: int) -> bytes:
    return pdu.message(1, tlv(tag, integer(code, 0x0A) + octets(b"") + octets(b"")))


@pytest.mark.parametrize(
    ("answer", "options", "said"),
    [
        (result(0x61, 49), (), "the login cn=desk1,{phones} is refused: 49 (invalid_credentials)"),
        (result(0x61, 49), ("--bind-dn", "hall"), "the login hall is refused: 49 (invalid_credentials)"),
        (result(0x78, 2), ("--start-tls",), "the gateway has no TLS"),
        (b"", (), "the gateway has closed the connection"),
        (b"HTTP/1.1 400 Bad Request\r\n", (), "no answer: message: not an LDAPMessage"),
    ],
)
def test_a_gateway_that_does_not_answer_as_one_is_named(
    gateway: Gateway, tmp_path: Path, answer: bytes, options: tuple[str, ...], said: str
) -> None:
    """The line says what is wrong with the answer."""
    file, password = tmp_path / "file", tmp_path / "password"
    file.write_text(dump(record(phonebook(), requests(MÜLLER))))
    password.write_text("secret\n")

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"ldap://127.0.0.1:{listener.getsockname()[1]}"
        server = Thread(target=serve)
        server.start()
        refused = gateway.refused("replay", str(file), "--url", url, "--password-file", str(password), *options)
        server.join()
    assert refused == f"{url}: {said.format(phones=f'ou=phones,{BASE}')}\n"
