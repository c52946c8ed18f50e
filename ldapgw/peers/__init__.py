# SPDX-License-Identifier: MIT
"""Several gateways on one PostgreSQL: one gateway syncs, and each gateway tells the others that it is running."""
