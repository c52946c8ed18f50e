# SPDX-License-Identifier: MIT
"""The tests cover pictures of contacts for phones."""

from __future__ import annotations

from io import BytesIO

from PIL import Image, ImageChops

from ldapgw.phones.photos import SIZE, initials, initials_png, photo_png
from tests.support.photo import jpeg


def opened(png: bytes) -> Image.Image:
    picture = Image.open(BytesIO(png), formats=("PNG",))
    return picture.convert("RGB")


def test_a_photo_keeps_its_pixels() -> None:
    photo = Image.open(BytesIO(jpeg(size=120))).convert("RGB")
    made = opened(photo_png(jpeg(size=120)))
    assert made.size == (120, 120)
    assert ImageChops.difference(made, photo).getbbox() is None


def test_initials_are_white_on_a_colour_of_the_name() -> None:
    anna, same, berta = map(opened, map(initials_png, ("Anna Berg", "Anna Berg", "Berta Adler")))
    assert anna.size == (SIZE, SIZE)
    assert anna.tobytes() == same.tobytes() != berta.tobytes()
    colours = anna.getcolors(SIZE * SIZE)
    assert colours is not None
    (_, background), (_, letters) = sorted(colours, reverse=True)[:2]
    assert (background, letters) == (anna.getpixel((0, 0)), (255, 255, 255))


def test_initials() -> None:
    names = {
        "Anna Berg": "AB",
        "Dr. Anna Maria von Berg": "DB",
        "anna": "A",
        "Öz Çelik": "OC",
        "Юрий Жуков": "YZ",
        "田中 太郎": "TT",
        "Müller & Söhne (work)": "MW",
        **dict.fromkeys(("+49 30 1234567", "***", ""), "#"),
    }
    assert {name: initials(name) for name in names} == names
