# SPDX-License-Identifier: MIT
"""The names of phones' settings files, by which phones ask a provisioning server for their files.

A phone puts its MAC address, in upper or lower case, into its vendor's pattern of file names (`Vendor.mac_files`).
Some phones first fetch another file, which contains the name of the file with the settings (`Vendor.boot_files`).
"""

from __future__ import annotations

import re
from functools import cache

from ldapgw.phones.provisioning.sheet import Vendor, all_vendors, vendors_of
from ldapgw.phones.provisioning.templates import render_boot_file
from ldapgw.store.phones import PhoneLogin

# The digits in names such as y000000000108.cfg (Yealink) and 000000000000.cfg (Poly), for which many phones ask, are no
# MAC address.
_MAC = "(?!000000)[0-9A-Fa-f]{12}"
_ANY_MAC = re.compile(f"(?<![0-9A-Fa-f])(?P<mac>{_MAC})(?![0-9A-Fa-f])")


def file_name(vendor: Vendor, mac: str) -> str:
    """Return the name of a phone's file: the name by which the phone asks, or else the MAC address.

    :param mac: 12 hexadecimal digits in lower case.
    """
    pattern = next(iter(vendor.mac_files), f"{{mac}}.{vendor.file.rpartition('.')[2]}")
    return pattern.format(mac=mac, MAC=mac.upper())


def mac_of_file(name: str) -> str:
    """Return the MAC address in the name of a file, in lower case; empty if the name contains none."""
    match = next(filter(None, (_match(vendor, name) for vendor in all_vendors().values())), None)
    match = match or _ANY_MAC.search(name)
    return match["mac"].lower() if match else ""


def is_settings_file(name: str) -> bool:
    """Return whether a file's name fits the pattern, with some MAC address, of any vendor's settings files."""
    return any(_match(vendor, name) for vendor in all_vendors().values())


def vendor_of_file(model: str, name: str, user_agent: str = "") -> Vendor | None:
    """Return that vendor of a model whose phones ask for a file with this name; None if there is no such vendor.

    Several series of a make may ask for the same name, but need different settings.  Then the series whose
    `Vendor.user_agent` matches the phone's User-Agent is returned.  If no series matches, a series without `user_agent`
    is returned.

    :param model: a key of `ldapgw.phones.models.MODELS`; empty if unknown.
    :param user_agent: the header of the request.
    """
    vendors = vendors_of(model)
    known = [vendor for vendor in vendors if vendor.user_agent and re.search(vendor.user_agent, user_agent)]
    others = [vendor for vendor in vendors if not vendor.user_agent]
    return next((vendor for vendor in (known or others) if _match(vendor, name)), None)


def boot_file(login: PhoneLogin, name: str, folder: str) -> tuple[Vendor, str] | None:
    """Return the vendor whose phones fetch a file with this name before the settings, and the text of this file.

    :param folder: the address of the folder with the files.
    :returns: None if phones of this model fetch no such file.
    """
    for vendor in vendors_of(login.model):
        if any(re.fullmatch(pattern, name, re.IGNORECASE) for pattern in vendor.boot_files):
            return vendor, render_boot_file(vendor.key, vendor.format, {"folder": folder, "mac": login.mac})
    return None


def _match(vendor: Vendor, name: str) -> re.Match[str] | None:
    return next(filter(None, (_regex(pattern).fullmatch(name) for pattern in vendor.mac_files)), None)


@cache
def _regex(pattern: str) -> re.Pattern[str]:
    regex = re.escape(pattern)
    for mark, value in ((r"\{mac\}", f"(?P<mac>{_MAC})"), (r"\{MAC\}", f"(?P<mac>{_MAC})"), ("MODEL", "[0-9A-Za-z-]+")):
        regex = regex.replace(mark, value)
    return re.compile(regex, re.IGNORECASE)
