# SPDX-License-Identifier: MIT
"""The tables of the administration: search, filters, sorting, pages, and actions on the selected rows.

The address of a page has the table's filter, sorting and page.  The text of a search may be somebody's address, so the
text is sent in a form (POST) and gets into no address of a page.

A form acts on the rows that are selected in the form.  An act that cannot be undone or needs a choice is first shown on
a page of confirmation, which names everything concerned; the form of this page has the same rows, and ``confirmed``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Collection, Container, Iterable, Mapping, Sequence
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

# The number of a table's rows on one page.
ROWS_PER_PAGE = 50
# At most this many page links come before the present page's number, and at most this many come after the number.
_NEAR_PAGES = 4
# The maximum number of rows that can be selected at once, on all pages of a table.
MAX_SELECTED = 500
# The text of a search is cut to this number of characters.
_MAX_SOUGHT = 100
# The names of the checkboxes of a table's rows begin with this word.
_SELECTED = "row-"
# The name of the checkbox that selects all rows which the table's search and filter find, on all pages.
_ALL_FIELD = "all"
_FINGERPRINT_FIELD = "about"


class Question(Texts, frozen=True):
    """The texts of the page of confirmation for an act on the selected rows."""

    title: str
    sentence: str
    button: str
    is_danger: bool = True


@dataclass(frozen=True, slots=True)
class TableQuery:
    """The part of a table that a page shows.

    :ivar find: the text that the rows contain; empty for all rows.
    :ivar show: the chosen filter; empty for all rows.
    :ivar sort: the column to sort by, with ``-`` in front for descending order; empty for the table's own order.
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
        """Read the query of a page's address, or the form of a search; unknown values count as not given."""
        query = form or query
        show, sort = query.get("show", ""), query.get("sort", "")
        return cls(
            find=form.get("find", "").strip()[:_MAX_SOUGHT],
            show=show if show in filters else "",
            sort=sort if sort.removeprefix("-") in columns else "",
            page=read_number(query.get("page", ""), 1, digits=5),
        )

    def to_page(self, number: int) -> str:
        """Return the query of another page of the same table."""
        return replace(self, page=number).encoded

    def filtered_by(self, show: str) -> str:
        """Return the query of the same table with another filter."""
        return replace(self, show=show, page=1).encoded

    def turned(self, column: str) -> str:
        """Return the `sort` for a click on a column: descending if the table is sorted by the column already."""
        return f"-{column}" if self.sort == column else column

    def sorted_by(self, column: str) -> str:
        """Return the query of the table sorted by a column."""
        return replace(self, sort=self.turned(column), page=1).encoded

    def direction(self, column: str) -> str:
        """Return the value of ``aria-sort`` for a column; empty if the table is sorted by another column."""
        return {column: "ascending", f"-{column}": "descending"}.get(self.sort, "")

    @property
    def encoded(self) -> str:
        """Return the query for a page's address, without empty values and without the text of a search."""
        given = {"show": self.show, "sort": self.sort, "page": self.page if self.page > 1 else ""}
        return urlencode({name: value for name, value in given.items() if value})


@dataclass(frozen=True, slots=True)
class Table(Generic[T]):
    """A page of a table.

    :ivar query: the query for the table, with the number of the page that is shown.
    :ivar pages: the number of pages, at least 1.
    :ivar found: the number of rows on all pages.
    :ivar total: the number of rows without search and filter.
    :ivar counts: for each filter, the number of rows that match the search and the filter; the empty key has the number
        of rows that match the search.  Empty if the page does not show these numbers.
    """

    rows: tuple[T, ...]
    query: TableQuery
    pages: int
    found: int
    total: int
    counts: Mapping[str, int]

    @property
    def can_select_all(self) -> bool:
        """Return whether the rows of all pages can be selected at once, which is of use only with several pages."""
        return self.pages > 1 and self.found <= MAX_SELECTED

    @property
    def numbers(self) -> Sequence[int]:
        """Return the numbers of the pages to which this page links: the first page, the pages near, the last page."""
        near = range(max(self.query.page - _NEAR_PAGES, 1), min(self.query.page + _NEAR_PAGES, self.pages) + 1)
        return sorted({1, *near, self.pages})


