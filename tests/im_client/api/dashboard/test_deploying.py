"""From the catalogue to a new infrastructure."""

import re
from pathlib import Path

import pytest

from tests.im_client.api.dashboard.conftest import furnish
from tests.rigs.im_serve import Client, Serve, im_serve
from tests.rigs.visitor import Page, Visitor

pytestmark = pytest.mark.slow

FARM = {"in:workers": "1", "in:cpus": "2", "in:zone": "north"}


def deploy(ana: Visitor, template: str = "farm", **form: str) -> Page:
    """Fill in a form, accept its plan, and return the page of the infrastructure."""
    ana.get(f"/templates/{template}")
    plan = ana.post(f"/templates/{template}", {**FARM, **form})
    assert plan.path.startswith("/drafts/"), plan.text
    return ana.post(f"{plan.path}/deploy")


def test_the_catalogue_is_searched_in_all_that_templates_say(ana: Visitor) -> None:
    whole = ana.get("/catalogue")
    assert "Slurm cluster" in whole.text
    assert "Render farm" in whole.text
    assert "+ One machine more" in whole.text
    assert not whole.offers("/dashboard/templates/extra"), "an add-on is no template of its own"
    assert not whole.offers("/dashboard/templates/broken")
    found = ana.get("/catalogue?q=pictures+GRAPHICS", HX_Request="true")
    assert not found.html.lstrip().startswith("<!doctype")
    assert "1 template for" in found.text
    assert found.offers("/dashboard/templates/farm")
    assert not found.offers("/dashboard/templates/slurm_cluster")
    assert "1 template for" in ana.get("/catalogue?q=beside+the+others").text, "add-ons lead to their templates"
    assert "No template has all of these words" in ana.get("/catalogue?q=nothing+of+this").text


def test_a_form_has_a_field_for_each_input(ana: Visitor) -> None:
    page = ana.get("/templates/farm")
    fields = {a.get("name", ""): (t, a) for t, a in page.tags if a.get("name", "").startswith("in:") and "id" in a}
    assert {name: tag for name, (tag, _) in fields.items()} == {
        "in:workers": "input", "in:cpus": "select", "in:admin_password": "input", "in:users": "textarea",
        "in:ports": "textarea", "in:zone": "input", "in:fast": "input", "in:limit": "input",
    }  # fmt: skip
    workers = fields["in:workers"][1]
    assert (workers["type"], workers["min"], workers["max"], workers["value"]) == ("number", "0", "9", "2")
    assert fields["in:admin_password"][1]["type"] == "password"
    assert "required" in fields["in:zone"][1]
    assert "required" not in workers
    assert fields["in:fast"][1]["type"] == "checkbox"
    assert "checked" in fields["in:fast"][1]
    labelled = {a["for"] for t, a in page.tags if t == "label" and "for" in a}
    for tag, attributes in fields.values():
        assert attributes["id"] in labelled or attributes.get("type") == "checkbox", (tag, attributes)
    legends = [
        word for word in ("Name", "Add-ons", "Size", "Access", "Rest") if f"<legend>{word}</legend>" in page.html
    ]
    assert legends == ["Name", "Add-ons", "Size", "Access", "Rest"]


def test_what_is_wrong_stands_beside_its_field_and_what_was_written_is_still_there(ana: Visitor) -> None:
    ana.get("/templates/farm")
    page = ana.post(
        "/templates/farm",
        {
            "name": "no name",
            "in:workers": "12",
            "in:cpus": "3",
            "in:limit": "much",
            "in:ports": "http",
            "in:users": "x",
        },
    )
    assert page.status == 422
    assert page.errors.keys() == {"name", "workers", "cpus", "limit", "ports", "zone"}
    assert "required" in page.errors["zone"]
    assert "NAME: VALUE" in page.errors["ports"]
    values = {a["name"]: a.get("value") for t, a in page.tags if t == "input" and "name" in a}
    assert (values["name"], values["in:workers"], values["in:limit"]) == ("no name", "12", "much")


def test_a_secret_is_not_given_back(ana: Visitor) -> None:
    ana.get("/templates/farm")
    page = ana.post("/templates/farm", {**FARM, "in:admin_password": "hunter22", "in:workers": "99"})
    assert page.status == 422
    assert "hunter22" not in page.html
    plan = ana.post("/templates/farm", {**FARM, "in:admin_password": "hunter22"})
    assert plan.path.startswith("/drafts/")
    assert "hunter22" not in plan.html


def test_the_plan_is_shown_before_anything_is_made(ana: Visitor, client: Client) -> None:
    ana.get("/templates/farm")
    plan = ana.post("/templates/farm", {**FARM, "name": "lab"})
    assert plan.status == 200
    assert "Plan of lab" in plan.text
    assert "Plan: 2 to create" in plan.text
    assert "the template asks for 1 of worker" in plan.text
    assert "2 machines 3 CPUs 1 GiB memory" in plan.text
    assert re.search(r"Machines: this needs 2, \d+ used, no limit is told\.", plan.text)
    assert re.search(r"Memory: this needs 1 GiB, .+ used, no limit is told\.", plan.text)
    assert "will not fit" not in plan.text
    svg = next(a for t, a in plan.tags if t == "svg")
    assert svg["aria-label"] == "Groups of machines: front (1), worker (1); private networks: private."
    assert client("GET", "/infrastructures").text == ""


def test_a_plan_that_will_not_fit_says_so(tmp_path: Path) -> None:
    settings = furnish(tmp_path) / "im.yaml"
    settings.write_text("server: {catalogue: [own]}\nproviders: {fake: {capacity: 3}}\n")
    with im_serve(tmp_path) as server:
        server.user("ana")
        ana = Visitor(server.url)
        assert ana.sign_in("ana").status == 200
        ana.get("/templates/farm")
        plan = ana.post("/templates/farm", {**FARM, "in:workers": "3", "name": "lab"})
    assert "Fake has room for 3 machines, and this makes 4: it will not fit as it is." in plan.text
    assert "Machines: this needs 4, 0 used of 3." in plan.text


