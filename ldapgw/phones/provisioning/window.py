# SPDX-License-Identifier: MIT
"""The phones of a provisioning window: which phones may fetch a file, its name, and what keeps other phones from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ldapgw.phones.models import title_of
from ldapgw.phones.provisioning.file_names import file_name
from ldapgw.phones.provisioning.sheet import Advice, Vendor, vendors_of
from ldapgw.phrase import Texts, Translatable, read_texts
from ldapgw.store.phones import PhoneLogin, wrong_password
from ldapgw.store.windows import ProvisioningWindow, Reason, WindowPhone

# The minutes for which a window can be opened.
MINUTES = (15, 60, 240)


class _WindowTexts(Texts, frozen=True):
    """The texts about a window.

    :ivar obstacles: why a phone cannot fetch a file.
    :ivar reasons: why a request was refused.
    """

    obstacles: Mapping[str, str]
    reasons: Mapping[Reason, str]


_TEXTS = read_texts("phones/texts/window", _WindowTexts)
REASONS = _TEXTS.reasons


@dataclass(frozen=True, slots=True)
class WindowRow:
    """A phone for which a window is open.

    :ivar model: the model's name for people; empty if unknown.
    :ivar fetch: the phone in the window; None if the phone was not chosen and has not fetched a file.
    :ivar obstacle: why the phone cannot fetch a file; empty if the phone can.
    :ivar vendor: the likeliest vendor of the phone; None if phones of the model cannot fetch a file.
    :ivar file: the name of the file for which the phone will ask; empty if there is none.
    """

    login: PhoneLogin
    model: str
    fetch: WindowPhone | None = None
    obstacle: Translatable = ""
    vendor: Vendor | None = None
    file: str = ""

    @property
    def has_fetched(self) -> bool:
        return self.fetch is not None and self.fetch.fetched_at is not None

    @property
    def has_logged_in(self) -> bool:
        """Return whether the phone has logged in with the password that it fetched."""
        return self.has_fetched and not self.login.next_password


def needs_login(login: PhoneLogin, now: float) -> bool:
    """Return whether a phone has no working login: no login since its last new password, or a wrong password."""
    return login.last_seen is None or wrong_password(login, now) is not None


def window_rows(
    logins: Sequence[PhoneLogin], window: ProvisioningWindow | None, fetches: Mapping[str, WindowPhone], now: float
) -> tuple[WindowRow, ...]:
    """Return the phones for which a window is or was open.

    Without a window, these are the phones without a working login, for which a window would be open.

    :param fetches: the phones that were chosen for the window or have fetched a file, by name.
    """
    is_for_all = window is None or not window.chosen
    return tuple(
        _row(login, fetches.get(login.name))
        for login in logins
        if login.name in fetches or (is_for_all and needs_login(login, now))
    )


def _row(login: PhoneLogin, fetch: WindowPhone | None) -> WindowRow:
    model = title_of(login.model)
    vendor = next(filter(_has_login, vendors_of(login.model)), None)
    if not login.model or vendor is None:
        return WindowRow(login, model, fetch, _TEXTS.obstacles["no_file" if login.model else "no_model"])
    if not login.mac:
        return WindowRow(login, model, fetch, _TEXTS.obstacles["no_mac"])
    return WindowRow(login, model, fetch, vendor=vendor, file=file_name(vendor, login.mac))


def _has_login(vendor: Vendor) -> bool:
    """Return whether the phones ask for a file by their MAC addresses, and the file has the login."""
    return bool(vendor.mac_files) and Advice.LOGIN_BY_HAND not in vendor.advice


@dataclass(frozen=True, slots=True)
class DhcpSetting:
    """A DHCP option that brings the address of a window to the phones of some vendors.

    :ivar vendors: the vendors' names for people, in the order of the vendors; empty if the option suits most phones.
    """

    option: int
    value: str
    vendors: tuple[str, ...] = ()

    @property
    def dnsmasq(self) -> str:
        """Return the lines of dnsmasq's configuration."""
        comment = f"# {', '.join(self.vendors)}\n" if self.vendors else ""
        return f'{comment}dhcp-option={self.option},"{self.value}"'


def dhcp_settings(rows: Sequence[WindowRow], address: str) -> tuple[DhcpSetting, ...]:
    """Return the DHCP options that the phones of a window need; one option that suits most phones, if there are none.

    :param address: the address of the folder with the files (`window_address`).
    """
    vendors = {row.vendor.position: row.vendor for row in rows if row.vendor is not None}
    by_option: dict[tuple[int, str], list[str]] = {}
    for _, vendor in sorted(vendors.items()):
        by_option.setdefault((vendor.dhcp_option, vendor.dhcp_file), []).append(vendor.title)
    found = (DhcpSetting(option, address + file, tuple(titles)) for (option, file), titles in by_option.items())
    return tuple(found) or (DhcpSetting(66, address),)


def window_address(tenant_url: str, window: ProvisioningWindow) -> str:
    """Return the address that phones need: the address of the folder with the files.

    :param tenant_url: the absolute URL of the tenant's page, with a slash at its end.
    """
    url = f"{tenant_url}provision/{window.token}/"
    return url.replace("https://", "http://", 1) if window.plain_http else url
