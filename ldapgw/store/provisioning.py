# SPDX-License-Identifier: MIT
"""Provisioning: the ways in which phones get their settings, reports on steps by hand, and clients with wrong settings.

A *provisioning address* is a secret address, valid for a day, from which a phone fetches its settings and password.
The secret is stored as a hash, and the password is stored encrypted.  The secret and the password are deleted within a
minute after the end of the address (`remove_expired`).  An address ends after a day, or earlier when the address is
revoked, or when the phone gets a new password, another name or another owner, or is removed.

A *provisioning window* is a time during which phones on the office's network may fetch their settings by MAC address.
A tenant has one window at most.  A phone fetches its file once in a window.  The file has a new password, which is only
stored as a hash: the phone's `next_password`, which ends after `UNUSED_SECONDS` unless the phone logs in with this
password.  The token in the address stays the same from window to window, so that an administrator enters the address in
the DHCP server once.

A *report* says which steps of a phone's settings worked, and what a menu is called on the phone.  A report has
neither a person nor a phone.  Equal reports of a tenant are one row with a count.

An *unfit client* could not connect: because of a wrong port, TLS that is off, or an unknown authority.  A running
gateway stores the last unfit clients for ``ldapgw status``.  Several gateways on one database share the rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

import msgspec
from sqlalchemy import Connection, Select, delete, func, insert, select, text, update

from ldapgw.store.phones import PhoneLogin, set_password
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tables import (
    columns_of,
    phone,
    provisioning,
    provisioning_window,
    step_report,
    unfit_client,
    unsealed,
    value_of,
    window_phone,
    window_refusal,
)

# The seconds for which an address is valid.
ADDRESS_SECONDS: Final = 86_400.0
# The largest number of fetches that are stored with an address.
MAX_FETCHES: Final = 20
# A fetched password that nobody has used expires after this many seconds.
UNUSED_SECONDS: Final = 30 * 86_400.0
# The largest number of refused requests that are stored for a tenant; after that, a new request replaces a stored
# request.
MAX_REFUSALS: Final = 50
# The largest number of rows with reports of a tenant; otherwise a signed-in person could fill the database.
MAX_REPORTS: Final = 200
# The largest number of stored unfit clients; if there are more, the clients with the oldest connections are deleted.
MAX_UNFIT_CLIENTS: Final = 20
# An unfit client is deleted this many seconds after its last connection.
UNFIT_CLIENT_SECONDS: Final = 86_400.0
# The time between two calls of `remove_expired`.
EXPIRY_SECONDS: Final = 60.0

# The condition for phones with a fetched password that can expire.  The gateway does not learn of logins at a replica,
# so a fetched password never expires if its tenant has a replica.
_replica = phone.alias()
_CAN_END = phone.c.next_password_at.is_not(None) & phone.c.tenant.not_in(
    select(_replica.c.tenant).where(_replica.c.replica.is_not(None))
)

_LAST_FIRST = unfit_client.c.at.desc(), unfit_client.c.address, unfit_client.c.mistake


class Fetch(msgspec.Struct, frozen=True, array_like=True):
    """A fetch of a phone's settings: the time, the IP address of the phone, and the name of the file."""

    when: float
    address: str
    file: str


@dataclass(frozen=True, slots=True)
class ProvisioningAddress:
    """A phone's provisioning address, a row of the table ``provisioning``.

    :ivar fetches: the last fetches, newest first.
    """

    phone: str
    secret: str = field(repr=False)
    until: float
    fetches: tuple[Fetch, ...] = ()


@dataclass(frozen=True, slots=True)
class ProvisioningWindow:
    """A tenant's provisioning window, a row of the table ``provisioning_window``.

    :ivar until: the time at which the window closes or closed.
    :ivar plain_http: whether phones may fetch their files by HTTP without TLS.
    :ivar chosen: whether the window is only for chosen phones, and not for all phones without a working login.
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
    """A phone that was chosen for a provisioning window or has fetched its file, a row of the table ``window_phone``.

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
    FETCHED = "fetched"  # the phone has fetched its file, and was not chosen again
    NO_FILE = "no_file"  # phones of this model fetch other files, or cannot connect to the gateway


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


