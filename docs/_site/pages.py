# SPDX-License-Identifier: MIT
"""Links between documents, by their files' names, become links between the site's pages; lists of links its menu."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
# Pages that stand for a document outside of docs/, which has its place there.
OUTSIDE = {
    "project/changes": ROOT / "CHANGES.rst",
    "project/contributing": ROOT / "CONTRIBUTING.rst",
    "project/readme": ROOT / "README.rst",
    "project/security": ROOT / "SECURITY.rst",
}
# Documents whose links, section by section, are the menu.
MENUS = ("index", "how-to/pbx", "how-to/vendors", "reference/commands")
# Folders whose pages say why ldapgw is built as it is: they are not in the menu, and the search does not find them.
ASIDE = ("decisions/", "explanation/why/")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx's events: before its own collectors (500) see a document."""
    app.connect("source-read", _read_outside)
    app.connect("doctree-read", _link_pages, priority=100)
    app.connect("doctree-read", _write_menu, priority=110)
    app.connect("doctree-read", _set_aside, priority=900)
    app.connect("env-check-consistency", _check_anchors)
    app.connect("html-page-context", _name_language)
    app.connect("missing-reference", _resolve)
    app.connect("env-purge-doc", _forget)
    app.connect("env-merge-info", _merge)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _read_outside(_app: Sphinx, docname: str, source: list[str]) -> None:
    if docname in OUTSIDE:
        source[0] = OUTSIDE[docname].read_text()


def _file(app: Sphinx, docname: str) -> Path:
    return OUTSIDE.get(docname) or Path(app.env.doc2path(docname))


def _page(app: Sphinx, file: Path) -> str | None:
    """The page that shows a document."""
    for docname, outside in OUTSIDE.items():
        if file == outside:
            return docname
    docname = file.relative_to(DOCS).with_suffix("").as_posix() if file.is_relative_to(DOCS) else ""
    return docname if docname in app.env.found_docs else None


def _link_pages(app: Sphinx, doctree: nodes.document) -> None:
    env = app.env
    docname = env.current_document.docname
    here = _file(app, docname)
    if docname in OUTSIDE:
        env.note_dependency(str(here))
        for image in doctree.findall(nodes.image):
            if "://" not in image["uri"]:
                image["uri"] = "/" + str((here.parent / image["uri"]).resolve().relative_to(DOCS))
    for link in list(doctree.findall(nodes.reference)):
        uri = link.get("refuri", "")
        if not uri or "://" in uri or uri.startswith(("mailto:", "#", "tel:")):
            continue
        path, _, anchor = uri.partition("#")
        file = (here.parent / path).resolve()
        page = _page(app, file)
        if page is not None:
            _links(env).setdefault(docname, []).append((page, anchor, link.line or 0))
            found = addnodes.pending_xref(
                "", *link.children, refdomain="", reftype="page", reftarget=page, refanchor=anchor, refdoc=docname
            )
            link.replace_self(found)
        elif file.is_file():
            there = "/" + Path(_relative(file)).as_posix()
            found = addnodes.download_reference(
                "", *link.children, refdoc=docname, reftarget=there, refexplicit=True, classes=["file"]
            )
            link.replace_self(found)
        elif not file.exists():
            logger.warning("no such file: %s", uri, location=(docname, link.line), type="pages", subtype="link")


def _resolve(app: Sphinx, _env: Any, node: addnodes.pending_xref, _inner: nodes.TextElement) -> nodes.reference | None:
    """A link to a page, as the builder writes it."""
    if node["reftype"] != "page":
        return None
    uri = app.builder.get_relative_uri(node["refdoc"], node["reftarget"])
    uri += f"#{node['refanchor']}" if node["refanchor"] else ""
    return nodes.reference("", "", *node.children, refuri=uri, internal=True)


def _relative(file: Path) -> str:
    """A file's path as seen from docs/."""
    return str(file.relative_to(DOCS)) if file.is_relative_to(DOCS) else str(Path("..") / file.relative_to(ROOT))


def _links(env: Any) -> dict[str, list[tuple[str, str, int]]]:
    if not hasattr(env, "pages_links"):
        env.pages_links = {}
    return env.pages_links


def _forget(_app: Sphinx, env: Any, docname: str) -> None:
    _links(env).pop(docname, None)


def _merge(_app: Sphinx, env: Any, docnames: set[str], other: Any) -> None:
    _links(env).update({docname: links for docname, links in _links(other).items() if docname in docnames})


def _name_language(_app: Sphinx, docname: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
    """A document in German has German's tag, by which screen readers choose their voice."""
    context["language"] = "de" if docname.endswith("-de") else "en"


def _write_menu(app: Sphinx, doctree: nodes.document) -> None:
    docname = app.env.current_document.docname
    if docname not in MENUS:
        return
    for section in list(doctree.findall(nodes.section)):
        if docname == "index" and isinstance(section.parent, nodes.document):
            continue
        own = [child for child in section.children if not isinstance(child, nodes.section)]
        pages = dict.fromkeys(
            link["reftarget"]
            for child in own
            for link in child.findall(addnodes.pending_xref)
            if link["reftype"] == "page" and isinstance(link.parent.parent, nodes.list_item)
        )
        if not pages:
            continue
        caption = section[0].astext() if docname == "index" else None
        menu = addnodes.toctree(
            parent=docname,
            entries=[(None, page) for page in pages],
            includefiles=list(pages),
            maxdepth=1,
            caption=caption,
            rawcaption=caption or "",
            glob=False,
            hidden=True,
            includehidden=False,
            numbered=0,
            titlesonly=True,
            rawentries=[],
        )
        section.insert(len(own), nodes.compound("", menu, classes=["toctree-wrapper"]))


def _set_aside(app: Sphinx, _doctree: nodes.document) -> None:
    """Leave a page out of the menu and the search, as file-wide metadata of Sphinx would."""
    docname = app.env.current_document.docname
    if docname.startswith(ASIDE):
        app.env.metadata[docname] |= {"orphan": "", "nosearch": ""}


def _check_anchors(_app: Sphinx, env: Any) -> None:
    """A link to a place in a page leads to one that is there."""
    places: dict[str, set[str]] = {}
    for docname, links in _links(env).items():
        for page, anchor, line in links:
            if not anchor:
                continue
            if page not in places:
                places[page] = set(env.get_doctree(page).ids)
            if anchor not in places[page]:
                logger.warning(
                    "no place %s in %s", anchor, page, location=(docname, line), type="pages", subtype="link"
                )
