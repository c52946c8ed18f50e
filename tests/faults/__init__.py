# SPDX-License-Identifier: MIT
"""The gateway through every kind of trouble: kills, disks, locks, clocks, and all of Google's errors in any order.

`kill` ends what runs at a step; `machine` is a company whose address books change while everything fails; the rest is
about the real process.
"""
