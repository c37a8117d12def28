"""A board is configured before its first boot: files for cloud-init and the older ways, written into an image or card.

`layout` decides which files, from values alone; `card` looks, writes by mtools and debugfs, and reads back. Nothing is
mounted. On the boot partition, which all may read, lie hashes and public things only.

May import: `im_client.flash.{model,node,partitions}`, `im_client.remote`, `infracore`, bcrypt, yaml. Tests:
`tests/im_client/flash/customise/`.
"""

from im_client.flash.customise.card import Customised, customise, read_mark
from im_client.flash.customise.image import Way
from im_client.flash.customise.mark import Mark

__all__ = ["Customised", "Mark", "Way", "customise", "read_mark"]
