# SPDX-License-Identifier: MIT
"""The tests cover the file of people, and the resulting world."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ldapgw.errors import UserError
from ldapgw.google.sandbox.fields import load_people
from ldapgw.google.sandbox.tenant import ALICE, BOB, demo_world
from ldapgw.google.sandbox.world import World
from tests.support.sandbox_client import Clock, Google

ONE = {"names": [{"givenName": "Only"}]}


def written(folder: Path, content: object) -> str:
    path = folder / "people.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def world_of(people: dict[str, list[dict[str, Any]]]) -> World:
    return demo_world(now=Clock(), random=Random(1).randbytes, people=people)


@pytest.mark.parametrize(
    "content", [[ONE], {"connections": [ONE]}, {"accounts": {ALICE: [ONE]}}], ids=["list", "answer", "accounts"]
)
def test_three_forms(tmp_path: Path, content: object) -> None:
    """The file may be a list, an answer of the API, or lists by account.

    Only the named account's contacts are replaced.
    """
    world = world_of(load_people(written(tmp_path, content)))
    assert [person["names"][0]["displayName"] for person in world.account(ALICE).contacts] == ["Only"]
    assert len(world.account(BOB).contacts) == 40


def test_new_accounts(tmp_path: Path) -> None:
    """An unknown address becomes an account of its domain's Workspace, or of a consumer."""
    people = load_people(written(tmp_path, {"accounts": {"dora.d@firma.example": [ONE], "max@gmail.com": []}}))
    world = world_of(people)
    assert [(account.address, account.hd) for account in world.accounts.values()][3:] == [
        ("dora.d@firma.example", "firma.example"),
        ("max@gmail.com", ""),
    ]
    assert len(world.account(ALICE).contacts) == 300


def test_persons_in_googles_form_are_served_as_they_stand() -> None:
    """The sandbox serves the samples' awkward persons unchanged."""
    samples = json.loads((Path(__file__).parents[2] / "data" / "people_samples.json").read_text())["samples"]
    persons = [
        person
        for name in ("connections_full_first_page", "connections_full_last_page")
        for person in samples[name]["body"]["connections"]
    ]
    google = Google(world_of({"": persons}))
    query = samples["connections_full_first_page"]["request"]["query"]
    token = google.connect()["access_token"]
    served = google.people("/v1/people/me/connections", token, **query).json["connections"]
    mask = {*query["personFields"].split(","), "resourceName", "etag"}
    assert served == [{name: value for name, value in person.items() if name in mask} for person in persons]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "is not JSON; expected a list of persons"),
        ("[" * 100_000, "is not JSON; expected a list of persons"),
        ({}, 'expected a list of persons, {"connections": [person…]} or {"accounts": {"address": [person…]…}}'),
        ("7", "expected a list of persons"),
        ({"accounts": [ONE]}, "expected a list of persons"),
        ([ONE, 7], "person 2: expected an object, a person of the People API"),
        ([{"names": "Bob"}], 'person 1: "names": expected a list of objects'),
        ([{"phoneNumbers": ["030"]}], 'person 1: "phoneNumbers": expected a list of objects'),
        ([{"resourceName": 7}], 'person 1: "resourceName": expected text'),
        (
            [{"metadata": {"sources": {}}}],
            'person 1: "metadata": expected an object, and "sources" in it a list of objects',
        ),
        ([{"name": "Bob"}], "person 1: has no field of a person, such as"),
        ({"accounts": {"dora": [ONE]}}, 'account "dora": expected an address'),
        ({"accounts": {"d@e": [{}]}}, "d@e: person 1: has no field of a person"),
    ],
)
def test_bad_files(tmp_path: Path, content: object, problem: str) -> None:
    """Each problem is a single line with the file's name."""
    path = written(tmp_path, content)
    with pytest.raises(UserError) as caught:
        load_people(path)
    assert [line.startswith(f"{path}: {problem}") for line in caught.value.problems] == [True]


def test_all_problems_at_once(tmp_path: Path) -> None:
    """The message names every bad person."""
    with pytest.raises(UserError) as caught:
        load_people(written(tmp_path, [7, ONE, {}]))
    assert [line.split(": ")[1] for line in caught.value.problems] == ["person 1", "person 3"]


def test_no_file(tmp_path: Path) -> None:
    """A missing file is reported in a single line."""
    with pytest.raises(UserError, match="cannot be read: No such file or directory"):
        load_people(str(tmp_path / "none.json"))