def test_a_plan_leads_back_to_its_form(ana: Visitor) -> None:
    ana.get("/templates/farm")
    plan = ana.post("/templates/farm", {**FARM, "name": "lab", "in:users": "carl\ndora", "in:fast": "false"})
    back = next(a["href"] for t, a in plan.tags if t == "a" and "draft=" in a.get("href", ""))
    page = ana.get(back.removeprefix("/dashboard"))
    assert "carl\ndora" in page.html
    values = {a["name"]: a for t, a in page.tags if t in {"input"} and "id" in a and "name" in a}
    assert values["name"]["value"] == "lab"
    assert values["in:workers"]["value"] == "1"
    assert "checked" not in values["in:fast"]


def test_an_add_on_brings_its_settings_and_its_machines(ana: Visitor) -> None:
    ana.get("/templates/farm")
    with_its_own = ana.post("/templates/farm", {**FARM, "add": "extra", "add_ons_only": "yes"})
    assert with_its_own.status == 200
    assert "<legend>More</legend>" in with_its_own.html
    assert 'name="in:extra_cpus"' in with_its_own.html
    plan = ana.post("/templates/farm", {**FARM, "add": "extra"})
    assert "Plan: 3 to create" in plan.text, "settings that were not seen are as the add-on says"
    wrong = ana.post("/templates/farm", {**FARM, "add": "extra", "in:extra_cpus": "20"})
    assert wrong.errors.keys() == {"extra_cpus"}
    none = ana.post("/templates/farm", {**FARM, "add": "slurm_cluster"})
    assert "Plan: 2 to create" in none.text, "what is no add-on of it is not merged"


def test_deploying_makes_it_once_however_often_it_is_clicked(ana: Visitor, client: Client) -> None:
    ana.get("/templates/farm")
    plan = ana.post("/templates/farm", {**FARM, "name": "lab"})
    first = ana.post(f"{plan.path}/deploy")
    second = ana.post(f"{plan.path}/deploy", {"csrf": plan.csrf})
    assert first.path == second.path == ana.get(plan.path).path
    assert first.path.startswith("/infrastructures/")
    assert "lab-" in first.text
    assert "It is recorded" in first.text
    assert len(client("GET", "/infrastructures").text.splitlines()) == 1


def test_what_was_written_is_what_is_deployed(ana: Visitor, client: Client) -> None:
    page = deploy(ana, **{"in:workers": "3", "in:admin_password": "hunter22"})
    infra = page.path
    operations = client("GET", f"{infra}/operations").json["operations"]
    client.settle_at(f"/operations/{operations[0]['id']}")
    assert sorted(client.vms(infra).values()) == ["configured"] * 4
    assert client("GET", f"{infra}/outputs", Accept="application/json").json["outputs"]["admin_password"] == "hunter22"


def test_a_draft_is_for_its_own_session(server: Serve, ana: Visitor) -> None:
    ana.get("/templates/farm")
    plan = ana.post("/templates/farm", FARM)
    server.user("carl")
    carl = Visitor(server.url)
    carl.sign_in("carl")
    assert carl.get(plan.path).status == 404
    assert carl.post(f"{plan.path}/deploy").status == 404


def test_a_template_that_is_wrong_says_so_and_one_that_is_not_there_too(ana: Visitor) -> None:
    page = ana.get("/templates/wrong")
    assert page.status == 400
    assert "template.yaml, line 5" in page.text
    assert "tosca.nodes.Nothing" in page.text
    assert ana.get("/templates/absent").status == 404
    assert ana.get("/templates/..%2f..%2fetc%2fpasswd").status == 404
    assert ana.get("/nothing").status == 404


def test_all_our_own_templates_lead_to_a_plan(ana: Visitor) -> None:
    names = [
        a["href"].rsplit("/", 1)[-1]
        for t, a in ana.get("/catalogue").tags
        if t == "a" and "/templates/" in a.get("href", "")
    ]
    ours = set(names) - {"farm", "evil", "wrong"}
    assert {"slurm_cluster", "k3s_elastic", "nfs_cluster", "simple_node"} <= ours
    for name in sorted(ours):
        form = ana.get(f"/templates/{name}")
        said = {a["name"]: a["value"] for t, a in form.tags if t == "input" and a.get("name", "").startswith("in:")}
        assert form.status == 200
        plan = ana.post(f"/templates/{name}", {k: v for k, v in said.items() if v})
        assert plan.path.startswith("/drafts/"), (name, plan.text)


def test_a_plan_tells_sizes_prices_and_what_was_chosen_without_being_asked(tmp_path: Path) -> None:
    furnish(tmp_path)
    (tmp_path / "im.yaml").write_text(
        "server: {catalogue: [own]}\n"
        "providers: {fake: {sizes: [{name: <m1>, num_cpus: 2, mem_bytes: 4294967296, price: 0.25}], "
        "currency: EUR, images: [debian-12], notes: [the network inner is used]}}\n"
    )
    with im_serve(tmp_path) as server:
        server.user("ana")
        ana = Visitor(server.url)
        assert ana.sign_in("ana").status == 200
        ana.get("/templates/farm")
        plan = ana.post("/templates/farm", {**FARM, "in:workers": "3", "name": "lab"})
    assert "1 EUR an hour" in plan.text
    assert "0.25 EUR each" in plan.text
    assert "the network inner is used" in plan.text
    assert "&lt;m1&gt;" in plan.html
    assert "<m1>" not in plan.html
