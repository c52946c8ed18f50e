# SPDX-License-Identifier: MIT
"""Several gateways on one PostgreSQL: one of them syncs, and each tells the others that it lives."""
