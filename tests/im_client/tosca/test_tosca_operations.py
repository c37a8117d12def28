"""Operations: their order, inputs, implementations, roles, and the hooks of relationships."""

# ruff: noqa: E501 (templates are read best with one node a line)
import pytest

from im_client.topology.model import Artifact, ArtifactKind, OperationPhase
from im_client.topology.values import Attribute, Scope
from tests.im_client.tosca.reading import CATALOGUE, HEADER, WITH_TYPES, analysed, nodes, said, texts, topology

FILES = {"site__yml": "[]", "run__sh": "true"}


def app(body: str, more: str = "") -> str:
    return nodes(
        f"m: {{type: tosca.nodes.indigo.Compute}}\na:\n  type: tosca.nodes.SoftwareComponent\n  requirements: [host: m]\n"
        f"  interfaces: {{Standard: {body}}}\n{more}",
        WITH_TYPES,
    )


def test_operations_run_in_the_order_of_their_life_whatever_the_order_in_the_template() -> None:
    made = topology(
        app("{delete: site.yml, start: site.yml, stop: site.yml, create: run.sh, configure: site.yml}"),
        reader=texts(**FILES),
    )
    assert [(o.operation, o.phase) for o in made.operations] == [
        ("create", OperationPhase.CONFIGURE),
        ("configure", OperationPhase.CONFIGURE),
        ("start", OperationPhase.CONFIGURE),
        ("stop", OperationPhase.STOP),
        ("delete", OperationPhase.DELETE),
    ]
    assert made.operations[0].id == "a.Standard.create"
    assert made.operations[0].group == "m"


@pytest.mark.parametrize(
    "body",
    [
        "{configure: site.yml}",
        "{configure: {implementation: site.yml}}",
        "{configure: {implementation: {primary: site.yml}}}",
        "{configure: {implementation: {file: site.yml, type: tosca.artifacts.Implementation.YAML}}}",
        "{operations: {configure: {implementation: site.yml}}}",
        "{type: tosca.interfaces.node.lifecycle.Standard, configure: file:///templates/site.yml}",
    ],
)
def test_every_way_to_say_an_implementation(body: str) -> None:
    reader = texts(**FILES)
    operation = topology(app(body), reader=reader).operations[0]
    digest = reader.digest("/templates/site.yml")
    assert operation.implementation == Artifact(ArtifactKind.PLAYBOOK, "/templates/site.yml", digest=digest)


def test_an_implementation_may_be_the_name_of_an_artifact_and_depend_on_others() -> None:
    body = "{configure: {implementation: {primary: book, dependencies: [tool]}}}"
    more = (
        "  artifacts:\n    book: {file: site.yml}\n"
        "    tool: {file: 'git+https://code.example/tool,v2|tool', type: tosca.artifacts.AnsibleGalaxy.role}\n"
        "    set: {file: ansible.posix, version: 1.2.0, type: tosca.artifacts.AnsibleGalaxy.collection}\n"
    )
    operation = topology(app(body, more), reader=texts(**FILES)).operations[0]
    assert operation.implementation.location == "/templates/site.yml"
    assert operation.requires == (
        Artifact(ArtifactKind.ROLE, "git+https://code.example/tool", "v2", "tool"),
        Artifact(ArtifactKind.COLLECTION, "ansible.posix", "1.2.0"),
    )


def test_https_implementations_are_not_fetched() -> None:
    reader = texts()
    operation = topology(app("{configure: https://books.example/a.yml}"), reader=reader).operations[0]
    assert operation.implementation.location == "https://books.example/a.yml"
    assert reader.asked == ["/templates/main.yaml"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{configure: absent.yml}", "unknown-artifact"),
        ("{configure: http://books.example/a.yml}", "unknown-artifact"),
        ("{configure: {implementation: {file: site.yml, repository: nowhere}}}", "unknown-artifact"),
        ("{konfigure: site.yml}", "unknown-operation"),
        ("{configure: {implementation: site.yml, input: {}}}", "unknown-key"),
        ("{configure: [site.yml]}", "wrong-type"),
        ("{configure: {implementation: site.yml, inputs: [a]}}", "not-a-map"),
    ],
)
def test_operations_that_cannot_run(body: str, code: str) -> None:
    assert [c for _, _, c in said(analysed(app(body), reader=texts(**FILES)))] == [code]


def test_an_add_ons_implementation_is_relative_to_the_add_on() -> None:
    parent = app("{configure: site.yml}")
    add_on = nodes(
        "a:\n  interfaces: {Standard: {configure: {implementation: https://x.example/b.yml, inputs: {p: 1}}}}\n", ""
    )
    operation = topology(parent, add_on, reader=texts(**FILES)).operations[0]
    assert (operation.implementation.location, dict(operation.inputs)) == ("https://x.example/b.yml", {"p": 1})


TYPED = (
    HEADER
    + """
node_types:
  x.Base:
    derived_from: tosca.nodes.SoftwareComponent
    properties: {port: {type: integer, default: 80}}
    artifacts: {r: {file: base.role, type: tosca.artifacts.AnsibleGalaxy.role}}
    interfaces:
      Standard:
        inputs: {common: 1}
        create: {implementation: run.sh}
        configure: {implementation: site.yml, inputs: {port: {get_property: [SELF, port]}, kept: a, other: {get_property: [nobody, x]}}}
  x.Derived:
    derived_from: x.Base
    interfaces: {Standard: {configure: {inputs: {kept: b}}}}
"""
)


