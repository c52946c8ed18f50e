# SPDX-License-Identifier: MIT
"""The list of modules in the document about architecture, generated from the first sentence of each module's docstring.

``scripts/architecture`` writes the list between the two comments `BEGIN` and `END`; a test compares.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.checkout import ROOT
from tests.support.rst import with_passage

DOCUMENT = ROOT / "docs" / "explanation" / "architecture.rst"
BEGIN = ".. The list of modules begins here; scripts/architecture writes it"
END = ".. The list of modules ends here"

# Folders in the order in which they are listed: the path of a contact first, then what is around it.
FOLDERS = (
    *("google", "google/sandbox", "files", "sync", "peers", "store", "store/migrations", "directory", "ldap"),
    "ldap/replication",
    *("phones", "phones/carddav", "phones/explain", "phones/provisioning", "web"),
    *("server", "server/config", "server/parts", "cli"),
    *("numbers", ""),
)
# The steps of a migration are no modules that anybody imports.
_LEFT_OUT = "versions"


def first_sentence(source: str) -> str:
    """The first sentence of a module's docstring, as reStructuredText; empty where there is none."""
    paragraph = (ast.get_docstring(ast.parse(source)) or "").split("\n\n")[0].replace("\n", " ")
    sentence = re.split(r"(?<=[.!?]) +(?=[A-Z`])", paragraph)[0]
    return re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", sentence)


def folders() -> set[str]:
    """The folders that have modules, relative to the package."""
    package = ROOT / "ldapgw"
    found = {path.parent.relative_to(package).as_posix() for path in package.rglob("*.py")}
    return {"" if name == "." else name for name in found if _LEFT_OUT not in name}


def module_list() -> str:
    """All modules, folder by folder, a line each."""
    return "\n".join(line for folder in FOLDERS for line in _section(ROOT / "ldapgw" / folder, folder))


def written(document: str) -> str:
    """A document with the list of modules in its place."""
    return with_passage(document, BEGIN, module_list(), END)


def _section(folder: Path, name: str) -> Iterator[str]:
    title = f"{name}/" if name else "Modules at the top"
    yield from (title, "-" * len(title), "", first_sentence((folder / "__init__.py").read_text()), "")
    for path in sorted(folder.glob("*.py")):
        if path.stem != "__init__":
            yield _line(path.stem, first_sentence(path.read_text()))
    yield ""


def _line(name: str, sentence: str) -> str:
    """The line of a module; commands at the beginning of its sentence are in parentheses unless they are the name."""
    if not (found := re.fullmatch(r"((?:``[^`]+``(?:, | and )?)+): (.*)", sentence)):
        return f"* ``{name}``: {sentence}"
    commands, rest = found.groups()
    return f"* ``{name}``: {rest}" if commands == f"``{name}``" else f"* ``{name}`` ({commands}): {rest}"


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text()))
