"""Who gets in, what the browser keeps, and whose forms count."""

import ssl
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from im_client.state.server import Role
from tests.im_client.api.test_tls import write_certificate
from tests.rigs.im_serve import Client, Serve, im_serve
from tests.rigs.visitor import Visitor

pytestmark = pytest.mark.slow


def test_a_stranger_signs_in_and_comes_where_he_wanted_to_go(server: Serve, client: Client, name: str) -> None:
    stranger = Visitor(server.url)
    page = stranger.get("/catalogue?q=slurm")
    assert page.path == "/sign-in?next=%2Fdashboard%2Fcatalogue%3Fq%3Dslurm"
    following = next(a["value"] for t, a in page.tags if a.get("name") == "next")
    assert stranger.sign_in(name, following=following).path == "/catalogue?q=slurm"


@pytest.mark.parametrize(
    "following",
    [
        "https://evil.example/",
        "//evil.example",
        "/dashboard//evil.example",
        "/dashboard/../version",
        "/dashboard/\\evil",
    ],
)
def test_nobody_is_sent_elsewhere_after_signing_in(server: Serve, client: Client, name: str, following: str) -> None:
    assert Visitor(server.url).sign_in(name, following=following).path == "/infrastructures"


@pytest.mark.parametrize(("who", "password"), [("", "wrong horse"), ("nobody-", "correct horse")])
def test_what_was_wrong_is_not_told(server: Serve, client: Client, name: str, who: str, password: str) -> None:
    visitor = Visitor(server.url)
    page = visitor.sign_in(who + name, password)
    assert page.status == 401
    assert "credentials for this server are wrong, unknown or expired" in page.text
    assert visitor.get("/infrastructures").path.startswith("/sign-in")


def test_guessing_is_slowed_down(server: Serve, client: Client, name: str) -> None:
    visitor = Visitor(server.url)
    statuses = [visitor.sign_in(name, f"wrong {number}").status for number in range(11)]
    assert statuses == [401] * 10 + [429]
    page = visitor.sign_in(name)
    assert page.status == 429
    assert int(page.headers["retry-after"]) > 0


def test_the_key_is_for_the_browser_alone_and_new_each_time(server: Serve, client: Client, name: str) -> None:
    visitor = Visitor(server.url)
    visitor.sign_in(name)
    first = visitor.cookie("im_session")
    assert first.has_nonstandard_attr("HttpOnly")
    assert first.get_nonstandard_attr("SameSite") == "strict"
    assert first.path == "/dashboard"
    thief = Visitor(server.url)
    thief.jar.set_cookie(first)
    assert thief.get("/infrastructures").path == "/infrastructures"
    # who signs in once more gets another key, and the old one opens nothing
    visitor.get("/infrastructures")
    visitor.post("/sign-in", {"name": name, "password": "correct horse"})
    assert visitor.cookie("im_session").value != first.value
    assert thief.get("/infrastructures").path.startswith("/sign-in")


def test_signing_out_ends_the_session_for_who_copied_its_key(ana: Visitor, server: Serve) -> None:
    thief = Visitor(server.url)
    thief.jar.set_cookie(ana.cookie("im_session"))
    ana.get("/infrastructures")
    assert ana.post("/sign-out").path == "/sign-in"
    assert ana.get("/infrastructures").path.startswith("/sign-in")
    assert thief.get("/infrastructures").path.startswith("/sign-in")


def test_a_new_password_or_no_account_ends_the_sessions(server: Serve, ana: Visitor, name: str) -> None:
    server.im("user", "add", name, "--password-stdin", stdin="another horse\n")
    assert ana.get("/infrastructures").path.startswith("/sign-in")
    assert ana.sign_in(name, "another horse").path == "/infrastructures"
    server.im("user", "remove", name)
    assert ana.get("/infrastructures").path.startswith("/sign-in")


def test_a_token_opens_what_it_is_good_for(server: Serve, client: Client, name: str) -> None:
    token = server.token(name, Role.VIEWER).auth.removeprefix("Bearer ")
    visitor = Visitor(server.url)
    page = visitor.sign_in_by_token(token)
    assert page.path == "/infrastructures"
    assert not page.offers("/dashboard/catalogue?")
    assert "Deploy a template" not in page.text
    assert visitor.get("/templates/farm").status == 403
    assert Visitor(server.url).sign_in_by_token(token + "x").status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_forms_of_other_sites_do_not_count(ana: Visitor, headers: dict[str, str]) -> None:
    ana.get("/infrastructures")
    assert ana.post("/sign-out", **headers).status == 403
    assert ana.get("/infrastructures").path == "/infrastructures"


