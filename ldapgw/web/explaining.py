# SPDX-License-Identifier: MIT
"""What a page asks about a phone's search, and who explains it: values."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from ldapgw.explain.explanation import Explanation
from ldapgw.explain.reader import Reader
from ldapgw.store.accounts import Account
from ldapgw.store.phones import PhoneLogin
from ldapgw.words import Said

# The longest filter that a page offers to explain; in a form it has three times as many octets at most.
LONGEST = 1000


@dataclass(frozen=True, slots=True, repr=False)
class Question:
    """Why was this not found?

    :ivar asked: a name, a number or a filter.
    :ivar base: where the phone's search begins; empty: at the tenant's base.
    :ivar reader: who asks.
    :ivar accounts: those of whose syncs the reader may be told.
    :ivar page: what the page of those is called.
    """

    asked: str
    base: str
    reader: Reader
    accounts: tuple[Account, ...]
    page: Said


class Explainer(Protocol):
    """Explains what phones find."""

    def explain(self, phone: PhoneLogin, question: Question) -> Awaitable[Explanation | None]:
        """Why a phone finds what it finds; None: it is not served yet.

        :raises UserError: when what was asked for is a filter that cannot be read.
        :raises DirectoryError: when the base is no DN, or there is no such entry for this phone.
        """
