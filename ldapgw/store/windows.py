# SPDX-License-Identifier: MIT
"""Provisioning windows: the times during which phones on the office's network may fetch their settings by MAC address.

A tenant has one window at most.  A phone fetches its file once in a window.  The file has a new password, which is only
stored as a hash: the phone's `next_password`, which ends after `UNUSED_SECONDS` unless the phone logs in with it.

The token in the address stays the same from window to window, so that an administrator enters the address in the DHCP
server once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from ldapgw.errors import UnfitKey
from ldapgw.store.phones import PhoneLogin
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tables import phone, provisioning_window, value_of, window_phone, window_refusal

# The seconds after which a fetched password ends that nobody has used.
UNUSED_SECONDS: Final = 30 * 86_400.0
# The most refused requests of a tenant that are stored; a request of one more phone takes the place of another one.
MAX_REFUSALS: Final = 50

# A phone may log in at a replica, of which the gateway does not learn, so tenants with replicas keep their phones'
# fetched passwords.
_replica = phone.alias()
_CAN_END = phone.c.next_password_at.is_not(None) & phone.c.tenant.not_in(
    select(_replica.c.tenant).where(_replica.c.replica.is_not(None))
)


@dataclass(frozen=True, slots=True)
class Fetch:
    """A fetch of a phone's settings: the time, the IP address of the phone, and the name of the file."""

    when: float
    address: str
    file: str


@dataclass(frozen=True, slots=True)
class ProvisioningWindow:
    """A tenant's provisioning window, a row of the table ``provisioning_window``.

    :ivar until: the time at which the window closes or closed.
    :ivar plain_http: whether phones may fetch their files by HTTP without TLS.
    :ivar chosen: whether the window is for chosen phones alone, rather than for all phones without a working login.
    """

    tenant: str
    token: str = field(repr=False)
    opened_at: float
    until: float
    plain_http: bool
    chosen: bool

    def is_open(self, now: float) -> bool:
        return now < self.until


@dataclass(frozen=True, slots=True)
class WindowPhone:
    """A phone that was chosen for the window or has fetched its file, a row of the table ``window_phone``.

    :ivar fetched_at: the time of the fetch; None if the phone has not fetched its file yet.
    """

    phone: str
    fetched_at: float | None = None
    address: str = ""
    file: str = ""


class Reason(StrEnum):
    """The reasons for which a request with the right token is refused."""

    CLOSED = "closed"
    NETWORK = "network"  # the address is not in `provisioning_networks`
    PLAIN_HTTP = "plain_http"
    UNKNOWN_MAC = "unknown_mac"
    NOT_CHOSEN = "not_chosen"
    HAS_LOGIN = "has_login"  # the phone has a working login, and was not chosen
    FETCHED = "fetched"  # the phone has fetched its file already, and has not been chosen since
    NO_FILE = "no_file"  # phones of this model do not ask for such a file, or cannot connect


@dataclass(frozen=True, slots=True)
class WindowRefusal:
    """Refused requests of one phone for one reason, a row of the table ``window_refusal``.

    :ivar address: the IP address of the last request.
    :ivar at: the time of the last request.
    """

    reason: Reason
    mac: str
    address: str
    at: float
    count: int


def open_window(
    connection: Connection,
    tenant: str,
    secret_box: SecretBox,
    token: str,
    now: float,
    seconds: float,
    phones: Collection[str],
    *,
    chosen: bool,
    plain_http: bool = False,
) -> ProvisioningWindow:
    """Open a tenant's window, or open the window anew with other values.

    :param token: the token of the tenant's first window; later windows keep the token.
    :param phones: the names of phones that may fetch files.
    :param chosen: whether only these phones may fetch files.  Otherwise, phones that have never logged in with their
        present password may fetch files, too.
    """
    former = read(connection, tenant, secret_box)
    window = ProvisioningWindow(tenant, former.token if former else token, now, now + seconds, plain_http, chosen)
    connection.execute(delete(provisioning_window).where(provisioning_window.c.tenant == tenant))
    connection.execute(
        insert(provisioning_window).values(
            tenant=tenant,
            token=secret_box.seal(window.token),
            opened_at=window.opened_at,
            until=window.until,
            plain_http=window.plain_http,
            chosen=window.chosen,
        )
    )
    connection.execute(delete(window_phone).where(window_phone.c.phone.in_(_phones_of(tenant))))
    connection.execute(delete(window_refusal).where(window_refusal.c.tenant == tenant))
    if phones:
        connection.execute(insert(window_phone), [{"phone": name} for name in dict.fromkeys(phones)])
    return window


def _phones_of(tenant: str) -> Select[tuple[str]]:
    return select(phone.c.name).where(phone.c.tenant == tenant)


def close(connection: Connection, tenant: str, now: float) -> bool:
    """Close a tenant's window.

    :returns: False if the window is not open.
    """
    is_open = (provisioning_window.c.tenant == tenant) & (provisioning_window.c.until > now)
    return connection.execute(update(provisioning_window).where(is_open).values(until=now)).rowcount > 0


def forget_address(connection: Connection, tenant: str) -> bool:
    """Delete a tenant's window with its token, so that the next window has another address.

    :returns: False if there is no window.
    """
    return connection.execute(delete(provisioning_window).where(provisioning_window.c.tenant == tenant)).rowcount > 0


