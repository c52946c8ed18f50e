# SPDX-License-Identifier: MIT
"""``record`` and ``replay``: write a file with what a phone sends and gets, and repeat the phone's searches."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

import click

from ldapgw.ber import SEQUENCE, integer, octets, tlv
from ldapgw.cli.output import console, counted, hint, new_file, print_json, print_line
from ldapgw.cli.root import examples
from ldapgw.cli.site import Site, act, as_json, find_phone, first_line, now, pass_site, password_option, read_file
from ldapgw.directory.filter import SearchRequest, to_string
from ldapgw.directory.schema import configure_aliases
from ldapgw.errors import ProtocolViolation, ResultCode, UserError
from ldapgw.ldap.decoder import Framer
from ldapgw.ldap.encoder import encode_search
from ldapgw.ldap.messages import BindRequest, Simple
from ldapgw.phones.recorder import MAX_RESPONSE
from ldapgw.phones.recording import Difference, RecordedSearch, Recording, Response, encode_bind, load
from ldapgw.phones.replay import RecordedDirectory, Result
from ldapgw.phones.replay import replay as replay_recording
from ldapgw.server.state_dir import lock_holder_pid
from ldapgw.store import activity, recordings
from ldapgw.store.activity import Act
from ldapgw.store.database import Database
from ldapgw.store.recordings import STORE_SECONDS, NotBegun, StoredRecording
from ldapgw.store.secrets import SecretBox

POLL_SECONDS = 1.0
MAX_MINUTES = 60
# The maximum number of seconds to wait for each answer of the gateway.
NETWORK_TIMEOUT = 30.0
_PORTS = {"ldap": 389, "ldaps": 636}
# The request that starts TLS (RFC 4511 4.14.1).
START_TLS = tlv(SEQUENCE, integer(1) + tlv(0x77, octets(b"1.3.6.1.4.1.1466.20037", 0x80)))


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

    Send the file to somebody who helps you find a problem. In place of names, numbers, addresses, the base DN and the
    login, the file has pseudonyms; treat the file as personal data. The password is left out.
    """
    if lock_holder_pid(site.state.path) is None:
        raise UserError("the gateway isn't running, so there is nothing to record; start it with: ldapgw run")
    with site.open_store() as database:
        with database.begin() as connection:
            login = find_phone(connection, name)
        phone = login.name
        target = out or Path(f"{phone}-{time.strftime('%Y%m%d-%H%M%S')}.jsonl")
        secret_box = SecretBox.open(site.state.key_source, create=False)
        with new_file(target) as write:
            begun_at = now()
            try:
                with database.begin() as connection:
                    find_phone(connection, phone)  # the phone may have been removed meanwhile
                    refused = recordings.begin(connection, phone, begun_at, begun_at + 60 * minutes, is_plain=plain)
                    if refused is None:
                        activity.record(connection, act(login.tenant, Act.RECORDING_BEGUN, phone))
                if refused is NotBegun.RUNS:
                    raise UserError(
                        f"{phone} is already being recorded; end the recording on the phone's page, or wait"
                    )
                if refused is not None:
                    raise UserError(
                        f"{recordings.MAX_RUNNING} phones are already being recorded; wait until a recording ends"
                    )
                stored = _wait(database, phone, begun_at)
                with database.begin() as connection:
                    content = recordings.read_file(connection, secret_box, phone, is_plain=plain)
                if content is None:
                    raise UserError(
                        f"{phone} sent nothing during the recording; if the phone was used, see the gateway's log"
                    )
                write(content.encode())
            finally:
                if plain:  # the stored recording is no longer needed, and has real names and numbers
                    with database.begin() as connection:
                        recordings.remove(connection, phone, begun_at)
    print_line(f"{target}: {counted(stored.searches or 0, 'search')} of {phone}")
    hint("The file has real names and numbers." if plain else "The file has pseudonyms; treat it as personal data.")


