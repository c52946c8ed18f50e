# SPDX-License-Identifier: MIT
"""All 19 sessions of ``phones.json``, on sockets, with the gateway that has the contacts.

Only sockets have TLS handshakes, and octets that arrive in pieces.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ldapgw.ber import ENUMERATED, SEQUENCE, SET, integer, octets, tlv
from tests.support import pdu, phonebook
from tests.support.filter_text import encode, read_filter
from tests.support.pdu import uids
from tests.support.phonebook import listening, served
from tests.support.site.line import Line
from tests.support.site.tenants import LOBBY, Office, base, book

NOTICE = "1.3.6.1.4.1.1466.20036"
SEARCH_DONE = 0x65
# Stacks of 2015 offer these suites for TLS 1.2, for either kind of key.
OLD_SUITES = "ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA:AES128-SHA:AES256-SHA"


def search(text: str, tenant: str = "acme", *attributes: str) -> bytes:
    return pdu.search(book(tenant), 2, encode(read_filter(text)), attributes)


WEBER = search("(sn=weber)", "acme", "cn")


def found(answers: list[pdu.Response]) -> tuple[list[str], int | None]:
    """Whom a search found, and its result code."""
    assert answers[-1].kind == SEARCH_DONE
    return uids(answers[:-1]), answers[-1].code


FOUND = (["weber-prof"], 0)


def bound(office: Office, line: Line, bind: bytes | None = None) -> Line:
    [answer] = line.ask(bind or office.bind("acme"))
    assert (answer.kind, answer.code) == (0x61, 0)
    return line


def trusting() -> ssl.SSLContext:
    """A phone's TLS, which asks nobody whom the certificate is from."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def one_per_search(office: Office) -> None:
    for _ in range(3):
        with office.line() as line:
            assert found(bound(office, line).ask(WEBER)) == FOUND
            line.send(pdu.message(3, pdu.UNBIND))
            assert line.rest() == []


def no_unbind(office: Office) -> None:
    with office.line() as line:
        assert found(bound(office, line).ask(WEBER)) == FOUND
    with office.line() as line:
        assert found(bound(office, line).ask(WEBER)) == FOUND


def persistent_idle(office: Office) -> None:
    with office.line() as line:
        assert found(bound(office, line).ask(WEBER)) == FOUND
        # The office's limit is short: the connection is closed, with a word or without one.
        assert {answer.name for answer in line.rest()} <= {NOTICE}
    with office.line() as line:
        assert found(bound(office, line).ask(WEBER)) == FOUND


def many_parallel(office: Office) -> None:
    def phone(line: Line) -> tuple[list[str], int | None]:
        with line:
            return found(bound(office, line).ask(WEBER))

    lines = [office.line() for _ in range(30)]
    with ThreadPoolExecutor(30) as phones:
        assert list(phones.map(phone, lines)) == [FOUND] * 30


def pipelined_keystrokes(office: Office) -> None:
    with office.line() as line:
        bound(office, line)
        asked = [pdu.message(at, search(f"(cn={text}*)")) for at, text in ((2, "m"), (3, "mu"), (5, "mue"))]
        line.send(*asked[:2], pdu.message(4, pdu.abandon(2)), asked[2])
        answers = line.results(2)
        ended = [answer.message_id for answer in answers if answer.code is not None]
        if ended == [2, 3]:  # it was done before the phone gave it up
            answers += line.results(1)
        assert {answer.message_id for answer in answers[-2:] if answer.code is not None} == {5}
        per_id = {at: [one for one in answers if one.message_id == at] for at in (3, 5)}
        assert {"mueller-hans", "mueller-anna"} <= set(found(per_id[5])[0]) <= set(found(per_id[3])[0])


def search_before_bind(office: Office) -> None:
    with office.line() as line:
        assert found(line.ask(WEBER)) == ([], 50)
        assert found(bound(office, line).ask(WEBER)) == FOUND
    with office.line(LOBBY) as line:
        assert found(line.ask(search("(sn=weber)", "open"))) == FOUND


def anonymous_then_simple(office: Office) -> None:
    with office.line() as line:
        bound(office, line, pdu.bind())
        assert found(line.ask(WEBER)) == ([], 50)
        assert found(bound(office, line).ask(WEBER)) == FOUND


def failed_bind_then_search(office: Office) -> None:
    with office.line() as line:
        bound(office, line)
        assert line.ask(pdu.bind(f"cn=acme,ou=phones,{base('acme')}", b"wrong"))[0].code == 49
        assert found(line.ask(WEBER)) == ([], 50)


def dn_without_password(office: Office) -> None:
    with office.line() as line:
        assert line.ask(pdu.bind(f"cn=acme,ou=phones,{base('acme')}"))[0].code == 53
        assert found(line.ask(WEBER)) == ([], 50)


def v2_session(office: Office) -> None:
    with office.line() as line:
        answers = bound(office, line, office.bind("acme", version=2)).ask(WEBER)
        assert found(answers) == FOUND
        assert all(answer.controls == () for answer in answers)
        line.send(pdu.message(3, pdu.UNBIND))
        assert line.rest() == []


