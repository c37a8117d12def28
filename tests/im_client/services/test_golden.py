"""Who keeps golden images, and what happens around saving a machine."""

import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from im_client.plan.model import Action, Phase
from im_client.providers.images import ImageKeeper
from im_client.providers.registry import provider
from im_client.services.apply import apply
from im_client.services.context import Context, open_context
from im_client.services.golden import find_image, image_keeper, known_images
from im_client.services.model import DeployRequest
from im_client.services.prepare import prepare_deploy, prepare_scale
from im_client.services.reading import show
from im_client.services.saving import SaveRequest, check_save, save_image
from im_client.state.store import RunState
from infracore.errors import Conflict, InfraError, InvalidUsage, NotFound, TimedOut, Unauthorised, Unsupported

TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {template_name: site}
topology_template:
  node_templates:
    web:
      type: tosca.nodes.Compute
      capabilities: {scalable: {properties: {min_instances: 0, max_instances: 9, default_instances: 1}}}
"""
IMPORT = "imports: [types/custom_types.yaml]"


@pytest.fixture
def ctx(tmp_path: Path) -> Iterator[Context]:
    (tmp_path / "t.yaml").write_text(TEMPLATE)
    environ = {"IM_STATE_DIR": str(tmp_path / "state"), "IM_PROVIDER": "fake", "HOME": str(tmp_path)}
    environ["IM_CACHE_DIR"] = str(tmp_path / "cache")
    with open_context(environ=environ, cwd=tmp_path) as context:
        prepared = prepare_deploy(context, DeployRequest("t.yaml"))
        apply(context, prepared, listener=lambda _: None, cancel=threading.Event())
        yield context


def save(ctx: Context, *, cancelled: bool = False, name: str = "site-web") -> None:
    cancel = threading.Event()
    plan = check_save(ctx, SaveRequest("site", "web-1", name))
    if cancelled:
        cancel.set()
    save_image(ctx, plan, listener=lambda _: None, cancel=cancel)


def test_providers_without_images_say_so_and_those_that_have_them_are_known(tmp_path: Path) -> None:
    qemu = provider("local", {"kind": "qemu", "state_dir": str(tmp_path)})
    with pytest.raises(Unsupported, match="here keeps no images"):
        image_keeper(qemu, "here")
    assert isinstance(provider("fake"), ImageKeeper)


def test_a_machine_that_cannot_be_stopped_is_not_saved(ctx: Context) -> None:
    with pytest.raises(InfraError, match="could not be stopped"):
        save(ctx, cancelled=True)
    assert known_images(ctx).images == ()
    assert show(ctx, "site").nodes[0].phase is Phase.CONFIGURED


def test_a_machine_whose_saving_fails_runs_again(ctx: Context) -> None:
    save(ctx)
    plan = check_save(ctx, SaveRequest("site", "web-1", "another"))
    taken = dataclasses.replace(plan, image=dataclasses.replace(plan.image, name="site-web"))
    with pytest.raises(Conflict, match="already"):
        save_image(ctx, taken, listener=lambda _: None, cancel=threading.Event())
    assert show(ctx, "site").nodes[0].phase is Phase.CONFIGURED


def test_a_machine_that_is_not_configured_is_not_saved(ctx: Context) -> None:
    node = show(ctx, "site").nodes[0]
    ctx.store.put_node(dataclasses.replace(node, phase=Phase.UNCONFIGURED))
    with pytest.raises(Conflict, match="not configured"):
        check_save(ctx, SaveRequest("site", "web-1"))


def test_what_was_begun_from_an_image_that_is_gone_is_begun_anew(ctx: Context) -> None:
    save(ctx)
    prepared = prepare_scale(ctx, "site", {"web": 2}, images={"web": "site-web"})
    apply(ctx, prepared, listener=lambda _: None, cancel=threading.Event())
    node = show(ctx, "site").nodes[1]
    fake = ctx.provider("fake")
    assert node.spec.golden_image == "fake-site-web"
    fake.delete(node.provider_id or "")  # as if a killed process had only written its intent
    ctx.store.put_node(dataclasses.replace(node, phase=Phase.CREATING, provider_id=None))
    image_keeper(fake, "fake").delete_image("fake-site-web")
    report = apply(ctx, prepare_deploy(ctx, DeployRequest("t.yaml")), listener=lambda _: None, cancel=threading.Event())
    assert report.state is RunState.DONE
    assert show(ctx, "site").nodes[1].spec.golden_image is None


def test_looking_at_an_image_that_is_not_there_is_an_error(ctx: Context) -> None:
    with pytest.raises(NotFound):
        image_keeper(ctx.provider("fake"), "fake").check_image("nope")


@pytest.mark.parametrize(
    ("image", "is_used"),
    [("golden://fake/site-web", True), ("golden://elsewhere/site-web", False), ("ost://x/y", False)],
)
def test_the_address_of_a_golden_image_counts_as_its_name(ctx: Context, image: str, is_used: bool) -> None:
    save(ctx)
    text = TEMPLATE.replace("capabilities: {", f"capabilities: {{os: {{properties: {{image: '{image}'}}}}, ")
    types = "imports: [{x: 'https://raw.githubusercontent.com/grycap/tosca/main/custom_types.yaml'}]\n"
    text = text.replace("topology_template:", f"{types}topology_template:").replace(
        "nodes.Compute", "nodes.indigo.Compute"
    )
    (ctx.cwd / "other.yaml").write_text(text)
    (step,) = prepare_deploy(ctx, DeployRequest("other.yaml", name="other")).plan.steps
    assert dict(step.images) == ({"fake": "fake-site-web"} if is_used else {})
    assert step.spec is not None
    assert step.spec.image == (image if image.startswith("ost") else None)


def test_a_machine_that_cannot_be_logged_in_to_is_not_saved_where_it_must_be_scrubbed_over_ssh(ctx: Context) -> None:
    ctx.provider("fake").scrubs_images = False  # type: ignore[attr-defined]
    with pytest.raises(Unsupported, match="removed by root, over ssh"):
        check_save(ctx, SaveRequest("site", "web-1", "x"))
    machine = ctx.provider("fake").list_machines()[0]
    ctx.provider("fake").stop(machine.provider_id)
    with pytest.raises(Conflict, match="secrets are removed from it over ssh"):
        check_save(ctx, SaveRequest("site", "web-1", "x"))
    assert show(ctx, "site").nodes[0].phase is Phase.CONFIGURED


def test_a_place_that_cannot_be_asked_hides_no_images_of_others(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(TEMPLATE)
    environ = {"IM_STATE_DIR": str(tmp_path / "state"), "IM_PROVIDER": "fake", "HOME": str(tmp_path)}
    sites = {"sites.far.provider": "fake", "sites.far.password": "sesame"}  # for which there is no line
    with open_context(environ=environ, cwd=tmp_path, overrides=sites) as ctx:
        apply(ctx, prepare_deploy(ctx, DeployRequest("t.yaml")), listener=lambda _: None, cancel=threading.Event())
        save(ctx)
        known = known_images(ctx)
        assert [one.image.name for one in known.images] == ["site-web"]
        assert list(known.silent) == ["far"]
        assert isinstance(known.silent["far"], Unauthorised)
        assert find_image(ctx, "site-web").site == "fake"
        with pytest.raises(NotFound, match="not asked: far"):
            find_image(ctx, "other")
        with pytest.raises(Unauthorised):
            find_image(ctx, "site-web", "far")


def test_a_site_that_is_down_keeps_no_image_of_another_from_being_used(ctx: Context, tmp_path: Path) -> None:
    save(ctx)
    down = "{op: images, error: TimedOut, times: 99}"
    where = "targets: [web], properties: {sites: [far, fake]}"
    policy = f"policies: [{{at: {{type: tosca.policies.indigo.Placement, {where}}}}}]"
    (tmp_path / "t.yaml").write_text(f"{TEMPLATE}  {policy}\n".replace("topology_", f"{IMPORT}\ntopology_", 1))
    environ = {"IM_STATE_DIR": str(tmp_path / "state"), "IM_PROVIDER": "fake", "HOME": str(tmp_path)}
    sites = {"sites.far.provider": "fake", "sites.far.faults": f"[{down}]"}
    with open_context(environ=environ, cwd=tmp_path, overrides=sites) as both:
        prepared = prepare_deploy(both, DeployRequest("t.yaml", name="two"))
        apply(both, prepared, listener=lambda _: None, cancel=threading.Event())
        more = prepare_scale(both, "two", {"web": 2}, images={"web": "site-web"})
        (create,) = (step for step in more.plan.steps if step.action is Action.CREATE)
        assert (create.sites, dict(create.images)) == (("far", "fake"), {"fake": "fake-site-web"})
        assert any("site-web of web cannot be looked for at far" in note for note in more.notes)
        with pytest.raises(TimedOut):
            prepare_scale(both, "two", {"web": 2}, images={"web": "other"})


def test_when_the_only_place_cannot_be_asked_its_reason_is_the_answer(tmp_path: Path) -> None:
    environ = {"IM_STATE_DIR": str(tmp_path / "state"), "IM_PROVIDER": "fake", "HOME": str(tmp_path)}
    with (
        open_context(environ=environ, cwd=tmp_path, overrides={"providers.fake.password": "sesame"}) as ctx,
        pytest.raises(Unauthorised, match="password"),
    ):
        known_images(ctx)


def test_only_who_is_told_saves_a_machine_with_its_secrets(ctx: Context) -> None:
    with pytest.raises(InvalidUsage, match="removes secrets from images by itself"):
        check_save(ctx, SaveRequest("site", "web-1", "x", unscrubbed=True))
    ctx.provider("fake").scrubs_images = False  # type: ignore[attr-defined]
    with pytest.raises(Unsupported, match="it cannot be logged in to") as caught:
        check_save(ctx, SaveRequest("site", "web-1", "x"))
    assert "--unscrubbed" in caught.value.hint
    plan = check_save(ctx, SaveRequest("site", "web-1", "x", unscrubbed=True))
    save_image(ctx, plan, listener=lambda _: None, cancel=threading.Event())
    assert [one.image.name for one in known_images(ctx).images] == ["x"]
    assert show(ctx, "site").nodes[0].phase is Phase.CONFIGURED
