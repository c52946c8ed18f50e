# SPDX-License-Identifier: MIT
"""After hours, and under half an hour of load, nothing of a gateway fails, and nothing grows."""