def select_rows(
    rows: Sequence[T],
    query: TableQuery,
    *,
    text: Callable[[T], str],
    filters: Mapping[str, Callable[[T], bool]],
    columns: Mapping[str, Callable[[T], Any]],
    whole: bool = False,
) -> Table[T]:
    """Return the page of a table that a query asks for, or the last page if there are fewer pages.

    :param rows: all rows, in the table's own order; sorting keeps this order for rows of equal values.
    :param text: returns the text by which a search finds a row.
    :param columns: returns the value of a row to sort by, for each column; None comes last in both directions.
    :param whole: whether the returned table has all rows that the query finds, not only the rows of one page.
    """
    sought = query.find.casefold()
    matching = [row for row in rows if sought in text(row).casefold()] if sought else list(rows)
    counts = {"": len(matching), **{name: sum(map(fits, matching)) for name, fits in filters.items()}}
    found = list(filter(filters[query.show], matching)) if query.show else matching
    if query.sort:
        value = columns[query.sort.removeprefix("-")]
        known = [row for row in found if value(row) is not None]
        known.sort(key=value, reverse=query.sort.startswith("-"))
        found = [*known, *(row for row in found if value(row) is None)]
    pages = max(-(-len(found) // ROWS_PER_PAGE), 1)
    number = min(max(query.page, 1), pages)
    shown = found if whole else found[(number - 1) * ROWS_PER_PAGE : number * ROWS_PER_PAGE]
    return Table(tuple(shown), replace(query, page=number), pages, len(found), len(rows), counts)


def selected_rows(form: Iterable[str]) -> list[str]:
    """Return the keys of the rows whose checkboxes are in a form."""
    return [name.removeprefix(_SELECTED) for name in form if name.startswith(_SELECTED)]


# An act on rows, which does nothing and returns None if the rows have changed since the page of confirmation was shown.
RowsAct = Callable[[Visit, Sequence[T]], Awaitable[HttpResponse | None]]


@dataclass(frozen=True, slots=True)
class TablePage(Generic[T]):
    """A page with a table, and the acts on its selected rows.

    :ivar name: the page's path below ``admin/``; its template is ``admin_{name}.html``.
    :ivar read: reads all rows of a tenant; its last argument is the time in seconds since the epoch.
    :ivar order: returns the sort key of a row for the table's own order; None for the order in which the rows are read.
    :ivar text: returns the text by which a search finds a row.
    :ivar filters: takes the value of ``show`` in an address or form, and returns the filters by name.
    :ivar columns: returns the value of a row to sort by, for each column.
    :ivar topic: the topic of a row (`ldapgw.web.dependencies.ChangeNotifier`).
    :ivar values: further values for the template.
    :ivar key: returns a row's name in forms.
    :ivar title: returns a row's name for people.
    :ivar state: the values of a row that the page of confirmation has shown; the act is refused if these values have
        changed.
    :ivar questions: the texts of the pages of confirmation, by the act's name.
    :ivar asked: the acts that need a confirmation, by name.
    :ivar unasked: the acts that need no confirmation, by name.
    :ivar choices: further values for the page of confirmation, by the act's name.
    :ivar unaccepted: the response to a confirmation that was sent twice, or whose rows have changed meanwhile.
    """

    layout: Layout
    name: str
    read: Callable[[Connection, WebTenant, float], Sequence[T]]
    order: Callable[[T], Any] | None
    text: Callable[[T], str]
    filters: Callable[[str], Mapping[str, Callable[[T], bool]]]
    columns: Mapping[str, Callable[[T], Any]]
    topic: Callable[[Visit, T], str]
    values: Callable[[Visit, Table[T]], Awaitable[Mapping[str, Any]]]
    key: Callable[[T], str]
    title: Callable[[T], str]
    state: Callable[[WebTenant, T], tuple[object, ...]]
    questions: Mapping[str, Question]
    asked: Mapping[str, RowsAct[T]]
    unasked: Mapping[str, RowsAct[T]]
    choices: Callable[[Visit, str, Sequence[T]], Awaitable[Mapping[str, Any]]]
    unaccepted: Callable[[Visit, Sequence[T]], Awaitable[HttpResponse]]

    def routes(self) -> tuple[Route, ...]:
        path = f"/<tenant>/admin/{self.name}"
        return (
            get(path, self.show, RequiredRole.ADMIN),
            post(path, self.show, RequiredRole.ADMIN),
            get(f"{path}/act", self.show, RequiredRole.ADMIN),
            post(f"{path}/act", self.act, RequiredRole.ADMIN),
        )

    async def topics(self, visit: Visit) -> Iterable[str]:
        """Return the topics to which an open table subscribes: a topic for each row."""
        if visit.query.get("table") != self.name or not visit.is_by_admin:
            return ()
        table = await self._read(visit, {})
        return [self.topic(visit, row) for row in table.rows]

    async def show(self, visit: Visit) -> HttpResponse:
        """``/{tenant}/admin/{name}``: show the table."""
        table = await self._read(visit, visit.form)
        # The page's address does not contain the form's search, so reloading the address would show another table.
        is_live = not visit.form
        values = await self.values(visit, table)
        return await visit.page(f"admin_{self.name}.html", table=table, is_live=is_live, **values)

    async def act(self, visit: Visit) -> HttpResponse:
        """``POST /{tenant}/admin/{name}/act``: do ``act`` to the selected rows, or ask for a confirmation first."""
        act, rows = visit.form.get("act", ""), await self._read_selected(visit)
        if not rows:
            return visit.redirect("nothing-selected", f"admin/{self.name}")
        if act in self.unasked:
            return await self.unasked[act](visit, rows) or await self.unaccepted(visit, rows)
        if act not in self.asked:
            raise PageError(error_pages.PAGES.bad_form, visit.tenant)
        fingerprint = _fingerprint(act, *(self.state(visit.tenant, row) for row in rows))
        if not visit.form.get("confirmed"):
            return await visit.page(
                "admin_act.html",
                back=f"admin/{self.name}",
                act=act,
                question=self.questions[act],
                fingerprint=fingerprint,
                selected=[(self.key(row), self.title(row)) for row in rows],
                all_of=self._query(visit.form, {}) if _ALL_FIELD in visit.form else None,
                **await self.choices(visit, act, rows),
            )
        is_accepted = visit.form.get(_FINGERPRINT_FIELD) == fingerprint
        return (is_accepted and await self.asked[act](visit, rows)) or await self.unaccepted(visit, rows)

    def _query(self, form: Mapping[str, str], query: Mapping[str, str]) -> TableQuery:
        return TableQuery.of(query, form, self.columns, self.filters((form or query).get("show", "")))

    async def _read(self, visit: Visit, form: Mapping[str, str]) -> Table[T]:
        query = self._query(form, visit.query)
        return await visit.store.read(self._read_table, visit.tenant, self.layout.now(), query)

    async def _read_selected(self, visit: Visit) -> Sequence[T]:
        """Return the selected rows: all rows that the form's search and filter find, or the rows that are checked.

        :raises PageError: when too many rows are selected.
        """
        is_all = _ALL_FIELD in visit.form
        query = self._query(visit.form, {}) if is_all else TableQuery()
        keys = None if is_all else set(selected_rows(visit.form))
        rows = await visit.store.read(self._read_rows, visit.tenant, self.layout.now(), query, keys)
        if len(rows) > MAX_SELECTED:
            raise PageError(error_pages.PAGES.bad_form, visit.tenant)
        return rows

    def _read_rows(
        self, connection: Connection, tenant: WebTenant, now: float, query: TableQuery, keys: Container[str] | None
    ) -> Sequence[T]:
        """Read the rows of all pages that have one of the keys; None stands for all keys."""
        table = self._read_table(connection, tenant, now, query, whole=True)
        return table.rows if keys is None else [row for row in table.rows if self.key(row) in keys]

    def _read_table(
        self, connection: Connection, tenant: WebTenant, now: float, query: TableQuery, *, whole: bool = False
    ) -> Table[T]:
        rows = self.read(connection, tenant, now)
        ordered = sorted(rows, key=self.order) if self.order is not None else rows
        filters = self.filters(query.show)
        return select_rows(ordered, query, text=self.text, filters=filters, columns=self.columns, whole=whole)


def _fingerprint(*values: object) -> str:
    """Return a digest of the values that a page of confirmation shows, for the field `_FINGERPRINT_FIELD` of its form.

    If the values have another digest when the form is sent, the values have changed since the page was shown, or the
    form was sent before.
    """
    return hashlib.sha256(repr(values).encode()).hexdigest()