@dataclass(frozen=True, slots=True)
class StepReport:
    """A report, a row of the table ``step_report``.

    :ivar vendor: the key of the vendor's settings.
    :ivar model: the phone's model, as typed; empty if the report names no model.
    :ivar version: the phone's firmware, as typed; empty if the report names no firmware.
    :ivar step: the number of the step; 0 if all steps worked.
    :ivar menu: what the step's menu is called on the phone; empty if all steps worked.
    :ivar step_text: the step as the page had it at the last such report; empty if all steps worked.
    :ivar at: the time of the last such report, in seconds since the epoch.
    """

    tenant: str
    vendor: str
    model: str
    version: str
    step: int
    menu: str
    at: float
    count: int = 1
    step_text: str = ""


class Mistake(StrEnum):
    """The reasons why a client cannot connect."""

    TLS_ON_PLAIN_PORT = "tls_on_plain_port"
    PLAIN_ON_TLS_PORT = "plain_on_tls_port"
    UNKNOWN_AUTHORITY = "unknown_authority"
    PASSWORD_WITHOUT_TLS = "password_without_tls"  # noqa: S105  no password


@dataclass(frozen=True, slots=True)
class UnfitClient:
    """A client that cannot connect because of a mistake, a row of the table ``unfit_client``.

    :ivar at: the time of the client's last attempt with this mistake.
    """

    address: str
    mistake: Mistake
    at: float


def create_address(
    connection: Connection,
    name: str,
    secret_box: SecretBox,
    password: str,
    password_hash: str,
    secret_hash: str,
    now: float,
) -> bool:
    """Give a phone a new password together with an address; a former address ends.

    :returns: False if there is no phone of this name; nothing is stored then.
    """
    if not set_password(connection, name, password_hash, now):
        return False
    connection.execute(
        insert(provisioning).values(
            phone=name,
            secret=secret_hash,
            password=secret_box.seal(password),
            until=now + ADDRESS_SECONDS,
            fetches=[],
        )
    )
    return True


def end_address(connection: Connection, name: str) -> bool:
    """End a phone's address.

    :returns: False if the phone has no address.
    """
    return connection.execute(delete(provisioning).where(provisioning.c.phone == name)).rowcount > 0


def read_address(connection: Connection, name: str, now: float) -> ProvisioningAddress | None:
    """Read a phone's address; return None if the phone has no address, or its address has expired."""
    current = (provisioning.c.phone == name) & (provisioning.c.until > now)
    row = connection.execute(select(provisioning).where(current)).first()
    return None if row is None else value_of(ProvisioningAddress, row)


def fetch_password(
    connection: Connection, address: ProvisioningAddress, secret_box: SecretBox, new: Fetch
) -> str | Literal[False]:
    """Read the phone's password that belongs to a provisioning address, and record that the password was fetched.

    :param address: the address as `read_address` returned it; the caller has checked the secret.
    :returns: the password, or False if the address has ended, or another address has taken its place.
    """
    same = (provisioning.c.phone == address.phone) & (provisioning.c.secret == address.secret)
    row = connection.execute(
        select(provisioning.c.password, provisioning.c.fetches).where(same, provisioning.c.until > new.when)
    ).first()
    if row is None:
        return False
    fetches = [new, *row.fetches][:MAX_FETCHES]
    connection.execute(update(provisioning).where(same).values(fetches=fetches))
    return secret_box.unseal(row.password)


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
    """Open a tenant's provisioning window, or open the provisioning window anew with other values.

    :param token: the token of the tenant's first window; later windows keep the token.
    :param phones: the names of phones that may fetch files.
    :param chosen: whether only these phones may fetch files.  Otherwise, phones that have never logged in with their
        present password may fetch files, too.
    """
    former = read_window(connection, tenant, secret_box)
    window = ProvisioningWindow(tenant, former.token if former else token, now, now + seconds, plain_http, chosen)
    connection.execute(delete(provisioning_window).where(provisioning_window.c.tenant == tenant))
    columns = columns_of(window, token=secret_box.seal(window.token))
    connection.execute(insert(provisioning_window).values(columns))
    connection.execute(delete(window_phone).where(window_phone.c.phone.in_(_phones_of(tenant))))
    connection.execute(delete(window_refusal).where(window_refusal.c.tenant == tenant))
    if phones:
        connection.execute(insert(window_phone), [{"phone": name} for name in dict.fromkeys(phones)])
    return window


