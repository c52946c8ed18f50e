# SPDX-License-Identifier: MIT
"""Rows of the database as frozen values, and values as rows: columns have the names of the fields."""

from __future__ import annotations

from dataclasses import MISSING, fields
from functools import cache
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Row

V = TypeVar("V")


def value_of(kind: type[V], row: Row[*tuple[Any, ...]], **more: object) -> V:
    """Turn a row into a value.

    Texts become enumerations where the field is one.  Null gives the default of the field, if the field has a default.
    Columns without a field are left out.

    :param kind: a dataclass.
    :param more: fields that the row does not have, or has in another form.
    :raises msgspec.ValidationError: when a column does not have the type of its field.
    """
    required = _required(kind)  # type: ignore[arg-type]  # mypy takes a class in a variable for unhashable
    found = {
        name: value
        for name, value in zip(_names(row._fields), row, strict=True)
        if value is not None or name in required
    }
    # Attributes: a field may be given as the value that the field has in the end.
    return msgspec.convert(found | more, kind, from_attributes=True)


def columns_of(value: Any, **more: object) -> dict[str, object]:
    """Return the fields of a value for a row.

    :param value: a dataclass without nested ones.
    :param more: columns that the value does not have, or has in another form.
    """
    return {field.name: getattr(value, field.name) for field in fields(value)} | more


@cache
def _required(kind: Any) -> frozenset[str]:
    """Return the names of the fields without a default."""
    return frozenset(field.name for field in fields(kind) if field.default is field.default_factory is MISSING)


@cache
def _names(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of columns as plain texts, because `msgspec` takes no subclasses of ``str``."""
    return tuple(map(str, columns))
