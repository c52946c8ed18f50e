# SPDX-License-Identifier: MIT
"""Each recording in ``tests/data/recordings`` finds what it found: a recording that is put there is a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from ldapgw.directory.schema import configure_aliases
from ldapgw.ldap.messages import BindRequest, Sasl, Simple
from ldapgw.phones.recording import exchanges, message_of
from ldapgw.phones.recording_file import load
from ldapgw.phones.replay import RecordedGateway, replay
from tests.support.recordings import FOLDER, SHEETS

FILES = sorted(FOLDER.glob("*.jsonl"))


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_recording_finds_what_it_found(file: Path, request: pytest.FixtureRequest) -> None:
    """Of its own entries; it has some."""
    recording = load(file.read_text())
    request.addfinalizer(lambda: configure_aliases({}))
    configure_aliases(recording.attribute_aliases)
    differences = replay(recording, RecordedGateway(recording).connect)
    assert [(one.exchange.text, one.missing, one.surplus, one.code) for one in differences] == []
    assert any(one.found for one in exchanges(recording))


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_recording_names_nobody(file: Path) -> None:
    """It has stand-ins, and no password."""
    recording = load(file.read_text())
    assert not recording.is_plain
    requests = [message_of(one) for one in recording.messages if one.from_phone]
    binds = [one.request for one in requests if one is not None and isinstance(one.request, BindRequest)]
    assert binds
    assert {type(one.authentication) for one in binds} <= {Simple, Sasl}
    assert all(one.authentication in (Simple(b""), Sasl("PLAIN", None)) for one in binds)


def test_there_are_recordings_of_the_vendors() -> None:
    """Of Yealink, Snom and Cisco at least."""
    assert {f"{vendor}.jsonl" for vendor in SHEETS} <= {file.name for file in FILES}
