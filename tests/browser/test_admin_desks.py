# SPDX-License-Identifier: MIT
"""Thirty desks at once in a real browser: from the administration to the zip in five clicks."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from ldapgw.google.sandbox.tenant import ALICE
from tests.browser.window import Window

DESKS = "name;account;model;mac\r\n" + "".join(
    f"desk-{number:02};{ALICE};yealink;0015650000{number:02}\r\n" for number in range(30)
)


@pytest.mark.parametrize("width", [1280, pytest.param(390, marks=pytest.mark.long)])
def test_thirty_desks(window: Callable[..., Window], width: int) -> None:
    """A CSV file as Excel writes it becomes a zip; then all are selected and removed, which is asked first."""
    user = window()
    user.connect(ALICE)
    here = window(viewport={"width": width, "height": 800})
    here.page.goto(here.site.ldapgw("admin-link", "--tenant", "acme").stdout.strip())
    here.press("Open the administration")
    here.page.locator(".sections").get_by_role("link", name="Phones", exact=True).click()  # 1
    here.page.get_by_role("link", name="Import CSV").click()  # 2
    file = {"name": "desks.csv", "mimeType": "text/csv", "buffer": DESKS.encode("utf-8-sig")}
    here.page.get_by_label("CSV file").set_input_files(file)  # 3
    here.page.get_by_role("button", name="Preview").click()  # 4
    with here.page.expect_download() as download:
        here.page.get_by_role("button", name="Add 30 phones and download zip").click()  # 5
    with zipfile.ZipFile(io.BytesIO(download.value.path().read_bytes())) as archive:
        assert [len(archive.namelist()), "001565000000.cfg" in archive.namelist()] == [31, True]
    here.page.get_by_role("link", name="Back to the phones").click()
    here.page.get_by_role("searchbox").fill("desk-")
    here.page.get_by_role("button", name="Show", exact=True).click()
    rows = here.page.locator("tbody tr")
    expect(rows).to_have_count(30)
    assert here.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if width > 768:
        here.page.get_by_role("checkbox", name="Select all").check()
        here.page.get_by_role("button", name="Remove …").click()
        expect(here.page.locator("main")).to_contain_text("30 selected: desk-00")
        here.page.get_by_role("button", name="Remove", exact=True).click()
        expect(here.page.locator("main")).to_contain_text("Removed. These phones can no longer sign in.")
