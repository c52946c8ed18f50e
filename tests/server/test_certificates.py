# SPDX-License-Identifier: MIT
"""A renewed certificate needs no restart, and clients that trust the private authority accept the gateway."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import execute
from twisted.internet.task import Clock

from ldapgw.errors import UserError
from ldapgw.server.certificates import (
    CHECK_INTERVAL_SECONDS,
    RENEW_DAYS,
    AuthorityFiles,
    CertificateReloader,
    create_certificate,
    renew_certificate,
)
from ldapgw.server.config import Tls
from ldapgw.server.config.forms import File
from ldapgw.server.tls import TlsContextFactory, ValidityPeriod, load_certificate, read_certificates
from tests.support.certificates import issue

NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
DAY = 86400.0


class Stage:
    """The stage has a gateway's certificate in files, a clock, and the lines of the log."""

    def __init__(self, folder: Path, lines: list[str], **first: Any) -> None:
        self.folder, self.lines = folder, lines
        self.clock = Clock()
        self.clock.rightNow = NOW.timestamp()
        self.put(**first)
        self.contexts = TlsContextFactory(
            Tls(certificate=File(folder / "cert.pem"), private_key=File(folder / "key.pem"))
        )
        self.calls = 0
        self.renewal = CertificateReloader(
            clock=self.clock, context_factory=self.contexts, host="127.0.0.1", run_off_thread=self._run
        )

    def _run(self, function: Any, *args: Any) -> Any:
        self.calls += 1
        return execute(function, *args)

    def put(self, *, which: int = 0, days: float = 90) -> None:
        issue(now=NOW, which=which, days=days).write(self.folder)

    def later(self, seconds: float = CHECK_INTERVAL_SECONDS) -> list[str]:
        """Advance the clock, and return the new lines of the log."""
        step = max(CHECK_INTERVAL_SECONDS, seconds / 20)
        self.clock.pump([step] * round(seconds / step))
        said = [line.replace(f"{self.folder}/", "") for line in self.lines]
        self.lines.clear()
        return said


@pytest.fixture(name="stage")
def _stage(tmp_path: Path, caplog_twisted: list[str]) -> Iterator[Stage]:
    stage = Stage(tmp_path, caplog_twisted)
    stage.renewal.startService()
    yield stage
    stage.renewal.stopService()
    assert stage.clock.getDelayedCalls() == []


def test_files_that_stay_are_not_read_again(stage: Stage) -> None:
    """The gateway looks at the files every five seconds and logs nothing."""
    before = stage.contexts.getContext()
    assert stage.later(60) == []
    assert stage.contexts.getContext() is before
    assert stage.calls == 2 + 60 / CHECK_INTERVAL_SECONDS  # one call is the attempt to renew the certificate


def test_changed_files_are_used_for_new_connections(stage: Stage) -> None:
    """New connections get a new context."""
    before = stage.contexts.getContext()
    stage.put(which=1, days=60)
    assert stage.later() == ["tls.certificate = cert.pem: has changed and is in use, valid until 2026-04-01"]
    assert stage.contexts.getContext() is not before
    assert stage.later(60) == []


def test_a_pair_that_is_replaced_file_by_file_is_not_complained_about(stage: Stage) -> None:
    """The gateway may look at the files between the two writes."""
    new = issue(now=NOW, which=1, days=60)
    (stage.folder / "cert.pem").write_bytes(new.pem)
    before = stage.contexts.getContext()
    assert stage.later() == []
    assert stage.contexts.getContext() is before
    (stage.folder / "key.pem").write_bytes(new.key_pem())
    assert stage.later() == ["tls.certificate = cert.pem: has changed and is in use, valid until 2026-04-01"]


def test_a_broken_pair_changes_nothing_and_is_told_once(stage: Stage) -> None:
    """The old context stays in use. The repair is also logged once."""
    before = stage.contexts.getContext()
    (stage.folder / "cert.pem").write_bytes(b"nothing")
    assert stage.later() == []
    told = (
        "tls.certificate = cert.pem: expected certificates in PEM, the server's own first; the gateway keeps the "
        "certificate that it read before"
    )
    assert stage.later(600) == [told]
    assert stage.contexts.getContext() is before
    stage.put(which=1, days=60)
    assert stage.later(60) == ["tls.certificate = cert.pem: has changed and is in use, valid until 2026-04-01"]


