# SPDX-License-Identifier: MIT
"""Answers as Google gives them, from ``tests/data/people_samples.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ldapgw.contact import Source

SAMPLES: dict[str, Any] = json.loads((Path(__file__).parent.parent / "data" / "people_samples.json").read_text())[
    "samples"
]

KEYS = {"connections": Source.CONTACTS, "otherContacts": Source.OTHER_CONTACTS, "people": Source.DIRECTORY}


def answer(name: str) -> tuple[int, dict[str, str], bytes]:
    """The status, headers and body of a sample."""
    sample = SAMPLES[name]
    body = sample["body"]
    return sample["status"], sample["headers"], (body if isinstance(body, str) else json.dumps(body)).encode()


def persons(*names: str) -> dict[str, tuple[dict[str, Any], Source]]:
    """The persons of samples by resource name, each with the source that listed it."""
    return {
        person["resourceName"]: (person, source)
        for name in names
        for key, source in KEYS.items()
        for person in SAMPLES[name]["body"].get(key, ())
    }
