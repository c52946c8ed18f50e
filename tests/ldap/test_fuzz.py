# SPDX-License-Identifier: MIT
"""Mutants of valid conversations: whatever comes, the server stays a server.

Each mutant is made from its number, so that one that fails can be made again (`mutant(number)`).  What holds for every
one of them is in `problems`: nothing escapes, nothing is logged, each answer is whole and made of our own phrases,
nothing is written or given away, and afterwards the connection answers, or is closed, at the latest by a deadline.
"""

from __future__ import annotations

import ast
import contextlib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from ldapgw import ber
from ldapgw.errors import ProtocolViolation
from ldapgw.ldap.decoder import decode
from ldapgw.ldap.messages import Operation
from tests.ldap.sessions import SESSIONS
from tests.support import mutation, pdu
from tests.support.checkout import ROOT
from tests.support.examples import examples
from tests.support.phonebook.talk import NOTICE, Talk
from tests.support.phonebook.wire import LIMITS, SECRET, Contexts, LiveClock, make_dit, make_factory, make_gate
from tests.support.rebuilt import meaning, rebuild

SEED = 3
SHORT, LONG, LONGEST_RUN = 2_000, 20_000, 100_000
CHUNK = 2_000
# Seconds of work in one reactor turn.  A slice is 5 ms; the rest is for the machine.
LONGEST = 0.1
# A turn that was too long may have had a garbage collection in it; it is long again if it is the mutant's fault.
TRIES = 3
# Seconds until a connection that waits must be gone: the slowest penalties, and half a message's 30.
STEPS = (1.0, 10.0, 25.0, 35.0)

PROBE = 0x7FFFFFF0
WRITTEN = {0x67, 0x69, 0x6B, 0x6D}
# Indefinite, and of more octets than four.
OTHER_LENGTHS = {bytes((first,)) for first in (0x80, *range(0x85, 0x100))}
SILENT = {Operation.UNBIND, Operation.ABANDON}
# Sessions that are written by hand count five times: they are few, and the phones' searches are alike.
LISTED = [session for name, session in SESSIONS.items() for _ in range(5 if " " in name or name.isalpha() else 1)]


def _texts(path: Path) -> Iterator[str]:
    """The texts that a module may say: constants and the constant parts of formatted ones."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@cache
def phrases() -> frozenset[str]:
    """All fixed phrases of the modules that answer a phone."""
    return frozenset(
        part
        for folder in ("ldapgw", "ldapgw/directory", "ldapgw/ldap")
        for path in (ROOT / folder).glob("*.py")
        for text in _texts(path)
        for part in (text, text.removeprefix(": "))
    )


def is_ours(diagnostic: str) -> bool:
    """Return True for a fixed phrase, or a field's name and a fixed phrase."""
    field_name, colon, phrase = diagnostic.partition(": ")
    return diagnostic in phrases() or (bool(colon) and field_name in phrases() and phrase in phrases())


@pytest.fixture(scope="module")
def gate() -> Any:
    """The gate of all mutants has fifty contacts, a phone, and a certificate."""
    return make_gate(make_dit(tls=True))


@pytest.fixture(scope="module")
def small() -> Any:
    """The same with five contacts."""
    return make_gate(make_dit(5, tls=True))


def mutant(number: int) -> bytes:
    return mutation.mutant(Random(f"{SEED}-{number}"), LISTED)


def talk_to(gate: Any, clock: Clock | None = None) -> Talk:
    """A conversation of its own, on a clock that runs unless another is given."""
    clock = clock or LiveClock()
    return Talk(make_factory(gate, clock, tls=Contexts()), clock)


def ending_of(talk: Talk) -> str:
    """Return the conversation's end in one word."""
    if talk.closed:
        return "notice" if talk.ended_with_a_notice else "closed"
    for seconds in STEPS:
        talk.wait(seconds)
        if talk.closed:
            return "deadline"
    talk.say(pdu.message(PROBE, pdu.search("", 0)))
    answered = [(one.message_id, one.kind, one.code) for one in talk.replies[-2:]]
    return "answered" if answered == [(PROBE, 0x64, None), (PROBE, 0x65, 0)] else "stuck"


def messages(octets: bytes) -> tuple[list[bytes], bool]:
    """Return the whole messages before the first invalid one, and True if a message is incomplete."""
    whole, at = [], 0
    while at < len(octets):
        header = octets[at : at + 6]
        if header[0] != ber.SEQUENCE or header[1:2] in OTHER_LENGTHS:
            return whole, False
        extra = header[1] & 0x7F if len(header) > 1 and header[1] >= 0x80 else 0
        if len(header) < 2 + extra:
            return whole, True
        size = 2 + extra + (int.from_bytes(header[2 : 2 + extra], "big") if extra else header[1])
        if size > LIMITS.max_message:
            return whole, False
        if at + size > len(octets):
            return whole, True
        whole.append(octets[at : at + size])
        at += size
    return whole, False


