"""The outer parts of a template: version, known keys, sections of the right shape."""

from typing import Final

from im_client.template.findings import Findings, meant
from im_client.template.problems import Code
from im_client.tosca.builtin import PROFILES, VERSIONS
from im_client.tosca.source import Map, Seq, key_place, value_place

__all__ = ["check_header", "section", "topology_of", "version_of"]

_KEYS: Final = frozenset(
    {
        "tosca_definitions_version",
        "tosca_default_namespace",
        "namespace",
        "schemas",
        "template_name",
        "template_author",
        "template_version",
        "description",
        "metadata",
        "imports",
        "dsl_definitions",
        "repositories",
        "node_types",
        "relationship_types",
        "relationship_templates",
        "capability_types",
        "artifact_types",
        "data_types",
        "interface_types",
        "policy_types",
        "group_types",
        "topology_template",
    }
)
_TOPOLOGY_KEYS: Final = frozenset(
    {
        "description",
        "inputs",
        "node_templates",
        "relationship_templates",
        "outputs",
        "groups",
        "policies",
        "substitution_mappings",
        "workflows",
    }
)


def version_of(body: Map) -> str:
    """Return the version of TOSCA that a document states, the oldest where it states none that we know."""
    version = body.get("tosca_definitions_version")
    return version if isinstance(version, str) and version in {*VERSIONS, *PROFILES} else VERSIONS[0]


def check_header(body: Map, findings: Findings) -> None:
    """Check the version and the keys of a document."""
    known = (*VERSIONS, *PROFILES)
    version = body.get("tosca_definitions_version")
    if version is None:
        findings.add(
            Code.VERSION_MISSING,
            body.at,
            'the template does not say its "tosca_definitions_version"',
            f"begin it with: tosca_definitions_version: {VERSIONS[-1]}",
        )
    elif version not in known:
        findings.add(
            Code.VERSION_UNKNOWN,
            value_place(body, "tosca_definitions_version"),
            f'the version "{version}" of TOSCA is not known',
            f"known: {', '.join(VERSIONS)}",
        )
    for key in body:
        if key not in _KEYS:
            findings.add(Code.UNKNOWN_KEY, key_place(body, key), f'a template has no key "{key}"', meant(key, _KEYS))


def topology_of(body: Map, findings: Findings) -> Map:
    """Return the topology_template; an empty one with a problem where there is none."""
    topology = body.get("topology_template")
    if topology is None:
        findings.warn(
            Code.EMPTY,
            key_place(body, "topology_template"),
            "there is no topology_template: nothing to deploy",
            "add topology_template with node_templates",
        )
        return Map(body.at)
    if not isinstance(topology, Map):
        findings.add(Code.NOT_A_MAP, value_place(body, "topology_template"), '"topology_template" is no mapping')
        return Map(body.at)
    for key in topology:
        if key not in _TOPOLOGY_KEYS:
            findings.add(
                Code.UNKNOWN_KEY,
                key_place(topology, key),
                f'topology_template has no key "{key}"',
                meant(key, _TOPOLOGY_KEYS),
            )
    for key in ("substitution_mappings", "workflows"):
        if topology.get(key):
            findings.warn(Code.IGNORED, key_place(topology, key), f'"{key}" is read over: it has no effect here')
    return topology


def section(parent: Map, key: str, findings: Findings) -> Map:
    """Return a section that is a mapping; an empty one where it is missing or, with a problem, of another shape."""
    raw = parent.get(key)
    if isinstance(raw, Map):
        return raw
    if raw is not None and not (isinstance(raw, Seq) and not raw):
        findings.add(
            Code.NOT_A_MAP, value_place(parent, key), f'"{key}" is no mapping', f"write: {key}: {{ name: ... }}"
        )
    return Map(key_place(parent, key))
