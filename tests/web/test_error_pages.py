# SPDX-License-Identifier: MIT
"""The pages that explain an error are in every language."""

from __future__ import annotations

import pytest
from msgspec.structs import asdict

from ldapgw.contact import Source
from ldapgw.web import error_pages
from ldapgw.web.error_pages import PAGES, ErrorPage
from ldapgw.web.http import HttpRequest
from ldapgw.web.i18n import LANGUAGES
from ldapgw.web.layout import Layout
from tests.support.catalogs import english_in
from tests.support.stage.web import ACME, Stage

ENDINGS = asdict(PAGES) | {
    "a box": error_pages.unticked_boxes([Source.CONTACTS]),
    "no box": error_pages.unticked_boxes([Source.CONTACTS, Source.DIRECTORY]),
}


@pytest.fixture(scope="module")
def frame() -> Layout:
    return Layout.of(Stage().gate)


@pytest.mark.parametrize("language", [tag for tag in LANGUAGES if tag != "en"])
@pytest.mark.parametrize("name", ENDINGS)
def test_an_ending_in_another_language(frame: Layout, name: str, language: str) -> None:
    """The page names its language and has no English sentence; the English page has some."""
    bodies = {}
    for tag in (language, "en"):
        answer = frame.page(
            HttpRequest(language=tag), "error_page.html", tenant=ACME, error_page=ENDINGS[name], popup=False
        )
        bodies[tag] = answer.body.decode()
        assert f'<html lang="{tag}">' in bodies[tag]
    assert english_in(bodies[language], language) == []
    assert english_in(bodies["en"], language) != []


@pytest.mark.parametrize("page", asdict(PAGES).values(), ids=lambda one: one.title)
def test_who_is_sent_to_the_administrator_is_told_where_that_is(page: ErrorPage) -> None:
    """Each page says if its text names the gateway's administrator; a Workspace administrator does not count."""
    texts = " ".join(map(str, (page.explanation, *page.advice)))
    assert page.names_administrator is ("our administrator" in texts)
