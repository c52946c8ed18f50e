# SPDX-License-Identifier: MIT
"""Results of coroutines and Deferreds whose every part is at hand, and errors of the directory."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from ldapgw.errors import DirectoryError, ResultCode


def result_of(awaitable: Awaitable[Any]) -> Any:
    """Return the result of an awaitable; raises its error."""
    results: list[Any] = []
    failures: list[Any] = []
    Deferred.fromCoroutine(awaited(awaitable)).addCallbacks(results.append, failures.append)
    assert results or failures, "still waiting"
    if failures:
        failures[0].raiseException()
    return results[0]


async def awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


@contextmanager
def refused(code: ResultCode, diagnostic: str | None = None) -> Iterator[None]:
    """Expect an error of the directory with a result code, and with a diagnostic if one is given."""
    with pytest.raises(DirectoryError) as raised:
        yield
    assert (raised.value.code, raised.value.diagnostic) == (
        code,
        raised.value.diagnostic if diagnostic is None else diagnostic,
    )
