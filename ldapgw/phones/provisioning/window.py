# SPDX-License-Identifier: MIT
"""The phones of a provisioning window: the phones that may fetch a file, and the obstacles for other phones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ldapgw.phones.provisioning.vendors import Advice, Vendor, file_name, vendors_of
from ldapgw.phrase import Texts, Translatable, read_texts
from ldapgw.store.phones import PhoneLogin, wrong_password
from ldapgw.store.provisioning import ProvisioningWindow, Reason, WindowPhone

# The times, in minutes, that a person can choose for an open window.
MINUTES = (15, 60, 240)


class _WindowTexts(Texts, frozen=True):
    """The texts about a provisioning window.

    :ivar obstacles: the reasons why a phone cannot fetch a file.
    :ivar reasons: the reasons why a request was refused.
    """

    obstacles: Mapping[str, str]
    reasons: Mapping[Reason, str]


_TEXTS = read_texts("phones/texts/window", _WindowTexts)
REASONS = _TEXTS.reasons


@dataclass(frozen=True, slots=True)
class WindowRow:
    """A phone in the list of a window (`window_rows`).

    :ivar fetch: the stored state of the phone in the window; None if the phone was not chosen and has not fetched a
        file.
    :ivar obstacle: the reason why the phone cannot fetch a file; empty if the phone can fetch a file.
    :ivar vendor: the likeliest vendor of the phone; None if the phone cannot fetch a file.
    :ivar file: the name by which the phone will ask for its file; empty if the phone cannot fetch a file.
    """

    login: PhoneLogin
    fetch: WindowPhone | None = None
    obstacle: Translatable = ""
    vendor: Vendor | None = None
    file: str = ""

    @property
    def has_fetched(self) -> bool:
        return self.fetch is not None and self.fetch.fetched_at is not None

    @property
    def has_logged_in(self) -> bool:
        """Return whether the phone has fetched its file, and has then logged in with the password in this file."""
        fetched_at = self.fetch.fetched_at if self.fetch is not None else None
        seen = self.login.last_seen
        return fetched_at is not None and not self.login.next_password and seen is not None and seen >= fetched_at

    @property
    def is_replaced(self) -> bool:
        """Return whether a new password replaced the password in the fetched file before the phone logged in."""
        return self.has_fetched and not self.login.next_password and not self.has_logged_in


def phones_with_wrong_password(logins: Sequence[PhoneLogin], now: float) -> tuple[str, ...]:
    """Return the names of the phones that have logged in at some time and that have a wrong password now.

    A window for all phones without a working login includes these phones.  The names are stored when the window opens,
    so that a stranger cannot add a phone by a login with a wrong password.
    """
    return tuple(
        login.name for login in logins if login.last_seen is not None and wrong_password(login, now) is not None
    )


def window_rows(
    logins: Sequence[PhoneLogin], window: ProvisioningWindow | None, fetches: Mapping[str, WindowPhone], now: float
) -> tuple[WindowRow, ...]:
    """Return the phones for which a window is open or was open.

    If no window is open, the result has the phones of the last window.  The result then also has all phones without a
    working login, because an administrator may open a window for these phones.

    :param fetches: the stored states of the phones that were chosen or have fetched a file, by the phone's name.
    """
    is_open = window is not None and window.is_open(now)
    named = {*fetches, *(() if is_open else phones_with_wrong_password(logins, now))}
    is_for_all = window is None or not is_open or not window.chosen
    return tuple(
        _row(login, fetches.get(login.name))
        for login in logins
        if login.name in named or (is_for_all and login.last_seen is None)
    )


def _row(login: PhoneLogin, fetch: WindowPhone | None) -> WindowRow:
    vendor = fetching_vendor(login.model)
    if vendor is None:
        return WindowRow(login, fetch, _TEXTS.obstacles["no_file" if login.model else "no_model"])
    if not login.mac:
        return WindowRow(login, fetch, _TEXTS.obstacles["no_mac"])
    return WindowRow(login, fetch, vendor=vendor, file=file_name(vendor, login.mac))


def fetching_vendor(model: str) -> Vendor | None:
    """Return the likeliest vendor of a model whose phones can fetch a file with their login.

    The phones ask for the file by their MAC addresses.

    :param model: the key of the model; empty if unknown.
    :returns: None if the model is unknown, or if its phones cannot fetch a file with their login.
    """
    vendors = vendors_of(model) if model else ()
    return next((vendor for vendor in vendors if vendor.mac_files and Advice.LOGIN_BY_HAND not in vendor.advice), None)


@dataclass(frozen=True, slots=True)
class DhcpSetting:
    """A DHCP option that tells the phones of some vendors the address of their settings.

    :ivar vendors: the vendors' names as people write them; empty if the option suits most phones.
    """

    option: int
    value: str
    vendors: tuple[str, ...] = ()

    @property
    def dnsmasq(self) -> str:
        """Return the DHCP option in the syntax of the configuration of dnsmasq, a DHCP server."""
        comment = f"# {', '.join(self.vendors)}\n" if self.vendors else ""
        return f'{comment}dhcp-option={self.option},"{self.value}"'

    @property
    def kea(self) -> str:
        """Return the DHCP option in the syntax of the configuration of Kea, a DHCP server."""
        return f'{{ "code": {self.option}, "data": "{self.value}" }}'


def dhcp_settings(vendors: Iterable[Vendor | None], address: str) -> tuple[DhcpSetting, ...]:
    """Return the DHCP options that the phones of a window need; the option for most phones if no vendor is known.

    :param vendors: the vendor of each phone; None for a phone that fetches no file.
    :param address: the address of the folder with the files (`window_address`).
    """
    by_position = {vendor.position: vendor for vendor in vendors if vendor is not None}
    by_option: dict[tuple[int, str], list[str]] = {}
    for _, vendor in sorted(by_position.items()):
        by_option.setdefault((vendor.dhcp_option, vendor.dhcp_file), []).append(vendor.title)
    found = (DhcpSetting(option, address + file, tuple(titles)) for (option, file), titles in by_option.items())
    return tuple(found) or (DhcpSetting(66, address),)


def opening_detail(minutes: int, names: Sequence[str] | None, *, plain_http: bool) -> str:
    """Return the detail of an opened window for the activity log.

    :param names: the names of the chosen phones, or None for all phones without a working login.
    """
    parts = [f"{minutes} min", *(["HTTP"] if plain_http else []), *([", ".join(names)] if names is not None else [])]
    return "; ".join(parts)


def window_address(tenant_url: str, window: ProvisioningWindow) -> str:
    """Return the address of the folder with the phones' files.

    :param tenant_url: the absolute URL of the tenant's page, with a slash at its end.
    """
    return f"{tenant_url}provision/{window.token}/"


def without_tls(address: str) -> str:
    """Return an address with http and without a port, for a gateway behind a proxy that also answers HTTP."""
    host = urlsplit(address).hostname or ""
    host = f"[{host}]" if ":" in host else host
    return urlsplit(address)._replace(scheme="http", netloc=host).geturl() if address.startswith("https:") else address
