# SPDX-License-Identifier: MIT
"""Drawing of what a phone shows: no vendor's phone, but a desk phone of our own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True)
class Shown:
    """The content of a screen.

    :ivar heading: the directory's name, or who calls.
    :ivar typed: the letters that were typed, in a search.
    :ivar rows: names and numbers; the first one is selected.
    :ivar keys: what the keys below the screen do.
    """

    heading: str
    typed: str = ""
    rows: Sequence[tuple[str, str]] = ()
    keys: tuple[str, str, str] = ("Back", "Details", "Call")
    is_call: bool = False


# The screen has room for so many rows.
_ROWS = 3
_STYLE = """
* { box-sizing: border-box; margin: 0 }
body { background: #fff; font: 15px/1.3 "DejaVu Sans", sans-serif; display: inline-block; padding: 8px }
.body { background: #2b3038; border-radius: 18px; padding: 18px }
.screen { background: #f4f7fb; color: #17202b; display: flex; flex-direction: column; border-radius: 4px }
.screen { width: 420px; height: 210px }
.screen, .top, .row { overflow: hidden; white-space: nowrap }
.top { background: #12457f; color: #fff; padding: 6px 10px; font-weight: bold }
.typed { padding: 6px 10px; border-bottom: 1px solid #b9c4d0; background: #fff }
.typed b { border-right: 2px solid #12457f; padding-right: 2px }
.row { padding: 4px 10px; display: flex; justify-content: space-between; gap: 10px }
.row span { color: #4a5868; font-size: 13px }
.row.on { background: #1f6fc2; color: #fff }
.row.on span { color: #fff }
.call { flex: 1; display: grid; place-content: center; gap: 8px; text-align: center }
.call strong { font-size: 26px }
.keys { margin-top: auto; display: flex; justify-content: space-between; background: #dfe6ee }
.keys { padding: 5px 14px; font-size: 13px }
.hard { display: flex; justify-content: space-around; padding-top: 12px }
.hard i { width: 54px; height: 9px; border-radius: 4px; background: #5b6472 }
"""


def page(shown: Shown) -> str:
    """The HTML of a drawing, as small as the drawing itself."""
    if shown.is_call:
        name, number = shown.rows[0]
        inner = f'<div class="call"><strong>{escape(name)}</strong><span>{escape(number)}</span></div>'
    else:
        typed = f'<div class="typed">Search: <b>{escape(shown.typed)}</b></div>' if shown.typed else ""
        inner = typed + "".join(
            f'<div class="row{" on" if at == 0 else ""}">{escape(name)} <span>{escape(number)}</span></div>'
            for at, (name, number) in enumerate(shown.rows[:_ROWS])
        )
    keys = "".join(f"<span>{escape(key)}</span>" for key in shown.keys)
    screen = f'<div class="top">{escape(shown.heading)}</div>{inner}<div class="keys">{keys}</div>'
    return (
        f'<!doctype html><meta charset="utf-8"><style>{_STYLE}</style><body><div class="body">'
        f'<div class="screen">{screen}</div><div class="hard"><i></i><i></i><i></i></div></div></body>'
    )
