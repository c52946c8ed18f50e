# SPDX-License-Identifier: MIT
"""The samples are answers of Google from ``tests/data/people_samples.json``, and id_tokens without a real signature."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from ldapgw.contact import Source

SAMPLES: dict[str, Any] = json.loads((Path(__file__).parent.parent / "data" / "people_samples.json").read_text())[
    "samples"
]

KEYS = {"connections": Source.CONTACTS, "otherContacts": Source.OTHER_CONTACTS, "people": Source.DIRECTORY}


def answer(name: str) -> tuple[int, dict[str, str], bytes]:
    """Return the status, headers and body of a sample."""
    sample = SAMPLES[name]
    body = sample["body"]
    return sample["status"], sample["headers"], (body if isinstance(body, str) else json.dumps(body)).encode()


def persons(*names: str) -> dict[str, tuple[dict[str, Any], Source]]:
    """Return the persons of samples by resource name, each with the source that listed the person."""
    return {
        person["resourceName"]: (person, source)
        for name in names
        for key, source in KEYS.items()
        for person in SAMPLES[name]["body"].get(key, ())
    }


def encode(claims: object) -> str:
    """Return a JWT of these claims."""
    return ".".join(map(_part, ({"alg": "RS256"}, claims, "signature")))


def id_token(**claims: object) -> str:
    """Return the id_token of a Workspace user with changed claims. None removes a claim."""
    changed = {**SAMPLES["id_token_claims_workspace"], **claims}
    return encode({name: value for name, value in changed.items() if value is not None})


def any_json(*keys: str) -> st.SearchStrategy[Any]:
    """Return a strategy for JSON values, in which objects have these keys, or any keys if none are given."""
    names = st.sampled_from(keys) if keys else st.text(max_size=5)
    floats = st.floats(allow_nan=False, allow_infinity=False)
    return st.recursive(
        st.none() | st.booleans() | st.integers() | floats | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
        max_leaves=8,
    )


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
