"""Words of the original, templates that are merged, and what templates of strangers may not say."""

from pathlib import Path

import pytest

from im_client.plan.model import Phase, Spec
from im_client.services.server.bodies import GuardedReader, public_addresses
from im_client.services.server.merging import merge_templates, template_name, with_counts
from im_client.services.server.strangers import refuse_foreign
from im_client.services.server.words import state_of_all, state_of_vm
from im_client.services.templates import FileReader
from im_client.state.server import Role
from im_client.state.store import NodeRecord
from im_client.template.problems import InvalidTemplate
from im_client.topology.model import Artifact, ArtifactKind, Operation, OperationPhase, Topology
from im_client.topology.values import Concat, Token, Value
from im_client.tosca.front import analyse
from infracore.content import content_folder
from infracore.errors import NotFound, Unauthorised, Unsupported
from infracore.secrets import Secret
from tests.im_client.api.templates import tosca


def node(phase: Phase, failure: str = "") -> NodeRecord:
    return NodeRecord("i", "n-1", "n", 1, "t", "fake", phase, Spec(), 0.0, 0.0, failure=failure)


@pytest.mark.parametrize(
    ("record", "is_busy", "word"),
    [
        (None, True, "pending"),
        (node(Phase.CREATING), True, "pending"),
        (node(Phase.CREATING, "no quota"), True, "pending"),
        (node(Phase.CREATING, "no quota"), False, "failed"),
        (node(Phase.RUNNING), False, "running"),
        (node(Phase.UNCONFIGURED), True, "running"),
        (node(Phase.UNCONFIGURED), False, "unconfigured"),
        (node(Phase.UNCONFIGURED, "task failed"), True, "unconfigured"),
        (node(Phase.GONE), False, "off"),
    ],
)
def test_a_vm_has_the_words_of_the_original(record: NodeRecord | None, is_busy: bool, word: str) -> None:
    assert state_of_vm(record, is_busy=is_busy) == word


@pytest.mark.parametrize(
    ("vms", "word"),
    [
        (["configured", "failed", "pending"], "failed"),
        (["configured", "pending", "running"], "pending"),
        (["configured", "running"], "running"),
        (["configured", "stopped"], "stopped"),
        (["configured", "unconfigured"], "unconfigured"),
        (["configured"], "configured"),
        (["deleting"], "deleting"),
        ([], "pending"),
    ],
)
def test_the_first_word_that_any_vm_has_is_that_of_the_infrastructure(vms: list[str], word: str) -> None:
    assert state_of_all(vms, is_deleting=False, has_failed=False) == word
    assert state_of_all(vms, is_deleting=True, has_failed=False) == "deleting"
    if not vms:
        assert state_of_all(vms, is_deleting=False, has_failed=True) == "failed"


def test_a_role_may_what_lesser_roles_may() -> None:
    roles = [Role.VIEWER, Role.SCALER, Role.OPERATOR, Role.OWNER]
    for rank, role in enumerate(roles):
        assert [role.allows(other) for other in roles] == [place <= rank for place in range(4)]


def test_a_whole_template_with_another_count_stays_the_clients_own_text() -> None:
    merged = merge_templates(tosca(2), tosca(5), {})
    assert merged.text == tosca(5)
    assert merged.counts == {"worker": 5}


def test_a_part_of_a_template_is_laid_over_the_rest() -> None:
    part = "topology_template: {node_templates: {front: {capabilities: {host: {properties: {num_cpus: 8}}}}}}"
    merged = merge_templates(tosca(2), part, {})
    assert "num_cpus: 8" in merged.text
    assert "max_instances: 600" in merged.text
    assert merged.counts == {}


def test_a_removal_list_numbers_vms_and_is_kept_by_name() -> None:
    merged = merge_templates(tosca(2), tosca(1, extra=", removal_list: ['7']"), {7: "worker-2"})
    assert merged.removal == {"worker": ("worker-2",)}
    assert "worker-2" in merged.text
    assert "removal_list" not in merge_templates(merged.text, tosca(1), {}).text
    with pytest.raises(NotFound):
        merge_templates(tosca(2), tosca(1, extra=", removal_list: [9]"), {7: "worker-2"})


@pytest.mark.parametrize("change", ["", "- a list", "a: [", "a: &x [*x]"])
def test_what_is_no_template_is_no_change(change: str) -> None:
    with pytest.raises(InvalidTemplate):
        merge_templates(tosca(2), change, {})