def _wait(database: Database, phone: str, begun_at: float) -> StoredRecording:
    """Wait until a recording has ended and the gateways have stored their parts; Ctrl-C ends the recording.

    :raises UserError: when the recording was removed.
    """
    with console(stderr=True).status("") as status:
        while True:
            try:
                with database.begin() as connection:
                    stored = recordings.read(connection, phone)
                if stored is None or stored.begun_at != begun_at:
                    raise UserError(f"the recording of {phone} was removed")
                left = stored.until - now()
                if left <= -STORE_SECONDS:
                    return stored
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
@click.option("--bind-dn", metavar="DN", help="The login at the gateway. Default: the login in the recording.")
@password_option
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

    The command shows the searches whose results differ from the recorded results. The exit status is 1 if a result
    differs.
    """
    text = read_file(file)
    try:
        parts = load(text)
    except UserError as error:
        raise UserError(f"{file.name}: {error}") from None
    differences: list[tuple[RecordedSearch, Difference]] = []
    with ExitStack() as stack:
        gateway = None
        if url is not None:
            password = first_line(password_file)
            if password is None:
                password = str(click.prompt("Password at the gateway", hide_input=True, err=True)).strip()
            gateway = _Gateway(url, stack, ca_file, start_tls=start_tls)
            gateway.bind(bind_dn or parts[0].login, password)
        for recording in parts:
            configure_aliases(recording.attribute_aliases)
            find = gateway.find if gateway is not None else RecordedDirectory(recording).find
            differences += [(recording.searches[at], found) for at, found in replay_recording(recording, find)]
    searches = [search for recording in parts for search in recording.searches]
    if as_json:
        print_json(
            {"searches": len(searches), "differences": [_json_object(*difference) for difference in differences]}
        )
    else:
        for difference in differences:
            for line in _lines(*difference):
                print_line(line)
        _print_end(parts, searches)
    if differences:
        raise UserError("1 search differs" if len(differences) == 1 else f"{len(differences)} searches differ")


def _print_end(parts: Sequence[Recording], searches: Sequence[RecordedSearch]) -> None:
    asked = sum(search.is_bound for search in searches)
    hint("1 search was repeated." if asked == 1 else f"{asked} searches were repeated.")
    if asked < len(searches):
        hint(f"Searches not repeated, because the phone had not signed in: {len(searches) - asked}")
    noted = sum(search.note is not None for search in searches)
    if noted:
        hint(f"Searches whose results were changed by pseudonyms, according to the recording: {noted}")
    left_out = sum(recording.left_out for recording in parts)
    if left_out:
        hint(f"Messages left out of the recording, because they may contain a password or cannot be read: {left_out}")
    if any(recording.is_cut for recording in parts):
        hint("The recording is incomplete, because the phone sent more than a recording can have.")


def _json_object(search: RecordedSearch, difference: Difference) -> dict[str, Any]:
    return {
        "at": search.at,
        "filter": to_string(search.request.filter),
        "base": search.request.base,
        "code": {"recorded": search.code, "now": difference.code},
        "missing": difference.missing,
        "surplus": difference.surplus,
    }


def _lines(search: RecordedSearch, difference: Difference) -> Iterator[str]:
    yield f"{search.at:8.3f} s  {to_string(search.request.filter)}"
    yield f"    base     {search.request.base}"
    if difference.code != search.code:
        yield f"    result   {_code(search.code)} in the recording, {_code(difference.code)} now"
    yield from (f"    missing  {dn}" for dn in difference.missing)
    yield from (f"    surplus  {dn}" for dn in difference.surplus)


def _code(code: int | None) -> str:
    if code is None:
        return "no answer"
    return f"{code} ({ResultCode(code).name.lower()})" if code in {*ResultCode} else str(code)


class _Gateway:
    """A connection to a gateway over the network.

    :param stack: the stack that closes the connection.
    :raises UserError: when the URL is not an LDAP URL, or no gateway answers at the URL.
    """

    def __init__(self, url: str, stack: ExitStack, ca_file: str | None, *, start_tls: bool) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or _PORTS[parts.scheme]
        except (KeyError, ValueError):
            host, port = None, 0
        if host is None:
            raise UserError(f"--url {url}: expected ldap://HOST:PORT or ldaps://HOST:PORT")
        self._url = url
        self._framer = Framer(MAX_RESPONSE)
        is_tls = parts.scheme == "ldaps"
        try:
            self._socket = stack.enter_context(socket.create_connection((host, port), NETWORK_TIMEOUT))
            if start_tls and not is_tls:
                [answer] = self._ask(START_TLS)
                if answer.code != ResultCode.SUCCESS:
                    raise UserError(f"{url}: the gateway has no TLS")
            if start_tls or is_tls:
                context = ssl.create_default_context(cafile=ca_file)
                self._socket = stack.enter_context(context.wrap_socket(self._socket, server_hostname=host))
        except OSError as error:
            raise UserError(f"{url}: no connection: {error.strerror or error}") from None

    def bind(self, bind_dn: str, password: str) -> None:
        """Bind with a login.

        :raises UserError: when the login is refused.
        """
        [answer] = self._ask(encode_bind(1, BindRequest(3, bind_dn, Simple(b"")), password.encode()))
        if answer.code != ResultCode.SUCCESS:
            raise UserError(f"{self._url}: the login {bind_dn} is refused: {_code(answer.code)}")

    def find(self, request: SearchRequest) -> Result:
        """Send a search, and return the result.

        :raises UserError: when there is no answer.
        """
        *entries, result = self._ask(encode_search(request))
        return result.code, tuple(entry.dn for entry in entries)

    def _ask(self, request: bytes) -> Sequence[Response]:
        """Send a request, and return all messages up to the result."""
        answers: list[Response] = []
        try:
            self._socket.sendall(request)
            while not answers or answers[-1].code is None:
                answer = self._framer.take()
                if answer is not None:
                    answers.append(Response.read(answer))
                    continue
                octets_read = self._socket.recv(1 << 16)
                if not octets_read:
                    raise UserError(f"{self._url}: the gateway has closed the connection")
                self._framer.feed(octets_read)
        except (OSError, ProtocolViolation) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise UserError(f"{self._url}: no answer: {reason}") from None
        return answers
