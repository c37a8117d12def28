"""Templates that the tests of the server send."""

__all__ = ["RADL", "RADL_MORE", "TOSCA", "tosca"]


def tosca(count: int = 2, *, extra: str = "") -> str:
    """Return a template with one front-end and workers."""
    return f"""\
tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {{template_name: cluster}}
imports:
  - grycap_custom_types: https://raw.githubusercontent.com/grycap/tosca/main/custom_types.yaml
topology_template:
  node_templates:
    front:
      type: tosca.nodes.indigo.Compute
      capabilities:
        host: {{properties: {{num_cpus: 1, mem_size: 512 MiB}}}}
    worker:
      type: tosca.nodes.indigo.Compute
      capabilities:
        host: {{properties: {{num_cpus: 1, mem_size: 512 MiB}}}}
        scalable: {{properties: {{min_instances: 0, max_instances: 600, count: {count}{extra}}}}}
  outputs:
    ip: {{value: {{get_attribute: [front, private_address, 0]}}}}
"""


TOSCA = tosca()
RADL = """\
description cluster (name = 'radl-cluster')
network net (outbound = 'yes')
system front (
  cpu.count >= 1 and memory.size >= 512m and net_interface.0.connection = 'net' and
  net_interface.0.dns_name = 'front' and disk.0.os.name = 'linux' and disk.0.image.url = 'mock0://linux'
)
system worker (
  cpu.count >= 1 and memory.size >= 512m and net_interface.0.connection = 'net' and
  disk.0.os.name = 'linux' and disk.0.image.url = 'mock0://linux'
)
deploy front 1
deploy worker 1
"""
RADL_MORE = "network net\nsystem worker\ndeploy worker 2\n"
