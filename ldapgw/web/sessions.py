# SPDX-License-Identifier: MIT
"""Sessions: the signed-in visitor behind a session cookie, and protection against forged forms (CSRF).

The session cookie is a random key without meaning outside the server.  Three guards protect forms, each sufficient
alone: the cookie is ``SameSite=Lax``; every form contains a token derived from the session; and ``Origin`` and
``Sec-Fetch-Site`` must not name another site.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from sqlalchemy import Connection

from ldapgw.google.identity import Identity
from ldapgw.store import accounts, sign_ins
from ldapgw.store.accounts import Account
from ldapgw.store.sign_ins import SignIn
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.http import HttpRequest, is_secret

CSRF_FIELD = "token"


def form_token(session: str) -> str:
    """Return the CSRF token of a session's forms.

    The token is derived from the session cookie, so nothing has to be stored; the token does not reveal the cookie.
    """
    return hmac.new(session.encode(), b"ldapgw form", hashlib.sha256).hexdigest()


def is_valid_form(request: HttpRequest, session: str, origin: str) -> bool:
    """Return whether a form comes from a page of the gateway and contains the session's token."""
    return is_same_site(request, origin) and hmac.compare_digest(
        request.form.get(CSRF_FIELD, "").encode(), form_token(session).encode()
    )


def is_same_site(request: HttpRequest, origin: str) -> bool:
    """Return whether no header of the request names another site.

    With ``Referrer-Policy: no-referrer`` browsers send ``Origin: null`` from the gateway's own pages (Fetch, 3.2), so
    ``null`` proves nothing; ``Sec-Fetch-Site`` decides then.
    """
    if request.header("Sec-Fetch-Site") not in ("", "same-origin"):
        return False
    sent = request.header("Origin")
    return sent in ("", "null") or sent.lower() == origin


@dataclass(frozen=True, slots=True)
class Visitor:
    """A person who is signed in to a tenant.

    :ivar session: the value of the session cookie.
    :ivar account: the person's own account, or None for a person who has signed in and never connected.
    :ivar accounts: all accounts on the person's page, their own account first.
    """

    person: SignIn
    session: str = field(repr=False)
    account: Account | None
    accounts: tuple[Account, ...] = ()

    def administers(self, tenant: WebTenant) -> bool:
        """Return whether the visitor is an administrator of the tenant, by address or by a link from ``admin-link``."""
        person = self.person
        return person.tenant == tenant.name and (person.is_by_link or tenant.is_admin(_identity(person)))

    def account_by_number(self, number: str) -> Account | None:
        """Return the account with this number on the visitor's page, counted from 1."""
        numbered = enumerate(self.accounts, start=1)
        return next((account for position, account in numbered if str(position) == number), None)

    def number_of(self, account: Account) -> int:
        """Return the number of one of the visitor's accounts, counted from 1."""
        return self.accounts.index(account) + 1

    def account_by_sub(self, sub: str) -> Account | None:
        """Return the visitor's account of a Google user, or None if the visitor has no such account."""
        return next((account for account in self.accounts if account.sub == sub), None)

    @property
    def token(self) -> str:
        """Return the CSRF token that the visitor's forms must contain."""
        return form_token(self.session)


def find_visitor(connection: Connection, session: str, tenant: WebTenant, now: float) -> Visitor | None:
    """Return the visitor that a session cookie belongs to.

    :returns: None if the session is unknown, expired or of another tenant, or if the tenant no longer admits the
        person.
    """
    person = sign_ins.read_sign_in(connection, session, tenant.name, now) if is_secret(session) else None
    if person is None or not (person.is_by_link or tenant.admits(_identity(person))):
        return None
    all_accounts = accounts.read_for_person(connection, person.tenant, person.sub)
    own_account = next((account for account in all_accounts if account.sub == person.sub), None)
    return Visitor(person, session, own_account, all_accounts)


def _identity(person: SignIn) -> Identity:
    """Return a person's identity; the address counts as verified, because otherwise the person could not sign in."""
    return Identity(person.sub, person.address, email_verified=True, hd=person.hd)


def begin_session(connection: Connection, session: str, before: str, person: SignIn, now: float) -> None:
    """Sign a person in with a new session, and end the browser's previous session.

    The previous session ends even if another person began this session (session fixation).

    :param before: the browser's previous session cookie of the same tenant; empty if there is no such cookie.
    """
    if before:
        sign_ins.sign_out(connection, before)
    sign_ins.create_sign_in(connection, session, person, now)