def test_a_form_counts_with_the_token_of_its_own_session_only(server: Serve, ana: Visitor) -> None:
    server.user("carl")
    carl = Visitor(server.url)
    token = carl.sign_in("carl").csrf
    assert token
    ana.get("/infrastructures")
    for wrong in ("", "x", token):
        page = ana.post("/sign-out", {"csrf": wrong})
        assert page.status == 403
        assert "does not belong to your session" in page.text
    # also signing in: nobody is signed in as somebody else without noticing
    stranger = Visitor(server.url)
    assert stranger.post("/sign-in", {"csrf": token, "name": "carl", "password": "correct horse"}).status == 403


def test_what_is_no_form_is_refused(ana: Visitor) -> None:
    ana.get("/infrastructures")
    assert ana.post("/sign-out", Content_Type="application/json").status == 415
    assert ana.post("/sign-out", {"x": "a" * 300_000}).status == 413


def test_every_answer_says_what_pages_may_do(server: Serve, ana: Visitor) -> None:
    for page in (
        Visitor(server.url).get("/sign-in"),
        ana.get("/catalogue"),
        ana.get("/nothing"),
        ana.get("/static/style.css"),
        ana.get("/infrastructures", HX_Request="true"),
    ):
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "style-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["x-content-type-options"] == "nosniff"
    assert ana.get("/catalogue").headers["cache-control"] == "no-store"


def test_no_page_holds_a_script_a_style_or_another_host(server: Serve, ana: Visitor) -> None:
    pages = [ana.get(path) for path in ("/infrastructures", "/catalogue", "/templates/farm", "/nothing")]
    pages.append(Visitor(server.url).get("/sign-in"))
    for page in pages:
        assert [a["src"].split("?")[0] for t, a in page.tags if t == "script"] == ["/dashboard/static/htmx.min.js"]
        assert not [t for t, a in page.tags if t == "style" or "style" in a or any(name.startswith("on") for name in a)]
        for _, attributes in page.tags:
            for name in ("src", "href", "action", "hx-get"):
                assert attributes.get(name, "/").startswith(("/dashboard/", "/", "#"))
                assert not attributes.get(name, "/").startswith("//")


def test_a_browser_is_sent_to_the_pages_and_others_find_what_they_always_did(server: Serve, client: Client) -> None:
    request = urllib.request.Request(server.url + "/", headers={"Accept": "text/html,*/*;q=0.8"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.geturl() == f"{server.url}/dashboard/sign-in?next=%2Fdashboard%2F"
    assert client("GET", "/").status == 404
    paths = client("GET", "/openapi.json").json["paths"]
    assert not [path for path in paths if "dashboard" in path or path == "/"]


def test_under_tls_the_key_never_travels_in_clear(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    with im_serve(tmp_path, IM_SERVER_TLS_CERTIFICATE=str(certificate), IM_SERVER_TLS_KEY=str(key)) as server:
        server.user("ana")
        visitor = Visitor(server.url, ssl.create_default_context(cafile=str(certificate)))
        assert visitor.sign_in("ana").path == "/infrastructures"
        cookie = visitor.cookie("__Host-im")
        assert cookie.secure
        assert cookie.path == "/"
        assert cookie.has_nonstandard_attr("HttpOnly")
        assert visitor.post("/sign-out").path == "/sign-in"
        assert "__Host-im" not in [one.name for one in visitor.jar]


def test_the_owner_can_switch_the_pages_off(tmp_path: Path) -> None:
    with im_serve(tmp_path, IM_SERVER_DASHBOARD="false") as server:
        assert Visitor(server.url).get("/sign-in").status == 404
        request = urllib.request.Request(server.url + "/", headers={"Accept": "text/html"})
        with pytest.raises(urllib.error.HTTPError, match="404") as found:
            urllib.request.urlopen(request, timeout=10)
        found.value.close()
