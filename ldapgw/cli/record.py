# SPDX-License-Identifier: MIT
"""``record`` and ``replay``: write a file with what a phone sends and gets, and repeat the phone's searches."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

import click

from ldapgw.ber import SEQUENCE, BerReader, integer, octets, tlv
from ldapgw.cli.help import examples
from ldapgw.cli.output import console, hint, new_file, print_json, print_line
from ldapgw.cli.site import Site, act, as_json, find_phone, now, pass_site
from ldapgw.directory.schema import configure_aliases
from ldapgw.errors import ProtocolViolation, ResultCode, UserError
from ldapgw.ldap.framing import Framer
from ldapgw.ldap.messages import BindRequest, Simple
from ldapgw.phones.recording import Recording, Response, encode_bind, exchanges
from ldapgw.phones.recording_file import load
from ldapgw.phones.replay import MAX_RESPONSE, Answers, Difference, RecordedGateway
from ldapgw.phones.replay import replay as replay_recording
from ldapgw.server.state_dir import lock_holder_pid
from ldapgw.store import activity, gateways, recordings
from ldapgw.store.activity import Act
from ldapgw.store.database import Database
from ldapgw.store.recordings import NotBegun, StoredRecording
from ldapgw.store.secrets import SecretBox

POLL_SECONDS = 1.0
# After the end the gateway looks for stand-ins, in another process: seconds for a long recording.
WRITE_TIMEOUT_SECONDS = 600
MAX_MINUTES = 60
# Seconds for each answer.
NETWORK_TIMEOUT = 30.0
_REMOVED = "the recording of {phone} was removed, or could not be written; see the log"
_STOPPED = (
    "the gateway has stopped; the recording continues when it starts, and its file will be on the page of {phone}"
)
_PLAIN_STOPPED = "the gateway has stopped, and the recording was deleted"
_PORTS = {"ldap": 389, "ldaps": 636}
_START_TLS = tlv(SEQUENCE, integer(1) + tlv(0x77, octets(b"1.3.6.1.4.1.1466.20037", 0x80)))


@click.command(
    epilog=examples("ldapgw record --phone desk1", "ldapgw record --phone desk1 --minutes 3 --out desk1.jsonl")
)
@click.option("--phone", "name", required=True, metavar="NAME", help="The phone to record.")
@click.option(
    "--minutes",
    type=click.IntRange(1, MAX_MINUTES),
    default=10,
    show_default=True,
    help="How long to record; Ctrl-C stops earlier.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write. Default: NAME-TIME.jsonl in this folder.",
)
@click.option("--plain", is_flag=True, help="Keep real names, numbers and addresses: don't share such a file.")
@pass_site
def record(site: Site, name: str, minutes: int, out: Path | None, *, plain: bool) -> None:
    """Record what a phone sends and receives.

    Send the file to somebody who helps you find a problem. Names, numbers, addresses, the base DN and the login are
    replaced with made-up ones. The password is left out.
    """
    if lock_holder_pid(site.state_dir) is None:
        raise UserError("the gateway isn't running, so there is nothing to record; start it with: ldapgw run")
    with site.open_store() as database:
        with database.begin() as connection:
            login = find_phone(connection, name)
        phone = login.name
        target = out or Path(f"{phone}-{time.strftime('%Y%m%d-%H%M%S')}.jsonl")
        secret_box = SecretBox.open(site.key_source, create=False)
        with new_file(target) as file:
            begun_at = now()
            try:
                with database.begin() as connection:
                    refused = recordings.begin(connection, phone, begun_at, begun_at + 60 * minutes, is_plain=plain)
                    if refused is None:
                        activity.record(connection, act(login.tenant, Act.RECORDING_BEGUN, phone))
                if refused is NotBegun.RUNS:
                    raise UserError(f"{phone} is already being recorded; stop that on its page, or wait until it ends")
                if refused is not None:
                    raise UserError(f"{recordings.MAX_RUNNING} phones are already being recorded; wait until one ends")
                written = _wait(site, database, phone, begun_at)
                with database.begin() as connection:
                    content = recordings.read_file(connection, secret_box, phone, is_plain=plain)
                if content is None:
                    raise UserError(_REMOVED.format(phone=phone))
                try:
                    with os.fdopen(file, "w", encoding="utf-8", closefd=False) as text:
                        text.write(content)
                except OSError as error:
                    raise UserError(f"{target}: cannot be written: {error.strerror}") from None
            finally:
                if plain:  # nobody else could get the file
                    with database.begin() as connection:
                        recordings.remove(connection, phone, begun_at)
    searches = "1 search" if written.searches == 1 else f"{written.searches} searches"
    print_line(f"{target}: {searches} of {phone}")
    if plain:
        hint("The file has real names and numbers.")


def _is_anyone_recording(site: Site, database: Database) -> bool:
    """Whether this gateway runs, or another one on its database, which goes on without it."""
    if lock_holder_pid(site.state_dir) is not None:
        return True
    if not database.runs_beside:
        return False
    with database.begin_read() as connection:
        return any(one.is_alive for one in gateways.read_all(connection))


def _wait(site: Site, database: Database, phone: str, begun_at: float) -> StoredRecording:
    """Wait until the file of a recording is written; Ctrl-C ends the recording.

    :raises UserError: when there will be no file.
    """
    with console(stderr=True).status("") as status:
        while True:
            try:
                with database.begin() as connection:
                    stored = recordings.read(connection, phone)
                if stored is None or stored.begun_at != begun_at:
                    raise UserError(_REMOVED.format(phone=phone))
                if stored.has_file:
                    return stored
                if not _is_anyone_recording(site, database):
                    raise UserError(_PLAIN_STOPPED if stored.is_plain else _STOPPED.format(phone=phone))
                left = stored.until - now()
                if left < -WRITE_TIMEOUT_SECONDS:
                    raise UserError(f"the recording of {phone} was not written; see the gateway's log")
                status.update(f"Recording {phone}: {left / 60:.0f} min left" if left > 0 else "Writing the recording")
                time.sleep(POLL_SECONDS)
            except KeyboardInterrupt:
                with database.begin() as connection:
                    recordings.end(connection, phone, now())


@click.command(
    epilog=examples("ldapgw replay desk1.jsonl", "ldapgw replay desk1.jsonl --url ldaps://phonebook.example.com")
)
@click.argument("file", type=click.File(encoding="utf-8", errors="replace"))
@click.option("--url", metavar="URL", help="Ask this gateway (ldap:// or ldaps://). Default: the entries in the file.")
@click.option("--start-tls", is_flag=True, help="Use StartTLS on a connection to ldap://.")
@click.option("--ca-file", type=click.Path(exists=True, dir_okay=False), help="Certificates of a private CA.")
@click.option("--bind-dn", metavar="DN", help="The login at the gateway. Default: the one in the recording.")
@click.option(
    "--password-file", type=click.File(encoding="utf-8"), help="A file with the login's password on its first line."
)
@as_json
def replay(
    file: TextIO,
    *,
    url: str | None,
    start_tls: bool,
    ca_file: str | None,
    bind_dn: str | None,
    password_file: TextIO | None,
    as_json: bool,
) -> None:
    """Repeat the searches of a recording.

    Shows what differs. The exit status is 1 if something does.
    """
    try:
        recording = load(file.read())
    except UserError as error:
        raise UserError(f"{file.name}: {error}") from None
    configure_aliases(recording.attribute_aliases)
    gateway = None
    if url is not None:
        password = password_file.readline().strip() if password_file is not None else _ask_password()
        gateway = _Gateway(url, bind_dn or recording.login, password, ca_file, start_tls=start_tls)
    connect = gateway.connect if gateway is not None else RecordedGateway(recording).connect
    try:
        differences = replay_recording(recording, connect)
    finally:
        if gateway is not None:
            gateway.close()
    count = len(exchanges(recording))
    if as_json:
        print_json({"searches": count, "differences": [_json_object(one) for one in differences]})
    else:
        for one in differences:
            for line in _lines(one):
                print_line(line)
        _print_end(recording, count)
    if differences:
        raise UserError("1 search differs" if len(differences) == 1 else f"{len(differences)} searches differ")


def _ask_password() -> str:
    return str(click.prompt("Password at the gateway", hide_input=True, err=True)).strip()


def _print_end(recording: Recording, count: int) -> None:
    hint("1 search was asked." if count == 1 else f"{count} searches were asked.")
    if recording.searches_left_out:
        hint(f"Left out of the recording, as stand-ins find something else: {recording.searches_left_out}")
    if recording.left_out:
        hint(f"Messages left out of the recording, as they may hold a password or cannot be read: {recording.left_out}")
    if recording.is_cut:
        hint("The phone sent more than a recording holds.")


def _json_object(one: Difference) -> dict[str, Any]:
    return {
        "at": one.exchange.message.at,
        "filter": one.exchange.text or None,
        "base": one.exchange.search.base if one.exchange.search is not None else None,
        "code": {"recorded": one.exchange.code, "now": one.code},
        "missing": one.missing,
        "surplus": one.surplus,
    }


def _lines(one: Difference) -> Iterator[str]:
    yield f"{one.exchange.message.at:8.3f} s  {one.exchange.text or 'a search that cannot be read'}"
    if one.exchange.search is not None:
        yield f"    base     {one.exchange.search.base}"
    if one.code != one.exchange.code:
        yield f"    result   {_code(one.exchange.code)} in the recording, {_code(one.code)} now"
    yield from (f"    missing  {dn}" for dn in one.missing)
    yield from (f"    surplus  {dn}" for dn in one.surplus)


def _code(code: int | None) -> str:
    if code is None:
        return "no answer"
    return f"{code} ({ResultCode(code).name.lower()})" if code in {*ResultCode} else str(code)


class _Gateway:
    """The way to a gateway over the network.

    Mutable: the open connections.

    :raises UserError: when the address is no address of a directory.
    """

    def __init__(self, url: str, bind_dn: str, password: str, ca_file: str | None, *, start_tls: bool) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise UserError(f"--url {url}: expected ldap://HOST:PORT or ldaps://HOST:PORT") from None
        if parts.scheme not in _PORTS or not parts.hostname:
            raise UserError(f"--url {url}: expected ldap://HOST:PORT or ldaps://HOST:PORT")
        self.url = url
        self.bind_dn = bind_dn
        self.password = password
        self._address = parts.hostname, port or _PORTS[parts.scheme]
        self._is_tls = parts.scheme == "ldaps"
        self._start_tls = start_tls and not self._is_tls
        self._ca_file = ca_file
        self._open: list[socket.socket] = []

    def connect(self) -> Answers:
        """Open a connection.

        :raises UserError: when that fails.
        """
        try:
            opened = socket.create_connection(self._address, NETWORK_TIMEOUT)
            self._open.append(opened)
            if self._start_tls:
                [answer] = _NetworkConnection(self, opened).ask(_START_TLS)
                if Response.read(answer).code != ResultCode.SUCCESS:
                    raise UserError(f"{self.url}: the gateway has no TLS")
            if self._is_tls or self._start_tls:
                context = ssl.create_default_context(cafile=self._ca_file)
                opened = context.wrap_socket(opened, server_hostname=self._address[0])
                self._open.append(opened)
        except (OSError, ProtocolViolation) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise UserError(f"{self.url}: no connection: {reason}") from None
        return _NetworkConnection(self, opened)

    def close(self) -> None:
        for one in self._open:
            one.close()


class _NetworkConnection:
    """A connection to a gateway."""

    def __init__(self, gateway: _Gateway, opened: socket.socket) -> None:
        self._gateway = gateway
        self._socket = opened
        self._framer = Framer(MAX_RESPONSE)

    def bind(self) -> None:
        """Bind with the login.

        :raises UserError: when the login is refused.
        """
        request = BindRequest(3, self._gateway.bind_dn, Simple(b""))
        [answer] = self.ask(encode_bind(1, request, self._gateway.password.encode()))
        code = Response.read(answer).code
        if code != ResultCode.SUCCESS:
            raise UserError(f"{self._gateway.url}: the login {self._gateway.bind_dn} is refused: {_code(code)}")

    def search(self, request: bytes) -> Sequence[bytes]:
        return self.ask(request)

    def ask(self, request: bytes) -> Sequence[bytes]:
        """The messages up to the result of a request.

        :raises UserError: when there is no answer.
        """
        message = BerReader.over(request).enter(SEQUENCE, "message")
        message_id = message.integer("messageID")
        answers = []
        try:
            self._socket.sendall(request)
            while True:
                answer = self._framer.take()
                if answer is None:
                    octets_read = self._socket.recv(1 << 16)
                    if not octets_read:
                        raise UserError(f"{self._gateway.url}: the gateway has closed the connection")
                    self._framer.feed(octets_read)
                    continue
                response = Response.read(answer)
                if response.message_id != message_id:
                    continue
                answers.append(answer)
                if response.code is not None:
                    return answers
        except OSError as error:
            raise UserError(f"{self._gateway.url}: no answer: {error.strerror or error}") from None
