# SPDX-License-Identifier: MIT
"""Whether phones know who signed our certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ldapgw.server.certificate_renewal import Trust, private_certificate
from ldapgw.server.config import Tls
from ldapgw.server.config.forms import File
from ldapgw.server.tls import ServerContext, read_pair
from tests.certificates import Issued, issue
from tests.results import result_of

AUTHORITY = issue("our own authority", which=1, authority=True)
LEAF = issue(by=AUTHORITY)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a chain lies; what the system trusts is another authority."""
    trusted = tmp_path / "system.pem"
    trusted.write_bytes(issue("another", which=2, authority=True).pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    return tmp_path / "chain.pem"


@pytest.mark.parametrize(
    ("chain", "given"),
    [
        ((issue(),), 0),
        ((LEAF, AUTHORITY), 1),
        ((LEAF,), 0),
        ((issue(days=-1),), 0),
    ],
    ids=["self-signed", "with its authority", "without it", "expired"],
)
def test_a_private_certificate(file: Path, chain: tuple[Issued, ...], given: int) -> None:
    """The end of its chain is what phones have to be given."""
    file.write_bytes(b"".join(one.pem for one in chain))
    assert private_certificate(str(file)) == chain[given].pem.decode()


@pytest.mark.parametrize("days", [90, -1], ids=["valid", "expired"])
def test_a_public_certificate(file: Path, monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    """Nothing has to be given; when it ends is another question."""
    system = file.with_name("trusts-us.pem")
    system.write_bytes(AUTHORITY.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(system))
    file.write_bytes(issue(by=AUTHORITY, days=days).pem)
    assert private_certificate(str(file)) == ""


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_file_that_cannot_be_read(file: Path, content: bytes | None) -> None:
    """Has nothing to give."""
    if content is not None:
        file.write_bytes(content)
    assert private_certificate(str(file)) == ""


def test_the_answer_is_remembered_until_the_files_change(file: Path) -> None:
    """Reading what the system trusts takes a while, so it is done off the reactor's thread, once."""
    certificate, key = issue().write(file.parent)
    contexts = ServerContext(Tls(certificate=File(certificate), private_key=File(key)))
    asked: list[str] = []

    async def off_thread(function: Any, *arguments: Any) -> Any:
        asked.append(arguments[0])
        return function(*arguments)

    trust = Trust(contexts, off_thread)
    before = certificate.read_text()
    assert [result_of(trust.certificate()) for _ in range(2)] == [before, before]
    issue(which=3).write(file.parent)
    contexts.pair = read_pair(contexts.tls)
    assert result_of(trust.certificate()) == certificate.read_text() != before
    assert len(asked) == 2


def test_without_tls() -> None:
    """There is nothing to trust."""

    async def never(*_: Any) -> Any:
        raise AssertionError

    assert result_of(Trust(None, never).certificate()) == ""
