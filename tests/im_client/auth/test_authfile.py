"""The auth file of the Infrastructure Manager, in lines and as JSON."""

import json
import re
import traceback
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from im_client.auth.authfile import parse_auth, read_auth_file
from im_client.auth.credentials import Credential, by_id, of_type
from infracore.errors import Misconfigured, NotFound
from infracore.secrets import Secret
from tests.laws import some


def credential(ident: str, kind: str, **fields: str) -> Credential:
    return Credential(ident, kind, {key: Secret(value) for key, value in fields.items()})


LINES = """
# clouds
id = ost; type = OpenStack; host = https://ost.example:5000; username = me; password = "a;b='c'"; tenant = t
  id=one;type=OpenNebula;host=one.example:2633;username=me;password='say "hi"; it's me' ;

type = InfrastructureManager; username = u; password = p#w=x
id = occi.1; type = OCCI; proxy = -----BEGIN\\nAAA\\\\nBBB ; empty = ; quoted = ""
"""

FOUND = (
    credential("ost", "OpenStack", host="https://ost.example:5000", username="me", password="a;b='c'", tenant="t"),
    credential("one", "OpenNebula", host="one.example:2633", username="me", password='say "hi"; it\'s me'),
    credential("", "InfrastructureManager", username="u", password="p#w=x"),
    credential("occi.1", "OCCI", proxy="-----BEGIN\nAAA\nBBB", empty="", quoted=""),
)


def test_lines_are_read_with_comments_quotes_and_newlines() -> None:
    assert parse_auth(LINES) == FOUND


def test_a_file_of_windows_is_read_as_well(tmp_path: Path) -> None:
    (tmp_path / "auth").write_bytes(b"\xef\xbb\xbf" + LINES.replace("\n", "\r\n").encode())
    with pytest.raises(Misconfigured, match="open to others"):
        read_auth_file(tmp_path / "auth")
    (tmp_path / "auth").chmod(0o600)
    assert read_auth_file(tmp_path / "auth") == FOUND


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o610, 0o604])
def test_a_file_that_anybody_else_may_touch_is_refused(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "auth"
    path.write_text(LINES)
    path.chmod(mode)
    with pytest.raises(Misconfigured, match="open to others") as caught:
        read_auth_file(path)
    assert caught.value.hint == f"run: chmod 600 {path}"


@pytest.mark.parametrize("text", ["[" * 200_000, '[{"a":' * 40_000])
def test_a_file_that_is_nested_without_end_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured, match="nested too deeply"):
        parse_auth(text)


def test_a_json_list_is_read() -> None:
    text = '\n[{"id": "ost", "type": "OpenStack", "password": "a\\nb", "port": 5000}, {"type": "EC2"}]'
    assert parse_auth(text) == (credential("ost", "OpenStack", password="a\nb", port="5000"), credential("", "EC2"))


@pytest.mark.parametrize("text", ["", "\n# nothing\n", "[]"])
def test_a_file_may_be_empty(text: str) -> None:
    assert parse_auth(text) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type = A\nhunter2\n", "line 2: column 1: expected KEY = VALUE"),
        ("type = A; password = x; hunter2", "line 1: column 24: expected KEY = VALUE"),
        ("type = A; hunter2 = x; hunter2 = y", "line 1: column 24: this key stands twice in the line"),
        ("type = A; password = 'hunter2; b = c", "line 1: column 22: the quote is not closed"),
        ("type = A; password = 'hun'ter2", "line 1: column 22: the quote is not closed"),
        ("id = a; hunter2 = x", "line 1: it has no type"),
        ("id = 1hunter2; type = A", "line 1: its id is not a letter"),
        ("id = hunter2; type = A\n\nid = hunter2; type = B", "line 3: its id is that of line 1"),
        ('[{"type": "A"}, {"hunter2": "x"}]', "entry 2: it has no type"),
        ('[{"type": "A", "hunter2": "x", "hunter2": "y"}]', "entry 1: key 3 stands twice"),
        ('[{"type": "A", "hunter2": {"hunter2": 1}}]', "entry 1: the value of key 2 is neither text nor a number"),
        ('[{"type": "A", "hunter2": null}]', "entry 1: the value of key 2 is neither text nor a number"),
        ('["hunter2"]', "entry 1: it is no object"),
        ('[{"type": "A",\n "hunter2" "hunter2"}]', "line 2, column 12: Expecting ':' delimiter"),
    ],
)
def test_an_error_says_where_and_never_shows_what_stands_there(text: str, expected: str) -> None:
    with pytest.raises(Misconfigured, match=re.escape(expected)) as caught:
        parse_auth(text, "my auth")
    shown = "".join(traceback.format_exception(caught.value)) + caught.value.hint
    assert shown.count("my auth, ") == 1
    assert "hunter2" not in shown.replace(text, "")


def test_all_errors_are_reported_at_once() -> None:
    with pytest.raises(Misconfigured) as caught:
        parse_auth("nothing\ntype = A\nid = b")
    assert caught.value.message.splitlines() == [
        "auth file, line 1: column 1: expected KEY = VALUE",
        "auth file, line 3: it has no type",
    ]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"cannot read the auth file .*none: No such file"):
        read_auth_file(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"type = \xff")
    (tmp_path / "binary").chmod(0o600)
    with pytest.raises(Misconfigured, match="binary is not UTF-8"):
        read_auth_file(tmp_path / "binary")


def test_a_credential_does_not_print_its_values() -> None:
    assert "a;b" not in f"{FOUND[0]!r} {FOUND[0]}"


def test_credentials_are_found_by_id_and_by_type() -> None:
    assert by_id(FOUND, "one") is FOUND[1]
    assert of_type(FOUND, "openstack") == (FOUND[0],)
    assert of_type(FOUND, "EC2") == ()
    with pytest.raises(NotFound, match="id = two") as caught:
        by_id(FOUND, "two")
    assert caught.value.hint == "there are: occi.1, one, ost"


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,6}", fullmatch=True).filter(lambda name: name not in {"id", "type"})
ids = st.from_regex(r"[a-zA-Z_.][a-zA-Z0-9_.-]{0,6}", fullmatch=True)
entries = st.lists(
    st.tuples(ids, ids, st.dictionaries(names, st.text(max_size=10), max_size=3)), max_size=3, unique_by=lambda e: e[0]
)


def written(value: str) -> str:
    """Write a value as a careful user does."""
    quote = "'" if '"' in value else '"'
    return quote + value.replace("\n", "\\n") + quote


def can_be_written(value: str) -> bool:
    """The lines have no words for a backslash before an n, both quotes, or a carriage return."""
    return re.search(r"\\+\n|\\+n|\r", value) is None and not {"'", '"'} <= set(value)


@settings(max_examples=some(50), deadline=None)
@given(entries)
def test_what_was_written_in_lines_is_read(given_entries: list) -> None:
    wanted = [(i, t, {k: v for k, v in f.items() if can_be_written(v)}) for i, t, f in given_entries]
    lines = [
        f"id = {i}; type = {t}" + "".join(f"; {key} = {written(value)}" for key, value in fields.items())
        for i, t, fields in wanted
    ]
    assert parse_auth("\n".join(lines)) == tuple(credential(i, t, **f) for i, t, f in wanted)


@settings(max_examples=some(50), deadline=None)
@given(entries)
def test_what_was_written_as_json_is_read(given_entries: list) -> None:
    text = json.dumps([{"id": i, "type": t, **f} for i, t, f in given_entries])
    assert parse_auth(text) == tuple(credential(i, t, **f) for i, t, f in given_entries)
