# SPDX-License-Identifier: MIT
"""Whether two servers find the same, asked by ldapsearch, before they are timed: a wrong answer is easily fast.

With ``matching = "strict"`` the gateway has to find just what slapd finds.  Leniently it finds more for parts of
names (``mu`` finds Müller), so that slapd's answer has to be a part of ours; for numbers and for everybody both are
the same.  What is found is names of entries with all values of the attributes that the load asks for.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.asking import ATTRIBUTES, NAMES, NUMBERS, ORGANIZED, PREFIX_LETTERS, SUBSTRING_LETTERS
from bench.directory.servers import BOOK
from bench.people import Person
from bench.phone import Target

PROGRAM = shutil.which("ldapsearch")
_EACH = 10

Found = dict[str, frozenset[tuple[str, str]]]


class Differs(Exception):
    """Raised when two servers find what they should not both find."""


@dataclass(frozen=True)
class Question:
    """A search.

    :ivar literal: whether it means the same to both servers in lenient matching too.
    :ivar known: whether somebody has to be found.
    """

    base: str
    scope: str
    filter: str
    literal: bool = True
    known: bool = True


def questions(base: str, people: Sequence[Person]) -> Iterator[Question]:
    """Searches as the load has them, for people of the book."""
    for one in people[:: max(1, len(people) // _EACH)]:
        typed = one.family[:PREFIX_LETTERS]
        whole = one.given[:PREFIX_LETTERS].lower()
        number = _any_of(NUMBERS, one.phones[-1][1])
        yield from (
            # Not every letter is that of the name again in another case, like those of Turkish.
            Question(base, "sub", filter_, literal=False, known=filter_.isascii())
            for filter_ in (
                _any_of(NAMES, f"{typed.lower()}*"),
                f"(cn=*{one.name[1 : 1 + SUBSTRING_LETTERS].strip()}*)",
                f"(&(objectClass=person){_any_of(ORGANIZED, f'{typed.lower()}*')})",
                f"(&(telephoneNumber=*)(sn={typed.lower()}*))",
                f"(&(cn={whole}*)(|(telephoneNumber=*)(mobile=*)))",
            )
        )
        yield Question(base, "sub", _any_of(NAMES, f"{typed.upper()}*"), literal=False, known=typed.isascii())
        yield Question(base, "sub", number)
        yield Question(base, "sub", f"(&(objectClass=person){number})")
    yield Question(base, "sub", _any_of(NUMBERS, "+4999912345678"), known=False)
    yield Question(base, "sub", "(telephoneNumber=*)")
    yield Question(BOOK, "one", "(objectClass=*)")


def agree(ours: Target, theirs: Target, people: Sequence[Person], *, lenient: bool) -> int:
    """Ask both; how many questions.

    :raises Differs: when the answers are not what they should be.
    """
    asked = list(questions(ours.base, people))
    for question in asked:
        one, other = found(ours, question), found(theirs, question)
        if question.known and not (one and other):
            raise Differs(f"{question.filter}: nobody is found by {'one of them' if one or other else 'both'}")
        same = one == other if question.literal or not lenient else other.items() <= one.items()
        if not same:
            raise Differs(f"{question.filter}: {_difference(one, other)}")
    return len(asked)


def _difference(ours: Found, theirs: Found) -> str:
    either = sorted(ours.keys() | theirs.keys())
    dn = next(name for name in either if ours.get(name) != theirs.get(name))
    told = [sorted(one[dn]) if dn in one else "not found" for one in (ours, theirs)]
    return f"{len(ours)} and {len(theirs)} entries; {dn}: {told[0]} and {told[1]}"


def _any_of(names: Sequence[str], value: str) -> str:
    return "(|" + "".join(f"({name}={value})" for name in names) + ")"


def found(target: Target, question: Question) -> Found:
    """What ldapsearch is told."""
    assert PROGRAM is not None
    login = ["-x", "-D", target.login, "-w", target.password, "-H", f"ldap://127.0.0.1:{target.port}"]
    searched = ["-b", question.base, "-s", question.scope, question.filter, *ATTRIBUTES]
    command = [PROGRAM, "-LLL", "-o", "ldif-wrap=no", *login, *searched]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"LDAPNOINIT": "1"})
    if done.returncode:
        raise Differs(f"{question.filter}: ldapsearch: {done.stderr.strip()}")
    return dict(_entries(done.stdout))


def _entries(ldif: str) -> Iterator[tuple[str, frozenset[tuple[str, str]]]]:
    for block in filter(None, ldif.split("\n\n")):
        (_, dn), *attributes = map(_value, block.splitlines())
        yield dn, _without_copy(frozenset(attributes))


def _without_copy(attributes: frozenset[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """The attributes without a copy in telephoneNumber, which slapd returns and the gateway does not."""
    numbers = [attribute for attribute in attributes if attribute[0] == "telephoneNumber"]
    others = {value for name, value in attributes if name in ("mobile", "homePhone")}
    return attributes.difference(numbers) if len(numbers) == 1 and numbers[0][1] in others else attributes


def _value(line: str) -> tuple[str, str]:
    """RFC 2849: two colons are in front of what is in base 64."""
    name, _, rest = line.partition(":")
    encoded = rest.startswith(":")
    return name, base64.b64decode(rest[1:]).decode() if encoded else rest.removeprefix(" ")
