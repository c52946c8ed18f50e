# SPDX-License-Identifier: MIT
"""The gateway through every kind of trouble: kills, disks, locks, clocks, and all of Google's errors in any order.

`tests.support.kill` ends what runs at a step.  `tests.support.stage.edited_books` is a company whose address books
change while everything fails.  The other tests are about the real process.
"""