def test_another_way_of_being_broken_is_told_too(stage: Stage) -> None:
    """A changed problem gets a new line in the log."""
    (stage.folder / "cert.pem").write_bytes(b"nothing")
    stage.later(60)
    (stage.folder / "cert.pem").unlink()
    [told] = stage.later(60)
    assert told.startswith("tls.certificate = cert.pem: cannot be read: No such file or directory")


def test_the_old_files_put_back_are_mended_too(stage: Stage) -> None:
    """The log says that the file has the certificate in use again."""
    before = stage.contexts.getContext()
    (stage.folder / "cert.pem").rename(stage.folder / "kept.pem")
    shutil.copy(stage.folder / "key.pem", stage.folder / "cert.pem")
    assert len(stage.later(60)) == 1
    restored = ["tls.certificate = cert.pem: the file again contains the certificate that is in use"]
    (stage.folder / "cert.pem").rename(stage.folder / "unusable.pem")
    (stage.folder / "kept.pem").rename(stage.folder / "cert.pem")
    assert stage.later(60) == restored
    assert stage.contexts.getContext() is before
    (stage.folder / "cert.pem").rename(stage.folder / "kept.pem")
    (stage.folder / "unusable.pem").rename(stage.folder / "cert.pem")
    assert [len(stage.later()), len(stage.later())] == [0, 1]


def test_a_certificate_that_ends_is_spoken_of(stage: Stage) -> None:
    """The log warns at 30, 7 and 1 days and then daily. A renewal ends the warnings."""
    said = {day: stage.later(DAY) for day in range(1, 94)}
    expires = "tls.certificate = cert.pem: expires on 2026-05-01 09:30 UTC; renew it"
    expired = "tls.certificate = cert.pem: has expired on 2026-05-01 09:30 UTC; renew it"
    assert {day: lines for day, lines in said.items() if lines} == {
        60: [expires],
        83: [expires],
        89: [expires],
        90: [expired],
        91: [expired],
        92: [expired],
        93: [expired],
    }
    stage.put(which=1, days=200)
    assert stage.later(2 * DAY) == ["tls.certificate = cert.pem: has changed and is in use, valid until 2026-08-19"]


def test_a_start_with_little_time_left_says_so(tmp_path: Path, caplog_twisted: list[str]) -> None:
    """The log warns once for each certificate with little time left."""
    stage = Stage(tmp_path, caplog_twisted, days=3)
    stage.renewal.startService()
    expires = "tls.certificate = cert.pem: expires on 2026-02-03 09:30 UTC; renew it"
    assert stage.later(DAY / 2) == [expires]
    stage.put(which=1, days=3)
    changed = "tls.certificate = cert.pem: has changed and is in use, valid until 2026-02-03"
    assert stage.later(DAY / 2) == [changed, expires]
    stage.renewal.stopService()


def test_an_error_of_our_own_ends_nothing(stage: Stage) -> None:
    """The next look comes nevertheless."""

    def broken(*_: Any) -> Any:
        raise RuntimeError

    works, stage.renewal._run_off_thread = stage.renewal._run_off_thread, broken
    assert stage.later() == ["checking the certificate for changes failed"]
    stage.renewal._run_off_thread = works
    stage.put(which=1)
    assert len(stage.later()) == 1


