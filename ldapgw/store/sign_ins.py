# SPDX-License-Identifier: MIT
"""Who is signed in on the page, and the consents under way.

Cookies and OAuth states are stored as SHA-256 alone: a copy of the database lets nobody in.

Links that open a tenant's administration once, for the time before anybody can sign in.

Whoever can run ``ldapgw admin-link`` can read the database as well, so the link gives away nothing.  What is in it is
stored as SHA-256 alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, insert, not_, select, update

from ldapgw.store.secrets import SecretBox
from ldapgw.store.tables import admin_link, consent_flow, sign_in

# A consent takes a minute; ten are enough for one with a password to look up.
FLOW_SECONDS = 600
# Signed in: twelve hours of silence end it, a week does in any case.
IDLE_SECONDS = 12 * 3600
ABSOLUTE_SECONDS = 7 * 86400
# Behind the purpose of a consent in a window of its own.
_POPUP = " popup"


# By a link from the command line, at most a day: it is for setting up.
BY_LINK_SECONDS = 86400


@dataclass(frozen=True, slots=True)
class SignIn:
    """A person who is signed in to a tenant's page.

    :ivar sub: Google's key of the user; empty for somebody who came by a link from the command line.
    :ivar hd: the Workspace domain, as Google's claim; empty for a consumer account.
    """

    tenant: str
    sub: str
    address: str
    hd: str = ""

    @property
    def is_by_link(self) -> bool:
        """Whether it is an administrator whom Google does not know."""
        return not self.sub

    def __repr__(self) -> str:
        """Without address and sub: a log must not hold them."""
        return f"<SignIn to {self.tenant}>"


@dataclass(frozen=True, slots=True, repr=False)
class ConsentFlow:
    """A consent under way: what has to come back with it.

    :ivar popup: whether it goes on in a window of its own.
    :ivar expected: the sub of the Google user whose account it is to connect; empty: anybody's.
    """

    tenant: str
    purpose: str
    nonce: str
    verifier: str
    popup: bool = False
    expected: str = ""


def begin_flow(
    connection: Connection, secret_box: SecretBox, state: str, browser: str, flow: ConsentFlow, now: float
) -> None:
    """Remember a consent that a browser begins; those that were never ended are forgotten."""
    connection.execute(delete(consent_flow).where(not_(_is_recent(now))))
    connection.execute(
        insert(consent_flow).values(
            state=_digest(state),
            browser=_digest(browser),
            tenant=flow.tenant,
            purpose=f"{flow.purpose}{_POPUP}" if flow.popup else flow.purpose,
            nonce=secret_box.seal(flow.nonce),
            verifier=secret_box.seal(flow.verifier),
            created_at=now,
            expected=flow.expected,
        )
    )


def take_flow(
    connection: Connection, secret_box: SecretBox, state: str, browser: str, now: float
) -> ConsentFlow | None:
    """The consent that a state belongs to, once: None for one used, expired, unknown, or begun by another browser."""
    taken = delete(consent_flow).where(
        consent_flow.c.state == _digest(state),
        consent_flow.c.browser == _digest(browser),
        _is_recent(now),
    )
    row = connection.execute(taken.returning(*consent_flow.c)).first()
    if row is None:
        return None
    return ConsentFlow(
        row.tenant,
        row.purpose.removesuffix(_POPUP),
        secret_box.unseal(row.nonce),
        secret_box.unseal(row.verifier),
        popup=row.purpose.endswith(_POPUP),
        expected=row.expected,
    )


def create_sign_in(connection: Connection, token: str, person: SignIn, now: float) -> None:
    """Remember that a person has signed in with a new cookie."""
    connection.execute(
        delete(sign_in).where(
            (sign_in.c.seen_at < now - IDLE_SECONDS) | (sign_in.c.created_at < now - ABSOLUTE_SECONDS)
        )
    )
    connection.execute(
        insert(sign_in).values(
            token=_digest(token),
            tenant=person.tenant,
            sub=person.sub,
            address=person.address,
            created_at=now,
            seen_at=now,
            hd=person.hd,
        )
    )


def read_sign_in(connection: Connection, token: str, tenant: str, now: float, *, seen: bool = True) -> SignIn | None:
    """Who a cookie belongs to; None when it is unknown, of another tenant, or too old.

    :param seen: false for what a page asks by itself: a window left open keeps nobody signed in.
    """
    row = connection.execute(
        select(sign_in).where(
            sign_in.c.token == _digest(token),
            sign_in.c.tenant == tenant,
            sign_in.c.seen_at >= now - IDLE_SECONDS,
            sign_in.c.created_at >= now - ABSOLUTE_SECONDS,
        )
    ).first()
    if row is None or (not row.sub and row.created_at < now - BY_LINK_SECONDS):
        return None
    # Once a minute is enough, and spares the disk.  Where the clock was set back, time counts from now on.
    if seen and not 0 <= now - row.seen_at <= 60:
        values = {"seen_at": now, "created_at": min(row.created_at, now)}
        connection.execute(update(sign_in).where(sign_in.c.token == row.token).values(values))
    return SignIn(row.tenant, row.sub, row.address, row.hd)


def read_tenant(connection: Connection, token: str) -> str | None:
    """Where a cookie belongs; None when it is unknown."""
    tenant: str | None = connection.execute(select(sign_in.c.tenant).where(sign_in.c.token == _digest(token))).scalar()
    return tenant


def sign_out(connection: Connection, token: str) -> None:
    """Forget a cookie."""
    connection.execute(delete(sign_in).where(sign_in.c.token == _digest(token)))


def _is_recent(now: float) -> ColumnElement[bool]:
    """Whether a consent began within the last minutes; one that began later than now was begun by another clock."""
    return consent_flow.c.created_at.between(now - FLOW_SECONDS, now + FLOW_SECONDS)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


# From the terminal to the browser.
LINK_SECONDS = 3600


def make_admin_link(connection: Connection, token: str, tenant: str, now: float) -> None:
    """Remember a new link; those that are too old are forgotten.

    :param token: what is in it.
    """
    connection.execute(delete(admin_link).where(admin_link.c.created_at <= now - LINK_SECONDS))
    connection.execute(insert(admin_link).values(token=_token_digest(token), tenant=tenant, created_at=now))


def take_admin_link(connection: Connection, token: str, tenant: str, now: float) -> bool:
    """Use a link up; whether it was good: of that tenant, not used yet, and not too old."""
    taken = delete(admin_link).where(
        admin_link.c.token == _token_digest(token),
        admin_link.c.tenant == tenant,
        admin_link.c.created_at.between(now - LINK_SECONDS, now + LINK_SECONDS),
    )
    return connection.execute(taken).rowcount > 0


def _token_digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
