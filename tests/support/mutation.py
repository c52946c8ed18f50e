# SPDX-License-Identifier: MIT
"""Mutants of valid conversations.

Two kinds of damage: to the octets, as a bad network or a stupid client does it, and to the BER tree, where everything
around the damage is encoded anew, so that it gets past the framing to whoever reads that field.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from random import Random

from ldapgw.ber import CLASS, CONTEXT_SPECIFIC, SEQUENCE, head

Session = tuple[bytes, ...]

_LENGTHS = tuple(bytes.fromhex(text) for text in ("00", "7f", "80", "ff", "81ff", "82ffff", "847fffffff", "84ffffffff",
                                                  "850000000001", "8400000001", "8100", "fe" + "00" * 126))  # fmt: skip
_INTEGERS = tuple(bytes.fromhex(text) for text in ("", "00", "01", "80", "ff", "7f", "0000000001", "7fffffff",
                                                   "80000000", "ffffffff", "00ffffffff", "80" + "00" * 7))  # fmt: skip
_TEXTS = (b"", b"\0", b"\xff\xfe\xfd", b"\\", b"*", b"**", b"%s%n", b"=", b",", b"+", b"cn=", b"cn=\\", b"cn=\\f", b" ",
          b";", b"#04", b"1.", b".1", b"-1", b"2.5.4.3", b"@", b"@top", b"cn;", b";x-", "ẞ☎".encode(), b"\xe2\x80\x8b",
          b"dc=example,dc=com", b"\xed\xa0\x80", b"\r\n", b"objectClass")  # fmt: skip
_TAGS = (0x00, 0x01, 0x02, 0x04, 0x0A, 0x10, 0x1F, 0x30, 0x31, 0x7F, 0x80, 0x87, 0x8A, 0x9F, 0xA0, 0xA2, 0xA3, 0xA9,
         0xBF, 0xFF)  # fmt: skip
_CONSTRUCTED = 0x20
_NUMBERS = (0x01, 0x02, 0x0A)
# A mutant is a nuisance, not a load test: those are elsewhere.
_LONGEST = 100_000


@dataclass(eq=False)
class Node:
    """A BER element that need not be right.

    :ivar length: what to write in place of the right length.
    """

    tag: int
    content: bytes = b""
    parts: list[Node] = field(default_factory=list)
    length: bytes | None = None

    def encode(self) -> bytes:
        content = b"".join(part.encode() for part in self.parts) if self.parts else self.content
        start = head(self.tag, len(content)) if self.length is None else bytes((self.tag,)) + self.length
        return start + content

    def copy(self) -> Node:
        return Node(self.tag, self.content, [part.copy() for part in self.parts], self.length)

    def family(self) -> list[Node]:
        """The element and all that lies in it."""
        found = [self]
        for part in self.parts:
            found += part.family()
        return found


def parse(octets: bytes, *, hidden: bool = True) -> list[Node]:
    """Valid elements as trees.

    :param hidden: whether what is BER within an octet string, as a control's value is, is taken apart too.
    :raises ValueError: when they are not valid.
    """
    found, at = [], 0
    while at < len(octets):
        tag, length, start = octets[at], octets[at + 1] if at + 1 < len(octets) else 0xFF, at + 2
        if length >= 0x80:
            start += length & 0x7F
            length = int.from_bytes(octets[at + 2 : start], "big")
        at = start + length
        if at > len(octets):
            raise ValueError("longer than its parent")
        content = octets[start:at]
        found.append(Node(tag, content, _within(tag, content, hidden=hidden)))
    return found


def _within(tag: int, content: bytes, *, hidden: bool) -> list[Node]:
    """Return the parts of an element."""
    if not tag & _CONSTRUCTED:
        return _hidden(content) if hidden else []
    try:
        return parse(content, hidden=hidden)
    except ValueError:
        if tag & CLASS != CONTEXT_SPECIFIC:
            raise
        return []  # nobody looks into an element that a later version of LDAP may have added (RFC 4511 4)


def _hidden(content: bytes) -> list[Node]:
    """Return the elements in an octet string, if it is BER."""
    try:
        return parse(content) if len(content) > 1 and content[0] == SEQUENCE else []
    except ValueError:
        return []


# --- damage to the tree: an element, those beside it, and any other ---------------------------------------------------


def _retag(random: Random, node: Node, beside: list[Node], other: Node) -> None:
    node.tag = random.choice((random.choice(_TAGS), random.randrange(256), node.tag ^ 1 << random.randrange(8)))


def _mislead(random: Random, node: Node, beside: list[Node], other: Node) -> None:
    size = len(node.encode()) - 2
    near = (size + random.choice((-2, -1, 1, 2))) & 0x7F
    node.length = random.choice((random.choice(_LENGTHS), bytes((near,)), b"\x84" + max(size, 0).to_bytes(4, "big")))


def _value(random: Random, node: Node, beside: list[Node], other: Node) -> None:
    """Another value of the right kind, or nearly."""
    leaves = [leaf for leaf in node.family() if not leaf.parts]
    leaf = random.choice(leaves)
    if leaf.tag in _NUMBERS:
        leaf.content = random.choice(_INTEGERS[1:10])
    else:
        _text(random, leaf, beside, other)


def _number(random: Random, node: Node, beside: list[Node], other: Node) -> None:
    node.parts = []
    node.content = random.choice((random.choice(_INTEGERS), bytes(random.randrange(3000)), random.randbytes(4)))


def _text(random: Random, node: Node, beside: list[Node], other: Node) -> None:
    node.parts = []
    node.content = random.choice(_TEXTS) * random.choice((1, 1, 1, 2, 50, 3000))


def _garble(random: Random, node: Node, beside: list[Node], other: Node) -> None:
    node.parts = []
    node.content = _octets(random, node.content)


def _repeat(random: Random, node: Node, beside: list[Node], other: Node) -> None:
    at = random.randrange(len(beside) + 1)
    beside[at:at] = [node.copy() for _ in range(random.choice((1, 1, 2, 3, 300)))]


def _remove(random: Random, node: Node, beside: list[Node], other: Node) -> None:
    beside.remove(node)


def _shuffle(random: Random, node: Node, beside: list[Node], other: Node) -> None:
    random.shuffle(beside)


def _nest(random: Random, node: Node, beside: list[Node], other: Node) -> None:
    tag = random.choice((node.tag, other.tag, 0xA0, 0xA1, 0xA2, 0x30)) | _CONSTRUCTED
    inner = node.copy()
    for _ in range(random.choice((1, 1, 2, 40, 60, 100))):
        inner = Node(tag, parts=[inner])
    node.tag, node.parts, node.length = inner.tag, inner.parts, None


def _transplant(random: Random, node: Node, beside: list[Node], other: Node) -> None:
    beside[beside.index(node)] = other.copy()


def _append(random: Random, node: Node, beside: list[Node], other: Node) -> None:
    node.parts.append(other.copy())


_TREE: tuple[Callable[[Random, Node, list[Node], Node], None], ...] = (
    _value, _value, _value, _value, _value, _value, _retag, _mislead, _number, _text, _garble, _repeat, _remove,
    _shuffle, _nest, _transplant, _append,
)  # fmt: skip


@cache
def _elements(octets: bytes) -> tuple[Node, ...]:
    """All elements of valid octets; a mutant takes copies of them, and never the elements themselves."""
    return tuple(one for tree in parse(octets) for one in tree.family())


def _damaged(random: Random, message: bytes, donor: bytes) -> bytes:
    """A message whose tree is damaged in one to three places; messages around it stay whole."""
    trees = parse(message)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        root = Node(0, parts=trees)
        parents = [one for one in root.family() if one.parts]
        if len(parents) > 1 and random.random() < 0.9:
            parents = parents[1:]
        if not parents:
            break
        beside = random.choice(parents).parts
        node = random.choice(beside)
        others = _elements(donor)
        alike = [one for one in others if one.tag == node.tag]
        other = random.choice(alike if alike and random.random() < 0.7 else others)
        random.choice(_TREE)(random, node, beside, other)
    return b"".join(tree.encode() for tree in trees)


# --- damage to the octets ---------------------------------------------------------------------------------------------


def _octets(random: Random, octets: bytes) -> bytes:
    """Octets with a few of them flipped, changed, added, left out or doubled."""
    data = bytearray(octets)
    for _ in range(random.choice((1, 1, 2, 4, 8))):
        at = random.randrange(len(data) + 1)
        span = slice(at, at + random.choice((1, 1, 2, 8, 64)))
        match random.randrange(7):
            case 0 if at < len(data):
                data[at] ^= 1 << random.randrange(8)
            case 1 if at < len(data):
                data[at] = random.choice((0, 0x7F, 0x80, 0xFF, random.randrange(256)))
            case 2:
                data[at:at] = random.randbytes(random.choice((1, 2, 16, 500)))
            case 3:
                del data[span]
            case 4:
                data[at:at] = data[span]
            case 5:
                del data[at:]
            case _:
                data[span] = bytes(len(data[span]))
    return bytes(data)


def mutant(random: Random, sessions: list[Session]) -> bytes:
    """Return a changed conversation: octets that a client may send at once or in pieces."""
    messages = list(random.choice(sessions))
    at = random.randrange(len(messages))
    donor = random.choice(random.choice(sessions))
    match random.randrange(12):
        case 0:
            stream = _octets(random, b"".join(messages))
        case 1:
            messages[at] = _octets(random, messages[at])
            stream = b"".join(messages)
        case 2:
            messages[at:at] = [donor] * random.choice((1, 2, 5))
            random.shuffle(messages)
            stream = b"".join(messages)
        case _:
            messages[at] = _damaged(random, messages[at], donor)
            stream = b"".join(messages)
    return stream[:_LONGEST]
