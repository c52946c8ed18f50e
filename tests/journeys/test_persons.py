# SPDX-License-Identifier: MIT
"""All 25 persons of the samples, from Google's answer to the octets that ldapsearch prints.

Only the whole program shows that its halves, which have tests of their own, fit each other.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from ldapgw.google.sandbox.tenant import ALICE
from tests.support.site.running import Site

DATA = Path(__file__).parent.parent / "data"
LISTS = (
    ("connections_full_first_page", "connections", "contacts"),
    ("connections_full_last_page", "connections", "contacts"),
    ("other_contacts_full", "otherContacts", "other_contacts"),
    ("directory_full_first_page", "people", "directory"),
    ("directory_full_last_page", "people", "directory"),
)


def persons() -> list[tuple[str, dict[str, Any]]]:
    """Source and person, of the full answers."""
    samples = json.loads((DATA / "people_samples.json").read_text())["samples"]
    return [(source, one) for name, key, source in LISTS for one in samples[name]["body"].get(key, [])]


def moved() -> dict[str, Any]:
    """The 25th: a person that an incremental answer brings under a new name."""
    samples = json.loads((DATA / "people_samples.json").read_text())["samples"]
    found = samples["connections_incremental"]["body"]["connections"]
    return next(one for one in found if "previousResourceNames" in one["metadata"])


@pytest.mark.long  # goes the whole way; tests/google and tests/directory have its halves
@pytest_twisted.ensureDeferred
async def test_every_person_ends_in_its_entry(site: Site) -> None:
    """Consent, sync and search; the whole LDIF is compared with the one that was read by eye."""
    site.empty_sandbox()
    for source, one in persons():
        site.turn("add-person", account=ALICE, person=one, source=source)
    site.turn("add-person", account=ALICE, person=moved(), source="contacts")
    with site.running():
        assert (await site.consent()).url == site.page
        account = site.synced()
        site.add_phone()
        status, ldif = site.ldapsearch("(objectClass=inetOrgPerson)", "*", "modifyTimestamp")
    assert status == 0
    assert ldif == (DATA / "people_entries.ldif").read_text()
    assert account["skipped"] == {"empty": 2, "flawed": 2, "unreadable_number": 1}
    assert account["sources"] == {"contacts": "on", "other_contacts": "on", "directory": "on"}