def test_a_template_goes_out_with_the_counts_of_now() -> None:
    assert with_counts(tosca(2), {}) == tosca(2)
    assert "count: 7" in with_counts(tosca(2), {"worker": 7})
    plain = "topology_template: {node_templates: {n: {type: tosca.nodes.Compute}}}"
    assert "default_instances: 7" in with_counts(plain, {"n": 7})


@pytest.mark.parametrize(
    ("text", "name"),
    [("metadata:\n  template_name: a b # c\n", "a b"), ("x: 1", ""), ("metadata: {}\n template_name: 'q'\n", "q")],
)
def test_a_template_is_searched_for_its_name(text: str, name: str) -> None:
    assert template_name(text) == name


def topology(location: str, value: Value = 1, requires: tuple[Artifact, ...] = (), *, name: str = "x") -> Topology:
    operation = Operation(
        id="c.Standard.configure",
        component="c",
        interface="Standard",
        operation="configure",
        group="g",
        phase=OperationPhase.CONFIGURE,
        tier=0,
        implementation=Artifact(ArtifactKind.PLAYBOOK, location),
        inputs={name: value},
        requires=requires,
    )
    return Topology("t", operations=(operation,))


OURS = f"{content_folder()}/playbooks/slurm.yml"


def test_our_own_playbooks_run_for_strangers() -> None:
    refuse_foreign(topology(OURS, ("text", {"a": Concat(("b", "}"))})))
    refuse_foreign(topology(OURS, "", name="kube_repository_key"))
    refuse_foreign(topology(OURS, "10.0.0.1", name="front_end_ip"))
    refuse_foreign(topology(OURS, "kind: Namespace\n", name="kube_network_objects"))


@pytest.mark.parametrize("path", sorted((content_folder() / "tosca_templates").glob("*.yaml")), ids=lambda p: p.name)
def test_our_own_templates_are_taken_from_strangers(path: Path) -> None:
    analysis = analyse(str(path), FileReader(path.parent, offline=True))
    assert analysis.topology is not None
    refuse_foreign(analysis.topology)


@pytest.mark.parametrize(
    "wanted",
    [
        topology("https://example.org/x.yml"),
        topology("https://template.invalid/i/t.yaml!/x.yml"),
        topology(OURS, requires=(Artifact(ArtifactKind.ROLE, "somebody.role"),)),
        topology(OURS, "{{ lookup('file', '/etc/passwd') }}"),
        topology(OURS, Secret("{% x %}")),
        topology(OURS, {"{{ key }}": 1}),
        topology(OURS, Concat(("{", "{ lookup('env', 'HOME') }}"))),
        topology(OURS, Token("{a{ lookup", "a", 1)),
        topology(OURS, "local", name="ansible_connection"),
        topology(OURS, "/etc/shadow", name="cluesd_requirements"),
        topology(OURS, "/etc/cron.d/x", name="k3s_server_kubeconfig_file"),
        topology(OURS, (("name", "localhost"),), name="im_nodes"),
        topology(OURS, "/etc/shadow", name="kube_repository_key"),
        topology(OURS, "/etc/shadow", name="kube_network_manifest"),
        topology(OURS, "{{ 7 * 7 }}", name="kube_network_objects"),
    ],
)
def test_code_and_expressions_of_strangers_are_refused(wanted: Topology) -> None:
    with pytest.raises(Unsupported):
        refuse_foreign(wanted)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "169.254.169.254", "10.1.2.3", "192.168.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1", "localhost"),
        *("::1", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "2002:7f00:1::"),
    ],
)
def test_only_public_addresses_are_fetched_from(host: str) -> None:
    with pytest.raises(Unauthorised):
        public_addresses(host, 443)


def test_a_public_address_is_one() -> None:
    assert public_addresses("1.1.1.1", 443) == ["1.1.1.1"]


@pytest.mark.parametrize(
    "host", ["64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "::127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::"]
)
def test_private_addresses_inside_of_others_are_seen(host: str) -> None:
    with pytest.raises(Unauthorised):
        public_addresses(host, 443)


@pytest.mark.parametrize("address", ["https://x.example:99999/", "https://x.example:-1/", "https://[/"])
def test_an_address_that_is_none_is_called_so(address: str, tmp_path: Path) -> None:
    with pytest.raises(Unauthorised, match="is none"):
        GuardedReader(tmp_path).read(address)
