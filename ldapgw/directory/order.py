# SPDX-License-Identifier: MIT
"""Where an entry stands among others: as people sort names, the same at each search, and short.

An *order* is a text that sorts entries.  It holds the folded name, the name as it is written, and a tag that is the
entry's own and stays for as long as it exists; so no two are the same, and one is found again after a sync.  It is
bounded, because a paged search tells the client the place that it has come to: names that agree in their first
`LONGEST_NAME` signs stand in the order of their tags.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from ldapgw.directory import fold

# Ends the name in an order.
END: Final = "\0"

LONGEST_NAME: Final = 96
# A sign may take four octets, and nobody sorts by the case of the 25th.
_LONGEST_WRITING: Final = 24
# Of a container's name; a label's order is its book's and its own.
_LONGEST_BRANCH: Final = 40
_LONGEST_BRANCH_WRITING: Final = 10

# Hexadecimal digits: two entries of one name in one tenant share a tag once in 2.8 * 10**14.
TAG: Final = 12


def of_contact(name: str, identity: str) -> str:
    """The order of a contact.

    :param name: as it is shown.
    :param identity: what makes it different from all others for as long as it exists.
    """
    return _order(name, identity, LONGEST_NAME, _LONGEST_WRITING)


def of_branch(name: str, identity: str, above: str = "") -> str:
    """The order of a book or a label.

    :param above: the order of the branch that it stands in: it comes behind that one.
    """
    return above + _order(name, identity, _LONGEST_BRANCH, _LONGEST_BRANCH_WRITING)


def name_of(order: str) -> str:
    """The folded name of a contact's order, as far as it goes."""
    return order.partition(END)[0]


def _order(name: str, identity: str, longest: int, longest_writing: int) -> str:
    tag = blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=TAG // 2).hexdigest()
    return f"{fold.collation(name)[:longest]}\0{name[:longest_writing]}\0{tag}"
