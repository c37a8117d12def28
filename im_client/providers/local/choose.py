"""Which kind of machine this user gets."""

from im_client.providers.base import Provider
from im_client.providers.local.settings import LocalSettings

__all__ = ["local_provider"]


def local_provider(settings: LocalSettings) -> Provider:
    """Open the provider for root (systemd-nspawn) or for an ordinary user (QEMU).

    Raises:
        Misconfigured: nspawn is asked for without root.
    """
    if settings.machine_kind == "qemu":
        from im_client.providers.local.qemu_provider import QemuProvider

        return QemuProvider(settings)
    from im_client.providers.local.nspawn_provider import NspawnProvider

    return NspawnProvider(settings)
