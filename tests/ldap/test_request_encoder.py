# SPDX-License-Identifier: MIT
"""Search requests that are encoded are decoded as they were."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.directory.filter import Filter, Present, Scope, SearchRequest
from ldapgw.ldap.decoder import decode
from ldapgw.ldap.request_encoder import encode_filter, encode_search
from tests.ldap.test_filter_decoder import TREES
from tests.support.examples import examples
from tests.support.filter_text import encode


@given(TREES)
@settings(max_examples=examples(200), deadline=None)
def test_filters(tree: Filter) -> None:
    """Any filter, as the tests' own encoder has it."""
    assert encode_filter(tree) == encode(tree)


@given(
    st.builds(
        SearchRequest,
        base=st.text(st.characters(codec="utf-8"), max_size=8),
        scope=st.sampled_from(Scope),
        filter=st.just(Present("cn")),
        size_limit=st.integers(0, 2**31 - 1),
        time_limit=st.integers(0, 2**31 - 1),
        types_only=st.booleans(),
        attributes=st.lists(st.sampled_from(["cn", "*", "1.1"]), max_size=3).map(tuple),
    ),
    st.integers(1, 2**31 - 1),
)
@settings(max_examples=examples(100), deadline=None)
def test_requests(request: SearchRequest, message_id: int) -> None:
    """All of a request, and its messageID."""
    message = decode(encode_search(request, message_id))
    assert (message.message_id, message.request, message.controls) == (message_id, request, ())