def test_implementations_replace_and_inputs_are_merged_along_the_types_and_the_template() -> None:
    template = TYPED.replace(HEADER, HEADER + f"imports: [{CATALOGUE}]\n") + (
        "topology_template:\n  node_templates:\n    m: {type: tosca.nodes.Compute}\n"
        "    a: {type: x.Derived, requirements: [host: m], properties: {port: 81}, "
        "interfaces: {Standard: {configure: {inputs: {more: c}}}}}\n"
    )
    analysis = analysed(template.replace(", other: {get_property: [nobody, x]}", ""), reader=texts(**FILES))
    assert analysis.topology is not None
    create, configure = analysis.topology.operations
    assert dict(create.inputs) == {"common": 1}
    assert dict(configure.inputs) == {"common": 1, "port": 81, "kept": "b", "more": "c"}
    assert [a.location for a in configure.requires] == ["base.role"]


def test_what_an_imported_type_says_of_absent_nodes_is_a_warning() -> None:
    types = TYPED.replace("tosca.artifacts.AnsibleGalaxy.role", "tosca.artifacts.File")
    template = nodes(
        "m: {type: tosca.nodes.Compute}\na: {type: x.Base, requirements: [host: m]}\n", f"{HEADER}imports: [t.yaml]\n"
    )
    analysis = analysed(template, reader=texts(t__yaml=types, **FILES))
    assert [(p.code.value, p.level.value, p.file) for p in analysis.problems] == [
        ("unknown-node", "warning", "/templates/t.yaml")
    ]
    assert analysis.topology is not None
    assert analysis.topology.operations[1].inputs["other"] is None


HOOKS = nodes(
    """
    m1: {type: tosca.nodes.Compute}
    m2: {type: tosca.nodes.Compute}
    db: {type: tosca.nodes.SoftwareComponent, requirements: [host: m2], interfaces: {Standard: {configure: site.yml, start: site.yml}}}
    web:
      type: tosca.nodes.SoftwareComponent
      requirements:
        - host: m1
        - dependency:
            node: db
            relationship:
              type: tosca.relationships.ConnectsTo
              interfaces:
                Configure:
                  pre_configure_source: {implementation: site.yml, inputs: {mine: {get_attribute: [SOURCE, tosca_id]}, address: {get_attribute: [TARGET, private_address]}}}
                  post_configure_target: site.yml
                  add_source: site.yml
                  remove_source: site.yml
      interfaces: {Standard: {create: site.yml, configure: site.yml, start: site.yml}}
    """
).replace("[TARGET, private_address]", "[m1, private_address]")


def test_hooks_run_between_the_operations_of_their_source_on_the_side_they_name() -> None:
    made = topology(HOOKS, reader=texts(**FILES))
    assert [(o.id, o.group, o.tier) for o in made.operations] == [
        ("db.Standard.configure", "m2", 1),
        ("db.Standard.start", "m2", 1),
        ("web.Standard.create", "m1", 2),
        ("web>db.Configure.pre_configure_source", "m1", 2),
        ("web.Standard.configure", "m1", 2),
        ("web>db.Configure.post_configure_target", "m2", 2),
        ("web.Standard.start", "m1", 2),
        ("web>db.Configure.add_source", "m2", 2),
        ("web>db.Configure.remove_source", "m2", 2),
    ]
    hook = made.operations[3]
    assert hook.inputs == {
        "mine": Attribute("web", ("tosca_id",), Scope.OWN),
        "address": Attribute("m1", ("private_address",)),
    }
    assert made.operations[-1].phase is OperationPhase.STOP


def test_own_scope_holds_only_on_the_machine_of_the_operation() -> None:
    template = nodes(
        """
        m1: {type: tosca.nodes.Compute}
        m2: {type: tosca.nodes.Compute}
        db: {type: x.Db, requirements: [host: m1], interfaces: {Standard: {configure: {implementation: site.yml, inputs: {v: {get_property: [SELF, where]}}}}}}
        web: {type: tosca.nodes.SoftwareComponent, requirements: [host: m2], interfaces: {Standard: {configure: {implementation: site.yml, inputs: {v: {get_property: [db, where]}}}}}}
        """,
        f"{HEADER}node_types:\n  x.Db:\n    derived_from: tosca.nodes.SoftwareComponent\n"
        "    properties: {where: {type: string, default: {get_attribute: [HOST, private_address]}}}\n",
    )
    made = topology(template, reader=texts(**FILES))
    own, other = (o.inputs["v"] for o in made.operations)
    assert own == Attribute("m1", ("private_address",), Scope.OWN)
    assert other == Attribute("m1", ("private_address",), Scope.GROUP)


def test_software_on_nothing_is_a_problem() -> None:
    template = nodes(
        """
        r: {type: tosca.nodes.Container.Runtime}
        c: {type: tosca.nodes.Container.Application, requirements: [host: r], interfaces: {Standard: {configure: site.yml}}}
        """,
        WITH_TYPES,
    )
    assert [c for _, _, c in said(analysed(template, reader=texts(**FILES)))] == ["no-host"]


def test_operations_of_other_interfaces_are_left_out_with_a_warning() -> None:
    template = nodes(
        "m: {type: x.Machine}\n",
        f"{HEADER}interface_types:\n  x.Backup: {{derived_from: tosca.interfaces.Root, save: {{description: s}}}}\n"
        "node_types:\n  x.Machine:\n    derived_from: tosca.nodes.Compute\n"
        "    interfaces: {Backup: {type: x.Backup, save: site.yml}}\n",
    )
    analysis = analysed(template, reader=texts(**FILES))
    assert analysis.topology is not None
    assert not analysis.topology.operations
    assert "ignored" in [p.code.value for p in analysis.problems]
