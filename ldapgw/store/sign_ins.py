# SPDX-License-Identifier: MIT
"""Sign-ins to the web pages, pending consents, and links that open a tenant's administration page once.

Only the SHA-256 of cookies, OAuth states and link tokens is stored, so that nobody can sign in with a copy of the
database.  An administration link is meant for the time before anybody can sign in.  The link gives no new rights to the
user who makes it, because a user who can run ``ldapgw admin-link`` can read the database too.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, case, delete, insert, not_, select, update

from ldapgw.errors import UnfitKey
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tables import admin_link, columns_of, consent_flow, sign_in, value_of

# A consent takes a minute; ten minutes are enough for a person who has to look up a password.
FLOW_SECONDS = 600
# A sign-in ends after twelve idle hours, and after a week even if it is used.
IDLE_SECONDS = 12 * 3600
ABSOLUTE_SECONDS = 7 * 86400
# The largest number of sign-ins of a person in a tenant, one for each browser; a further sign-in ends the oldest.
MAX_SIGN_INS = 20
# A sign-in by a link from the command line is for the first configuration, and ends after a day.
BY_LINK_SECONDS = 86400
# A link from the command line expires after this time.
LINK_SECONDS = 3600
# If a consent takes place in a separate window, the stored purpose ends in this text.
_POPUP = " popup"


@dataclass(frozen=True, slots=True)
class SignIn:
    """A person who is signed in to a tenant's page, a row of the table ``sign_in``."""

    tenant: str
    sub: str
    address: str
    hd: str = ""

    @property
    def is_by_link(self) -> bool:
        """Return whether an administrator signed in by a link, without Google."""
        return not self.sub

    def __repr__(self) -> str:
        """Omit address and sub, which a log must not contain."""
        return f"<SignIn to {self.tenant}>"


@dataclass(frozen=True, slots=True, repr=False)
class ConsentFlow:
    """A pending consent (OAuth 2.0 authorization request), a row of the table ``consent_flow``.

    :ivar popup: whether the consent continues in a separate window.
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
    """Store a consent that a browser begins, and delete expired consents."""
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
) -> ConsentFlow | UnfitKey | None:
    """Read and delete the consent of a state.

    :returns: the consent, or None if the state is used, expired, unknown, or belongs to another browser.  If the
        consent was encrypted with another key, the error is returned, not raised, so that the consent is deleted.
    """
    take = delete(consent_flow).where(
        consent_flow.c.state == _digest(state), consent_flow.c.browser == _digest(browser), _is_recent(now)
    )
    row = connection.execute(take.returning(*consent_flow.c)).first()
    if row is None:
        return None
    try:
        nonce, verifier = secret_box.unseal(row.nonce), secret_box.unseal(row.verifier)
    except UnfitKey as error:
        return error
    purpose, popup = row.purpose.removesuffix(_POPUP), row.purpose.endswith(_POPUP)
    return value_of(ConsentFlow, row, purpose=purpose, popup=popup, nonce=nonce, verifier=verifier)


def age_of_flow(connection: Connection, state: str, browser: str, now: float) -> float | None:
    """Return the seconds since a consent began, or None if there is no such consent.

    The consent may have begun at another gateway.  A negative age means that the clocks of the gateways differ.
    """
    is_meant = consent_flow.c.state == _digest(state), consent_flow.c.browser == _digest(browser)
    began: float | None = connection.execute(select(consent_flow.c.created_at).where(*is_meant)).scalar()
    return now - began if began is not None else None


def create_sign_in(connection: Connection, token: str, person: SignIn, now: float) -> None:
    """Store the sign-in of a new cookie, and delete expired sign-ins and the person's sign-ins above `MAX_SIGN_INS`."""
    connection.execute(
        delete(sign_in).where(
            (sign_in.c.seen_at < now - IDLE_SECONDS) | (sign_in.c.created_at < now - ABSOLUTE_SECONDS)
        )
    )
    if person.sub:
        own = select(sign_in.c.token).where(sign_in.c.tenant == person.tenant, sign_in.c.sub == person.sub)
        newest_first = own.order_by(sign_in.c.created_at.desc(), sign_in.c.seen_at.desc())
        oldest = connection.execute(newest_first.offset(MAX_SIGN_INS - 1)).scalars().all()
        connection.execute(delete(sign_in).where(sign_in.c.token.in_(oldest)))
    columns = columns_of(person, token=_digest(token), created_at=now, seen_at=now)
    connection.execute(insert(sign_in).values(columns))


def read_sign_in(connection: Connection, token: str, tenant: str, now: float) -> SignIn | None:
    """Read the sign-in of a cookie; return None if the cookie is unknown, expired, or of another tenant."""
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
    return value_of(SignIn, row)


def extend_sign_in(connection: Connection, token: str, now: float) -> None:
    """Extend a sign-in because the person was active; requests that an open page makes by itself do not count.

    The time is stored once a minute at most, to spare the disk.  If the clock was set back, the present time replaces
    the time of the sign-in and the time of the last activity.
    """
    values = {"seen_at": now, "created_at": case((sign_in.c.created_at > now, now), else_=sign_in.c.created_at)}
    is_due = not_(sign_in.c.seen_at.between(now - 60, now))
    connection.execute(update(sign_in).where(sign_in.c.token == _digest(token), is_due).values(values))


def read_tenant(connection: Connection, token: str) -> str | None:
    """Return the tenant of a cookie, or None if the cookie is unknown."""
    tenant: str | None = connection.execute(select(sign_in.c.tenant).where(sign_in.c.token == _digest(token))).scalar()
    return tenant


def sign_out(connection: Connection, token: str) -> None:
    connection.execute(delete(sign_in).where(sign_in.c.token == _digest(token)))


def make_admin_link(connection: Connection, token: str, tenant: str, now: float) -> None:
    """Store a new link, and delete expired links.

    :param token: the secret part of the link.
    """
    connection.execute(delete(admin_link).where(admin_link.c.created_at <= now - LINK_SECONDS))
    connection.execute(insert(admin_link).values(token=_digest(token), tenant=tenant, created_at=now))


def take_admin_link(connection: Connection, token: str, tenant: str, now: float) -> bool:
    """Delete a link, and return whether it was valid: of this tenant, unused and not expired."""
    take = delete(admin_link).where(
        admin_link.c.token == _digest(token),
        admin_link.c.tenant == tenant,
        admin_link.c.created_at.between(now - LINK_SECONDS, now + LINK_SECONDS),
    )
    return connection.execute(take).rowcount > 0


def _is_recent(now: float) -> ColumnElement[bool]:
    """Return the SQL condition that a consent began less than ten minutes before now, or after now.

    The beginning can be after now if the clock was set back.
    """
    return consent_flow.c.created_at.between(now - FLOW_SECONDS, now + FLOW_SECONDS)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
