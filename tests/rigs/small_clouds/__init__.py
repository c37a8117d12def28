"""Imitations of small clouds' APIs on a loopback socket: DigitalOcean, Linode, Vultr, CloudStack, Compute Engine,
Azure.

They keep what they are given and answer in the forms of the vendors' documentation, as far as our requests go. A
machine is on its way when it is made, and runs when it is looked at next. No real cloud was asked what it does.
"""

from tests.rigs.small_clouds.azure import Azure
from tests.rigs.small_clouds.cloudstack import CloudStack
from tests.rigs.small_clouds.digitalocean import DigitalOcean
from tests.rigs.small_clouds.gce import Gce
from tests.rigs.small_clouds.linode import Linode
from tests.rigs.small_clouds.server import Fault, SmallApi, serving
from tests.rigs.small_clouds.vultr import Vultr

__all__ = ["Azure", "CloudStack", "DigitalOcean", "Fault", "Gce", "Linode", "SmallApi", "Vultr", "serving"]
