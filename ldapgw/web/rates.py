# SPDX-License-Identifier: MIT
"""How often somebody may do what costs us something: a bucket of tokens for each, filled at a steady rate.

Mutable: the buckets.  Those that are full again are forgotten, and there are never more than a few thousand.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

# More at once than this, and the one that was used longest ago is taken for a full one.
MOST_BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class _Bucket:
    tokens: float
    at: float


class Rates:
    """A limit for each of many.

    :param burst: how often one may do it at once.
    :param every: seconds until once more is allowed.
    """

    def __init__(self, burst: int, every: float) -> None:
        self._burst = burst
        self._every = every
        self._buckets: dict[str, _Bucket] = {}

    def take(self, key: str, now: float) -> float:
        """Count one time more.

        :param now: in seconds, of any clock that goes on.
        :returns: 0, or how many seconds are to be waited: then it was not counted.
        """
        bucket = self._buckets.pop(key, None)
        tokens = min(self._burst, bucket.tokens + (now - bucket.at) / self._every) if bucket else float(self._burst)
        allowed = tokens >= 1
        # Behind all others: the first one is always the one that was used longest ago.
        self._buckets[key] = _Bucket(tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > MOST_BUCKETS:
            del self._buckets[next(iter(self._buckets))]
        return 0.0 if allowed else (1 - tokens) * self._every


def network_of(address: str) -> str:
    """Whom an address stands for: of IPv6 a whole network of 64 bits, which one customer has to himself."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4 or parsed.ipv4_mapped is not None:
        return str(getattr(parsed, "ipv4_mapped", None) or parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
