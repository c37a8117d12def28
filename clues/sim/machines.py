"""Machines of a simulation: what is on, since when, and what that costs in energy."""

import random
from dataclasses import dataclass, field

from clues.options import Pool
from clues.snapshot import Machine, MachineState

__all__ = ["Account", "Chances", "Park", "SimMachine"]

_J_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True)
class Chances:
    """What is random. One seed, one outcome."""

    seed: int = 1
    fail: float = 0.0
    """Share of orders that never become a node."""
    jitter: float = 0.1
    """Boot times vary by up to this share, both ways."""


@dataclass(slots=True, eq=False)
class Account:
    """What the machines of one pool used up."""

    on_s: float = 0.0
    ready_cpu_s: float = 0.0
    used_cpu_s: float = 0.0
    joules: float = 0.0
    power_ons: int = 0
    power_offs: int = 0
    failed: int = 0

    @property
    def energy_kwh(self) -> float:
        return self.joules / _J_PER_KWH


@dataclass(slots=True, eq=False)
class SimMachine:
    """One machine that exists: an individual for ever, any other from its order to its end."""

    name: str
    pool: Pool
    state: MachineState
    since: float
    token: str = ""
    comes: bool = True
    """Whether it will ever be a node: drawn when it is ordered."""
    power_ons: int = 0
    failures: int = 0
    on_s: float = 0.0
    last_off_at: float | None = None
    used_cpu_m: int = 0
    accounted_at: float = 0.0

    def shown(self) -> Machine:
        """Return it as the loop shows it to `decide`."""
        return Machine(
            name=self.name,
            pool=self.pool.name,
            state=self.state,
            since=self.since,
            node=self.name,
            failures=self.failures,
            power_ons=self.power_ons,
            on_seconds=self.on_s,
            last_off_at=self.last_off_at,
            order=self.token,
        )


@dataclass(slots=True, eq=False)
class Park:
    """All machines of all pools."""

    pools: dict[str, Pool]
    machines: dict[str, dict[str, SimMachine]] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    chances: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 - a simulation
    orders: int = 0
    _shown: dict[str, tuple[Machine, ...]] = field(default_factory=dict)

    def begin(self, now: float) -> None:
        """Set up the individuals, all off."""
        for name, pool in self.pools.items():
            self.accounts[name] = Account()
            self.machines[name] = {
                option.name: SimMachine(option.name, pool, MachineState.OFF, now, accounted_at=now, last_off_at=now)
                for option in pool.machines
            }

    def order(self, pool: str, name: str, now: float, *, fail: float) -> SimMachine:
        """Turn a machine on, or order a new one where `name` is empty."""
        self.orders += 1
        if not name:
            name = f"{pool}-{self.orders}"
        machine = self.machines[pool].get(name)
        if machine is None:
            machine = SimMachine(name, self.pools[pool], MachineState.OFF, now, accounted_at=now)
            self.machines[pool][name] = machine
        self.account(machine, now)
        machine.state, machine.since, machine.token = MachineState.BOOTING, now, f"order-{self.orders}"
        machine.power_ons += 1
        machine.comes = self.chances.random() >= fail
        self.accounts[pool].power_ons += 1
        self._shown.pop(pool, None)
        return machine

    def ready(self, machine: SimMachine, now: float) -> None:
        """Note that it is a node now."""
        self.account(machine, now)
        machine.state, machine.since, machine.token, machine.failures = MachineState.ON, now, "", 0
        self._shown.pop(machine.pool.name, None)

    def off(self, machine: SimMachine, now: float) -> None:
        """Turn it off; one that is no individual is gone."""
        pool = machine.pool.name
        self.account(machine, now)
        if machine.state is MachineState.BOOTING:
            machine.failures += 1
            self.accounts[pool].failed += 1
        else:
            self.accounts[pool].power_offs += 1
        machine.state, machine.since, machine.last_off_at, machine.token = MachineState.OFF, now, now, ""
        machine.used_cpu_m = 0
        if not machine.pool.powered:
            del self.machines[pool][machine.name]
        self._shown.pop(pool, None)

    def use(self, machine: SimMachine, cpu_m: int, now: float) -> None:
        """Note that so much more (or less) of it is requested."""
        self.account(machine, now)
        machine.used_cpu_m += cpu_m

    def account(self, machine: SimMachine, now: float) -> None:
        """Charge what it used since it was last charged."""
        took, machine.accounted_at = now - machine.accounted_at, now
        pool, account = machine.pool, self.accounts[machine.pool.name]
        cpu_m = pool.allocatable.get("cpu", 0)
        share = min(1.0, machine.used_cpu_m / cpu_m) if cpu_m else 0.0
        if machine.state is MachineState.OFF:
            account.joules += took * pool.watts_off if pool.powered else 0.0
            return
        machine.on_s += took
        account.on_s += took
        account.joules += took * (pool.watts_idle + (max(pool.watts_busy, pool.watts_idle) - pool.watts_idle) * share)
        if machine.state is MachineState.ON:
            account.ready_cpu_s += took * cpu_m / 1000
            account.used_cpu_s += took * machine.used_cpu_m / 1000

    def finish(self, now: float) -> None:
        """Charge everything up to the end."""
        for listed in self.machines.values():
            for machine in listed.values():
                self.account(machine, now)

    def shown(self) -> dict[str, tuple[Machine, ...]]:
        """Return all machines as `decide` sees them; pools that did not change are the same tuples as before."""
        for pool, listed in self.machines.items():
            if pool not in self._shown:
                self._shown[pool] = tuple(machine.shown() for machine in listed.values())
        return dict(self._shown)

    def booting(self) -> list[SimMachine]:
        return [m for listed in self.machines.values() for m in listed.values() if m.state is MachineState.BOOTING]

    def on_count(self) -> int:
        return sum(m.state is not MachineState.OFF for listed in self.machines.values() for m in listed.values())

    def bill(self, price_per_kwh: float) -> dict[str, dict[str, float]]:
        """Return what each pool used, and what that costs."""
        return {
            name: {
                "node_hours": account.on_s / 3600,
                "energy_kwh": account.energy_kwh,
                "cost": account.on_s / 3600 * self.pools[name].price + account.energy_kwh * price_per_kwh,
                "power_ons": float(account.power_ons),
            }
            for name, account in self.accounts.items()
        }