def test_a_certificate_of_the_gateways_own_authority_is_renewed(tmp_path: Path, caplog_twisted: list[str]) -> None:
    """The renewal comes in time. A failure is logged once a day."""
    files = AuthorityFiles.within(tmp_path)
    create_certificate(files, ["127.0.0.1"], "Acme", NOW.timestamp())
    clock, contexts = Clock(), TlsContextFactory(files.tls)
    clock.advance(NOW.timestamp())
    renewal = CertificateReloader(clock=clock, context_factory=contexts, host="127.0.0.1", run_off_thread=execute)
    renewal.startService()
    clock.pump([DAY] * (397 - RENEW_DAYS))
    assert caplog_twisted == []
    clock.pump([DAY, CHECK_INTERVAL_SECONDS])
    assert [line.replace(str(tmp_path), "") for line in caplog_twisted] == [
        "tls.certificate = /certificate.pem: the gateway's own authority has issued a new certificate",
        "tls.certificate = /certificate.pem: has changed and is in use, valid until 2028-02-05",
    ]
    caplog_twisted.clear()
    files.authority.write_bytes(b"lost")
    clock.pump([DAY] * (397 - RENEW_DAYS))
    assert len(caplog_twisted) == 1
    clock.pump([DAY / 2, DAY / 2])
    assert [line.replace(str(tmp_path), "") for line in caplog_twisted] == [
        "tls.certificate = /certificate.pem: cannot be renewed: the authority's files cannot be used; run ldapgw "
        "certificate create",
    ] * 2
    renewal.stopService()


# --- the private authority --------------------------------------------------------------------------------------------

NAMES = ("phonebook.acme.example", "192.0.2.10", "2001:db8::10")
PRESENT = datetime.now(UTC).timestamp()


@pytest.fixture(scope="module", name="made")
def _made(tmp_path_factory: pytest.TempPathFactory) -> AuthorityFiles:
    files = AuthorityFiles.within(tmp_path_factory.mktemp("state") / "tls")
    assert create_certificate(files, NAMES, "Acme GmbH", PRESENT)
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
    before, then = {file: file.read_bytes() for file in files.certificate.parent.iterdir()}, PRESENT + days * DAY
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
    assert not renew_certificate(tls, "localhost", PRESENT)
    files.authority_key.unlink()
    with pytest.raises(FileNotFoundError):
        renew_certificate(files.tls, "book.acme.example", PRESENT)


def test_a_long_name_with_umlauts(tmp_path: Path) -> None:
    """Certificates limit a name to a number of octets."""
    files = AuthorityFiles.within(tmp_path / "tls")
    assert create_certificate(files, NAMES, "Stadtwerke München Versorgungs- und Verkehrsgesellschaft", PRESENT)
    assert accepts(files, NAMES[0])


def test_a_certificate_is_made_again(files: AuthorityFiles) -> None:
    """The authority stays, and the names change. A folder with foreign files stays unchanged."""
    authority = files.authority.read_bytes()
    assert not create_certificate(files, ("other.example",), "Acme GmbH", PRESENT)
    assert [accepts(files, host) for host in ("other.example", NAMES[0])] == [True, False]
    assert files.authority.read_bytes() == authority
    files.authority_key.write_bytes(b"mine")
    with pytest.raises(UserError, match="holds other files than certificates and RSA keys; move the folder away"):
        create_certificate(files, NAMES, "Acme GmbH", PRESENT)
    assert files.authority_key.read_bytes() == b"mine"


@pytest.mark.parametrize("clock", [0.0, PRESENT + 30 * 365 * DAY], ids=["behind", "ahead"])
def test_an_authority_from_a_wrong_clock(tmp_path: Path, clock: float) -> None:
    """The authority is made again with the same key."""
    files = AuthorityFiles.within(tmp_path / "tls")
    create_certificate(files, NAMES, "Acme", clock)
    key = files.authority_key.read_bytes()
    assert not accepts(files, NAMES[0])
    assert create_certificate(files, NAMES, "Acme", PRESENT)
    assert accepts(files, NAMES[0])
    assert files.authority_key.read_bytes() == key


def test_a_key_of_another_authority(files: AuthorityFiles, tmp_path: Path) -> None:
    """The gateway issues no certificate that clients would refuse."""
    other = AuthorityFiles.within(tmp_path / "other")
    create_certificate(other, NAMES, "Other", PRESENT)
    before = files.certificate.read_bytes()
    files.authority_key.write_bytes(other.authority_key.read_bytes())
    with pytest.raises(UserError, match="move the folder away"):
        create_certificate(files, NAMES, "Acme", PRESENT)
    assert files.certificate.read_bytes() == before


def test_a_machine_that_trusts_the_authority(files: AuthorityFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """Phones still need the authority's certificate, even if the machine trusts the authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(files.authority))
    assert load_certificate(files.tls).trust_anchor == files.authority.read_text()