def bind_version_4(office: Office) -> None:
    with office.line() as line:
        assert line.ask(office.bind("acme", version=4))[0].code == 2


def starttls(office: Office) -> None:
    with office.line() as line:
        assert line.ask(pdu.START_TLS)[0].code == 0
        line.begin_tls(trusting())
        assert found(bound(office, line).ask(WEBER)) == FOUND
        assert line.ask(pdu.START_TLS)[0].code == 1
        assert found(line.ask(WEBER)) == FOUND


def starttls_unsupported(_office: Office, folder: Path) -> None:
    with served.serving(folder) as bare, Line(bare.port) as line:
        assert line.ask(pdu.START_TLS)[0].code in (2, 52)
        assert line.ask(pdu.search("", 0))[-1].code == 0


def ldaps_old_firmware(office: Office, folder: Path) -> None:
    listening.certified(folder)
    with served.serving(folder, tls=True) as with_ecdsa:
        for port, kind in ((office.tls_port, "RSA"), (with_ecdsa.tls_port, "ECDSA")):
            old = trusting()
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            old.set_ciphers(OLD_SUITES)
            with Line(port, tls=old) as line:
                assert kind in line.cipher
                if port == office.tls_port:
                    bound(office, line)
                    assert found(line.ask(WEBER)) == FOUND


def sasl_plain(office: Office) -> None:
    login = b"\0acme\0" + office.passwords["acme"]
    with office.line(tls=trusting()) as line:
        [root, _] = line.ask(pdu.search("", 0, attributes=("supportedSASLMechanisms",)))
        assert dict(root.attributes) == {"supportedSASLMechanisms": (b"PLAIN",)}
        assert found(bound(office, line, pdu.sasl("PLAIN", login)).ask(WEBER)) == FOUND
    with office.line() as line:
        assert line.ask(pdu.search("", 0, attributes=("supportedSASLMechanisms",)))[0].attributes == ()
        assert line.ask(pdu.sasl("PLAIN", login))[0].code == 7


def sasl_digest_md5(office: Office) -> None:
    with office.line() as line:
        assert line.ask(pdu.sasl("DIGEST-MD5"))[0].code == 7
        assert found(bound(office, line).ask(WEBER)) == FOUND


def bind_bare_then_detail(office: Office) -> None:
    with office.line() as line:
        bound(office, line, office.bind("acme", "acme"))
        *entries, _ = line.ask(search("(objectClass=person)"))
        assert len(entries) == len(phonebook.CONTACTS)
        for entry in entries:
            assert line.ask(pdu.search(entry.dn, 0))[0].dn == entry.dn


def write_attempt(office: Office) -> None:
    values = tlv(SEQUENCE, octets(b"cn") + tlv(SET, octets(b"x")))
    name = f"uid=weber-prof,{book('acme')}".encode()
    writes = (
        tlv(0x66, octets(name) + tlv(SEQUENCE, tlv(SEQUENCE, integer(2, ENUMERATED) + values))),
        tlv(0x68, octets(b"cn=x," + base("acme").encode()) + tlv(SEQUENCE, values)),
        octets(name, 0x4A),
    )
    with office.line() as line:
        bound(office, line)
        assert [line.ask(write)[0].code for write in writes] == [53] * 3
        assert found(line.ask(WEBER)) == FOUND


def garbage(office: Office) -> None:
    with office.line() as line:
        line.send(b"GET / HTTP/1.1\r\nHost: phonebook\r\n\r\n")
        assert {answer.name for answer in line.rest()} <= {NOTICE}


SESSIONS: tuple[Callable[..., None], ...] = (
    *(one_per_search, no_unbind, persistent_idle, many_parallel, pipelined_keystrokes, search_before_bind),
    *(anonymous_then_simple, failed_bind_then_search, dn_without_password, v2_session, bind_version_4, starttls),
    *(starttls_unsupported, ldaps_old_firmware, sasl_plain, sasl_digest_md5, bind_bare_then_detail, write_attempt),
    garbage,
)
# These sessions need a server besides the office's.
WITH_ANOTHER = {starttls_unsupported, ldaps_old_firmware}


def name_of(session: Callable[..., None]) -> str:
    return session.__name__.replace("_", "-")


@pytest.mark.parametrize("session", SESSIONS, ids=name_of)
def test_a_session_goes_as_the_phone_needs_it(office: Office, tmp_path: Path, session: Callable[..., None]) -> None:
    """And the gateway serves others as if nothing had been."""
    session(office, *([tmp_path] if session in WITH_ANOTHER else []))
    with office.line() as line:
        assert found(bound(office, line).ask(WEBER)) == FOUND
    assert "Traceback" not in office.gateway.said


def test_every_session_is_there() -> None:
    """None is left out."""
    assert [session["id"] for session in phonebook.SESSIONS] == [*map(name_of, SESSIONS)]
