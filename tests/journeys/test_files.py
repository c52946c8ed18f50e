# SPDX-License-Identifier: MIT
"""A file of extensions from its first line to a broken one, with a real gateway and real ldapsearch.

Only the whole program reads a large file in another process while phones are served, and starts again with the books.
"""

from __future__ import annotations

import pytest

from tests.support.site.running import Site, fetch, wait_until

pytestmark = pytest.mark.long  # starts gateways, and reads thirty thousand lines

TWO = "name,extension\nJo Meier,204\nAnna Schmidt,205\n"
LARGE = "name,extension\n" + "".join(f"Person Nr{number},{number}\n" for number in range(10_000, 40_000))
EXTENSIONS = "ou=extensions,dc=acme,dc=example"


def test_extensions(site: Site) -> None:
    """Phones find who is in the file; a change reaches them, a mistake does not, and a restart forgets nothing."""
    file = site.folder / "extensions.csv"
    file.write_text(TWO)
    table = f'\n[[tenant.file]]\nname = "extensions"\npath = "{file}"\n'
    site.file.write_text(site.file.read_text() + table)

    def served() -> int:
        return int(site.figure("ldapgw_file_contacts", tenant="acme", file="extensions"))

    def names(search_filter: str = "(cn=*)") -> list[str]:
        return site.values("cn", search_filter, phone="hall")

    def is_good() -> bool:
        return site.figure("ldapgw_file_ok", tenant="acme", file="extensions") == 1

    with site.running() as gateway:
        site.add_phone("hall", "--tenant", "acme")
        assert names() == ["Anna Schmidt", "Jo Meier"]
        assert names("(telephoneNumber=204)") == ["Jo Meier"]
        assert names("(telephoneNumber=20)") == []
        file.write_text(LARGE)
        # The page answers while another process reads the file.
        wait_until(lambda: fetch(site.page)[0] == 200 and served() == 30_000, "the large file is served", 120)
        assert names("(telephoneNumber=12345)") == ["Person Nr12345"]
        file.write_text(TWO + "Zoe,none\n")
        wait_until(lambda: not is_good(), "the problem is found")
        assert names("(telephoneNumber=12345)") == ["Person Nr12345"]
        said = [line for line in gateway.said.splitlines() if "line 4: Column “extension”: expected" in line]
        assert len(said) == 1
        assert f"fix the file {file}: line 4" in site.ldapgw("status").stdout
    with site.running():
        assert (served(), is_good()) == (30_000, False)
        file.write_text(TWO)
        wait_until(is_good, "the file is fixed")
        assert names() == ["Anna Schmidt", "Jo Meier"]
        status, said_by_search = site.ldapsearch("-s", "base", "ou", phone="hall", base=EXTENSIONS)
        assert (status, "ou: extensions" in said_by_search) == (0, True)
