# SPDX-License-Identifier: MIT
"""What becomes of a bind request before anybody looks at its password (RFC 4513 5 and 6).

A function of values: the version, what was sent, and whether the connection is encrypted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ldapgw.directory.dn import Dn, InvalidDn
from ldapgw.errors import ResultCode
from ldapgw.ldap.messages import BindRequest, Result, Sasl, Simple

PLAIN = "PLAIN"
# RFC 4422 3: whoever is to speak first, and did not, is asked with an empty challenge.
CHALLENGE = Result(ResultCode.SASL_BIND_IN_PROGRESS)
WRONG = Result(ResultCode.INVALID_CREDENTIALS, "name or password is wrong")


@dataclass(frozen=True, slots=True)
class Login:
    """A name and a password that are worth a look.

    :ivar authzid: whom the client wants to act for, by `acts_for`; empty: itself.
    """

    name: str = field(repr=False)
    password: bytes = field(repr=False)
    authzid: str = field(default="", repr=False)


ANONYMOUS = Login("", b"")


def judge(request: BindRequest, *, secure: bool, require_tls: bool) -> Login | Result:
    """The login to check, `ANONYMOUS`, or the result that refuses the bind.

    :param secure: whether TLS is in use.
    :param require_tls: whether a password needs it.
    """
    if request.version not in (2, 3):
        return Result(ResultCode.PROTOCOL_ERROR, "version is not 2 or 3")
    match request.authentication:
        case Simple(password):
            login: Login | Result = _simple(request.name, password)
        case Sasl(mechanism, credentials) if mechanism.upper() == PLAIN and secure and request.version == 3:
            login = _plain(credentials)
        case _:
            return Result(ResultCode.AUTH_METHOD_NOT_SUPPORTED, "authentication method is not supported here")
    exposed = isinstance(request.authentication, Simple) and request.authentication.password and not secure
    if exposed and require_tls:
        return Result(ResultCode.CONFIDENTIALITY_REQUIRED, "a password needs TLS")
    return login


def _simple(name: str, password: bytes) -> Login | Result:
    if not name:
        return WRONG if password else ANONYMOUS
    if not password:
        # RFC 4513 5.1.2: a client that forgot to ask for the password must not believe that it was right.
        return Result(ResultCode.UNWILLING_TO_PERFORM, "a name needs a password")
    return Login(name, password)


def _plain(credentials: bytes | None) -> Login | Result:
    """RFC 4616: ``[authzid] NUL authcid NUL passwd``; nobody may act for somebody else."""
    if credentials is None:
        return CHALLENGE
    parts = credentials.split(b"\x00")
    if len(parts) != 3 or not parts[1] or not parts[2]:
        return Result(ResultCode.PROTOCOL_ERROR, "PLAIN: not a name and a password")
    try:
        authzid, authcid = parts[0].decode(), parts[1].decode()
    except UnicodeDecodeError:
        return WRONG
    return Login(authcid, parts[2], "" if authzid in ("", authcid) else authzid)


def acts_for(authzid: str, login: str) -> bool:
    """Whether an authorization identity (RFC 4513 5.2.1.8) is that of a login: nobody may act for somebody else.

    :param login: the DN that the client has proven to be.
    """
    own = Dn.parse(login)
    if authzid.startswith("dn:"):
        try:
            return Dn.parse(authzid.removeprefix("dn:")).key == own.key
        except InvalidDn:
            return False
    name = own.rdns[0][0][1] if own.rdns else ""
    return authzid.startswith("u:") and authzid.removeprefix("u:").strip().lower() == name.lower()
