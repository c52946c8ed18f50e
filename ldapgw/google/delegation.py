# SPDX-License-Identifier: MIT
"""Service accounts with domain-wide delegation: their key files, and Google's refusals of their calls.

A Workspace administrator allows a service account to read data of the Workspace's users.  The gateway then requests an
access token for one user with a JWT, which the gateway signs with the key of the service account (RFC 7523;
`ldapgw.google.oauth.OAuth.delegated_grant`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ldapgw.errors import UserError
from ldapgw.phrase import Texts, read_texts

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

# The scopes of the Directory API; the scopes of the People API are in `ldapgw.google.oauth.SCOPE_OF`.
USERS_SCOPE = "https://www.googleapis.com/auth/admin.directory.user.readonly"
GROUPS_SCOPE = "https://www.googleapis.com/auth/admin.directory.group.readonly"

# The maximum number of octets of a key file; Google's files have some 2.4 KiB.
LARGEST_KEY_FILE = 16 * 1024

# Delegation exists only in Google's public cloud.
_UNIVERSE = "googleapis.com"
# A signature with 4096 bits takes 5 ms on the reactor's thread.
_SMALLEST_KEY_BITS, _LARGEST_KEY_BITS = 2048, 4096
_FORMS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "client_email": re.compile(r"[!-?A-~]{1,200}@[!-?A-~]{1,200}"),
        "client_id": re.compile(r"[0-9]{1,40}"),
        "project_id": re.compile(r"[!-~]{1,100}"),
        "private_key_id": re.compile(r"[!-~]{1,100}"),
    }
)


class UnfitKeyFile(UserError):
    """Raised when octets are not the key file of a service account; the message is a translatable sentence."""


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service account with its key, as in a key file; the ``repr`` omits the key.

    :ivar client_email: the address of the service account, which is the issuer of its JWTs.
    :ivar client_id: the number that a Workspace administrator enters for domain-wide delegation.
    :ivar project_id: the Google project to which the service account belongs.
    :ivar key_id: Google's name for the key, which the console shows.
    :ivar private_key: the loaded key, which signs each JWT.
    """

    client_email: str
    client_id: str
    project_id: str
    key_id: str
    private_key: RSAPrivateKey = field(repr=False, compare=False)


class DelegationRefusal(StrEnum):
    """Google's reasons to refuse a service account's request for a token, or for the users or groups of a Workspace.

    The members up to `POLICY` are answers of the token endpoint.  The members from `NOT_AN_ADMIN` on are answers of the
    Directory API, which also answers `SOME_SCOPES`, `DELETED_USER` and `POLICY`.
    """

    # NOT_AUTHORIZED: no requested scope is authorized.  SOME_SCOPES: only some of the requested scopes are authorized.
    # Google also answers SOME_SCOPES for a user who has never signed in, or for whom the service is off.
    NOT_AUTHORIZED = "not_authorized"
    SOME_SCOPES = "some_scopes"
    RESTRICTED = "restricted"
    UNKNOWN_USER = "unknown_user"
    DELETED_USER = "deleted_user"
    DISABLED_USER = "disabled_user"
    # Google gives no reason; a suspended user is one of the possible reasons.
    UNEXPLAINED = "unexplained"
    BAD_KEY = "bad_key"
    CLOCK = "clock"
    # Google rejects the JWT's audience or issuer.
    BAD_ASSERTION = "bad_assertion"
    NO_SERVICE_ACCOUNT = "no_service_account"
    SERVICE_ACCOUNT_DISABLED = "service_account_disabled"
    BAD_SCOPE = "bad_scope"
    POLICY = "policy"

    NOT_AN_ADMIN = "not_an_admin"
    API_DISABLED = "api_disabled"
    API_ACCESS_OFF = "api_access_off"
    NOT_WORKSPACE = "not_workspace"
    NO_GROUP = "no_group"


# Refusals that concern all users of the tenant.  Any other refusal concerns only the user or the group of the call.
# But if Google refuses the tenant's administrator too, the refusal concerns all users.
REFUSED_TENANT: frozenset[DelegationRefusal] = frozenset(
    (
        DelegationRefusal.NOT_AUTHORIZED,
        DelegationRefusal.BAD_KEY,
        DelegationRefusal.CLOCK,
        DelegationRefusal.BAD_ASSERTION,
        DelegationRefusal.NO_SERVICE_ACCOUNT,
        DelegationRefusal.SERVICE_ACCOUNT_DISABLED,
        DelegationRefusal.BAD_SCOPE,
        DelegationRefusal.POLICY,
        DelegationRefusal.NOT_AN_ADMIN,
        DelegationRefusal.API_DISABLED,
        DelegationRefusal.API_ACCESS_OFF,
        DelegationRefusal.NOT_WORKSPACE,
    )
)


class RefusalText(Texts, frozen=True):
    """The text of a refusal.

    :ivar what: the event, in a sentence.
    :ivar who: the person who has to act, as a key of `RESPONSIBLE`.
    :ivar todo: the instructions, with the way through the menus of Google's consoles.
    """

    what: str
    who: str
    todo: str


class _KeyFileTexts(Texts, frozen=True):
    too_large: str
    not_json: str
    client: str
    person: str
    other_kind: str
    other_cloud: str
    incomplete: str
    escaped: str
    damaged: str


class _DelegationTexts(Texts, frozen=True):
    key_file: _KeyFileTexts
    responsible: Mapping[str, str]
    refusals: Mapping[DelegationRefusal, RefusalText]


