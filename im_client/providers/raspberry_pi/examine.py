"""What `im doctor` says of a fleet: the inventory, and each board's host key, SSH port and power."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from im_client.providers.base import Finding, Severity
from im_client.providers.raspberry_pi.boards import ClaimableBoard
from im_client.providers.raspberry_pi.halting import Answer, knock
from im_client.providers.raspberry_pi.settings import RaspberryPiSettings
from infracore.errors import InfraError

__all__ = ["examine"]

_LOOKERS: Final = 16
_SEE: Final = "see docs/howto/raspberry-pi-provider.md"


def examine(boards: Callable[[], Sequence[ClaimableBoard]], settings: RaspberryPiSettings) -> tuple[Finding, ...]:
    """Look at everything; changes nothing. A board that is off is well where it can be switched on."""
    try:
        found = boards()
    except InfraError as error:
        return (Finding("inventory", Severity.ERROR, error.message, error.hint or _SEE),)
    begun = Finding("inventory", Severity.OK, f"{settings.inventory}: {len(found)} boards")
    with ThreadPoolExecutor(_LOOKERS, thread_name_prefix="raspberry-pi-look") as pool:
        return (begun, *pool.map(lambda one: _examine(one, settings), found))


def _examine(one: ClaimableBoard, settings: RaspberryPiSettings) -> Finding:
    name, power = one.board.name, "nobody can switch its power"
    is_off = False
    if one.power is not None:
        try:
            is_off = not one.power.is_on()
        except InfraError as error:
            return Finding(name, Severity.ERROR, f"{one.power.where}: {error.message}", error.hint or _SEE)
        power = f"{one.power.where} is {'off' if is_off else 'on'}"
    if one.host.fault:
        return Finding(name, Severity.ERROR, f"{one.host.fault}; {power}", _SEE)
    if is_off:
        return Finding(name, Severity.OK, f"its host key is known; {power}")
    where = f"{one.host.access.address}:{one.host.access.port}"
    if knock(one.host.access, settings.connect_timeout_s) is Answer.OPEN:
        return Finding(name, Severity.OK, f"{where} answers, its host key is known; {power}")
    return Finding(name, Severity.WARNING, f"{where} does not answer; {power}", "look at the board and the network")
