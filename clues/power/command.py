"""Machines that commands of the site's own turn on and off, like CLUES' command-line plugin.

Commands are lists of words and no shell reads them. In each word `{machine}`, `{node}`, `{address}`, `{port}`,
`{pool}` and `{token}` are replaced. A line `machine NAME [NODE]` that `on` prints names the machine that was really
powered; that is how a pool without machines of its own is served, and then `list` must be set: it prints a line
`NAME STATE [NODE [TOKEN]]` per machine, `-` for an empty node.
"""

from collections.abc import Sequence
from typing import Final

from clues.options import MachineOption, Pool
from clues.power.base import MachineReport, Order, PowerState, Receipt
from clues.power.common import DriverSettings, own
from clues.power.individuals import Fleet, Seen
from infracore.deadline import Deadline
from infracore.errors import CommandFailed, Misconfigured, NoCapacity, QuotaExceeded, Transient
from infracore.process import Completed, run

__all__ = ["CommandDriver", "CommandSettings"]

_WORDS: Final = {state.value: state for state in PowerState}


class CommandSettings(DriverSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of type `command`."""

    on: tuple[str, ...]
    off: tuple[str, ...]
    status: tuple[str, ...] = ()
    """Prints a state (`on`, `off`, `turning-on`, `turning-off`, `failed`, `unknown`) or, if it prints nothing, ends
    with 0 for on and 1 for off."""
    list: tuple[str, ...] = ()
    no_capacity: tuple[int, ...] = ()
    """Exit statuses that mean: no room now."""
    no_quota: tuple[int, ...] = ()
    try_again: tuple[int, ...] = (75,)
    """Exit statuses that mean: may succeed later (75: EX_TEMPFAIL of sysexits.h)."""


class CommandDriver(Fleet):
    """Runs the commands."""

    def __init__(self, name: str, settings: CommandSettings, pools: Sequence[Pool]) -> None:
        super().__init__(name, settings.limits(), [pool for pool in pools if pool.machines or pool.driver != name])
        self._settings = settings
        self._pools = own(pools, name)
        if not settings.on or not settings.off:
            raise Misconfigured(f"drivers.{name}: `on` and `off` each need a program")
        for pool in self._pools.values():
            if not settings.list and (not pool.machines or not settings.status):
                need = "`status` or `list`" if pool.machines else "`list`"
                raise Misconfigured(f"drivers.{name}: pool {pool.name} cannot be looked at", f"set {need}")
        asks = any("{address}" in word for word in (*settings.on, *settings.off, *settings.status))
        wrong = [
            f"pool {pool.name}: machine {machine.name}: it has no address, and drivers.{name} asks for {{address}}"
            for pool in self._pools.values()
            for machine in pool.machines
            if asks and not machine.address
        ]
        if wrong:
            raise Misconfigured("\n".join(wrong), "set the machine's `address`")

    def on(self, orders: Sequence[Order]) -> Sequence[Receipt]:
        found = {report.token: report for report in self._unnamed(orders)}

        def one(order: Order, deadline: Deadline) -> Receipt:
            report = found.get(order.token)
            if report is not None:
                return Receipt(order.token, report.machine, report.node)
            option = self._known(order.pool, order.machine.name) if order.machine else MachineOption("")
            with self._alone(option if option.name else MachineOption(f"\0{order.token}"), deadline):
                if option.name and self._settings.status and self._look(option, deadline)[0] is PowerState.ON:
                    return Receipt(order.token, option.name, option.node or option.name)
                done = self._run(self._settings.on, order.pool, option, order.token, deadline)
            for line in done.stdout.splitlines():
                words = line.split()
                if len(words) in {2, 3} and words[0] == "machine":
                    return Receipt(order.token, words[1], words[2] if len(words) == 3 else "")
            if not option.name:
                raise CommandFailed(f"{self._settings.on[0]} did not print which machine it powered: `machine NAME`")
            return Receipt(order.token, option.name, option.node or option.name)

        return self._each(orders, one, lambda order: f"turn on a machine of {order.pool}")

    def off(self, pool: str, machines: Sequence[str], *, token: str) -> None:
        served = self._pool(pool)
        if served.machines:
            super().off(pool, machines, token=token)
            return
        there = {report.machine: report for report in self.list(pool)}

        def one(name: str, deadline: Deadline) -> None:
            report = there.get(name)
            if report is not None and report.state is not PowerState.OFF:
                self._run(self._settings.off, pool, MachineOption(name, report.node), token, deadline)

        self._each(machines, one, lambda name: f"turn off {name}")

    def list(self, pool: str) -> Sequence[MachineReport]:
        served = self._pool(pool)
        if not self._settings.list:
            return super().list(pool)
        deadline = Deadline(f"list pool {pool}", self.limits.call_s, self._closing)
        done = self._run(self._settings.list, pool, MachineOption(""), "", deadline)
        found = {}
        for number, line in enumerate(done.stdout.splitlines(), 1):
            words = line.split()
            if not words:
                continue
            if len(words) not in {2, 3, 4} or words[1] not in _WORDS:
                raise CommandFailed(f"{self._settings.list[0]}: line {number} is no `NAME STATE [NODE [TOKEN]]`")
            node, token = (*(word if word != "-" else "" for word in words[2:]), "", "")[:2]
            found[words[0]] = MachineReport(words[0], pool, _WORDS[words[1]], node, token)
        for machine in served.machines:
            found.setdefault(
                machine.name,
                MachineReport(machine.name, pool, PowerState.UNKNOWN, machine.node, detail="the list does not name it"),
            )
        return tuple(found.values())

    def _turn_off(self, machine: MachineOption, deadline: Deadline) -> None:
        if not self._settings.status or self._look(machine, deadline)[0] is not PowerState.OFF:
            pool = next(p.name for p in self._pools.values() if machine in p.machines)
            self._run(self._settings.off, pool, machine, "", deadline)

    def _look(self, machine: MachineOption, deadline: Deadline) -> Seen:
        pool = next(p.name for p in self._pools.values() if machine in p.machines)
        done = self._run(self._settings.status, pool, machine, "", deadline, check=False)
        words = done.stdout.split()
        if words:
            return _WORDS.get(words[0].lower(), PowerState.UNKNOWN), " ".join(words[1:])[:200]
        if done.status in {0, 1}:
            return (PowerState.ON if done.status == 0 else PowerState.OFF), ""
        return PowerState.UNKNOWN, f"status {done.status}: {done.stderr.strip()[-200:]}"

    def _unnamed(self, orders: Sequence[Order]) -> Sequence[MachineReport]:
        """Look whether an order without a machine was carried out before; its token is in the list."""
        if any(order.machine is None for order in orders) and self._settings.list:
            return [report for report in self.list(orders[0].pool) if report.token]
        return ()

    def _run(  # noqa: PLR0917
        self,
        words: Sequence[str],
        pool: str,
        machine: MachineOption,
        token: str,
        deadline: Deadline,
        check: bool = True,
    ) -> Completed:
        values = {"machine": machine.name, "node": machine.node or machine.name, "address": machine.address}
        values |= {"port": str(machine.port), "pool": pool, "token": token}
        argv = [_filled(word, values) for word in words]
        done = run(argv, timeout_s=deadline.left(), cancel=deadline.closing, check=False)
        if done.status == 0 or not check:
            return done
        said = " ".join((done.stderr or done.stdout).split())[-300:]
        what = f"{argv[0]} for {machine.name or pool} ended with status {done.status}: {said}"
        if done.status in self._settings.no_capacity:
            raise NoCapacity(what)
        if done.status in self._settings.no_quota:
            raise QuotaExceeded(what)
        if done.status in self._settings.try_again:
            raise Transient(what)
        raise CommandFailed(what, status=done.status, stderr=done.stderr)


def _filled(word: str, values: dict[str, str]) -> str:
    """Replace once: a value that looks like a placeholder stays as it is."""
    out, rest = [], word
    while "{" in rest:
        head, _, tail = rest.partition("{")
        key, brace, after = tail.partition("}")
        if brace and key in values:
            out += [head, values[key]]
            rest = after
        else:
            out += [head, "{"]
            rest = tail
    return "".join([*out, rest])
