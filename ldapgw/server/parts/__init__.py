# SPDX-License-Identifier: MIT
"""Builds the objects of a gateway in order of their dependencies, and passes each object what it needs; no logic."""
