# SPDX-License-Identifier: MIT
"""Pictures of contacts for phones that fetch a picture by the caller's number: the photo, or the contact's initials."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING
from zlib import crc32

from ldapgw.directory.name_folding import collation_key

if TYPE_CHECKING:
    from PIL import Image

# The width and the height, in pixels, of a picture with initials; a photo keeps its size.
SIZE = 160
_FONT_SIZE = 72
_WHITE = (255, 255, 255)
# White letters are readable on each colour (contrast of at least 4.5:1, WCAG 2.1).
_COLOURS: Sequence[tuple[int, int, int]] = (
    (26, 95, 180),
    (38, 115, 77),
    (145, 65, 172),
    (165, 29, 45),
    (154, 82, 10),
    (61, 90, 108),
)


def photo_png(jpeg: bytes) -> bytes:
    from PIL import Image  # the import is here, because most gateways serve no pictures

    with Image.open(BytesIO(jpeg), formats=("JPEG",)) as photo:
        return _png(photo)


def initials_png(name: str) -> bytes:
    """Draw the initials of a name as PNG; the name determines the colour."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("RGB", (SIZE, SIZE), _COLOURS[crc32(name.encode()) % len(_COLOURS)])
    font = ImageFont.load_default(_FONT_SIZE)
    ImageDraw.Draw(picture).text((SIZE / 2, SIZE / 2), initials(name), _WHITE, font, anchor="mm")
    return _png(picture)


def initials(name: str) -> str:
    """Return the first letters of the first and the last word, or "#" if no word begins with a letter.

    The letters are Latin, because the font has no other letters.
    """
    words = [word for word in collation_key(name).split() if word[0].isalpha()]
    return "".join(word[0].upper() for word in (words[0], *words[1:][-1:])) if words else "#"


def _png(picture: Image.Image) -> bytes:
    written = BytesIO()
    picture.save(written, "PNG")
    return written.getvalue()