def read(connection: Connection, tenant: str, secret_box: SecretBox) -> ProvisioningWindow | None:
    """Read a tenant's window, which may be closed.

    :returns: None if no window was ever opened, or if the token was sealed with another key.
    """
    row = connection.execute(select(provisioning_window).where(provisioning_window.c.tenant == tenant)).first()
    if row is None:
        return None
    try:
        return value_of(ProvisioningWindow, row, token=secret_box.unseal(row.token))
    except UnfitKey:
        return None


def read_phones(connection: Connection, tenant: str) -> Mapping[str, WindowPhone]:
    """Read the phones that were chosen for a tenant's window or have fetched their files, by name."""
    rows = connection.execute(select(window_phone).where(window_phone.c.phone.in_(_phones_of(tenant))))
    return {row.phone: value_of(WindowPhone, row) for row in rows}


def read_fetch(connection: Connection, name: str) -> WindowPhone | None:
    """Read the fetch of a phone in its tenant's window; return None if the phone has not fetched its file."""
    fetched = (window_phone.c.phone == name) & window_phone.c.fetched_at.is_not(None)
    row = connection.execute(select(window_phone).where(fetched)).first()
    return None if row is None else value_of(WindowPhone, row)


def read_refusals(connection: Connection, tenant: str) -> tuple[WindowRefusal, ...]:
    """Read the refused requests since a tenant's window was opened, the most recent first."""
    query = select(window_refusal).where(window_refusal.c.tenant == tenant).order_by(window_refusal.c.at.desc())
    return tuple(value_of(WindowRefusal, row) for row in connection.execute(query))


def hindrance(connection: Connection, window: ProvisioningWindow, login: PhoneLogin, now: float) -> Reason | None:
    """Return the reason for which a phone may not fetch its file in a window now; None if the phone may.

    :param window: the window as `read` returned it.
    """
    is_same = (provisioning_window.c.tenant == window.tenant) & (provisioning_window.c.opened_at == window.opened_at)
    until = connection.execute(select(provisioning_window.c.until).where(is_same)).scalar()
    if until is None or until <= now:
        return Reason.CLOSED
    row = connection.execute(select(window_phone.c.fetched_at).where(window_phone.c.phone == login.name)).first()
    if row is not None:
        return None if row.fetched_at is None else Reason.FETCHED
    if window.chosen:
        return Reason.NOT_CHOSEN
    if login.last_seen is not None:
        return Reason.HAS_LOGIN
    # A stranger's fetch in a later window must not end the password that the phone itself has fetched.
    return Reason.FETCHED if login.next_password else None


def note_fetch(
    connection: Connection, window: ProvisioningWindow, login: PhoneLogin, next_password: str, new: Fetch
) -> Reason | None:
    """Store that a phone fetches its file in a window, together with the hash of the password in the file.

    :param window: the window as `read` returned it.
    :returns: None, or the reason for which the phone may not fetch the file; nothing is stored then.
    """
    # The lock lets two requests for the same file wait for each other, so that only one of them is answered.
    name = login.name
    connection.execute(select(phone.c.name).where(phone.c.name == name).with_for_update())
    if reason := hindrance(connection, window, login, new.when):
        return reason
    values = {"next_password": next_password, "next_password_at": new.when}
    if not connection.execute(update(phone).where(phone.c.name == name).values(values)).rowcount:
        return Reason.UNKNOWN_MAC
    connection.execute(delete(window_phone).where(window_phone.c.phone == name))
    connection.execute(insert(window_phone).values(phone=name, fetched_at=new.when, address=new.address, file=new.file))
    return None


def read_next_end(connection: Connection) -> float | None:
    """Return the time at which the first of the unused fetched passwords ends or ended, or None if there is none."""
    fetched = select(func.min(phone.c.next_password_at)).where(_CAN_END)
    first: float | None = connection.execute(fetched).scalar_one()
    return None if first is None else first + UNUSED_SECONDS


def remove_unused(connection: Connection, now: float) -> None:
    """End the fetched passwords that nobody has used for `UNUSED_SECONDS`."""
    is_old = _CAN_END & (phone.c.next_password_at <= now - UNUSED_SECONDS)
    connection.execute(update(phone).where(is_old).values(next_password=None, next_password_at=None))


def note_refusal(connection: Connection, tenant: str, reason: Reason, mac: str, address: str, now: float) -> None:
    """Count a refused request with the right token.

    :param mac: the MAC address in the name of the file, in lower case.
    """
    same = (
        (window_refusal.c.tenant == tenant) & (window_refusal.c.reason == reason.value) & (window_refusal.c.mac == mac)
    )
    counted = {"address": address, "at": now, "count": window_refusal.c.count + 1}
    if connection.execute(update(window_refusal).where(same).values(counted)).rowcount:
        return
    of_tenant = window_refusal.c.tenant == tenant
    if connection.execute(select(func.count()).where(of_tenant)).scalar_one() >= MAX_REFUSALS:
        # Requests for unknown phones leave first, because anybody can invent MAC addresses.
        is_known = window_refusal.c.mac.in_(
            select(phone.c.mac).where(phone.c.tenant == tenant, phone.c.mac.is_not(None))
        )
        first = (
            select(window_refusal.c.reason, window_refusal.c.mac)
            .where(of_tenant)
            .order_by(is_known, window_refusal.c.at)
        )
        for row in connection.execute(first.limit(1)).all():
            is_first = (window_refusal.c.reason == row.reason) & (window_refusal.c.mac == row.mac)
            connection.execute(delete(window_refusal).where(of_tenant, is_first))
    connection.execute(
        insert(window_refusal).values(tenant=tenant, reason=reason.value, mac=mac, address=address, at=now, count=1)
    )
