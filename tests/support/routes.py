# SPDX-License-Identifier: MIT
"""Routes of pages that are compiled once for all tests of a process.

Each application of klein compiles all of its routes, and nearly each test of pages and of the sandbox makes one or two:
it is half of what such a test takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from werkzeug.routing import Rule


def compile_once() -> None:
    """Have routes that are written alike share what werkzeug compiles of them."""
    compile_builder = Rule._compile_builder
    compiled: dict[Any, Callable[..., tuple[str, str]]] = {}

    def compile_builder_once(rule: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        assert not rule.defaults
        key = rule.rule, tuple(rule._trace), append_unknown
        if key not in compiled:
            compiled[key] = compile_builder(rule, append_unknown)
        return compiled[key]

    Rule._compile_builder = compile_builder_once