def _phones_of(tenant: str) -> Select[tuple[str]]:
    return select(phone.c.name).where(phone.c.tenant == tenant)


def close_window(connection: Connection, tenant: str, now: float) -> bool:
    """Close a tenant's provisioning window.

    :returns: False if the window is not open.
    """
    is_open = (provisioning_window.c.tenant == tenant) & (provisioning_window.c.until > now)
    return connection.execute(update(provisioning_window).where(is_open).values(until=now)).rowcount > 0


def forget_window(connection: Connection, tenant: str) -> bool:
    """Delete a tenant's provisioning window with its token, so that the next window has another address.

    :returns: False if there is no window.
    """
    return connection.execute(delete(provisioning_window).where(provisioning_window.c.tenant == tenant)).rowcount > 0


def read_window(connection: Connection, tenant: str, secret_box: SecretBox) -> ProvisioningWindow | None:
    """Read a tenant's provisioning window, which may be closed.

    :returns: None if the tenant has no window, or if the token was sealed with another key.
    """
    rows = connection.execute(select(provisioning_window).where(provisioning_window.c.tenant == tenant))
    windows, _ = unsealed(ProvisioningWindow, rows, secret_box, "token")
    return windows[0] if windows else None


def read_window_phones(connection: Connection, tenant: str) -> Mapping[str, WindowPhone]:
    """Read the phones that were chosen for a tenant's provisioning window or have fetched their files, by name."""
    rows = connection.execute(select(window_phone).where(window_phone.c.phone.in_(_phones_of(tenant))))
    return {row.phone: value_of(WindowPhone, row) for row in rows}


def read_window_fetch(connection: Connection, name: str) -> WindowPhone | None:
    """Return the row about a phone's fetch in the provisioning window; None if the phone has not fetched its file."""
    fetched = (window_phone.c.phone == name) & window_phone.c.fetched_at.is_not(None)
    row = connection.execute(select(window_phone).where(fetched)).first()
    return None if row is None else value_of(WindowPhone, row)


def read_refusals(connection: Connection, tenant: str) -> tuple[WindowRefusal, ...]:
    """Read the refused requests since a tenant's provisioning window was opened, the most recent first."""
    query = select(window_refusal).where(window_refusal.c.tenant == tenant).order_by(window_refusal.c.at.desc())
    return tuple(value_of(WindowRefusal, row) for row in connection.execute(query))


def hindrance(connection: Connection, window: ProvisioningWindow, login: PhoneLogin, now: float) -> Reason | None:
    """Return the reason why a phone may not fetch its file in a provisioning window now, or None if there is no reason.

    :param window: the window as `read_window` returned it.
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
    """Store that a phone fetches its file in a provisioning window, and the hash of the password in the file.

    :param window: the window as `read_window` returned it.
    :returns: None, or the reason for which the phone may not fetch the file; nothing is stored then.
    """
    # The lock makes the second of two simultaneous requests for a file wait, so that `hindrance` refuses this request.
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


def note_refusal(connection: Connection, tenant: str, reason: Reason, mac: str, address: str, now: float) -> None:
    """Count a request for a settings file that was refused although the window's token was right.

    :param mac: the MAC address in the name of the requested file, in lower case.
    """
    same = (
        (window_refusal.c.tenant == tenant) & (window_refusal.c.reason == reason.value) & (window_refusal.c.mac == mac)
    )
    counted = {"address": address, "at": now, "count": window_refusal.c.count + 1}
    if connection.execute(update(window_refusal).where(same).values(counted)).rowcount:
        return
    of_tenant = window_refusal.c.tenant == tenant
    if connection.execute(select(func.count()).where(of_tenant)).scalar_one() >= MAX_REFUSALS:
        # Requests for unknown phones are deleted first, because anybody can invent MAC addresses.
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


# The statement is an SQL text because SQLAlchemy has no common form of ON CONFLICT for all databases.
_COUNT_REPORT = text("""
    INSERT INTO step_report (tenant, vendor, model, version, step, menu, step_text, count, at)
    VALUES (:tenant, :vendor, :model, :version, :step, :menu, :step_text, :count, :at)
    ON CONFLICT (tenant, vendor, model, version, step, menu) DO UPDATE SET
        count = step_report.count + excluded.count, at = excluded.at, step_text = excluded.step_text
