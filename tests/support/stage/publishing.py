# SPDX-License-Identifier: MIT
"""A publisher with its books and what builds them, as `ldapgw.server.parts` puts them together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from twisted.internet.defer import succeed

from ldapgw.directory.catalog import Catalog, Snapshot
from ldapgw.directory.dit import Dit
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.special_entries import Features
from ldapgw.server.workers import WorkerThread
from ldapgw.store.worker import Store
from ldapgw.sync.account_books import AccountBooks
from ldapgw.sync.book_cache import BookCache
from ldapgw.sync.publisher import Publisher

# A thread that was not started: its calls are made at once, on the caller's thread.
AT_ONCE: Any = WorkerThread(None, "never started")  # type: ignore[arg-type]


def empty_catalog(seconds: Callable[[], float]) -> Catalog:
    """A catalog as at a start: nobody is served yet."""
    return Catalog(Snapshot(Dit((), Features("0"))), {}, seconds)


def make_publisher(
    *,
    store: Store,
    catalog: Catalog,
    contexts: Mapping[str, NamingContext],
    run_off_thread: Callable[..., Awaitable[Any]] = AT_ONCE,
    cache: BookCache | None = None,
    build_in_process: Callable[..., Awaitable[None]] | None = None,
    build_meanwhile: Callable[..., AbstractContextManager[None]] | None = None,
    seconds: Callable[[], float] = lambda: 0.0,
    **more: Any,
) -> Publisher:
    """:param more: of the publisher alone."""
    books = AccountBooks(
        store=store,
        contexts=contexts,
        run_off_thread=run_off_thread,
        delete_off_thread=AT_ONCE,
        cache=cache,
        build_in_process=build_in_process,
        build_meanwhile=build_meanwhile,
        seconds=seconds,
    )
    parts: dict[str, Any] = {"on_publish": lambda _: None, "next_turn": partial(succeed, None)}
    return Publisher(
        store=store,
        catalog=catalog,
        books=books,
        features=catalog.dit().features,
        run_off_thread=run_off_thread,
        publish_off_thread=AT_ONCE,
        seconds=seconds,
        **parts | more,
    )
