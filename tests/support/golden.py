# SPDX-License-Identifier: MIT
"""The files that vendors' phones are given, as they are known to be right.

``python -m tests.support.golden`` writes them anew, to be looked at before they are committed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ldapgw.phones.provisioning.settings import PhoneSettings, ServerAddress
from ldapgw.phones.provisioning.sheet import make_sheet
from ldapgw.phones.provisioning.vendors import all_vendors

FOLDER = Path(__file__).parents[1] / "data" / "provisioning"

SERVER = ServerAddress("phonebook.example.com", 389, 636, start_tls=True)
SETTINGS = PhoneSettings(
    server=SERVER,
    base_dn="dc=acme,dc=example",
    login="desk1",
    bind_dn="cn=desk1,ou=phones,dc=acme,dc=example",
    password="0123456789abcdefghjk",
    title="Acme GmbH & Söhne",
)


CA_URL = "http://phonebook.example.com/acme/ca.crt"


def texts() -> Iterator[tuple[str, str]]:
    """The name and the text of each file; once more for a private authority if the file then has more keys."""
    for vendor in all_vendors().values():
        if vendor.file:
            text = make_sheet(vendor, SETTINGS).text
            private = make_sheet(vendor, replace(SETTINGS, ca_url=CA_URL)).text
            yield vendor.file, text
            if private != text:
                yield f"private-{vendor.file}", private


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in texts():
        (FOLDER / name).write_text(text)
