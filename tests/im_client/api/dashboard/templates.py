"""Templates that the owner of the test server offers."""

from typing import Final

__all__ = ["EVIL", "OWN"]

EVIL: Final = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'"
"""What somebody writes who wants a page to do as he says."""
_QUOTED: Final = EVIL.replace("'", "''")

_MACHINES: Final = """\
  node_templates:
    front:
      type: tosca.nodes.indigo.Compute
      capabilities:
        host: {properties: {num_cpus: 1, mem_size: 512 MiB}}
    worker:
      type: tosca.nodes.indigo.Compute
      capabilities:
        host: {properties: {num_cpus: {get_input: cpus}, mem_size: 512 MiB}}
        scalable: {properties: {min_instances: 0, max_instances: 9, count: {get_input: workers}}}
"""
OWN: Final = {
    "farm": f"""\
tosca_definitions_version: tosca_simple_yaml_1_3
metadata:
  template_name: farm
  display_name: Render farm
  tag: graphics
  tabs:
    Size: [workers, cpus]
    Access:
      - admin_password:
          tag_type: password
      - users
    Rest: .*
  childs: [extra.yaml]
description: Machines that draw pictures.
imports: [types/custom_types.yaml]
topology_template:
  inputs:
    workers: {{type: integer, default: 2, constraints: [{{in_range: [0, 9]}}], description: How many draw.}}
    cpus: {{type: integer, default: 1, constraints: [{{valid_values: [1, 2, 4]}}]}}
    admin_password: {{type: string, default: "", constraints: [{{max_length: 40}}]}}
    users: {{type: list, entry_schema: {{type: string}}, default: [bob, eve]}}
    ports: {{type: map, entry_schema: {{type: integer}}, default: {{http: 80}}}}
    zone: {{type: string, description: Where it stands.}}
    fast: {{type: boolean, default: true}}
    limit: {{type: scalar-unit.size, default: 4 GiB}}
{_MACHINES}
  outputs:
    door: {{value: {{get_attribute: [front, private_address, 0]}}}}
    admin_password: {{value: {{get_input: admin_password}}}}
    page: {{value: {{concat: ["http://", {{get_attribute: [front, private_address, 0]}}, "/"]}}}}
""",
    "extra": """\
tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {template_name: extra, display_name: One machine more, tabs: {More: extra_.*}}
description: A machine beside the others.
topology_template:
  inputs:
    extra_cpus: {type: integer, default: 1, constraints: [{in_range: [1, 8]}]}
    extra_on: {type: boolean, default: true}
  node_templates:
    extra:
      type: tosca.nodes.indigo.Compute
      capabilities:
        host: {properties: {num_cpus: {get_input: extra_cpus}, mem_size: 512 MiB}}
""",
    "evil": f"""\
tosca_definitions_version: tosca_simple_yaml_1_3
metadata:
  template_name: '{_QUOTED}'
  display_name: 'evil {_QUOTED}'
  tag: ['{_QUOTED}']
  tabs: {{'{_QUOTED}': [workers]}}
description: '{_QUOTED}'
imports: [types/custom_types.yaml]
topology_template:
  inputs:
    workers: {{type: integer, default: 1, constraints: [{{valid_values: [1, 2]}}], description: '{_QUOTED}'}}
    cpus: {{type: integer, default: 1}}
    note: {{type: string, default: '{_QUOTED}', description: '{_QUOTED}'}}
{_MACHINES}
  outputs:
    note: {{value: {{get_input: note}}}}
    link: {{value: 'javascript:alert(1)'}}
    address: {{value: 'https://x.example/"onmouseover="alert(1)'}}
""",
    "broken": "tosca_definitions_version: tosca_simple_yaml_1_3\ntopology_template: [",
    "wrong": """\
tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {display_name: Wrong one}
topology_template:
  node_templates:
    a: {type: tosca.nodes.Nothing}
""",
}
