# SPDX-License-Identifier: MIT
"""Whether a form that is sent is one of ours, from our own page.

Three guards, each enough: the session cookie is ``SameSite=Lax``; every form holds a token that only our page knows;
and what the browser says of where the form came from must not speak against it.

Who is at the browser: a cookie that means something on the server alone.
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
    """The token of a session's forms.

    Derived, so that nothing has to be kept; it does not give the session's cookie away.
    """
    return hmac.new(session.encode(), b"ldapgw form", hashlib.sha256).hexdigest()


def is_valid_form(request: HttpRequest, session: str, origin: str) -> bool:
    """Whether a form may act for a session.

    :param origin: that of ``public_url``.
    """
    return _is_same_site(request, origin) and hmac.compare_digest(
        request.form.get(CSRF_FIELD, "").encode(), form_token(session).encode()
    )


def _is_same_site(request: HttpRequest, origin: str) -> bool:
    """Whether the browser does not say that the form came from elsewhere.

    With ``Referrer-Policy: no-referrer`` browsers send ``Origin: null`` from our own page (Fetch, 3.2), so that proves
    nothing; they tell by ``Sec-Fetch-Site`` then.
    """
    if request.fetch_site not in ("", "same-origin"):
        return False
    return request.origin in ("", "null") or request.origin.lower() == origin


@dataclass(frozen=True, slots=True)
class Visitor:
    """A person who is signed in to a tenant.

    :ivar session: the cookie's value.
    :ivar account: their own; None for one who has signed in and never connected.
    :ivar accounts: all that are on their page, their own first.
    """

    person: SignIn
    session: str = field(repr=False)
    account: Account | None
    accounts: tuple[Account, ...] = ()

    def administers(self, tenant: WebTenant) -> bool:
        """Whether they may see and do what the tenant's administrators may."""
        return self.person.tenant == tenant.name and (self.person.is_by_link or tenant.is_admin(self.person.address))

    def account_by_number(self, number: str) -> Account | None:
        """One of their accounts by its place on their page, counted from 1."""
        return next((one for at, one in enumerate(self.accounts, start=1) if str(at) == number), None)

    def account_by_sub(self, sub: str) -> Account | None:
        """One of their accounts; None for one that is not theirs, or is none."""
        return next((account for account in self.accounts if account.sub == sub), None)

    @property
    def token(self) -> str:
        """What their forms have to hold."""
        return form_token(self.session)


def find_visitor(
    connection: Connection, session: str, tenant: WebTenant, now: float, *, seen: bool = True
) -> Visitor | None:
    """Who a cookie belongs to in a tenant; None when it is unknown, of another tenant, or too old.

    So it is for somebody who has signed in and may not any more.

    :param seen: whether the person was there, which puts the end of the session off.
    """
    person = sign_ins.read_sign_in(connection, session, tenant.name, now, seen=seen) if is_secret(session) else None
    if person is None or not (person.is_by_link or tenant.admits(_identity(person))):
        return None
    found = accounts.read_for_person(connection, person.tenant, person.sub)
    own = next((account for account in found if account.sub == person.sub), None)
    return Visitor(person, session, own, found)


def _identity(person: SignIn) -> Identity:
    """As Google told it when they signed in, which nobody does with an address that is not verified."""
    return Identity(person.sub, person.address, email_verified=True, hd=person.hd)


def begin_session(connection: Connection, session: str, before: str, person: SignIn, now: float) -> None:
    """Sign a person in with a new cookie; the one before ends, whoever's it was (session fixation).

    :param before: the browser's cookie of the same tenant; empty where it has none.
    """
    if before:
        sign_ins.sign_out(connection, before)
    sign_ins.create_sign_in(connection, session, person, now)
