# SPDX-License-Identifier: MIT
"""How several processes, several gateways on one PostgreSQL, and both engines compare: searches, syncs, failures."""
