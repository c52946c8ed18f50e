# SPDX-License-Identifier: MIT
"""The tests cover the addresses of photos, the answers of image hosts, and the scaling for phones."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from ldapgw.errors import BadResponse, GoogleUnavailable, QuotaExceeded
from ldapgw.google.photos import LARGEST_SCALED, SIZE, PhotoClient, scale
from tests.google.double import ENDPOINTS, NOW, Google, clock_at
from tests.support.photo import jpeg
from tests.support.results import result_of

URL = "https://lh3.googleusercontent.com/cm/AbC=s240"
HTML = {"Content-Type": "text/html"}
JPEG = {"Content-Type": "image/jpeg"}


def client(google: Google) -> PhotoClient:
    return PhotoClient(google.http, ENDPOINTS, clock_at(NOW))


def test_a_photo_is_fetched_without_a_token() -> None:
    google = Google((200, JPEG, jpeg()))
    assert result_of(client(google).fetch(URL)) == jpeg()
    [request] = google.requests
    assert (request.method, request.url) == ("GET", URL)
    assert "authorization" not in request.headers
    assert request.headers["accept"] == "image/jpeg, image/png, image/webp"


def test_no_other_host_is_asked() -> None:
    google = Google((200, {}, jpeg()))
    urls = ["https://googleusercontent.com.evil.example/x", "https://evilgoogleusercontent.com/x", "https://[/x", ""]
    urls += [f"https://{host}/x" for host in ("user@lh3.googleusercontent.com", "lh3.googleusercontent.com:8443")]
    urls += ["https://lh3.googleusercontent.com@evil.example/x", "http://lh3.googleusercontent.com/x"]
    urls += ["https://127.0.0.1/x", "file:///etc/passwd"]
    assert [url for url in urls if result_of(client(google).fetch(url)) or google.requests] == []


def test_the_sandbox_alone_is_asked_where_there_is_one() -> None:
    endpoints = replace(ENDPOINTS, people_api="http://127.0.0.1:8090")
    google = Google((200, JPEG, jpeg()))
    photos = PhotoClient(google.http, endpoints, clock_at(NOW))
    assert result_of(photos.fetch("http://127.0.0.1:8090/a/b=s240")) == jpeg()
    assert result_of(photos.fetch("http://127.0.0.1:8091/a/b=s240")) == b""
    assert result_of(photos.fetch(URL)) == b""


# The answers of a proxy say nothing about the photo, so the client should try again.
@pytest.mark.parametrize(
    ("answer", "error", "wait"),
    [
        ((404, HTML, b"Not Found"), None, None),
        ((410, HTML, b"Gone"), None, None),
        ((200, JPEG, bytes((1 << 20) + 1)), None, None),
        ((429, {"Retry-After": "600"}, b""), QuotaExceeded, 600.0),
        ((503, HTML, b""), GoogleUnavailable, None),
        ((403, HTML, b"Forbidden"), BadResponse, None),
        ((302, {"Location": "https://evil.example/"}, b""), BadResponse, None),
        ((204, {}, b""), BadResponse, None),
        ((200, HTML, b"<title>Sign in</title>"), BadResponse, None),
        ((200, {"Content-Type": "image/svg+xml"}, b"<svg/>"), BadResponse, None),
        ((206, JPEG, jpeg()), BadResponse, None),
    ],
    ids=["404", "410", "too large", "429", "503", "403", "redirect", "204", "page", "SVG", "part"],
)
def test_answers_without_a_photo(answer: Any, error: type[Exception] | None, wait: float | None) -> None:
    """There is no photo, or the call fails. The client follows no redirect."""
    google = Google(answer)
    if error is None:
        assert result_of(client(google).fetch(URL)) == b""
    else:
        with pytest.raises(error) as caught:
            result_of(client(google).fetch(URL))
        assert getattr(caught.value, "retry_after", None) == wait
    assert len(google.requests) == 1


@pytest.mark.parametrize("value", ["image/webp", "Image/PNG", "image/jpeg; charset=binary"])
def test_a_type_of_image(value: str) -> None:
    assert result_of(client(Google((200, {"Content-Type": value}, b"photo"))).fetch(URL)) == b"photo"


# --- scaling ---------------------------------------------------------------------------------------------------------


def encoded(picture: Image.Image, form: str = "PNG", **more: Any) -> bytes:
    written = BytesIO()
    picture.save(written, form, **more)
    return written.getvalue()


def halves(first: Any, second: Any, mode: str = "RGB") -> Image.Image:
    """Return an image with a colour for the left half and another colour for the right half."""
    picture = Image.new(mode, (240, 240), first)
    picture.paste(second, (120, 0, 240, 240))
    return picture


def colours(scaled: bytes) -> tuple[str, str]:
    """Return the colours of the left and the right half."""
    with Image.open(BytesIO(scaled), formats=("JPEG",)) as picture:
        assert (picture.size, picture.mode) == ((SIZE, SIZE), "RGB")
        assert not picture.getexif()
        sides = (picture.getpixel((x, SIZE // 2)) for x in (SIZE // 4, 3 * SIZE // 4))
        return tuple("".join(str(round(value / 255)) for value in side) for side in sides)  # type: ignore[return-value, union-attr]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_each_form(form: str) -> None:
    assert colours(scale(encoded(halves("red", "blue"), form))) == ("100", "001")


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "RGBA", "LA", "1"])
def test_each_mode(mode: str) -> None:
    picture = halves("black", "white").convert(mode)
    made = scale(encoded(picture, "JPEG" if mode == "CMYK" else "PNG"))
    assert colours(made) == ("000", "111")


def test_what_is_transparent_is_white() -> None:
    assert colours(scale(encoded(halves((0, 0, 0, 0), "red", "RGBA")))) == ("111", "100")


def test_what_lies_on_its_side_is_turned() -> None:
    """The EXIF orientation turns the photo (3 is upside down). The scaled photo has no EXIF data."""
    exif = Image.Exif()
    exif[0x0112] = 3
    exif[0x010F] = "Camera"
    made = scale(encoded(halves("red", "blue"), "JPEG", exif=exif))
    assert colours(made) == ("001", "100")
    assert b"Camera" not in made


def test_the_middle_is_kept() -> None:
    wide = Image.new("RGB", (480, 120), "white")
    wide.paste("red", (180, 0, 240, 120))
    wide.paste("blue", (240, 0, 300, 120))
    assert colours(scale(encoded(wide))) == ("100", "001")


def test_noise_is_made_small() -> None:
    noise = Image.effect_noise((800, 800), 250).convert("RGB")
    made = scale(encoded(noise))
    assert 0 < len(made) <= LARGEST_SCALED


@pytest.mark.parametrize(
    "photo",
    [b"", b"<html>", encoded(halves("red", "blue"), "GIF"), encoded(halves("red", "blue"), "BMP"), jpeg()[:40],
     jpeg()[: len(jpeg()) // 2], bytes(1000), encoded(Image.new("1", (4097, 4096)))],
    ids=["empty", "page", "GIF", "BMP", "head", "half", "zeros", "bomb"],
)  # fmt: skip
def test_what_is_no_photo(photo: bytes) -> None:
    """A small file that would unpack to 67 MB is refused, too."""
    assert scale(photo) == b""
