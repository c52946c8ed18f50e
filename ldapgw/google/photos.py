# SPDX-License-Identifier: MIT
"""Contacts' photos: the client of Google's image hosts, and the scaling of a photo for phones.

The addresses come with the persons of the People API (``photos.url``).  No token is sent to the image hosts, and their
redirects are not followed.
"""

from __future__ import annotations

from io import BytesIO

from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime

from ldapgw.errors import BadResponse, PageTooLarge
from ldapgw.google.endpoints import Endpoints
from ldapgw.google.http import CallObserver, GoogleHttpClient, ignore_call

# The width and height of a scaled photo in pixels; phones show photos in a smaller size.
SIZE = 160
# The maximum number of octets of a scaled photo; an ordinary scaled photo has 8 KiB.
LARGEST_SCALED = 16 * 1024
# The maximum number of pixels of a fetched photo; Google may send a photo in its original size.
_MOST_PIXELS = 4096 * 4096
_QUALITIES = (80, 60, 40)
_MEDIA_TYPES = frozenset(("image/jpeg", "image/png", "image/webp"))
# The statuses of an address without a photo: Not Found and Gone.
_NO_PHOTO = frozenset((404, 410))


class PhotoClient:
    """The client that fetches photos.

    :param http: sends the requests, through the proxy if a proxy is configured.
    """

    def __init__(
        self, http: HTTPClient, endpoints: Endpoints, clock: IReactorTime, observe: CallObserver = ignore_call
    ) -> None:
        self._http = GoogleHttpClient(http, clock, observe)
        self._endpoints = endpoints

    async def fetch(self, url: str) -> bytes:
        """Fetch a photo.

        :returns: the file, or empty octets if there is no photo, or if the photo is too large or may not be fetched.
        :raises GoogleError: `NetworkFailure`, `GoogleUnavailable` or `QuotaExceeded` if the host cannot answer now;
            `BadResponse` if the answer says nothing about the photo, for example if the answer is a page of a proxy.
        """
        if not self._endpoints.has_photo(url):
            return b""
        try:
            answer = await self._http.get_photo(url)
        except PageTooLarge:
            return b""
        if answer.status in _NO_PHOTO:
            return b""
        if answer.error is not None:
            raise answer.error
        if answer.status != 200 or answer.media_type not in _MEDIA_TYPES:
            raise BadResponse(f"HTTP {answer.status}, no image")
        return answer.body


def scale(photo: bytes) -> bytes:
    """Convert a photo to a JPEG of `SIZE` by `SIZE` pixels.

    :returns: the JPEG, or empty octets if the photo is no JPEG, PNG or WebP, or is damaged or too large.
    """
    # Pillow is imported here, because only a work process scales photos: the gateway's own process, which imports this
    # module too, need not load Pillow.
    from PIL import Image, ImageOps

    try:
        with Image.open(BytesIO(photo), formats=("JPEG", "PNG", "WEBP")) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                return b""
            opened.draft("RGB", (SIZE, SIZE))
            upright = ImageOps.exif_transpose(opened)
            square = ImageOps.fit(upright.convert("RGBA"), (SIZE, SIZE))
    # Pillow's decoders raise many kinds of exceptions for damaged files.
    except Exception:  # noqa: BLE001
        return b""
    picture = Image.new("RGB", square.size, "white")
    picture.paste(square, mask=square)
    for quality in _QUALITIES:
        written = BytesIO()
        picture.save(written, "JPEG", quality=quality)
        if len(written.getvalue()) <= LARGEST_SCALED:
            return written.getvalue()
    return b""
