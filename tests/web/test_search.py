# SPDX-License-Identifier: MIT
"""The search box on a person's page finds contacts."""

from __future__ import annotations

from ldapgw.web.contact_pages import MAX_QUERY_LENGTH
from tests.support.stage.web import ALICE, BOB, Browser, Stage


def asked(stage: Stage) -> list[tuple[str, tuple[str, ...], str]]:
    return stage.finder.asked


def test_what_is_found(stage: Stage, alice: Browser) -> None:
    """The page shows names and numbers from the books of the person's own accounts.

    The script tells a screen reader the number of results, in place of all contacts at each pause.
    """
    body = alice.submit("/acme/search", sought="anna").body
    assert ">Anna Berg</a>" in body
    assert "+49 30 1234567" in body
    assert 'value="anna"' in body
    assert '<div id="results" data-count="1 result">' in body
    assert asked(stage) == [("acme", (stage.world.account(ALICE).sub,), "anna")]
    assert "aria-live" not in body + alice.get("/acme/").body


def test_of_all_ones_accounts(stage: Stage, alice: Browser) -> None:
    alice.consent("/acme/connect?add", account=BOB)
    alice.submit("/acme/search", sought="a")
    alice.submit("/acme/disconnect")
    alice.submit("/acme/search", sought="b")
    alice_sub, bob_sub = (stage.world.account(address).sub for address in (ALICE, BOB))
    assert [books for _, books, _ in asked(stage)] == [(alice_sub, bob_sub), (bob_sub,)]


def test_nothing_found(alice: Browser) -> None:
    said = 'data-count="Your phones find nobody with that name or number."'
    assert said in alice.submit("/acme/search", sought="xyzzy").body
    assert "find nobody" not in alice.submit("/acme/search", sought=" ").body


def test_what_is_too_long_is_cut(stage: Stage, alice: Browser) -> None:
    alice.submit("/acme/search", sought="x" * 5000)
    assert asked(stage)[0][2] == "x" * MAX_QUERY_LENGTH


def test_nothing_of_it_is_in_an_address(alice: Browser) -> None:
    """The address of the form leads to the contacts, and nothing is looked up."""
    assert alice.get("/acme/search?sought=anna").location == "/acme/contacts"
    assert asked(alice.stage) == []
