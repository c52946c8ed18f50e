# SPDX-License-Identifier: MIT
"""One table says which package may import which, and is compared with the imports themselves.

Only a new process can import all tests without psycopg.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from contextlib import chdir
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent

VALUES = {"errors", "ber", "phrase", "numbers", "contact"}
PURE: set[str] = set()

# Package or module: which of ours it may import, and which packages of others.  Python's own are free to all.
TABLE: dict[str, tuple[set[str], set[str]]] = {
    "errors": (set(), PURE),
    "ber": ({"errors"}, PURE),
    "phrase": (set(), {"msgspec"}),
    "numbers": (set(), {"phonenumbers"}),
    "contact": ({"numbers"}, PURE),
    "directory": (VALUES, {"anyascii", "msgspec"}),
    "ldap": (VALUES | {"directory", "__init__"}, {"twisted", "OpenSSL", "zope"}),
    "ldap.replication": (VALUES | {"directory", "ldap"}, PURE),
    "google": (
        VALUES | {"__init__"},
        {"OpenSSL", "cryptography", "treq", "oauthlib", "twisted", "msgspec", "zope", "jwt", "PIL"},
    ),
    # Contacts of files are read as Google's are.
    "files": (VALUES | {"google.person", "google.person_text"}, {"msgspec"}),
    "google.sandbox": ({"errors"}, {"werkzeug", "jinja2", "markupsafe", "twisted", "msgspec", "cryptography"}),
    "store": (VALUES, {"sqlalchemy", "alembic", "cryptography", "msgspec", "twisted", "psycopg"}),
    "peers": (VALUES | {"store"}, {"twisted", "sqlalchemy", "msgspec"}),
    "sync": (VALUES | {"directory", "files", "google", "peers", "store"}, {"twisted", "sqlalchemy", "msgspec"}),
    "phones": (
        VALUES | {"directory", "files", "ldap", "store"},
        {
            *("twisted", "msgspec", "sqlalchemy", "ldaptor", "OpenSSL", "cryptography", "service_identity", "zope"),
            *("PIL", "jinja2"),
        },
    ),
    "web": (
        VALUES | {"directory", "files", "google", "store", "phones", "__init__"},
        {
            *("babel", "segno", "jinja2", "markupsafe", "msgspec", "twisted", "treq", "zope", "sqlalchemy"),
            "werkzeug",
        },
    ),
    "server": (
        VALUES
        | {
            "directory",
            "files",
            "ldap",
            "google",
            "store",
            "peers",
            "sync",
            "phones",
            "web",
            "__init__",
        },
        {"OpenSSL", "cryptography", "msgspec", "prometheus_client", "sqlalchemy", "twisted", "zope", "treq"},
    ),
}
# These put the rest together and may import all of it.
ROOTS = {"cli", "__main__", "__init__"}

# Whole packages that live behind one door.
DOORS = {
    "ldaptor": {"phones.explain.query", "phones.reachability"},
    "anyascii": {"directory.transliteration"},
    "phonenumbers": {"numbers.numbering_plan"},
    "werkzeug": {"web.app", "web.book_clients", "web.http", "google.sandbox.app"},
    "oauthlib": {"google.oauth", "google.api_errors"},
    "babel": {"web.i18n"},
    "segno": {"web.phone_pages"},
    "prometheus_client": {"server.metrics"},
    "alembic": {"store.database", "store.migrations.env"},
    "cryptography": {
        *("store.secrets", "server.certificates", "server.tls", "server.google", "cli.check", "google.connections"),
        *("google.sandbox.oauth", "phones.reachability", "google.delegation", "google.sandbox.delegation"),
    },
    "jwt": {"google.identity"},
    "psycopg": {"store.postgresql", "store.postgresql_connection"},
    "PIL": {"google.photos", "phones.book_reader"},
}


# The composition root, and the command that writes slapd's configuration, which imports the package when it is called.
USERS_OF_REPLICATION = {"server.parts.phone_parts", "cli.replicas"}


def modules() -> list[Path]:
    return sorted(path for path in (ROOT / "ldapgw").rglob("*.py") if "versions" not in path.parts)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "ldapgw").with_suffix("").parts)


@cache
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


def layer_of(name: str) -> str:
    return next((layer for layer in TABLE if name.startswith(layer + ".") and "." in layer), name.split(".")[0])


def allowed(wanted: str, table: set[str]) -> bool:
    return any(wanted == entry or wanted.startswith(entry + ".") for entry in table)


def may_import(layer: str, imported: str) -> bool:
    ours, others = TABLE[layer]
    if imported == "ldapgw" or imported.startswith("ldapgw."):
        wanted = imported.removeprefix("ldapgw").removeprefix(".") or "__init__"
        return layer_of(wanted) == layer or allowed(wanted, ours)
    package = imported.split(".")[0]
    return package in sys.stdlib_module_names or package in others


def test_imports_flow_one_way() -> None:
    """A module imports what the table lets it."""
    layers = {path: layer for path in modules() if (layer := layer_of(name_of(path))) not in ROOTS}
    wrong = [
        f"{name_of(path)} imports {imported}"
        for path, layer in layers.items()
        for imported in imports(path)
        if not may_import(layer, imported)
    ]
    assert wrong == []


@pytest.mark.parametrize("package", DOORS)
def test_a_fenced_package_has_one_door(package: str) -> None:
    """Replacing it means looking at these modules alone."""
    found = {name_of(path) for path in modules() if any(name.split(".")[0] == package for name in imports(path))}
    assert found <= DOORS[package]


def test_replication_has_few_users() -> None:
    """All else goes on without the package (tests/ldap/replication/test_removal.py)."""
    users = {
        name
        for path in modules()
        if any(one.startswith("ldapgw.ldap.replication") for one in imports(path))
        and layer_of(name := name_of(path)) != "ldap.replication"
    }
    assert users == USERS_OF_REPLICATION


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


_IMPORT_ALL = """
import importlib, sys
from pathlib import Path
sys.modules["psycopg"] = None
for file in sorted(Path("tests").rglob("*.py")):
    importlib.import_module(".".join(file.with_suffix("").parts))
