# SPDX-License-Identifier: MIT
"""Numbered steps from the tables of each released version to the tables of the next version (Alembic)."""
