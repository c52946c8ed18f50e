# SPDX-License-Identifier: MIT
"""Types that msgspec reads and writes: their annotations are complete at runtime, and their values survive.

msgspec reads annotations at runtime, and mypyc keeps only the outermost class of those of a compiled dataclass:
``tuple`` of ``tuple[int, ...]``, and ``type`` of ``int | None``.  The types are found in the code: classes that derive
from ``msgspec.Struct``, and whatever is passed to msgspec as a type.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from importlib import import_module
from types import ModuleType, NoneType, UnionType
from typing import Annotated, Any, ClassVar, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from tests.test_layers import module_file, modules, name_of


class Given(NamedTuple):
    """A type that the code of a module passes to msgspec.

    :ivar place: the module and the expression.
    :ivar is_topic: whether the values are news of `ldapgw.peers.bulletin`, which are never JSON.
    """

    place: str
    kind: Any
    is_topic: bool = False


def module_names() -> list[str]:
    return [f"ldapgw.{name_of(path)}".removesuffix(".__init__") for path in modules()]


def text_of(module: str) -> str:
    return module_file(module).read_text()


@cache
def source(module: str) -> ast.Module:
    return ast.parse(text_of(module))


def passed_on(call: ast.Call) -> ast.expr | None:
    """The type among the arguments of a call of msgspec, if the call has one and reads with msgspec alone."""
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    match call.func, call.args:
        case _ if "dec_hook" in named:
            return None
        case ast.Attribute(attr="decode"), _:
            return named.get("type")
        case (ast.Attribute(attr="convert"), [_, kind]) | (ast.Attribute(attr="Decoder"), [kind]):
            return kind
    return None


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def parameters_passed_on(tree: ast.AST) -> Iterator[str]:
    """The functions that pass a parameter to msgspec as a type."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            names = {argument.arg for argument in function.args.args}
            kinds = (passed_on(call) for call in calls(function))
            if any(isinstance(kind, ast.Name) and kind.id in names for kind in kinds):
                yield function.name


@cache
def users() -> frozenset[str]:
    """The modules that import msgspec."""
    return frozenset(name for name in module_names() if re.search(r"(?m)^import msgspec$", text_of(name)))


@cache
def given() -> tuple[Given, ...]:
    """All types that the code passes to msgspec."""
    passing = {function for name in users() for function in parameters_passed_on(source(name))}
    asks = re.compile(rf"\.(?:{'|'.join(passing)})\(")
    found = []
    for name in module_names():
        if name not in users() and not asks.search(text_of(name)) and "Topic(" not in text_of(name):
            continue
        for call in calls(source(name)):
            kind = passed_on(call) if name in users() else None
            is_topic = isinstance(call.func, ast.Name) and call.func.id == "Topic"
            kind = call.args[1] if is_topic else kind
            if kind is None and isinstance(call.func, ast.Attribute) and call.func.attr in passing and call.args:
                kind = call.args[0]
            if kind is not None and (value := evaluated(kind, import_module(name))) is not None:
                found.append(Given(f"{name}: {ast.unparse(kind)}", value, is_topic))
    return tuple(found)


def evaluated(expression: ast.expr, module: ModuleType) -> Any:
    """The type that an expression names; None: the expression is a parameter or another value."""
    try:
        value = eval(ast.unparse(expression), vars(module))
    except (NameError, AttributeError):
        return None
    return value if isinstance(value, type) or get_origin(value) else None


def structs(kind: type = msgspec.Struct) -> Iterator[type]:
    for derived in kind.__subclasses__():
        if derived.__module__.startswith("ldapgw."):
            yield derived
        yield from structs(derived)


