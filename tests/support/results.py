# SPDX-License-Identifier: MIT
"""Results of coroutines and Deferreds whose every part is at hand, so that nothing has to be waited for."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from twisted.internet.defer import Deferred


def result_of(awaitable: Awaitable[Any]) -> Any:
    """What it comes to; raises what it raises."""
    results: list[Any] = []
    failures: list[Any] = []
    Deferred.fromCoroutine(_awaited(awaitable)).addCallbacks(results.append, failures.append)
    assert results or failures, "still waiting"
    if failures:
        failures[0].raiseException()
    return results[0]


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
