# SPDX-License-Identifier: MIT
"""The wire on real sockets of loopback, in the process of the tests: for clients in threads and in processes."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import pytest_twisted

from ldapgw.ldap.server import LdapFactory
from ldapgw.server.config.forms import File
from ldapgw.server.config.tables import Tls
from ldapgw.server.tls import TlsContextFactory
from tests.support import pdu
from tests.support.certificates import issue
from tests.support.phonebook.talk import Talk, TooLong

ENTRY, DONE = 0x64, 0x65
PING = pdu.message(0x7FFFFFF0, pdu.search("", 0))


@dataclass(frozen=True)
class Server:
    """The ports of the server, and the file with its certificate."""

    plain: int
    tls: int
    certificate: str

    @property
    def url(self) -> str:
        return f"ldap://127.0.0.1:{self.plain}"

    @property
    def tls_url(self) -> str:
        return f"ldaps://127.0.0.1:{self.tls}"


def certified(folder: Path) -> Path:
    """Write a certificate of this machine and its key into a folder; returns the file of the certificate."""
    issued = issue(authority=True)
    (folder / "key.pem").write_bytes(issued.key_pem())
    (folder / "certificate.pem").write_bytes(issued.pem)
    return folder / "certificate.pem"


def context_of(folder: Path) -> TlsContextFactory:
    """The TLS context for a server whose certificate `certified` has written."""
    return TlsContextFactory(Tls(certificate=File(folder / "certificate.pem"), private_key=File(folder / "key.pem")))


def contexts_in(folder: Path) -> tuple[TlsContextFactory, str]:
    """A TLS context for servers, and the file with its certificate."""
    certificate = certified(folder)
    return context_of(folder), str(certificate)


@contextmanager
def listening(reactor: Any, factory: LdapFactory, certificate: str) -> Iterator[Server]:
    """Listen on two free ports; at the end every connection is closed."""
    plain = reactor.listenTCP(0, factory, interface="127.0.0.1")
    tls = reactor.listenTCP(0, factory.over_tls(), interface="127.0.0.1")
    try:
        yield Server(plain.getHost().port, tls.getHost().port, certificate)
    finally:
        for port in (plain, tls):
            pytest_twisted.blockon(port.stopListening())
        pytest_twisted.blockon(factory.disconnect_all().addTimeout(10, reactor))


def library(name: str, remedy: str) -> ModuleType:
    """A client library; where it is missing, the tests that need it are left out, but not in CI."""
    if "CI" in os.environ:
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=remedy)


def is_answered(talk: Talk) -> bool:
    """Return True if a ping is answered, in the turn in which it comes.

    :raises TooLong: when it is in a later one.
    """
    talk.replies.clear()
    talk.begin(PING)
    if not talk.replies:
        talk.settle()
        if talk.replies:
            raise TooLong("answered in a later turn")
    return [(one.kind, one.code) for one in talk.replies] == [(ENTRY, None), (DONE, 0)]
