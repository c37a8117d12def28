"""Nova's fake driver with what a client can see of a real one: console, snapshots, GPUs that run out, and failures.

A server's metadata asks for failures: `rig_fail` is the text of one, `rig_delay` the seconds that it takes to start.
"""

import io
import time

from nova import exception
from nova.compute import power_state
from nova.image import glance
from nova.virt import fake

GPUS = 4


class RigDriver(fake.FakeDriver):
    """The only compute host."""

    capabilities = {  # noqa: RUF012 - nova reads it from the class
        **fake.FakeDriver.capabilities,
        "supports_migrate_to_same_host": True,
        "supports_image_type_qcow2": True,
    }

    def update_provider_tree(self, provider_tree, nodename, allocations=None):
        super().update_provider_tree(provider_tree, nodename, allocations)
        inventory = dict(provider_tree.data(nodename).inventory)
        inventory["VGPU"] = {"total": GPUS, "min_unit": 1, "max_unit": GPUS, "step_size": 1, "reserved": 0}
        inventory["VGPU"]["allocation_ratio"] = 1.0
        provider_tree.update_inventory(nodename, inventory)

    def spawn(self, context, instance, *args, **more):
        time.sleep(float(instance.metadata.get("rig_delay", 0)))
        if "rig_fail" in instance.metadata:
            raise exception.BuildAbortException(instance_uuid=instance.uuid, reason=instance.metadata["rig_fail"])
        super().spawn(context, instance, *args, **more)

    def snapshot(self, context, instance, image_id, update_task_state):
        super().snapshot(context, instance, image_id, update_task_state)
        formats = {"disk_format": "raw", "container_format": "bare"}
        glance.API().update(context, image_id, formats, data=io.BytesIO(bytes(4096)))

    def pause(self, instance):
        self.instances[instance.uuid].state = power_state.PAUSED

    def unpause(self, instance):
        self.instances[instance.uuid].state = power_state.RUNNING

    def suspend(self, context, instance):
        self.instances[instance.uuid].state = power_state.SUSPENDED

    def resume(self, context, instance, *args, **more):
        self.instances[instance.uuid].state = power_state.RUNNING

    def get_console_output(self, context, instance):
        return f"[    0.000000] Linux version 6.1\n{instance.hostname} login: \n"
