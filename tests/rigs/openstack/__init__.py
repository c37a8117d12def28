"""A real OpenStack control plane on loopback, out of Debian's packages.

Keystone, placement, glance, neutron, nova and cinder, with RabbitMQ and MariaDB. Servers, ports and volumes are rows of
databases: nova has its fake driver, neutron no agents, cinder no disks.

docs/howto/openstack-rig.md says how to use it, and what is not real.
"""

from tests.rigs.openstack.cloud import OpenStack, openstack

__all__ = ["OpenStack", "openstack"]
