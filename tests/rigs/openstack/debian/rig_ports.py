"""Neutron without agents: every port is bound to any host at once, and a floating IP works as soon as it has a port."""

from neutron_lib import constants, context
from neutron_lib.api.definitions import portbindings
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.plugins import directory
from neutron_lib.plugins.ml2 import api


class RigMechanism(api.MechanismDriver):
    """A mechanism driver of ML2."""

    def initialize(self):
        for resource, event in (
            (resources.FLOATING_IP, events.AFTER_CREATE),
            (resources.FLOATING_IP, events.AFTER_UPDATE),
            (resources.PORT, events.AFTER_DELETE),
        ):
            registry.subscribe(_set_status, resource, event)

    @property
    def connectivity(self):
        return portbindings.CONNECTIVITY_L2

    def bind_port(self, context):
        for segment in context.segments_to_bind:
            details = {portbindings.CAP_PORT_FILTER: False}
            status = constants.PORT_STATUS_ACTIVE
            context.set_binding(segment[api.ID], portbindings.VIF_TYPE_TAP, details, status=status)
            return


def _set_status(resource, event, trigger, payload):
    """Do what an agent of layer 3 would."""
    admin = context.get_admin_context()
    router = directory.get_plugin("L3_ROUTER_NAT")
    for floating in router.get_floatingips(admin):
        status = "ACTIVE" if floating["port_id"] else "DOWN"
        if floating["status"] != status:
            router.update_floatingip_status(admin, floating["id"], status)
