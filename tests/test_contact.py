# SPDX-License-Identifier: MIT
"""The sharing of a book as a value: the members, and one for each group."""

from __future__ import annotations

import pickle

import pytest

from ldapgw.contact import Sharing


def test_the_sharing_of_a_group_is_a_value_like_the_others() -> None:
    """Made once, found by its text, the same in another process, and none of those that every tenant has."""
    sales = Sharing("group:sales")
    assert sales is Sharing("group:sales")
    assert sales is pickle.loads(pickle.dumps(sales))
    assert (sales, sales.value, sales.group) == ("group:sales", "group:sales", "sales")
    assert sales is not Sharing("group:staff")
    assert list(Sharing) == ["private", "callers", "shared"]
    assert {sharing.group for sharing in Sharing} == {""}


@pytest.mark.parametrize(
    "text", ["group", "group:", "group:Sales", "group:-a", "group:a b", "group:" + "a" * 64, "", None]
)
def test_what_is_no_sharing(text: str | None) -> None:
    with pytest.raises(ValueError, match="is not a valid Sharing"):
        Sharing(text)