""")


def add_report(connection: Connection, new: StepReport) -> bool:
    """Count a report.

    :returns: False if the tenant has `MAX_REPORTS` rows already, and no row has an equal report.
    """
    of_tenant = select(func.count()).select_from(step_report).where(step_report.c.tenant == new.tenant)
    if connection.execute(of_tenant).scalar_one() >= MAX_REPORTS:
        same = [column == getattr(new, column.name) for column in step_report.primary_key.columns]
        if connection.execute(select(step_report.c.count).where(*same)).first() is None:
            return False
    connection.execute(_COUNT_REPORT, columns_of(new))
    return True


def read_reports(connection: Connection, tenant: str) -> tuple[StepReport, ...]:
    """Read the reports of a tenant, sorted by vendor, model, firmware, step and menu."""
    query = select(step_report).where(step_report.c.tenant == tenant).order_by(*step_report.primary_key.columns)
    return tuple(value_of(StepReport, row) for row in connection.execute(query))


def remove_reports(connection: Connection, tenant: str) -> bool:
    """Delete the reports of a tenant, and return whether there were any."""
    return connection.execute(delete(step_report).where(step_report.c.tenant == tenant)).rowcount > 0


def add_unfit_clients(connection: Connection, clients: Iterable[UnfitClient], now: float) -> None:
    """Store clients; delete clients that are too old, and the oldest clients above `MAX_UNFIT_CLIENTS`."""
    for client in clients:
        same = (unfit_client.c.address == client.address) & (unfit_client.c.mistake == client.mistake)
        if not connection.execute(update(unfit_client).where(same).values(at=client.at)).rowcount:
            connection.execute(insert(unfit_client).values(columns_of(client)))
    _remove_old_clients(connection, now)
    oldest = select(unfit_client.c.address, unfit_client.c.mistake).order_by(*_LAST_FIRST).offset(MAX_UNFIT_CLIENTS)
    for address, mistake in connection.execute(oldest).all():
        is_oldest = (unfit_client.c.address == address) & (unfit_client.c.mistake == mistake)
        connection.execute(delete(unfit_client).where(is_oldest))


def read_unfit_clients(connection: Connection, now: float) -> tuple[UnfitClient, ...]:
    """Read the clients of the last day, the last client first, `MAX_UNFIT_CLIENTS` at most."""
    of_a_day = select(unfit_client).where(unfit_client.c.at > now - UNFIT_CLIENT_SECONDS)
    rows = connection.execute(of_a_day.order_by(*_LAST_FIRST).limit(MAX_UNFIT_CLIENTS))
    return tuple(value_of(UnfitClient, row) for row in rows)


def _remove_old_clients(connection: Connection, now: float) -> None:
    """Delete the clients whose last connection is too old."""
    connection.execute(delete(unfit_client).where(unfit_client.c.at <= now - UNFIT_CLIENT_SECONDS))


def remove_expired(connection: Connection, now: float) -> None:
    """Delete expired provisioning addresses, expired fetched passwords, and old rows of the table ``unfit_client``."""
    connection.execute(delete(provisioning).where(provisioning.c.until <= now))
    is_old = _CAN_END & (phone.c.next_password_at <= now - UNUSED_SECONDS)
    connection.execute(update(phone).where(is_old).values(next_password=None, next_password_at=None))
    _remove_old_clients(connection, now)
