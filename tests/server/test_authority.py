# SPDX-License-Identifier: MIT
"""Clients that trust the private authority accept the gateway, and a renewal changes only the certificate."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ldapgw.errors import UserError
from ldapgw.server.certificates import RENEW_DAYS, AuthorityFiles, create_certificate, renew_certificate
from ldapgw.server.tls import ValidityPeriod, load_certificate, read_certificates
from tests.support.certificates import issue

NAMES = ("phonebook.acme.example", "192.0.2.10", "2001:db8::10")
NOW = datetime.now(UTC).timestamp()
DAY = 86400.0


@pytest.fixture(scope="module", name="made")
def _made(tmp_path_factory: pytest.TempPathFactory) -> AuthorityFiles:
    files = AuthorityFiles.within(tmp_path_factory.mktemp("state") / "tls")
    assert create_certificate(files, NAMES, "Acme GmbH", NOW)
    return files


@pytest.fixture
def files(made: AuthorityFiles, tmp_path: Path) -> AuthorityFiles:
    """Return a copy of the files, because the making of RSA keys takes long."""
    copy = AuthorityFiles.within(tmp_path / "tls")
    copy.certificate.parent.mkdir()
    for file in made.certificate.parent.iterdir():
        (tmp_path / "tls" / file.name).write_bytes(file.read_bytes())
    return copy


def accepts(files: AuthorityFiles, host: str) -> bool:
    """Return whether a client that trusts the authority alone completes a handshake with the host."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.load_cert_chain(files.certificate, files.private_key)
    client.load_verify_locations(files.authority)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(down, up, server_hostname=host), server.wrap_bio(up, down, server_side=True)]
    for end in (*ends, *ends):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError:
            return False
    return True


def test_who_trusts_the_authority_accepts_the_certificate(made: AuthorityFiles) -> None:
    """A client with strict RFC 5280 checks accepts names and addresses of the certificate, and refuses others."""
    assert [accepts(made, host) for host in (*NAMES, "other.example", "192.0.2.11")] == [True] * 3 + [False] * 2
    assert {file.stat().st_mode & 0o777 for file in made.certificate.parent.iterdir()} == {0o600}
    assert made.certificate.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("host", "days", "renewed"),
    [
        (NAMES[0], 0, False),
        (NAMES[1], 0, False),
        (NAMES[0], 397 - RENEW_DAYS - 1, False),
        (NAMES[0], 397 - RENEW_DAYS + 1, True),
        (NAMES[0], 500, True),
        (NAMES[0], -10, True),
        ("book.acme.example", 0, True),
    ],
    ids=["new", "for an address", "in time", "soon expired", "expired", "from a wrong clock", "for another host"],
)
def test_when_a_certificate_is_renewed(files: AuthorityFiles, host: str, days: int, renewed: bool) -> None:
    """Phones go on trusting, because keys and authority stay. A changed host is added to the certificate."""
    before, then = {file: file.read_bytes() for file in files.certificate.parent.iterdir()}, NOW + days * DAY
    assert renew_certificate(files.tls, host, then) == renewed
    after = {file: file.read_bytes() for file in files.certificate.parent.iterdir()}
    assert {file for file in after if after[file] != before[file]} == ({files.certificate} if renewed else set())
    assert not renew_certificate(files.tls, host, then)
    assert ValidityPeriod.of(read_certificates(files.certificate.read_bytes())).days_left(then) >= RENEW_DAYS
    if -1 < days < 1:
        assert [accepts(files, name) for name in {*NAMES, host}] == [True] * len({*NAMES, host})


def test_the_certificate_of_another_authority_is_not_renewed(files: AuthorityFiles, tmp_path: Path) -> None:
    """The administrator manages such files."""
    certificate, key = issue(days=-1).write(tmp_path)
    tls = AuthorityFiles.within(tmp_path).tls
    certificate.rename(tls.certificate)
    key.rename(tls.private_key)
    assert not renew_certificate(tls, "localhost", NOW)
    files.authority_key.unlink()
    with pytest.raises(FileNotFoundError):
        renew_certificate(files.tls, "book.acme.example", NOW)


def test_a_long_name_with_umlauts(tmp_path: Path) -> None:
    """Certificates limit a name to a number of octets."""
    files = AuthorityFiles.within(tmp_path / "tls")
    assert create_certificate(files, NAMES, "Stadtwerke München Versorgungs- und Verkehrsgesellschaft", NOW)
    assert accepts(files, NAMES[0])


def test_a_certificate_is_made_again(files: AuthorityFiles) -> None:
    """The authority stays, and the names change. A folder with foreign files stays unchanged."""
    authority = files.authority.read_bytes()
    assert not create_certificate(files, ("other.example",), "Acme GmbH", NOW)
    assert [accepts(files, host) for host in ("other.example", NAMES[0])] == [True, False]
    assert files.authority.read_bytes() == authority
    files.authority_key.write_bytes(b"mine")
    with pytest.raises(UserError, match="holds other files than certificates and RSA keys; move the folder away"):
        create_certificate(files, NAMES, "Acme GmbH", NOW)
    assert files.authority_key.read_bytes() == b"mine"


@pytest.mark.parametrize("clock", [0.0, NOW + 30 * 365 * DAY], ids=["behind", "ahead"])
def test_an_authority_from_a_wrong_clock(tmp_path: Path, clock: float) -> None:
    """The authority is made again with the same key."""
    files = AuthorityFiles.within(tmp_path / "tls")
    create_certificate(files, NAMES, "Acme", clock)
    key = files.authority_key.read_bytes()
    assert not accepts(files, NAMES[0])
    assert create_certificate(files, NAMES, "Acme", NOW)
    assert accepts(files, NAMES[0])
    assert files.authority_key.read_bytes() == key


def test_a_key_of_another_authority(files: AuthorityFiles, tmp_path: Path) -> None:
    """The gateway issues no certificate that clients would refuse."""
    other = AuthorityFiles.within(tmp_path / "other")
    create_certificate(other, NAMES, "Other", NOW)
    before = files.certificate.read_bytes()
    files.authority_key.write_bytes(other.authority_key.read_bytes())
    with pytest.raises(UserError, match="move the folder away"):
        create_certificate(files, NAMES, "Acme", NOW)
    assert files.certificate.read_bytes() == before


def test_a_machine_that_trusts_the_authority(files: AuthorityFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """Phones still need the authority's certificate, even if the machine trusts the authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(files.authority))
    assert load_certificate(files.tls).trust_anchor == files.authority.read_text()
