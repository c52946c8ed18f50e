# SPDX-License-Identifier: MIT
"""The tables of the administration: search, filters, sorting and pages.  Pure.

What is sought may be somebody's address, so it comes in a form and stands in no address of a page.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

T = TypeVar("T")

# Rows of a table on one page.
ROWS_PER_PAGE = 50
# No address and no phone's name is longer.
_MAX_SOUGHT = 100
# Checkboxes of a table's rows begin with this word.
_SELECTED = "row-"
FINGERPRINT_FIELD = "about"


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
        show, sort, page = query.get("show", ""), query.get("sort", ""), query.get("page", "1")
        return cls(
            find=form.get("find", "").strip()[:_MAX_SOUGHT],
            show=show if show in filters else "",
            sort=sort if sort.removeprefix("-") in columns else "",
            page=int(page) if page.isascii() and page.isdecimal() and len(page) < 6 else 1,
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


def fingerprint(*values: object) -> str:
    """A digest of what a page of confirmation is about; its form has the digest in the field `FINGERPRINT_FIELD`.

    If the digest is another one when the form is sent, something has changed since the page was shown, or the form was
    sent before.
    """
    return hashlib.sha256(repr(values).encode()).hexdigest()