@cache
def written(kind: type) -> Mapping[str, Any]:
    """The annotations of a class's fields as its source has them, by the fields' names."""
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if not base.__module__.startswith("ldapgw."):
            continue
        bodies = [
            node.body
            for node in ast.walk(source(base.__module__))
            if isinstance(node, ast.ClassDef) and node.name == base.__name__
        ]
        if not bodies:  # a class that `msgspec.defstruct` has made, whose annotations are values of the code
            found |= base.__annotations__
        for line in (line for body in bodies for line in body):
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                annotation = eval(ast.unparse(line.annotation), vars(sys.modules[base.__module__]))
                if get_origin(annotation) is not ClassVar:
                    found[line.target.id] = annotation
    return found


def has_fields(kind: Any) -> bool:
    return isinstance(kind, type) and (
        is_dataclass(kind) or issubclass(kind, msgspec.Struct) or hasattr(kind, "_fields")
    )


def classes_in(kinds: Iterable[Any]) -> set[type]:
    """The classes with fields that types consist of, and those that the fields of these classes consist of."""
    found: set[type] = set()
    waiting = [*kinds]
    while waiting:
        kind = waiting.pop()
        waiting += get_args(kind)
        if has_fields(kind) and kind not in found:
            found.add(kind)
            waiting += written(kind).values()
    return found


def test_the_types_are_found() -> None:
    """The search of the code finds types that are passed in each of the ways there are."""
    names = {kind.__qualname__ for kind in classes_in(one.kind for one in given())}
    assert names >= {"LoggedSearch", "LeftOut", "Contact", "Number", "FetchedPerson", "_Columns", "_Jwk"}
    places = {one.place for one in given()}
    assert "ldapgw.directory.index: tuple[int, frozenset[str], int, int]" in places


def test_annotations_have_their_parameters() -> None:
    """A class has the annotations at runtime that are written in its source."""
    for module in users():
        import_module(module)
    kinds = classes_in([*(one.kind for one in given()), *structs()])
    assert len(kinds) > 30
    lost = {
        f"{kind.__module__}.{kind.__qualname__}.{name}": hints.get(name)
        for kind in kinds
        for hints in [get_type_hints(kind, include_extras=True)]
        for name, annotation in written(kind).items()
        if hints.get(name) != annotation
    }
    assert lost == {}, "move the class to a module that setup.py does not compile"


def sample(kind: Any, at: int) -> Any:
    """A value of a type.

    :param at: which alternative of a union and which member of an enumeration is taken.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        has_pattern = any(isinstance(part, msgspec.Meta) and part.pattern for part in parts[1:])
        return f"ascii-{at}" if has_pattern else sample(parts[0], at)
    if origin in (Union, UnionType):
        return sample(parts[at % len(parts)], at)
    if origin is tuple and parts[-1:] != (...,):
        return tuple(sample(part, at) for part in parts)
    if origin in (tuple, list, set, frozenset):
        return origin(sample(parts[0], at + one) for one in range(2))
    if origin is not None and issubclass(origin, Mapping):
        return {sample(parts[0], at): sample(parts[1], at)}
    if issubclass(kind, Enum):
        return [*kind][at % len(kind)]
    if has_fields(kind):
        hints = written(kind)
        names = [field.name for field in fields(kind) if field.init] if is_dataclass(kind) else [*hints]
        return kind(**{name: sample(hints[name], at) for name in names})
    samples = {str: "ä", bytes: b"\0\xff", int: at + 1, float: at + 0.5, bool: True, NoneType: None}
    return samples[kind] if kind is not msgspec.Raw else msgspec.Raw(b"1")  # a number in both protocols


@pytest.mark.parametrize("protocol", [msgspec.json, msgspec.msgpack], ids=["json", "msgpack"])
def test_a_value_survives(protocol: Any) -> None:
    """A written value is read as the same value of the same type."""
    changed = []
    for place, kind, is_topic in given():
        if "Any" in str(kind) or "Raw" in str(kind) or (is_topic and protocol is msgspec.json):
            continue
        for at in range(3):
            value = sample(kind, at)
            if protocol.decode(protocol.encode(value), type=kind) != value:
                changed.append(place)
    assert changed == []
