"""Raspberry Pis of a fleet, as an Ansible inventory names them: claimed, switched on, shut down and cut off.

Creating a machine claims a free board that fits, switches it on and lets the infrastructure's key in; deleting takes
the key away, shuts the board down and cuts its power once it is down. What is on the cards stays; `im flash` writes it.
"""

from im_client.providers.raspberry_pi.provider import RaspberryPiProvider, open_provider

__all__ = ["RaspberryPiProvider", "open_provider"]
