# SPDX-License-Identifier: MIT
"""Setup sheets on paper: each model's is one page, with its longest steps, documents and fields."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from ldapgw.phones.description import MODELS
from ldapgw.phones.provisioning.settings import ServerAddress, Site
from ldapgw.phones.rollout import NewPhone, PrintSheet, print_sheet
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.web.phone_pages import qr_code
from ldapgw.web.rendering import Renderer

SITE = Site(
    ServerAddress("phonebook.acme-maschinenbau.example", 389, 636, start_tls=True),
    "dc=acme-maschinenbau,dc=example",
    "Acme Maschinenbau GmbH & Co. KG",
)
ADDRESS = "https://phonebook.acme-maschinenbau.example/acme/provision/0123456789abcdefghjkmnpqrs/"
OWNER = "maximilian.mustermann@acme-maschinenbau.example"


def sheet(model: str, password: str = "0123456789abcdefghjk") -> PrintSheet:
    login = PhoneLogin(
        "desk-reception-2", "acme", None, NumberMode.VALUES, "hash", 0.0, model=model, mac="001565aabbcc"
    )
    login = replace(login, label="Empfang im Erdgeschoss links neben der Treppe, zweiter Schreibti")
    phone = NewPhone(login, password, OWNER)
    return print_sheet(phone, SITE, "001565aabbcc.cfg", str(qr_code(f"{ADDRESS}{model}.cfg", "Address")))


def pages(page: Any, html: str) -> int:
    page.set_content(html)
    margin = dict.fromkeys(("top", "right", "bottom", "left"), "10mm")
    return len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A5", margin=margin)))


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_sheet_is_one_page(browser: Any, language: str) -> None:
    """Of each model, with a code to scan, on A5; and a file of many has as many pages as phones."""
    context = browser.new_context()
    page, render = context.new_page(), Renderer("").print_sheets
    sheets = {model: sheet(model) for model in (*MODELS, "other")}
    counts = {model: pages(page, render(language, SITE.title, [one])) for model, one in sheets.items()}
    counts |= {"no password": pages(page, render(language, SITE.title, [sheet("yealink", "")]))}
    all_of_them = pages(page, render(language, SITE.title, [*sheets.values()]))
    context.close()
    assert {model: count for model, count in counts.items() if count != 1} == {}
    assert all_of_them == len(sheets)
