# SPDX-License-Identifier: MIT
"""Who may import whom: read from the imports themselves, held to one table."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

VALUES = {"errors", "dialstring", "numberplan", "number", "contact", "credential", "ber", "words"}
PURE: set[str] = set()

# Package or module: which of ours it may import, and which packages of others.  Python's own are free to all.
TABLE: dict[str, tuple[set[str], set[str]]] = {
    "errors": (set(), PURE),
    "dialstring": (set(), PURE),
    "numberplan": ({"dialstring"}, {"phonenumbers"}),
    "number": ({"dialstring", "numberplan"}, PURE),
    "contact": ({"number"}, PURE),
    "credential": (set(), PURE),
    "models": (set(), PURE),
    "export": ({"contact", "directory", "number"}, PURE),
    "explain": ({"errors", "dialstring", "number", "numberplan", "directory", "words"}, PURE),
    "ber": ({"errors"}, PURE),
    "words": (set(), PURE),
    "directory": (VALUES, {"anyascii", "msgspec"}),
    "images": ({"contact", "directory", "__init__"}, {"twisted"}),
    "catalog": ({"credential", "directory"}, PURE),
    "config": (
        {"contact", "number", "numberplan", "errors", "directory.dn", "google.clientfile"},
        {"msgspec", "twisted"},
    ),
    "google": (
        {"errors", "contact", "dialstring", "number", "numberplan", "__init__"},
        {"OpenSSL", "treq", "oauthlib", "twisted", "msgspec"},
    ),
    "clients": ({"config", "errors", "google", "store"}, {"sqlalchemy", "twisted"}),
    "store": ({"errors", "contact", "number"}, {"sqlalchemy", "alembic", "cryptography", "msgspec", "twisted"}),
    "status": ({"contact", "store.accounts", "words"}, PURE),
    "progress": ({"contact"}, PURE),
    "explainer": (
        {
            *("catalog", "directory", "explain", "ldap.fence", "status", "words"),
            *("store.accounts", "store.phones", "web.explaining"),
        },
        PURE,
    ),
    "finder": ({"directory", "explain.query", "web.found"}, {"twisted"}),
    "sync": ({"errors", "contact", "google", "progress", "store"}, {"twisted", "sqlalchemy", "msgspec"}),
    "building": ({"contact", "directory", "errors", "images", "store"}, {"sqlalchemy"}),
    "rows": ({"contact", "store"}, {"sqlalchemy"}),
    "publisher": (
        {"building", "catalog", "contact", "directory", "errors", "images", "rows", "store"},
        {"twisted"},
    ),
    "refresh": ({"errors", "publisher", "store", "sync"}, {"twisted"}),
    "complaints": (set(), PURE),
    "provisioning": ({"models", "words"}, PURE),
    "searches": ({"errors"}, PURE),
    "phonewatch": ({"directory", "errors", "hints", "ldap.decode", "publisher", "searches", "store"}, PURE),
    "trust": ({"certificate", "tls"}, {"OpenSSL"}),
    "listening": ({"config", "provisioning"}, PURE),
    "metrics": ({"errors", "status", "store"}, {"prometheus_client", "sqlalchemy"}),
    "searchnotes": ({"catalog", "errors", "searches", "store"}, {"sqlalchemy", "twisted"}),
    "hints": ({"directory", "errors", "provisioning", "searches", "words"}, PURE),
    "ldap": (
        {"errors", "ber", "complaints", "directory", "__init__"},
        {"ldaptor", "twisted", "pyparsing", "OpenSSL", "zope"},
    ),
    "web": (
        {
            *(
                "errors",
                "contact",
                "credential",
                "directory.dn",
                "explain",
                "google",
                "hints",
                "models",
                "progress",
                "provisioning",
                "store",
                "status",
                "words",
            ),
            "__init__",
        },
        {"babel", "klein", "segno", "jinja2", "markupsafe", "twisted", "treq", "zope", "sqlalchemy", "werkzeug"},
    ),
    "sandbox": ({"errors"}, {"klein", "jinja2", "markupsafe", "twisted", "treq", "msgspec"}),
    "state": ({"errors", "lock", "store"}, {"sqlalchemy"}),
    "deadline": (set(), {"twisted"}),
    "descriptors": (set(), {"twisted"}),
    "listener": ({"complaints", "descriptors", "errors"}, {"twisted", "zope"}),
    "certificate": (set(), {"cryptography"}),
    "tls": ({"certificate", "config", "errors"}, {"OpenSSL", "twisted", "zope"}),
    "renewal": ({"errors", "tls"}, {"twisted"}),
    "logs": (set(), {"twisted"}),
    "lock": ({"errors"}, PURE),
    "offthread": (set(), {"twisted"}),
    "offprocess": ({"errors"}, {"twisted"}),
    "reactor": (set(), {"twisted"}),
    "wallclock": (set(), {"twisted", "zope"}),
}
# These put the rest together and may import all of it.
ROOTS = {"service", "parts", "demo", "tap", "foreground", "cli", "__main__", "__init__"}

# Whole packages that live behind one door.
DOORS = {
    "ldaptor": {"ldap.fence"},
    "anyascii": {"directory.transliteration"},
    "phonenumbers": {"numberplan"},
    "klein": {"web.app", "sandbox.app"},
    "oauthlib": {"google.oauth", "google.refusal"},
    "babel": {"web.language"},
    "segno": {"web.qr"},
    "prometheus_client": {"metrics"},
    "alembic": {"store.database", "store.migrations.env"},
    "cryptography": {"store.vault", "certificate", "cli.certificate"},
}


def modules() -> list[Path]:
    return sorted(path for path in (ROOT / "ldapgw").rglob("*.py") if "versions" not in path.parts)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "ldapgw").with_suffix("").parts)


def imports(path: Path) -> set[str]:
    """The modules that a file imports, ours relative to the package."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            ours = {name for name in names if name.startswith("ldapgw.") and (module_file(name)).exists()}
            found |= ours or {node.module or ""}
    return found


