# SPDX-License-Identifier: MIT
"""The tests cover the server's certificate and key, handshakes with phones, and files that cannot be used."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from OpenSSL import SSL

from ldapgw.server.config import Tls
from ldapgw.server.config.forms import File
from ldapgw.server.tls import (
    LoadedCertificate,
    TlsContextFactory,
    ValidityPeriod,
    file_versions,
    load_certificate,
    private_trust_anchor,
    read_certificates,
    read_private_key,
)
from tests.support.certificates import Issued, issue

NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
DAY = 86400.0


@pytest.mark.parametrize(
    ("days", "left", "urgency"),
    [
        (90, 90, 0),
        (30.01, 30, 0),
        (30, 30, 1),
        (7.01, 7, 1),
        (7, 7, 2),
        (1, 1, 3),
        (0.1, 0, 3),
        (0, 0, 4),
        (-0.5, -1, 4),
        (-1, -1, 5),
        (-10.5, -11, 14),
    ],
)
def test_urgency(days, left, urgency):
    """The urgency rises at 30, 7 and 1 days, and each day after the end."""
    lifetime = ValidityPeriod.of([issue(now=NOW, days=0).certificate])
    now = NOW.timestamp() - days * DAY
    assert (lifetime.days_left(now), lifetime.urgency(now)) == (left, urgency)


def test_an_end_is_spoken_of_when_it_is_near():
    """The end is near from thirty days before on."""
    lifetime = ValidityPeriod.of([issue(now=NOW, days=0).certificate])
    ends = lifetime.not_after.timestamp()
    assert [lifetime.expiry_if_near(ends - days * DAY) for days in (31, 29, -1)] == [None, ends, ends]


def test_a_chain_lasts_as_long_as_all_of_it():
    """The chain has the latest begin and the earliest end."""
    first, second = issue(now=NOW, since=-50, days=50), issue(now=NOW, days=5, which=1)
    chain = read_certificates(first.pem + second.pem)
    assert chain == (first.certificate, second.certificate)
    begins, ends = first.certificate.not_valid_before_utc, second.certificate.not_valid_after_utc
    assert ValidityPeriod.of(chain) == ValidityPeriod(begins, ends)


@pytest.mark.parametrize("kind", ["RSA", "ECDSA"])
def test_private_keys(kind):
    """Keys of the usual kinds are read."""
    issued = issue(kind=kind)
    key = read_private_key(issued.key_pem())
    assert key.public_key() == issued.key.public_key()


X25519 = x25519.X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
# The key is on the curve prime239v3, which nobody uses.
ODD_CURVE = b"""-----BEGIN PRIVATE KEY-----
MIGBAgEAMBMGByqGSM49AgEGCCqGSM49AwEGBGcwZQIBAQQeaTSluCjKC6tYyzus
7M+OcWxfUign4/m3I9DUd1uPoUADPgAEWzY5PCu30kWlSOeU1pc44TRj0ga5Y2Jy
doGg3id/GDSQn1uJkSNBwPzQL9zb1oMWqd5SGpGckEA4hQGw
-----END PRIVATE KEY-----
"""


@pytest.mark.parametrize("octets", [X25519, ODD_CURVE], ids=["X25519", "odd curve"])
def test_a_key_of_another_kind(octets):
    """The key is valid, but cannot sign a handshake."""
    with pytest.raises(ValueError, match="of a kind that a server cannot use"):
        read_private_key(octets)


def files_of(folder: Path, issued: Issued, **more: Any) -> Tls:
    certificate, key = issued.write(folder)
    return Tls(certificate=File(certificate), private_key=File(key), **more)


@pytest.fixture
def files(tmp_path: Path) -> Tls:
    """Return a key and its certificate."""
    return files_of(tmp_path, issue())


AUTHORITY = issue("authority", authority=True, which=1)


@pytest.fixture
def asking(tmp_path: Path) -> TlsContextFactory:
    """Return the contexts of a server that asks phones for a certificate of the authority."""
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.pem)
    return TlsContextFactory(files_of(tmp_path, issue(), client_ca=File(tmp_path / "ca.pem")))


def client_context(*, highest: int = SSL.TLS1_3_VERSION, shows: Issued | None = None) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_VERSION)
    context.set_max_proto_version(highest)
    context.set_cipher_list(b"ALL:@SECLEVEL=0")
    if shows is not None:
        context.use_certificate(shows.certificate)
        context.use_privatekey(shows.key)
    return context


def pump(*ends: SSL.Connection) -> None:
    """Carry the octets of each end to the other end."""
    for near, far in (ends, reversed(ends)):
        with suppress(SSL.WantReadError):
            far.bio_write(near.bio_read(1 << 20))


def shake(server: SSL.Context, client: SSL.Connection) -> tuple[SSL.Connection, str]:
    """Run a handshake in memory, and return the server's end and the problem."""
    other = SSL.Connection(server)
    client.set_connect_state()
    other.set_accept_state()
    for _ in range(4):
        for end in (client, other):
            try:
                end.do_handshake()
            except SSL.WantReadError:
                pass
            except SSL.Error as error:
                if end is other:
                    return other, str(error.args[0][-1][-1])
            pump(client, other)
    return other, ""


