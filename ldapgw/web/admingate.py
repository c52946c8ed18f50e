# SPDX-License-Identifier: MIT
"""What the administration needs of the rest of the gateway, passed in by the composition root."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AdminGate:
    """The rest of the gateway, as these pages see it.

    :ivar configured: the names of the tenants whose OAuth client is in the configuration file.
    :ivar certificate_ends: when the certificate that phones are shown ends, however far that is; None: there is none.
    """

    configured: Container[str]
    certificate_ends: Callable[[], float | None]
