# SPDX-License-Identifier: MIT
"""The events of the log, read from the calls in the code, and the tables of them in the reference.

``python -m tests.support.log_events`` writes the tables; a test compares.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ldapgw.server.logging import FIELDS
from tests.support.checkout import ROOT
from tests.support.rst import with_passage

DOCUMENT = ROOT / "docs" / "reference" / "log-events.rst"
BEGIN = ".. The list of events begins here; python -m tests.support.log_events writes it"
END = ".. The list of events ends here"

# Each method of Twisted's Logger logs at a level.
LEVELS = {
    "debug": "debug",
    "info": "info",
    "warn": "warning",
    "error": "error",
    "critical": "critical",
    "failure": "critical",
}


@dataclass(frozen=True, slots=True)
class Call:
    """A call that logs.

    :ivar where: file and line.
    :ivar part: the package.
    :ivar event: empty: the call does not name it as a constant.
    :ivar message: the format; what is not a constant is an ellipsis.
    :ivar members: which of the members of a line of JSON it passes.
    """

    where: str
    part: str
    level: str
    event: str
    message: str
    members: tuple[str, ...]


def calls(package: Path = ROOT / "ldapgw") -> tuple[Call, ...]:
    """All calls that log in a package, in the order of the files."""
    return tuple(call for path in sorted(package.rglob("*.py")) for call in _calls(path, package))


def _calls(path: Path, package: Path) -> Iterator[Call]:
    name = path.relative_to(package)
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        function, *arguments = [node.func, *node.args]
        if isinstance(function, ast.Name) and function.id == "partial":
            function, *arguments = arguments
        if (
            isinstance(function, ast.Attribute)
            and isinstance(function.value, ast.Name)
            and function.value.id == "log"
            and function.attr in LEVELS
        ):
            named = {keyword.arg: keyword.value for keyword in node.keywords}
            event = named.get("event")
            yield Call(
                f"{name}:{node.lineno}",
                name.parts[0],
                LEVELS[function.attr],
                event.value if isinstance(event, ast.Constant) and isinstance(event.value, str) else "",
                _text(arguments[0]),
                tuple(name for name in FIELDS if name in named),
            )


def _text(node: ast.expr) -> str:
    """A format as far as it is constant; what depends on a condition is optional, and left out."""
    match node:
        case ast.Constant(str(text)):
            return text
        case ast.BinOp(left, ast.Add(), ast.IfExp()):
            return _text(left)
        case ast.BinOp(left, ast.Add(), right):
            return _text(left) + _text(right)
    return "…"


def event_list() -> str:
    """The events, a table for each part."""
    found = {(call.part, call.event): call for call in calls()}
    parts = sorted({part for part, _ in found})
    return "\n".join(line for part in parts for line in _table(part, [found[key] for key in sorted(found)]))


def _table(part: str, found: list[Call]) -> Iterator[str]:
    yield from (f"``{part}``", "-" * (len(part) + 4), "", ".. list-table::", "   :header-rows: 1")
    yield from ("   :widths: 26 10 44 20", "", "   * - Event", "     - Level", "     - Message", "     - Members")
    for call in found:
        if call.part == part:
            yield from (f"   * - ``{call.event}``", f"     - {call.level}", f"     - ``{call.message}``")
            yield ("     - " + ", ".join(f"``{name}``" for name in call.members)).rstrip()
    yield ""


def written(document: str) -> str:
    """A document with the list of events in its place."""
    return with_passage(document, BEGIN, event_list(), END)


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text()))
