# SPDX-License-Identifier: MIT
"""``certificate create`` makes a certificate and its authority."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ldapgw.cli import main
from ldapgw.server.certificates import AuthorityFiles
from ldapgw.server.tls import certificate_names, read_certificates

SITE = """
state_dir = "state"
{tls}
[web]
public_url = "https://phonebook.acme.example"
[[tenant]]
name = "acme"
base_dn = "dc=acme"
"""
TLS = '[tls]\ncertificate = "state/tls/certificate.pem"\nprivate_key = "state/tls/certificate.key"'


def create(folder: Path, *options: str, tls: str = "") -> Result:
    file = folder / "ldapgw.toml"
    file.write_text(SITE.format(tls=tls))
    return CliRunner().invoke(main, ["--config", str(file), "certificate", "create", *options])


def test_what_is_made_and_what_comes_next(tmp_path: Path) -> None:
    """The first run makes the authority too.

    The command prints the lines for the configuration until the file has them.
    """
    files = AuthorityFiles.within(tmp_path / "state" / "tls")
    first = create(tmp_path, "--name", "LDAP.acme.example", "--name", "[2001:db8::1]")
    assert first.exit_code == 0, first.output
    names = ["phonebook.acme.example", "ldap.acme.example", "2001:db8::1"]
    assert certificate_names(read_certificates(files.certificate.read_bytes())[0]) == names
    made, issued, trust = first.stdout.splitlines()
    assert made.startswith(f"Made a private authority: {files.authority}, SHA-256 ")
    assert issued == f"Issued a certificate for {', '.join(names)}: {files.certificate}"
    assert trust.endswith(" http://phonebook.acme.example:8080/acme/ca.crt")
    assert first.stderr.splitlines()[1:] == [
        "  [tls]",
        f'  certificate = "{files.certificate}"',
        f'  private_key = "{files.private_key}"',
    ]
    again = create(tmp_path, tls=TLS)
    assert (again.exit_code, again.stderr, len(again.stdout.splitlines())) == (0, "", 2)
    assert certificate_names(read_certificates(files.certificate.read_bytes())[0]) == names
    files.certificate.unlink()
    assert create(tmp_path, tls=TLS).exit_code == 0
    names = certificate_names(read_certificates(files.certificate.read_bytes())[0])
    assert names[0] == "phonebook.acme.example"
    assert {"localhost", "127.0.0.1", socket.gethostname().lower()} <= set(names)


@pytest.mark.parametrize("name", ["", "a b", "-a.example", "https://phonebook.acme.example", "a" * 64])
def test_what_is_no_host(tmp_path: Path, name: str) -> None:
    assert create(tmp_path, "--name", name).exit_code == 2
    assert not (tmp_path / "state").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can create a folder of another user")
def test_root_acts_as_the_owner_of_the_folder(public_folder: Path, tmp_path: Path) -> None:
    """The files belong to the gateway's user.

    A link that this user has planted does not lead root out of the folder.
    """
    owner = pwd.getpwnam("nobody").pw_uid
    (public_folder / "state").mkdir(mode=0o700)
    os.chown(public_folder / "state", owner, -1)
    made = create(public_folder)
    assert made.exit_code == 0, made.output
    folder = public_folder / "state" / "tls"
    assert [file.stat().st_uid for file in (folder, *folder.iterdir())] == [owner] * 5
    shutil.rmtree(folder)
    folder.symlink_to(tmp_path)
    assert create(public_folder).exit_code == 1
    assert (tmp_path.stat().st_uid, [*tmp_path.iterdir()]) == (0, [])
    assert os.geteuid() == 0
