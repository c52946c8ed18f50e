# SPDX-License-Identifier: MIT
"""What a gateway is like after hours, and under half an hour of load: nothing fails, and nothing grows."""