def agreed(server: SSL.Context, highest: int) -> str:
    """Return the version of a handshake with a client of at most this version, or "" after a failure."""
    client = SSL.Connection(client_context(highest=highest))
    _, problem = shake(server, client)
    return "" if problem else client.get_protocol_version_name()


VERSIONS = {
    "1.2 is the least": ("1.2", {SSL.TLS1_1_VERSION: "", SSL.TLS1_2_VERSION: "TLSv1.2", SSL.TLS1_3_VERSION: "TLSv1.3"}),
    "1.3 alone": ("1.3", {SSL.TLS1_2_VERSION: "", SSL.TLS1_3_VERSION: "TLSv1.3"}),
}


@pytest.mark.parametrize(("minimum", "expected"), VERSIONS.values(), ids=VERSIONS)
def test_versions(tmp_path: Path, minimum: Any, expected: dict[int, str]) -> None:
    """The server refuses older versions in the handshake."""
    context = TlsContextFactory(files_of(tmp_path, issue(), minimum=minimum)).getContext()
    assert {highest: agreed(context, highest) for highest in expected} == expected


@pytest.mark.parametrize("highest", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION], ids=["1.2", "1.3"])
@pytest.mark.parametrize("kind", ["RSA", "ECDSA"])
def test_both_kinds_of_certificate_work_without_a_server_name(tmp_path: Path, kind: str, highest: int) -> None:
    """Phones from before 2020 send no server name and know only RSA."""
    issued = issue(kind=kind)
    client = SSL.Connection(client_context(highest=highest))
    _, problem = shake(TlsContextFactory(files_of(tmp_path, issued)).getContext(), client)
    shown = client.get_peer_certificate(as_cryptography=True)
    assert (problem, shown) == ("", issued.certificate)


def test_ciphers_of_tls_1_2_have_forward_secrecy(files: Tls) -> None:
    """Plain RSA and broken ciphers are off. A CBC cipher stays for old phones."""
    names = SSL.Connection(TlsContextFactory(files).getContext()).get_cipher_list()
    old = [name for name in names if not name.startswith("TLS_")]
    assert [name for name in old if not name.startswith("ECDHE-")] == []
    assert [name for name in names if any(bad in name for bad in ("RC4", "DES", "MD5", "NULL", "EXP"))] == []
    assert old[0].endswith("GCM-SHA384")
    assert "ECDHE-RSA-AES128-SHA" in old


def test_nobody_renegotiates(files: Tls) -> None:
    """The server refuses a renegotiation."""
    client = SSL.Connection(client_context(highest=SSL.TLS1_2_VERSION))
    server, _ = shake(TlsContextFactory(files).getContext(), client)
    client.renegotiate()
    with suppress(SSL.Error):
        client.do_handshake()
    pump(client, server)
    with suppress(SSL.Error):
        server.recv(10)
    assert server.total_renegotiations() == 0


def test_a_session_is_resumed_with_its_ticket(asking: TlsContextFactory) -> None:
    """The test uses TLS 1.2, where the ticket comes in the handshake, with clients that show certificates."""
    server = asking.getContext()
    context = client_context(highest=SSL.TLS1_2_VERSION, shows=issue("desk1", by=AUTHORITY, which=2))
    first, second = SSL.Connection(context), SSL.Connection(context)
    assert shake(server, first)[1] == ""
    session = first.get_session()
    assert session is not None
    second.set_session(session)
    assert shake(server, second)[1] == ""
    assert second.master_key() == first.master_key()


SHOWN: dict[str, tuple[Callable[[], Issued | None], str]] = {
    "of the authority": (lambda: issue("desk1", by=AUTHORITY, which=2), ""),
    "none": (lambda: None, "peer did not return a certificate"),
    "of nobody": (lambda: issue("desk1", which=2), "certificate verify failed"),
    "expired": (lambda: issue("desk1", by=AUTHORITY, which=2, days=-1), "certificate verify failed"),
    "of an authority by the same name": (
        lambda: issue("desk1", by=issue("authority", authority=True, which=3), which=2),
        "certificate verify failed",
    ),
}


@pytest.mark.parametrize("highest", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION], ids=["1.2", "1.3"])
@pytest.mark.parametrize(("shows", "problem"), SHOWN.values(), ids=SHOWN)
def test_clients_show_a_certificate_of_the_authority(
    asking: TlsContextFactory, shows: Callable[[], Issued | None], problem: str, highest: int
) -> None:
    """With ``client_ca``, the handshake fails without a certificate of the authority."""
    client = SSL.Connection(client_context(highest=highest, shows=shows()))
    assert shake(asking.getContext(), client)[1] == problem


