# SPDX-License-Identifier: MIT
"""Logins of phones and PBXs over HTTP: Basic (RFC 7617), Bearer with ``NAME.PASSWORD`` (RFC 6750), or a secret address.

There is no Digest (RFC 7616): it needs a stored equivalent of the password.  A login that came in clear over the
network is refused.  The answer to a wrong login is delayed, and wrong logins count together with those over LDAP.
"""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from ldapgw.directory.access import Viewer
from ldapgw.errors import DirectoryError
from ldapgw.web.dependencies import BookClientDependencies, WebTenant
from ldapgw.web.http import HttpRequest, HttpResponse, text_response

_NEEDS_TLS = "A login needs HTTPS; a proxy that ends TLS has to be in [web] trusted_proxies."
# Seconds until a wrong login is answered while another answer to the same network and login is delayed.
LONGEST_DELAY = 8.0


class HttpCredentials(NamedTuple):
    """A login's name and password."""

    name: str
    password: bytes

    def __repr__(self) -> str:
        return "<HttpCredentials>"


class LoginRefused(Exception):
    """A phone did not log in.

    :ivar response: the answer.
    """

    def __init__(self, response: HttpResponse) -> None:
        super().__init__()
        self.response = response


def read_credentials(authorization: str) -> HttpCredentials | None:
    """The credentials in the header ``Authorization``; None: there are none, or they cannot be read."""
    scheme, _, value = authorization.strip().partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        name, dot, password = value.rpartition(".")
        return HttpCredentials(name, password.encode()) if dot else None
    if scheme.lower() != "basic":
        return None
    try:
        octets = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    user, colon, secret = octets.partition(b":")
    return HttpCredentials(user.decode("utf-8", "replace"), secret) if colon else None


async def log_in(
    request: HttpRequest,
    tenant: WebTenant,
    secret: str | None,
    dependencies: BookClientDependencies,
    clock: IReactorTime,
) -> Viewer:
    """The login of the phone that sent a request.

    :param secret: stands for a login in the request's path; None: the path has none.
    :param clock: delays the answer to a wrong login.
    :raises LoginRefused: there is no login, it is wrong or another tenant's, or it came in clear over the network.
    """
    if not request.is_private:
        raise LoginRefused(text_response(_NEEDS_TLS, 403))
    try:
        viewer, name, refusal = _authenticate(request, tenant, secret, dependencies)
    except DirectoryError as error:
        raise LoginRefused(text_response(f"Not now: {error.diagnostic}.", 503)) from None
    if viewer is None or not any(access.tenant == tenant.name for access in viewer.access):
        delay = dependencies.login_delay(request.address, name)
        await deferLater(clock, LONGEST_DELAY if delay is None else delay)
        raise LoginRefused(refusal)
    return viewer


def _authenticate(
    request: HttpRequest, tenant: WebTenant, secret: str | None, dependencies: BookClientDependencies
) -> tuple[Viewer | None, str, HttpResponse]:
    """The viewer, the login's name, and the answer if the login is wrong.

    :raises LoginRefused: there is no login.
    :raises DirectoryError: nobody knows which logins there are.
    """
    if secret is not None:
        viewer = dependencies.authenticate_secret(secret, request.address)
        name, refusal = secret.rpartition(".")[0], text_response("There is no such phone book.", 404)
    else:
        credentials = read_credentials(request.authorization)
        if credentials is None:
            raise LoginRefused(_unauthorized(tenant, "This needs the login of a phone."))
        viewer = dependencies.authenticate(credentials.name, credentials.password, request.address)
        name, refusal = credentials.name, _unauthorized(tenant, "Name or password is wrong.")
        if viewer is None:
            dependencies.login_refused(name, request.address)
    return viewer, name, refusal


def _unauthorized(tenant: WebTenant, message: str) -> HttpResponse:
    """RFC 9110 15.5.2."""
    refused = text_response(message, 401)
    challenge = f'Basic realm="{tenant.name}", charset="UTF-8"'
    return HttpResponse(refused.status, refused.body, refused.content_type, (("WWW-Authenticate", challenge),))
