"""Whatever templates, people and machines are called: pages show it, and do not do it."""

from itertools import pairwise

import pytest

from tests.im_client.api.dashboard.templates import EVIL
from tests.im_client.api.dashboard.test_changing import quiet
from tests.rigs.im_serve import Client, Serve
from tests.rigs.visitor import Page, Visitor

pytestmark = pytest.mark.slow
ADDRESSES = {"href", "src", "action", "formaction", "hx-get", "hx-post"}


def check(page: Page, *, shows: bool = True) -> None:
    """Fail where a page holds anything that a template of ours does not say."""
    scripts = [attributes for tag, attributes in page.tags if tag == "script"]
    assert [set(attributes) for attributes in scripts] == [{"defer", "src"}] * len(scripts)
    for tag, attributes in page.tags:
        assert tag not in {"iframe", "object", "embed", "base", "style"}
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert tag != "img" or attributes["src"].startswith("/dashboard/static/icon.svg")
        for name in ADDRESSES & attributes.keys():
            address = attributes[name]
            assert address.startswith(("/dashboard/", "#", "https://x.example/")), address
    if shows:
        assert " ".join(EVIL.split()) in page.text


def test_a_template_with_markup_in_all_that_it_says(ana: Visitor, client: Client) -> None:
    check(ana.get("/catalogue"))
    check(ana.get("/catalogue?q=evil", HX_Request="true"))
    check(ana.get("/templates/evil"))
    check(ana.post("/templates/evil", {"in:workers": EVIL, "in:cpus": EVIL, "in:note": EVIL, "name": EVIL}))
    plan = ana.post("/templates/evil", {"in:workers": "1", "in:note": EVIL})
    check(plan, shows=False)
    infra = quiet(ana, client, ana.post(f"{plan.path}/deploy"))
    page = ana.get(infra)
    check(page)
    links = [a["href"] for t, a in page.tags if t == "a" and a.get("rel")]
    assert links == ['https://x.example/"onmouseover="alert(1)'], "only web addresses become links"


@pytest.mark.parametrize(
    "path", [f"/catalogue?q={EVIL}", f"/infrastructures?q={EVIL}", f"/templates/{EVIL}", f"/{EVIL}"]
)
def test_markup_in_addresses(ana: Visitor, path: str) -> None:
    quoted = "".join(c if c.isalnum() or c in "/?=" else f"%{ord(c):02x}" for c in path)
    check(ana.get(quoted), shows=False)
    check(ana.get(quoted, HX_Request="true"), shows=False)


def test_markup_in_names_of_machines_and_in_errors(ana: Visitor, client: Client) -> None:
    template = """\
tosca_definitions_version: tosca_simple_yaml_1_3
topology_template:
  node_templates:
    "<b onclick=x>":
      type: tosca.nodes.Compute
      capabilities: {scalable: {properties: {min_instances: 0, max_instances: 3, default_instances: 1}}}
  outputs:
    "<img src=x onerror=y>": {value: "<script>alert(3)</script>"}
"""
    infra = client.create(template)
    page = ana.get(infra)
    check(page, shows=False)
    assert "<b onclick=x>" in page.text
    assert "<script>alert(3)</script>" in page.text
    check(ana.get(f"{infra}/vms/0"), shows=False)
    check(ana.get(f"{infra}/log"), shows=False)
    ana.get(infra)
    check(ana.post(f"{infra}/scale", {"count:<b onclick=x>": EVIL}), shows=False)
    ana.get(infra)
    check(ana.post(f"{infra}/destroy", {"name": EVIL}), shows=False)


@pytest.mark.parametrize(
    "said",
    [
        "[" * 80_000,
        "a: &a [x, x, x]\n" + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefghijk")),
    ],
    ids=["nested", "aliases"],
)
def test_a_field_that_would_end_the_server_is_wrong_and_no_more(ana: Visitor, said: str) -> None:
    page = ana.post("/templates/simple_node", {"in:count": said})
    assert page.status == 422
    assert "is not an integer" in page.text
    assert ana.get("/infrastructures").status == 200


def test_a_number_that_is_none_is_no_page(ana: Visitor, server: Serve) -> None:
    for visitor in (ana, Visitor(server.url)):
        assert visitor.get(f"/infrastructures/x/vms/{'9' * 5000}").status == 404


def test_markup_where_somebody_signs_in(ana: Visitor) -> None:
    ana.get("/infrastructures")
    ana.post("/sign-out")
    page = ana.sign_in(EVIL, following=EVIL)
    assert page.status == 401
    check(page, shows=False)
    assert next(a["value"] for t, a in page.tags if a.get("id") == "name") == EVIL
