# SPDX-License-Identifier: MIT
"""More than one process of a gateway, and more than one gateway."""