def test_clients_are_told_whose_certificate_is_wanted(asking: TlsContextFactory) -> None:
    """A client with several certificates chooses by the authority's name."""
    client = SSL.Connection(client_context(highest=SSL.TLS1_2_VERSION))
    shake(asking.getContext(), client)
    assert [name.CN for name in client.get_client_ca_list()] == ["authority"]


def test_the_stamp_is_that_of_the_files(files: Tls, tmp_path: Path) -> None:
    """The stamp changes when a file is written, replaced or removed."""
    seen = [file_versions(files)]
    os.utime(files.certificate, (1, 1))
    seen.append(file_versions(files))
    issue(which=9).write(tmp_path, "new-")
    (tmp_path / "new-key.pem").replace(files.private_key)
    seen.append(file_versions(files))
    Path(files.private_key).unlink()
    seen.append(file_versions(files))
    assert len(set(seen)) == 4
    assert seen[3][1] is None


def test_the_lifetime_is_that_of_the_whole_chain(tmp_path: Path) -> None:
    """An intermediate certificate may end before the server's own."""
    authority = issue("authority", authority=True, which=1, days=10)
    tls = files_of(tmp_path, issue())
    write(tls, issue(by=authority), authority)
    assert TlsContextFactory(tls).loaded.validity.not_after == authority.certificate.not_valid_after_utc


LEAF = issue(by=AUTHORITY)


@pytest.fixture(name="private")
def _private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tls:
    """Return a certificate and its key on a system that trusts another authority."""
    trusted = tmp_path / "system.pem"
    trusted.write_bytes(issue("another", which=2, authority=True).pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    return files_of(tmp_path, LEAF)


def write(tls: Tls, *chain: Issued) -> None:
    chain[0].write(Path(tls.certificate).parent)
    Path(tls.certificate).write_bytes(b"".join(one.pem for one in chain))


@pytest.mark.parametrize(
    ("chain", "given"),
    [((issue(),), 0), ((LEAF, AUTHORITY), 1), ((LEAF,), 0), ((issue(days=-1),), 0)],
    ids=["self-signed", "with its authority", "without it", "expired"],
)
def test_a_private_certificate(private: Tls, chain: tuple[Issued, ...], given: int) -> None:
    """Phones need the certificate at the end of the chain."""
    write(private, *chain)
    assert private_trust_anchor(private) == load_certificate(private).trust_anchor == chain[given].pem.decode()


@pytest.mark.parametrize("days", [90, -1], ids=["valid", "expired"])
def test_a_public_certificate(private: Tls, monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    """Phones need no further certificate, even if the certificate has expired."""
    system = Path(private.certificate).with_name("trusts-us.pem")
    system.write_bytes(AUTHORITY.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(system))
    write(private, issue(by=AUTHORITY, days=days))
    assert private_trust_anchor(private) == ""


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
@pytest.mark.parametrize("which", ["certificate", "private_key"])
def test_a_file_that_cannot_be_read(private: Tls, which: str, content: bytes | None) -> None:
    """Without readable files, phones get no certificate."""
    file = Path(getattr(private, which))
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    assert private_trust_anchor(private) == ""


def test_browsers_need_no_certificate_where_phones_do(asking: TlsContextFactory) -> None:
    """The session of a browser does not let a phone in."""
    context = client_context(highest=SSL.TLS1_2_VERSION)
    browser, phone = SSL.Connection(context), SSL.Connection(context)
    assert shake(asking.for_browsers.getContext(), browser)[1] == ""
    session = browser.get_session()
    assert session is not None
    phone.set_session(session)
    assert shake(asking.getContext(), phone)[1] == "peer did not return a certificate"


@pytest.mark.parametrize(
    ("trust_anchor", "changed", "days", "proven"),
    [
        ("", 1, 60, True),
        ("", 0.9, 60, False),
        ("", 1, 0, False),
        ("", 1, 101, False),
        ("-----BEGIN CERTIFICATE-----", 1, 60, False),
    ],
    ids=["a day old", "new", "expired", "not yet valid", "of a private authority"],
)
def test_when_https_is_proven(trust_anchor: str, changed: float, days: float, proven: bool) -> None:
    """A valid certificate of a public authority has to be in place for a day before browsers insist on HTTPS."""
    validity = ValidityPeriod.of([issue(now=NOW, since=-100, days=0).certificate])
    now = validity.not_after.timestamp() - days * DAY
    versions = ((1, int((now - changed * DAY) * 1e9), 5), (2, 0, 5))
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    assert LoadedCertificate(context, context, validity, versions, trust_anchor).is_proven(now) == proven
