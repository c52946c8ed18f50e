# SPDX-License-Identifier: MIT
"""A photo on its way from Google to a phone: the whole program, ldapsearch, and a picture by the caller's number.

Only the whole program shows that its halves, which have tests of their own, fit each other.
"""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from urllib.request import Request, urlopen

import pytest
import pytest_twisted
from PIL import Image

from ldapgw.google.photos import scale
from ldapgw.google.sandbox.tenant import ALICE
from tests.support.photo import jpeg
from tests.support.site.running import Site, wait_until


@pytest.mark.long  # photos are looked for every ten seconds; tests/sync has this with a clock of its own
@pytest_twisted.ensureDeferred
async def test_a_photo_comes_to_the_phone(site: Site) -> None:
    """And goes from everywhere when the account is disconnected."""
    site.file.write_text(site.file.read_text() + "photos = true\n")
    site.empty_sandbox()
    person = {"names": [{"displayName": "Ada Riese"}], "phoneNumbers": [{"value": "030 23125100"}]}
    name = site.turn("add-person", account=ALICE, person=person, source="contacts")["resourceName"]
    site.turn("add-photo", account=ALICE, resourceName=name, photo=b64encode(jpeg(1, 600)).decode())
    scaled = b64encode(scale(jpeg(1, 600))).decode()

    def shown() -> str:
        return site.ldapsearch("(cn=ada*)", "jpegPhoto")[1].replace("\n ", "")

    with site.running():
        assert (await site.consent()).url == site.page
        site.synced()
        site.add_phone()
        wait_until(lambda: "jpegPhoto" in shown(), "the photo is there")
        assert f"jpegPhoto:: {scaled}\n" in shown()
        assert "jpegPhoto" not in site.ldapsearch("(cn=ada*)", "*")[1]
        login = b64encode(f"desk1:{site.phones['desk1']}".encode()).decode()
        request = Request(f"{site.page}photo/+493023125100.png", headers={"Authorization": f"Basic {login}"})
        with urlopen(request) as answer:
            picture = Image.open(BytesIO(answer.read()))
            assert (answer.headers["Content-Type"], picture.size) == ("image/png", (160, 160))
        exported = site.ldapgw("export", "--format", "ldif").stdout.replace("\n ", "")
        assert scaled in exported
        assert site.process("disconnect", ALICE, "--yes").returncode == 0
    assert jpeg(1, 600)[200:400] not in (site.folder / "state" / "ldapgw.db").read_bytes()
    assert scale(jpeg(1, 600))[200:400] not in (site.folder / "state" / "ldapgw.db").read_bytes()
