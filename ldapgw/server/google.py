# SPDX-License-Identifier: MIT
"""Builds the clients of Google's endpoints, with the proxy and the trusted CAs from ``[google]``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.x509 import Certificate
from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime

from ldapgw.errors import UserError
from ldapgw.google.connections import trusting, uninspected
from ldapgw.google.endpoints import Endpoints
from ldapgw.google.http import CallObserver, http_client, ignore_call
from ldapgw.google.identity import PublishedKeys
from ldapgw.google.oauth import OAuth
from ldapgw.server.config import Google
from ldapgw.server.tls import read_certificates


class GoogleClients:
    """The clients of Google's endpoints.

    :param reactor: the reactor on which the HTTP clients run.
    :param clock: the clock for the time of day.
    :param observe: called for each call to Google.
    :ivar http: the client for the token endpoint, the revocation endpoint and the People API.
    :ivar keys: Google's published keys, or None without ``ca_file``: if no proxy inspects TLS, the keys are not needed.
    :raises UserError: when ``ca_file`` cannot be used.
    """

    def __init__(self, google: Google, reactor: Any, clock: IReactorTime, observe: CallObserver = ignore_call) -> None:
        authorities = read_authorities(google.ca_file) if google.ca_file else ()
        proxy = google.configured_proxy
        self.endpoints = Endpoints(**google.endpoints)
        self.http: HTTPClient = http_client(reactor, trusting(authorities), proxy)
        self.keys: PublishedKeys | None = None
        if authorities:
            uninspected_http = http_client(reactor, uninspected(authorities), proxy)
            self.keys = PublishedKeys(uninspected_http, google.jwks_uri, clock, observe)
        self.oauth = OAuth(self.http, self.endpoints, clock, self.keys, observe)


def read_authorities(file: str) -> tuple[Certificate, ...]:
    """Read the certificates of ``ca_file``; blocks on the disk.

    :raises UserError: when the file cannot be used.
    """
    try:
        return read_certificates(Path(file).read_bytes())
    except OSError as error:
        raise UserError(f"google.ca_file = {file}: cannot be read: {error.strerror}", is_setting=True) from None
    except ValueError:
        raise UserError(f"google.ca_file = {file}: expected certificates in PEM", is_setting=True) from None
