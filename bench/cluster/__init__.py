# SPDX-License-Identifier: MIT
"""How a gateway of several processes compares with one of one process, in searches, memory and time of a start."""