_TEXTS = read_texts("google/texts/delegation", _DelegationTexts)
REFUSAL_TEXTS: Mapping[DelegationRefusal, RefusalText] = MappingProxyType(dict(_TEXTS.refusals))
# The texts for the people who have to act after a refusal; the keys are ``workspace`` and ``gateway``.
RESPONSIBLE: Mapping[str, str] = MappingProxyType(dict(_TEXTS.responsible))

# The refusal for each error code of the token endpoint.  Where Google uses one code for several reasons, the table
# `_DESCRIBED` tells the reasons apart.
_BY_ERROR: Mapping[str, DelegationRefusal] = MappingProxyType(
    {
        "unauthorized_client": DelegationRefusal.NOT_AUTHORIZED,
        "access_denied": DelegationRefusal.SOME_SCOPES,
        "invalid_grant": DelegationRefusal.UNEXPLAINED,
        "invalid_account": DelegationRefusal.DISABLED_USER,
        "account_disabled": DelegationRefusal.DISABLED_USER,
        "invalid_client": DelegationRefusal.NO_SERVICE_ACCOUNT,
        "deleted_client": DelegationRefusal.NO_SERVICE_ACCOUNT,
        "disabled_client": DelegationRefusal.SERVICE_ACCOUNT_DISABLED,
        "invalid_scope": DelegationRefusal.BAD_SCOPE,
        "admin_policy_enforced": DelegationRefusal.POLICY,
    }
)
# Error codes with the beginning of Google's description, in lower case and without punctuation.  Google changes its
# descriptions from time to time, so the patterns are short.
_DESCRIBED: tuple[tuple[str, re.Pattern[str], DelegationRefusal], ...] = tuple(
    (error, re.compile(pattern), refusal)
    for error, pattern, refusal in (
        ("access_denied", "account restricted", DelegationRefusal.RESTRICTED),
        ("invalid_grant", "invalid email or user|not a valid email", DelegationRefusal.UNKNOWN_USER),
        ("invalid_grant", "the account has been deleted|account has been deleted", DelegationRefusal.DELETED_USER),
        ("invalid_grant", "invalid jwt signature", DelegationRefusal.BAD_KEY),
        ("invalid_grant", "invalid jwt token must be", DelegationRefusal.CLOCK),
        ("invalid_grant", "invalid jwt failed audience|invalid jwt no valid verifier", DelegationRefusal.BAD_ASSERTION),
        ("invalid_grant", "invalid grant account not found", DelegationRefusal.NO_SERVICE_ACCOUNT),
        ("invalid_request", "invalid impersonation", DelegationRefusal.UNKNOWN_USER),
    )
)


def read_key_file(octets: bytes) -> ServiceAccount:
    """Decode the key file of a service account, without the slow check of the RSA key (whether the primes are prime).

    The file also names a ``token_uri``, which is never used: a forged file could name a host of the local network.

    :raises UnfitKeyFile: if `octets` are not such a file, or if the key cannot be used.
    """
    if len(octets) > LARGEST_KEY_FILE:
        raise UnfitKeyFile(_TEXTS.key_file.too_large)
    try:
        content = json.loads(octets)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise UnfitKeyFile(_TEXTS.key_file.not_json)
    _check_kind(content)
    texts = {name: _text(content, name) for name in _FORMS}
    if not all(form.fullmatch(texts[name]) for name, form in _FORMS.items()) or not _text(content, "private_key"):
        raise UnfitKeyFile(_TEXTS.key_file.incomplete)
    return ServiceAccount(
        texts["client_email"],
        texts["client_id"],
        texts["project_id"],
        texts["private_key_id"],
        _load_key(_text(content, "private_key")),
    )


def read_token_refusal(error: str, description: str) -> DelegationRefusal | None:
    """Return the refusal of an error answer of the token endpoint, or None if the error code is unknown.

    :param error: the value of ``error``.
    :param description: the value of ``error_description``.
    """
    plain = " ".join(re.findall(r"[a-z]+", description[:400].lower()))
    for code, pattern, refusal in _DESCRIBED:
        if error == code and pattern.match(plain):
            return refusal
    return _BY_ERROR.get(error)


def _check_kind(content: Mapping[str, Any]) -> None:
    """Raise an `UnfitKeyFile` for another kind of credentials than the key of a service account."""
    if "web" in content or "installed" in content:
        raise UnfitKeyFile(_TEXTS.key_file.client)
    kind = content.get("type")
    if kind == "authorized_user":
        raise UnfitKeyFile(_TEXTS.key_file.person)
    if kind != "service_account":
        raise UnfitKeyFile(_TEXTS.key_file.other_kind)
    if content.get("universe_domain", _UNIVERSE) != _UNIVERSE:
        raise UnfitKeyFile(_TEXTS.key_file.other_cloud)


def _load_key(pem: str) -> RSAPrivateKey:
    # These modules are imported here, because most commands load no key and are quicker without the modules.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if "\\n" in pem:
        raise UnfitKeyFile(_TEXTS.key_file.escaped)
    try:
        # The key is not checked, because the check could stop all threads for seconds.  Google refuses the signature of
        # a bad key.
        key = load_pem_private_key(pem.encode(), None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPrivateKey) or not _SMALLEST_KEY_BITS <= key.key_size <= _LARGEST_KEY_BITS:
        raise UnfitKeyFile(_TEXTS.key_file.damaged)
    return key


def _text(content: Mapping[str, Any], name: str) -> str:
    value = content.get(name)
    return value if isinstance(value, str) else ""
