# SPDX-License-Identifier: MIT
"""Builds the objects of a gateway in the order of their dependencies, and passes to each object its dependencies."""
