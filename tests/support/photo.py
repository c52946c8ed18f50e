# SPDX-License-Identifier: MIT
"""Photos as `Contact.photo` has them."""

from __future__ import annotations

from io import BytesIO
from random import Random

from PIL import Image


def jpeg(seed: int = 1, size: int = 160) -> bytes:
    """A baseline JPEG of coarse noise, of some kilobytes as a face has."""
    noise = Image.frombytes("RGB", (20, 20), Random(seed).randbytes(1200)).resize(
        (size, size), Image.Resampling.BICUBIC
    )
    written = BytesIO()
    noise.save(written, "JPEG", quality=80)
    return written.getvalue()