def module_file(name: str) -> Path:
    path = ROOT / Path(*name.split("."))
    return path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"


def allowed(wanted: str, table: set[str]) -> bool:
    return any(wanted == entry or wanted.startswith(entry + ".") for entry in table)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_flow_one_way(path: Path) -> None:
    """A module imports what the table lets it."""
    name = name_of(path)
    layer = name.split(".")[0]
    if layer in ROOTS:
        return
    ours, others = TABLE[layer]
    for imported in imports(path):
        if imported == "ldapgw" or imported.startswith("ldapgw."):
            wanted = imported.removeprefix("ldapgw").removeprefix(".") or "__init__"
            assert wanted.split(".")[0] == layer or allowed(wanted, ours), f"{name} imports {imported}"
        else:
            package = imported.split(".")[0]
            assert package in sys.stdlib_module_names or package in others, f"{name} imports {imported}"


@pytest.mark.parametrize("package", DOORS)
def test_a_fenced_package_has_one_door(package: str) -> None:
    """Replacing it means looking at these modules alone."""
    found = {name_of(path) for path in modules() if any(name.split(".")[0] == package for name in imports(path))}
    assert found <= DOORS[package]


def test_no_module_is_left_out_of_the_table() -> None:
    """A new one has to be thought about."""
    assert {name_of(path).split(".")[0] for path in modules()} <= TABLE.keys() | ROOTS


def test_no_import_cycles() -> None:
    """Each module can be understood after those that it imports."""
    graph = {
        f"ldapgw.{name_of(path)}".removesuffix(".__init__"): {one for one in imports(path) if one.startswith("ldapgw")}
        for path in modules()
    }
    done: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> None:
        assert name not in path, f"cycle: {' → '.join([*path[path.index(name) :], name])}"
        if name in done:
            return
        path.append(name)
        for wanted in graph.get(name, ()):
            visit(wanted)
        path.pop()
        done.add(name)

    for name in graph:
        visit(name)
