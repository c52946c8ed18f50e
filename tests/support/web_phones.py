# SPDX-License-Identifier: MIT
"""Phones of a person on the stage of the pages, and what their pages say."""

from __future__ import annotations

import html
import re

from ldapgw.errors import ResultCode
from tests.support import pdu
from tests.support.filter_text import encode, read_filter
from tests.support.web_stage import ALICE, Browser, Seen, Stage

BASE = "dc=acme,dc=example"


DESK1 = f"cn=desk1,ou=phones,{BASE}"


def add(browser: Browser, name: str = "desk1", **fields: str) -> Seen:
    return browser.submit("/acme/phones", name=name, **fields)


def owner(stage: Stage, account: str = ALICE, name: str = "desk1", **fields: str) -> Browser:
    """Somebody who has connected and added a phone."""
    browser = stage.browser()
    browser.consent(account=account)
    assert add(browser, name, **fields).location == f"/acme/phones/{name}"
    return browser


def words_on(page: Seen) -> str:
    """What a reader sees."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page.body.partition("<main")[2])).split())


def search(
    stage: Stage,
    filter_text: str = "(|(cn=mue*)(sn=mue*))",
    entries: int = 2,
    *,
    login: str = DESK1,
    code: ResultCode = ResultCode.SUCCESS,
    controls: bytes = b"",
) -> None:
    """The phone searches, as the wire tells it."""
    request = pdu.search(BASE, 2, encode(read_filter(filter_text)), ("cn", "telephoneNumber", "mobile"), size=50)
    stage.watch.search_log.observe(login, "192.0.2.7", pdu.message(2, request, controls), entries, code, 0.0042)
