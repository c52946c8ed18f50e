# SPDX-License-Identifier: MIT
"""A property test draws all examples in `scripts/test --long`, and else a part."""

from __future__ import annotations

import os
from typing import Final

# Set by the script.
ALL: Final = "ALL_EXAMPLES"
_PART: Final = 4
# Fewer show little.
_FEWEST: Final = 25


def examples(count: int) -> int:
    """So many examples, or a quarter of them in the quick tests."""
    return count if os.environ.get(ALL) else min(count, max(count // _PART, _FEWEST))
