# SPDX-License-Identifier: MIT
"""How several gateways on one PostgreSQL, and both engines, compare: searches, syncs, failures."""
