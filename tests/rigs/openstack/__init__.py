"""A real OpenStack control plane on loopback, out of Debian's packages.

Keystone, placement, glance, neutron, nova and cinder; servers, ports and volumes are rows of databases, for nova has its
fake driver, neutron no agents and cinder no disks. The broker is RabbitMQ, the database MariaDB. docs/howto/openstack-rig.md says how to use it, and what is not real.
"""

from tests.rigs.openstack.cloud import OpenStack, openstack

__all__ = ["OpenStack", "openstack"]
