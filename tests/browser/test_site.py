# SPDX-License-Identifier: MIT
"""The documentation as a site, in a browser: it is for everybody, its search helps, and it asks nobody else."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote

import pytest

from ldapgw.web.rendering import DOCUMENTS
from tests.browser import axe
from tests.browser.looks import LOOKS, SIZES
from tests.support.released import NEWER, VERSION, released

PAGES = ("index", "how-to/vendors/yealink", "employees", "employees-de", "reference/phones")
# People look for these words, and each page has to stand among the first three.
SEARCHES = {
    "wrong password": "how-to/troubleshooting",
    "Yealink": "how-to/vendors/yealink",
    "placeholder": "reference/phones",
    "LDAPS": "how-to/certificates",
    "Umlaut": "explanation/how-a-search-finds-people",
    "token": "how-to/messages",
    "proxy": "how-to/proxy",
    "backup": "how-to/upgrade",
}
# Only a link leads to these pages.
ASIDE = ("decisions/", "explanation/why/")
_ASKS_OTHERS = re.compile(r'<(?:img|script|iframe|source)[^>]*\ssrc="(?:https?:)?//|<link[^>]*\shref="(?:https?:)?//')

pytestmark = [
    pytest.mark.skipif(
        "CI" not in os.environ and (find_spec("furo") is None or not axe.PROGRAM.exists() or not shutil.which("node")),
        reason="needs Sphinx, Furo and axe: scripts/setup",
    ),
]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the site of a release, unpacked beside that of another version.

    A release builds the site without a warning: each page stands in the menu, but for the pages of reasons, and each
    link leads to a page and a place that are there.
    """
    folder = tmp_path_factory.mktemp("site")
    (archive,) = released(tmp_path_factory).made.glob("*-docs.tar.gz")
    shutil.unpack_archive(archive, folder, filter="data")
    other = folder / f"docs-{NEWER}"
    other.mkdir()
    (other / "index.html").write_text(f"<!DOCTYPE html><title>{NEWER}</title><link rel=icon href=data:,>")
    return folder / f"docs-{VERSION}"


@pytest.fixture(scope="module")
def address(built: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(built.parent))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{built.name}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """A page of a new browser, which may ask nobody but the site, and has nothing to complain of."""
    context = browser.new_context()
    context.set_default_timeout(60_000)
    troubles: list[str] = []
    host = address.removesuffix(f"docs-{VERSION}/")
    context.on("request", lambda request: request.url.startswith(host) or troubles.append(request.url))
    context.on("console", lambda said: said.type in ("error", "warning") and troubles.append(said.text))
    context.on("weberror", lambda error: troubles.append(str(error.error)))
    yield context.new_page()
    context.close()
    assert troubles == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_the_site_is_for_everybody(page: Any, address: str, name: str) -> None:
    """Axe finds nothing in either scheme and size, and the page as a whole is never scrolled sideways."""
    page.goto(f"{address}{name}.html")
    found = {}
    for size, scheme in LOOKS.items():
        page.set_viewport_size(SIZES[size])
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        page.emulate_media(color_scheme=scheme)
        found[size] = axe.violations(page)
    assert {key: lines for key, lines in found.items() if lines} == {}


@pytest.mark.parametrize("name", ["employees", "employees-de"])
def test_the_page_for_employees_is_one_sheet(page: Any, address: str, name: str) -> None:
    page.goto(f"{address}{name}.html")
    margin = dict.fromkeys(("top", "right", "bottom", "left"), "15mm")
    assert len(re.findall(rb"/Type /Page\b", page.pdf(format="A4", margin=margin))) == 1


@pytest.mark.parametrize("words", SEARCHES)
def test_the_search_finds_what_helps(page: Any, address: str, words: str) -> None:
    """The page that helps is among the first three, without a server behind the search."""
    page.goto(f"{address}search.html?q={quote(words)}")
    page.get_by_text(re.compile("^Search finished")).wait_for()
    first = page.locator("#search-results ul.search > li > a")
    hrefs = [
        one.split("?")[0].split("#")[0] for one in first.evaluate_all("all => all.map(a => a.getAttribute('href'))")
    ]
    assert f"{SEARCHES[words]}.html" in list(dict.fromkeys(hrefs))[:3]


def test_links_of_the_administration_lead_to_their_sections(page: Any, address: str) -> None:
    """The address of each page has the title that the link has, and a section that the browser shows at the top."""
    for document in DOCUMENTS.values():
        page.goto(f"{address}{document.path}")
        path, _, section = document.path.partition("#")
        named = page.locator(f"#{section} > :is(h2, h3)" if section else "h1").first
        assert (path, (named.text_content() or "").removesuffix("¶")) == (path, document.title)
        if section:
            assert page.locator(":target").first.get_attribute("id") == section


def test_reasons_are_neither_in_the_menu_nor_in_the_search(built: Path) -> None:
    """The pages that say why ldapgw is built as it is are there for whoever follows a link to them."""
    index = json.loads((built / "searchindex.js").read_text().removeprefix("Search.setIndex(").removesuffix(")"))
    aside = {number for number, name in enumerate(index["docnames"]) if name.startswith(ASIDE)}
    assert len(aside) > len(ASIDE)
    assert [number for number in aside if not (built / f"{index['docnames'][number]}.html").exists()] == []
    words = [found for kind in ("terms", "titleterms") for found in index[kind].values()]
    found = {number for numbers in words for number in (numbers if isinstance(numbers, list) else [numbers])}
    titles = {number for places in index["alltitles"].values() for number, _ in places}
    assert (found | titles) & aside == set()
    menu = (built / "index.html").read_text().split('<div class="sidebar-tree">')[1].split("</div>")[0]
    assert "how-to/install.html" in menu
    assert [folder for folder in ASIDE if folder in menu] == []


def test_a_menu_leads_to_other_versions(page: Any, address: str) -> None:
    """The menu has the versions of versions.js, on any page."""
    page.goto(f"{address}how-to/install.html")
    assert page.locator(".sidebar-brand-text").first.inner_text() == f"ldapgw {VERSION}"
    menu = page.get_by_label("Version")
    assert menu.locator("option").all_inner_texts() == [NEWER, VERSION, "1.10.0", "1.9.0"]
    assert menu.input_value() == VERSION
    menu.select_option(NEWER)
    page.wait_for_url(f"**/docs-{NEWER}/")
    assert page.title() == NEWER


def test_no_page_of_the_site_asks_anybody_else(built: Path) -> None:
    """Scripts, styles, fonts and pictures are the site's own: whoever reads at their desk is nobody's visitor."""
    asking = {
        path.relative_to(built).as_posix(): found.group()
        for path in sorted(built.rglob("*.html"))
        if (found := _ASKS_OTHERS.search(path.read_text()))
    }
    styles = {path.name for path in built.rglob("*.css") if re.search(r"url\(['\"]?(?:https?:)?//", path.read_text())}
    assert (asking, styles) == ({}, set())
