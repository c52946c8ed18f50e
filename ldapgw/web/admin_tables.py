# SPDX-License-Identifier: MIT
"""The tables of the administration: search, filters, sorting and pages, and acts on the selected rows.

What is sought may be somebody's address, so it comes in a form and stands in no address of a page.

A form acts on the rows that are selected in it.  What cannot be undone, and what needs a choice, is asked on a page of
its own that names everything concerned; its form has the same rows, and ``confirmed``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from sqlalchemy import Connection

from ldapgw.phrase import Texts
from ldapgw.web import error_pages
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import HttpResponse, read_number
from ldapgw.web.layout import Layout, RequiredRole, Route, Visit, get, post

T = TypeVar("T")

# Rows of a table on one page.
ROWS_PER_PAGE = 50
# No address and no phone's name is longer.
_MAX_SOUGHT = 100
# Checkboxes of a table's rows begin with this word.
_SELECTED = "row-"
_FINGERPRINT_FIELD = "about"


class Question(Texts, frozen=True):
    """The question before an act on the selected rows."""

    title: str
    sentence: str
    button: str
    is_danger: bool = True


@dataclass(frozen=True, slots=True)
class TableQuery:
    """What a table shows.

    :ivar find: the text that rows contain.
    :ivar show: the chosen filter; empty: all rows.
    :ivar sort: the column to sort by, after ``-`` in descending order; empty: the table's own order.
    :ivar page: the page's number, counted from 1.
    """

    find: str = ""
    show: str = ""
    sort: str = ""
    page: int = 1

    @classmethod
    def of(
        cls, query: Mapping[str, str], form: Mapping[str, str], columns: Collection[str], filters: Collection[str]
    ) -> TableQuery:
        """Read the query of an address, or the form of a search; what is not known counts as not given."""
        query = form or query
        show, sort = query.get("show", ""), query.get("sort", "")
        return cls(
            find=form.get("find", "").strip()[:_MAX_SOUGHT],
            show=show if show in filters else "",
            sort=sort if sort.removeprefix("-") in columns else "",
            page=read_number(query.get("page", ""), 1, digits=5),
        )

    def to_page(self, number: int) -> str:
        """The query of another page of the same table."""
        return replace(self, page=number).encoded

    def turned(self, column: str) -> str:
        """`sort` for a column; the other way if the table is sorted by this column already."""
        return f"-{column}" if self.sort == column else column

    def sorted_by(self, column: str) -> str:
        """The query of the table sorted by a column."""
        return replace(self, sort=self.turned(column), page=1).encoded

    def direction(self, column: str) -> str:
        """How the table is sorted by a column, as ``aria-sort`` has it; empty: by another one."""
        return {column: "ascending", f"-{column}": "descending"}.get(self.sort, "")

    @property
    def encoded(self) -> str:
        """The query of an address, without what is not given, and without what is sought."""
        given = {"show": self.show, "sort": self.sort, "page": self.page if self.page > 1 else ""}
        return urlencode({name: value for name, value in given.items() if value})


@dataclass(frozen=True, slots=True)
class Table(Generic[T]):
    """A page of a table.

    :ivar query: what the table shows; its page is the one that is shown.
    :ivar pages: the number of pages, at least 1.
    :ivar found: how many rows all pages have.
    :ivar total: how many rows there are without search and filter.
    """

    rows: tuple[T, ...]
    query: TableQuery
    pages: int
    found: int
    total: int


def select_rows(
    rows: Sequence[T],
    query: TableQuery,
    *,
    text: Callable[[T], str],
    filters: Mapping[str, Callable[[T], bool]],
    columns: Mapping[str, Callable[[T], Any]],
) -> Table[T]:
    """The page of a table that a query asks for; the last page if there are fewer.

    :param rows: all rows, in the table's own order, which rows of equal values keep.
    :param text: what a search looks into.
    :param columns: the values to sort by; None comes last, whichever way.
    """
    sought = query.find.casefold()
    found = [row for row in rows if sought in text(row).casefold()] if sought else list(rows)
    if query.show:
        found = [row for row in found if filters[query.show](row)]
    if query.sort:
        value = columns[query.sort.removeprefix("-")]
        known = [row for row in found if value(row) is not None]
        known.sort(key=value, reverse=query.sort.startswith("-"))
        found = [*known, *(row for row in found if value(row) is None)]
    pages = max(-(-len(found) // ROWS_PER_PAGE), 1)
    number = min(max(query.page, 1), pages)
    shown = found[(number - 1) * ROWS_PER_PAGE : number * ROWS_PER_PAGE]
    return Table(tuple(shown), replace(query, page=number), pages, len(found), len(rows))


def selected_rows(form: Iterable[str]) -> list[str]:
    """The keys of the rows whose checkboxes are in a form."""
    return [name.removeprefix(_SELECTED) for name in form if name.startswith(_SELECTED)]


# Does something to rows; returns None, and does nothing, if the rows have changed since the page asked about them.
RowsAct = Callable[[Visit, Sequence[T]], Awaitable[HttpResponse | None]]


@dataclass(frozen=True, slots=True)
class TablePage(Generic[T]):
    """A page with a table, and the acts on its selected rows.

    :ivar name: the page's path below ``admin/``; its template is ``admin_{name}.html``.
    :ivar read: reads all rows of a tenant at a time.
    :ivar order: the table's own order; None: the order in which the rows are read.
    :ivar text: what a search looks into.
    :ivar filters: the filters for the value of ``show`` in an address or form.
    :ivar columns: the values to sort by.
    :ivar topic: the topic of a row (`ldapgw.web.live`).
    :ivar values: further values for the template.
    :ivar key: a row's name in forms.
    :ivar title: a row's name for people.
    :ivar state: what an act depends on, and the page that asks has shown; another state is asked about again.
    :ivar questions: by act, for the acts that are asked before.
    :ivar asked: the acts that are asked before, by name.
    :ivar unasked: all other acts, by name.
    :ivar choices: further values for the page that asks, by the act's name.
    :ivar unaccepted: the response to an answer that does not fit the rows, or was sent before.
    """

    layout: Layout
    name: str
    read: Callable[[Connection, WebTenant, float], Sequence[T]]
    order: Callable[[T], Any] | None
    text: Callable[[T], str]
    filters: Callable[[str], Mapping[str, Callable[[T], bool]]]
    columns: Mapping[str, Callable[[T], Any]]
    topic: Callable[[Visit, T], str]
    values: Callable[[Visit, Table[T]], Mapping[str, Any]]
    key: Callable[[T], str]
    title: Callable[[T], str]
    state: Callable[[WebTenant, T], tuple[object, ...]]
    questions: Mapping[str, Question]
    asked: Mapping[str, RowsAct[T]]
    unasked: Mapping[str, RowsAct[T]]
    choices: Callable[[Visit, str, Sequence[T]], Awaitable[Mapping[str, Any]]]
    unaccepted: Callable[[Visit], Awaitable[HttpResponse]]

    def routes(self) -> tuple[Route, ...]:
        path = f"/<tenant>/admin/{self.name}"
        return (
            get(path, self.show, RequiredRole.ADMIN),
            post(path, self.show, RequiredRole.ADMIN),
            get(f"{path}/act", self.show, RequiredRole.ADMIN),
            post(f"{path}/act", self.act, RequiredRole.ADMIN),
        )

    async def topics(self, visit: Visit) -> Iterable[str]:
        """The topics of an open table: its rows."""
        if visit.query.get("table") != self.name or not visit.is_by_admin:
            return ()
        table = await self._read(visit, {})
        return [self.topic(visit, row) for row in table.rows]

    async def show(self, visit: Visit) -> HttpResponse:
        """``/{tenant}/admin/{name}``: the table."""
        table = await self._read(visit, visit.form)
        # The address of what a form found gives another table.
        is_live = not visit.form
        return visit.page(f"admin_{self.name}.html", table=table, is_live=is_live, **self.values(visit, table))

    async def act(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/admin/{name}/act``: do ``act`` to the selected rows, asked and ``confirmed`` if needed."""
        act, keys = visit.form.get("act", ""), set(selected_rows(visit.form))
        store, now = self.layout.dependencies.store, self.layout.now()
        rows = await store.read(self._read_selected, visit.tenant, now, keys)
        if not rows:
            return visit.redirect("nothing-selected", f"admin/{self.name}")
        if act in self.unasked:
            return await self.unasked[act](visit, rows) or await self.unaccepted(visit)
        if act not in self.asked:
            raise PageError(error_pages.PAGES.bad_form, visit.tenant)
        fingerprint = _fingerprint(act, *(self.state(visit.tenant, row) for row in rows))
        if not visit.form.get("confirmed"):
            return visit.page(
                "admin_act.html",
                back=f"admin/{self.name}",
                act=act,
                question=self.questions[act],
                fingerprint=fingerprint,
                selected=[(self.key(row), self.title(row)) for row in rows],
                **await self.choices(visit, act, rows),
            )
        is_accepted = visit.form.get(_FINGERPRINT_FIELD) == fingerprint
        return (is_accepted and await self.asked[act](visit, rows)) or await self.unaccepted(visit)

    async def _read(self, visit: Visit, form: Mapping[str, str]) -> Table[T]:
        filters = self.filters((form or visit.query).get("show", ""))
        query = TableQuery.of(visit.query, form, self.columns, filters)
        return await self.layout.dependencies.store.read(self._read_page, visit.tenant, self.layout.now(), query)

    def _read_page(self, connection: Connection, tenant: WebTenant, now: float, query: TableQuery) -> Table[T]:
        rows = self.read(connection, tenant, now)
        ordered = sorted(rows, key=self.order) if self.order is not None else rows
        return select_rows(ordered, query, text=self.text, filters=self.filters(query.show), columns=self.columns)

    def _read_selected(self, connection: Connection, tenant: WebTenant, now: float, keys: Collection[str]) -> list[T]:
        return [row for row in self.read(connection, tenant, now) if self.key(row) in keys]


def _fingerprint(*values: object) -> str:
    """A digest of what a page of confirmation is about; its form has the digest in the field `_FINGERPRINT_FIELD`.

    If the digest is another one when the form is sent, something has changed since the page was shown, or the form was
    sent before.
    """
    return hashlib.sha256(repr(values).encode()).hexdigest()
