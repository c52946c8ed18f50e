# SPDX-License-Identifier: MIT
"""The pages that explain, in every language."""

from __future__ import annotations

import pytest

from ldapgw.contact import Source
from ldapgw.web import error_pages
from ldapgw.web.error_pages import Ending
from ldapgw.web.http import Call
from ldapgw.web.i18n import LANGUAGES
from ldapgw.web.layout import Frame
from tests.support.foreign import english_in
from tests.support.web_stage import ACME, Stage

ENDINGS = {name: value for name, value in vars(error_pages).items() if isinstance(value, Ending)} | {
    "a box": error_pages.unticked([Source.CONTACTS]),
    "no box": error_pages.unticked([Source.CONTACTS, Source.DIRECTORY]),
}


@pytest.fixture(scope="module")
def frame() -> Frame:
    return Frame.of(Stage().gate)


@pytest.mark.parametrize("language", [tag for tag in LANGUAGES if tag != "en"])
@pytest.mark.parametrize("name", ENDINGS)
def test_an_ending_in_another_language(frame: Frame, name: str, language: str) -> None:
    """It says so, and no English sentence is left; the English page has some."""
    bodies = {}
    for tag in (language, "en"):
        answer = frame.page(Call(language=tag), "ending.html", tenant=ACME, ending=ENDINGS[name], popup=False)
        bodies[tag] = answer.body.decode()
        assert f'<html lang="{tag}">' in bodies[tag]
    assert english_in(bodies[language], language) == []
    assert english_in(bodies["en"], language) != []
