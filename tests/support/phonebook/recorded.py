# SPDX-License-Identifier: MIT
"""Recordings made without a network: what a phone asks of a tree, and what the gateway answers."""

from __future__ import annotations

from collections.abc import Iterable

from ldapgw.directory.access import NOBODY, Viewer
from ldapgw.directory.dit import Dit
from ldapgw.directory.filter import SearchRequest
from ldapgw.ldap.admission import CallerIdLimits
from ldapgw.ldap.decoder import Framer, decode
from ldapgw.ldap.encoder import encode, encode_search
from ldapgw.ldap.fast_path import FastPath
from ldapgw.ldap.messages import BindRequest, Simple
from ldapgw.ldap.search_response import OutputBuffer, SearchResponse
from ldapgw.ldap.session import DirectoryPort, SendReply, Session, StartSearch
from ldapgw.phones.recording import RecordedMessage, Recording, encode_bind, make_recording
from tests.support.phonebook import PHONE
from tests.support.phonebook.wire import LIMITS


def requests(*searches: SearchRequest) -> list[bytes]:
    """The messages of some searches."""
    return [encode_search(search, message_id) for message_id, search in enumerate(searches, start=2)]


def record(dit: Dit, messages: Iterable[bytes], viewer: Viewer = PHONE, *, is_bound: bool = True) -> Recording:
    """Record a phone's requests on one connection, after its bind, and the replies."""
    [directory] = dit.directories
    port = DirectoryPort(lambda: dit, lambda *_: viewer, lambda _: NOBODY, b"key")
    limits = CallerIdLimits(lambda: 0.0, lambda *_: None)
    session = Session(
        port, LIMITS, FastPath(LIMITS.size_limit), limits, "192.0.2.1", tls=False, secure=True, require_tls=False
    )
    bind = encode_bind(1, BindRequest(3, viewer.login, Simple(b"")), b"secret")
    sent = []
    for at, octets in enumerate([bind, *messages] if is_bound else messages):
        kept = encode_bind(1, BindRequest(3, viewer.login, Simple(b""))) if octets is bind else octets
        sent.append(RecordedMessage(float(at), 1, True, kept))
        framer = Framer(1 << 24)
        framer.feed(_answer(session, octets))
        sent += [RecordedMessage(at + 0.5, 1, False, one) for one in iter(framer.take, None)]
    return make_recording(sent, 0.0, dit, viewer, directory.context)


def _answer(session: Session, octets: bytes) -> bytes:
    session.receive(decode(octets))
    match session.advance():
        case SendReply(reply):
            return encode(reply)
        case StartSearch(message_id, batches, selection, types_only, time_limit):
            response = SearchResponse(message_id, batches, selection, types_only=types_only, time_limit=time_limit)
            buffer, answer = OutputBuffer(), b""
            while (result := response.write_next(buffer, 0.0)) is None:
                answer += buffer.take()
            return answer + buffer.take() + encode(session.finish(result))
        case step:
            raise AssertionError(step)
