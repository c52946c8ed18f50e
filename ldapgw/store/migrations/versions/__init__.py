# SPDX-License-Identifier: MIT
"""Numbered steps from each released version's tables to the next (Alembic)."""
