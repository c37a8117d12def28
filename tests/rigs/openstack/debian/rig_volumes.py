"""Volumes that are rows of cinder's database and nothing else."""

import io

from cinder import interface
from cinder.volume import driver


@interface.volumedriver
class RigVolumes(driver.VolumeDriver):
    """Every operation succeeds at once."""

    VERSION = "1"

    def check_for_setup_error(self):
        pass

    def _update_volume_stats(self):
        self._stats = {
            "volume_backend_name": self.configuration.volume_backend_name,
            "vendor_name": "rig",
            "driver_version": self.VERSION,
            "storage_protocol": "iSCSI",
            "pools": [
                {
                    "pool_name": "all",
                    "total_capacity_gb": 100_000,
                    "free_capacity_gb": 100_000,
                    "reserved_percentage": 0,
                    "multiattach": True,
                    "QoS_support": False,
                    "thin_provisioning_support": False,
                }
            ],
        }

    def create_volume(self, volume):
        pass

    def delete_volume(self, volume):
        pass

    def create_snapshot(self, snapshot):
        pass

    def delete_snapshot(self, snapshot):
        pass

    def create_volume_from_snapshot(self, volume, snapshot):
        pass

    def create_cloned_volume(self, volume, src_vref):
        pass

    def extend_volume(self, volume, new_size):
        pass

    def clone_image(self, context, volume, image_location, image_meta, image_service):
        return {}, True

    def copy_image_to_volume(self, context, volume, image_service, image_id, disable_sparse=False):
        pass

    def copy_volume_to_image(self, context, volume, image_service, image_meta):
        formats = {"disk_format": "raw", "container_format": "bare"}
        image_service.update(context, image_meta["id"], formats, io.BytesIO(bytes(4096)))

    def ensure_export(self, context, volume):
        pass

    def create_export(self, context, volume, connector):
        return {}

    def remove_export(self, context, volume):
        pass

    def initialize_connection(self, volume, connector, **more):
        target = {
            "target_discovered": False,
            "target_iqn": f"iqn.rig:{volume['id']}",
            "target_portal": "127.0.0.1:3260",
        }
        return {"driver_volume_type": "iscsi", "data": {**target, "target_lun": 1, "volume_id": volume["id"]}}

    def terminate_connection(self, volume, connector, **more):
        pass
