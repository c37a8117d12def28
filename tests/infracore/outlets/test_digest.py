"""The examples of RFC 7616, section 3.9.1, and challenges that are none."""

import pytest

from infracore.errors import Unauthorised
from infracore.outlets.digest import digest_answer
from infracore.secrets import Secret

_SAID = 'realm="http-auth@example.org", qop="auth, auth-int", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"'
_OPAQUE = 'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
_OURS = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("algorithm=SHA-256, ", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ("algorithm=MD5, ", "8ca523f5e9506fed4657c9700eebdbec"),
        ("", "8ca523f5e9506fed4657c9700eebdbec"),
    ],
)
def test_the_standards_examples_are_answered(algorithm: str, response: str) -> None:
    challenge = f"Digest {_SAID}, {algorithm}{_OPAQUE}"
    told = digest_answer(challenge, "GET", "/dir/index.html", "Mufasa", Secret("Circle of Life"), _OURS)
    assert f'response="{response}"' in told
    assert told.endswith(_OPAQUE)


@pytest.mark.parametrize(
    "challenge",
    [
        "",
        "Basic realm=x",
        "Digest",
        'Digest realm="x"',
        'Digest realm="x", nonce="y"',
        'Digest realm="x", nonce="y", qop="auth-int"',
        'Digest realm="x", nonce="y", qop="auth", algorithm=SHA-512-256',
        'Basic realm="x", nonce="y", qop="auth"',
        'Digest realm="x", nonce, qop="auth"',
    ],
)
def test_what_is_not_understood_is_one_error(challenge: str) -> None:
    with pytest.raises(Unauthorised, match="not understood"):
        digest_answer(challenge, "GET", "/", "admin", Secret("x"), "n")