def overlooked(octets: bytes) -> Iterator[str]:
    """Yield the parts of accepted messages that are missing in their decoded values."""
    for message in messages(octets)[0]:
        try:
            decoded = decode(message)
        except ProtocolViolation:
            return
        rebuilt = rebuild(decoded)
        try:
            if rebuilt in (None, message) or meaning(rebuilt) == meaning(message):
                continue
        except (ValueError, IndexError):
            pass
        yield f"overlooked: {message.hex()}"


def problems(octets: bytes, talk: Talk, ending: str, trouble: list[Any]) -> Iterator[str]:
    """Yield the faults in a mutant's end."""
    if ending == "stuck":
        yield "neither answered nor closed"
    if ending == "deadline" and talk.client.transport.tls is None and not messages(octets)[1]:
        yield "waited for what cannot come"
    yield from overlooked(octets)
    if talk.longest > LONGEST:
        yield f"{talk.longest:.3f} s in one turn"
    yield from (f"logged: {event.get('log_format')} {event.get('place', '')}" for event in trouble)
    notices = [one for one in talk.replies if one.name == NOTICE]
    if notices and (notices != talk.replies[-1:] or not talk.closed or notices[0].message_id != 0):
        yield "a notice that is not the end"
    yield from (f"written: {one.kind:#x}" for one in talk.replies if one.kind in WRITTEN and not one.code)
    yield from (f"said: {one.diagnostic}" for one in talk.replies if one.diagnostic and not is_ours(one.diagnostic))
    if talk.client.protocol.login and SECRET not in octets:
        yield "bound without the password"


def run(numbers: range, gate: Any, trouble: list[Any]) -> tuple[Counter[str], list[str]]:
    """Return the ends of the mutants of these numbers, and the faults."""
    endings: Counter[str] = Counter()
    wrong: list[str] = []
    for number in numbers:
        octets = mutant(number)
        for _ in range(TRIES):
            talk = talk_to(gate)
            talk.say(octets)
            ending = ending_of(talk)
            if talk.longest <= LONGEST:
                break
        endings[ending] += 1
        wrong += [f"mutant({number}): {problem}" for problem in problems(octets, talk, ending, trouble)]
        trouble.clear()
    return endings, wrong


@pytest.mark.no_cover
@pytest.mark.usefixtures("still")
@pytest.mark.parametrize(
    "first",
    [
        0,
        *(pytest.param(first, marks=pytest.mark.long) for first in range(SHORT, LONG, CHUNK)),
        *(pytest.param(first, marks=pytest.mark.soak) for first in range(LONG, LONGEST_RUN, CHUNK)),
    ],
    ids=lambda first: f"from {first}",
)
def test_no_mutant_does_harm(first, gate, trouble):
    """It is answered, or the connection ends; each way of ending is met often."""
    endings, wrong = run(range(first, first + CHUNK), gate, trouble)
    assert wrong == []
    assert endings.keys() == {"answered", "notice", "closed", "deadline"}
    assert min(endings.values()) > CHUNK // 200


@pytest.mark.parametrize("name", SESSIONS)
def test_the_conversations_are_valid(name, gate, trouble):
    """Each request of the original conversations gets its answer, and no notice comes."""
    talk = talk_to(gate)
    for message in SESSIONS[name]:
        talk.say(message)
        talk.wait(1.0)
    operations = [decode(message).operation for message in SESSIONS[name]]
    answered = {one.message_id for one in talk.replies if one.code is not None}
    assert answered == {number for number, operation in enumerate(operations, 1) if operation not in SILENT}
    assert talk.closed == (operations[-1] is Operation.UNBIND)
    assert trouble == []


@given(st.integers(0, SHORT - 1), st.lists(st.integers(1, 1000), max_size=8))
@settings(max_examples=examples(150), deadline=None)
def test_every_way_of_splitting_a_mutant_gives_the_same_answers(small, number, cuts):
    """The network may cut anywhere, however broken the stream.

    The book is small: a search that takes several turns may be abandoned by what comes in the meantime.
    """
    octets = mutant(number)
    whole, cut = talk_to(small, Clock()), talk_to(small, Clock())
    whole.say(octets)
    cuts = sorted(at for at in cuts if at < len(octets))
    for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True):
        cut.say(octets[start:end])
    assume(cut.client.transport.tls is None)  # what comes behind StartTLS counts as TLS's, or not at all
    assert cut.replies == whole.replies
    assert cut.closed == whole.closed
    assert ending_of(cut) == ending_of(whole)


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=200).map(lambda inner: ber.tlv(ber.SEQUENCE, inner))))
@settings(max_examples=examples(300), deadline=None)
def test_any_octets_are_a_message_or_a_violation(octets):
    """Nothing else comes out of the decoder."""
    with contextlib.suppress(ProtocolViolation):
        assert decode(octets).message_id > 0
