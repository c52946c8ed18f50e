# SPDX-License-Identifier: MIT
"""The certificate, and what is said of one that cannot be used."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from OpenSSL import SSL

from ldapgw.config import Tls
from ldapgw.config.forms import File
from ldapgw.errors import UserError
from ldapgw.tls import ServerContext


def write_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


@pytest.fixture
def files(tmp_path: Path) -> Tls:
    """A key and its certificate."""
    key = write_key(tmp_path / "key.pem")
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    return Tls(certificate=File(tmp_path / "cert.pem"), private_key=File(tmp_path / "key.pem"))


def shake(server: SSL.Context, highest: int) -> str:
    """The version that a client of that version at most agrees on with the server; "" where there is none."""
    client_context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    client_context.set_min_proto_version(SSL.TLS1_VERSION)
    client_context.set_max_proto_version(highest)
    client_context.set_cipher_list(b"ALL:@SECLEVEL=0")
    client, other = SSL.Connection(client_context), SSL.Connection(server)
    client.set_connect_state()
    other.set_accept_state()
    for _ in range(4):
        for end, far in ((client, other), (other, client)):
            try:
                end.do_handshake()
            except SSL.WantReadError:
                pass
            except SSL.Error:
                return ""
            with suppress(SSL.WantReadError):
                far.bio_write(end.bio_read(65536))
    return client.get_protocol_version_name()


VERSIONS = {
    "1.2 is the least": ("1.2", {SSL.TLS1_1_VERSION: "", SSL.TLS1_2_VERSION: "TLSv1.2", SSL.TLS1_3_VERSION: "TLSv1.3"}),
    "1.3 alone": ("1.3", {SSL.TLS1_2_VERSION: "", SSL.TLS1_3_VERSION: "TLSv1.3"}),
}


@pytest.mark.parametrize(("minimum", "agreed"), VERSIONS.values(), ids=VERSIONS)
def test_versions(files: Tls, minimum: str, agreed: dict[int, str]) -> None:
    """Older ones are refused in the handshake."""
    tls = Tls(certificate=files.certificate, private_key=files.private_key, minimum=minimum)  # type: ignore[arg-type]
    context = ServerContext(tls).getContext()
    assert {highest: shake(context, highest) for highest in agreed} == agreed


def test_files_that_cannot_be_used(files: Tls, tmp_path: Path) -> None:
    """One line that names the key of the configuration and the file."""
    write_key(tmp_path / "other.pem")
    for certificate, private_key, message in (
        ("none.pem", "key.pem", "tls.certificate = .*none.pem: is no certificate that can be read"),
        ("key.pem", "key.pem", "tls.certificate = .*key.pem: is no certificate that can be read"),
        ("cert.pem", "none.pem", "tls.private_key = .*none.pem: is no private key that can be read"),
        ("cert.pem", "other.pem", "tls.private_key = .*other.pem: .* not the certificate's"),
    ):
        with pytest.raises(UserError, match=message):
            ServerContext(Tls(certificate=File(tmp_path / certificate), private_key=File(tmp_path / private_key)))