"""


def compiled_modules() -> list[str]:
    """Return the paths of the modules that setup.py has compiled, as its function of this name does."""
    names = {"COMPILED", "NOT_COMPILED", "compiled_modules"}
    tree = ast.parse((ROOT / "setup.py").read_text())
    tree.body = [
        node
        for node in tree.body
        if {*map(ast.unparse, getattr(node, "targets", ())), getattr(node, "name", "")} & names
    ]
    made: dict[str, Any] = {"Path": Path}
    exec(compile(tree, "setup.py", "exec"), made)
    with chdir(ROOT):
        found: list[str] = made["compiled_modules"]()
    return found


def test_compiled_code_uses_generator_expressions_at_once() -> None:
    """The compiler mypyc makes a list of a generator expression at once, so a search in slices would be a single slice.

    The items of an assigned or filtered generator expression would be made even if nobody took these items.  mypyc does
    not change functions that yield.  Functions of Python may get generator expressions.
    """
    found = []
    for path in compiled_modules():
        nodes = [*ast.walk(ast.parse((ROOT / path).read_text()))]
        own = {node.name for node in nodes if isinstance(node, ast.FunctionDef)} | {"filter", "map"}
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ldapgw"):
                own |= {alias.name for alias in node.names}
        for node in nodes:
            match node:
                case ast.Return(ast.GeneratorExp()) | ast.YieldFrom(ast.GeneratorExp()):
                    found.append(f"{path}:{node.lineno}")
                case ast.Assign([ast.Name()], ast.GeneratorExp() | ast.IfExp(_, ast.GeneratorExp())):
                    found.append(f"{path}:{node.lineno}")
                case ast.Call(ast.Name(name), arguments) if name in own:
                    found += [f"{path}:{node.lineno}" for each in arguments if isinstance(each, ast.GeneratorExp)]
    assert found == []


@pytest.mark.long  # it imports everything once more
def test_only_the_tests_of_postgresql_need_psycopg() -> None:
    """A small site installs none of it, and neither does who works on the rest."""
    done = subprocess.run([sys.executable, "-c", _IMPORT_ALL], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
