# SPDX-License-Identifier: MIT
"""The bind matrix of RFC 4513."""

from __future__ import annotations

import pytest

from ldapgw.errors import ResultCode
from ldapgw.ldap.messages import BindRequest, Result, Sasl, Simple
from ldapgw.ldap.session import ANONYMOUS, Login, acts_for, judge

DN = "cn=desk1,ou=phones,dc=acme,dc=example"


def outcome(request, **conditions):
    judged = judge(request, **{"secure": False, "require_tls": False} | conditions)
    return judged.code if isinstance(judged, Result) else judged


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("name", "password", "clear", "clear_where_tls_is_required", "tls"),
    [
        ("", b"", ANONYMOUS, ANONYMOUS, ANONYMOUS),
        (
            "",
            b"x",
            ResultCode.INVALID_CREDENTIALS,
            ResultCode.CONFIDENTIALITY_REQUIRED,
            ResultCode.INVALID_CREDENTIALS,
        ),
        (DN, b"", *[ResultCode.UNWILLING_TO_PERFORM] * 3),
        (DN, b"x", Login(DN, b"x"), ResultCode.CONFIDENTIALITY_REQUIRED, Login(DN, b"x")),
        ("desk1", b"x", Login("desk1", b"x"), ResultCode.CONFIDENTIALITY_REQUIRED, Login("desk1", b"x")),
    ],
    ids=["anonymous", "password alone", "name alone", "DN and password", "bare name and password"],
)
def test_simple_bind(version, name, password, clear, clear_where_tls_is_required, tls):
    """Name or none, password or none, in clear or over TLS; old phones say version 2."""
    request = BindRequest(version, name, Simple(password))
    assert outcome(request) == clear
    assert outcome(request, require_tls=True) == clear_where_tls_is_required
    assert outcome(request, secure=True, require_tls=True) == tls


@pytest.mark.parametrize("version", [-3, 0, 1, 4, 127, 128])
def test_other_versions_are_a_protocol_error(version):
    """RFC 4511 4.2."""
    assert outcome(BindRequest(version, "", Simple(b""))) is ResultCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [
        (b"\0desk1\0secret", Login("desk1", b"secret")),
        (b"desk1\0desk1\0secret", Login("desk1", b"secret")),
        (b"u:desk1\0desk1\0secret", Login("desk1", b"secret", "u:desk1")),
        (b"dn:" + DN.encode() + b"\0desk1\0secret", Login("desk1", b"secret", f"dn:{DN}")),
        (b"root\0desk1\0secret", Login("desk1", b"secret", "root")),
        (b"\0\xff\0secret", ResultCode.INVALID_CREDENTIALS),
        (b"\0desk1\0", ResultCode.PROTOCOL_ERROR),
        (b"\0\0secret", ResultCode.PROTOCOL_ERROR),
        (b"desk1 secret", ResultCode.PROTOCOL_ERROR),
        (b"\0desk1\0secret\0", ResultCode.PROTOCOL_ERROR),
        (b"", ResultCode.PROTOCOL_ERROR),
        (None, ResultCode.SASL_BIND_IN_PROGRESS),
    ],
)
def test_plain_on_tls_is_the_same_login(credentials, expected):
    """RFC 4616; whom it is to act for is looked at with the login known."""
    for mechanism in ("PLAIN", "plain"):
        assert outcome(BindRequest(3, "", Sasl(mechanism, credentials)), secure=True) == expected


@pytest.mark.parametrize(
    ("authzid", "expected"),
    [
        ("u:desk1", True),
        ("u:Desk1", True),
        (f"dn:{DN}", True),
        (f"dn:{DN.upper()}", True),
        ("u:desk2", False),
        ("root", False),
        ("dn:cn=desk1,ou=phones,dc=other,dc=example", False),
        ("dn:nonsense", False),
        (f"u:{DN}", False),
    ],
)
def test_nobody_acts_for_somebody_else(authzid, expected):
    """RFC 4513 5.2.1.8: identities are compared, however they are spelt; Who am I? gives one of them."""
    assert acts_for(authzid, DN) is expected
    assert not acts_for(authzid, "")


@pytest.mark.parametrize(
    ("request_", "secure"),
    [
        (BindRequest(3, "", Sasl("PLAIN", b"\0desk1\0secret")), False),
        (BindRequest(2, "", Sasl("PLAIN", b"\0desk1\0secret")), True),
        (BindRequest(3, "", Sasl("EXTERNAL", b"")), True),
        (BindRequest(3, DN, Sasl("X-NONE", None)), True),
        (BindRequest(3, DN, None), True),
    ],
    ids=["PLAIN in clear", "PLAIN with version 2", "EXTERNAL", "unknown mechanism", "unknown choice"],
)
def test_other_methods_are_not_supported(request_, secure):
    """And never succeed."""
    assert outcome(request_, secure=secure) is ResultCode.AUTH_METHOD_NOT_SUPPORTED


def test_a_password_shows_nowhere():
    """Neither do names: they are somebody's."""
    for value in (
        BindRequest(3, "desk1", Simple(b"secret")),
        BindRequest(3, "desk1", Sasl("PLAIN", b"\0desk1\0secret")),
        Login("desk1", b"secret"),
    ):
        assert "secret" not in repr(value)
        assert "desk1" not in repr(value)
