"""The simulation obeys what can be reckoned by hand, and its laws."""

import random
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clues.options import MachineOption, Policy, Pool
from clues.settings import Settings
from clues.settings.model import ReportOptions
from clues.sim.report import percentile, result_shape
from clues.sim.run import Chances, simulate
from clues.sim.workload import Job, Workload, read_workload
from infracore.errors import Misconfigured
from tests.laws import some

HERE = Path(__file__).parent
EXACT = Chances(jitter=0.0)
POOL = Pool(
    name="p",
    driver="fake",
    max=4,
    allocatable={"cpu": 4000, "memory": 8 << 30, "pods": 110},
    labels={"kubernetes.io/arch": "amd64"},
    price=2.0,
    boot_s=60.0,
    watts_idle=100.0,
    watts_busy=200.0,
)
QUICK = Policy(unneeded_s=120.0, delay_after_scale_up_s=0.0)


def _settings(pool: Pool = POOL, policy: Policy = QUICK, per_kwh: float = 0.0) -> Settings:
    return Settings(pools=(pool,), policy=policy, report=ReportOptions(price_per_kwh=per_kwh))


def _jobs(*jobs: Job) -> Workload:
    return Workload("made", tuple(sorted(jobs, key=lambda job: job.at_s)))


def test_one_job_waits_for_one_boot() -> None:
    result = simulate(_jobs(Job("a", 0.0, 600.0, 4000)), _settings(per_kwh=10.0), chances=EXACT)
    assert (result.jobs, result.finished, result.never_ran) == (1, 1, 0)
    assert 60.0 <= result.wait_max_s <= 60.2
    assert (result.power_ons, result.power_offs, result.most_nodes) == (1, 1, 1)
    # 60 s boot, 600 s of work, 120 s unneeded and the steps at which it is looked
    assert 780.0 <= result.node_hours * 3600 <= 860.0
    idle_s = result.node_hours * 3600 - 600.0
    assert result.energy_kwh == pytest.approx((600 * 200 + idle_s * 100) / 3.6e6, rel=1e-6)
    assert result.cost == pytest.approx(result.node_hours * 2.0 + result.energy_kwh * 10.0)


def test_standing_by_costs_energy_too() -> None:
    parked = msgspec.structs.replace(
        POOL, powered=True, watts_off=5.0, machines=(MachineOption("a"), MachineOption("b")), max=2
    )
    result = simulate(_jobs(Job("a", 0.0, 600.0, 4000)), _settings(parked), chances=EXACT)
    on_s, all_s = result.node_hours * 3600, result.hours * 3600
    joules = 600 * 200 + (on_s - 600) * 100 + (2 * all_s - on_s) * 5
    assert result.energy_kwh == pytest.approx(joules / 3.6e6, rel=1e-6)
    assert (result.power_ons, result.power_offs) == (1, 1)


def test_a_minimum_spares_the_wait_and_stays() -> None:
    kept = msgspec.structs.replace(POOL, min=1)
    result = simulate(_jobs(Job("a", 5.0, 600.0, 4000)), _settings(kept), chances=EXACT)
    assert result.wait_max_s == 0.0
    assert result.power_offs == 0


def test_a_gang_starts_together_or_not_at_all() -> None:
    result = simulate(_jobs(Job("g", 0.0, 60.0, 4000, tasks=3), Job("big", 0.0, 60.0, 4000, tasks=5)), _settings())
    assert (result.finished, result.never_ran) == (1, 1)
    assert result.most_nodes <= 4


def test_what_fits_nowhere_never_runs_and_orders_nothing() -> None:
    result = simulate(_jobs(Job("giant", 0.0, 60.0, 5000)), _settings())
    assert (result.finished, result.never_ran, result.power_ons) == (0, 1, 0)


def test_processes_of_a_trace_share_nodes() -> None:
    result = simulate(_jobs(Job("mpi", 0.0, 60.0, 1000, tasks=8, joinable=True)), _settings(), chances=EXACT)
    assert (result.finished, result.most_nodes) == (1, 2)


def test_orders_that_fail_are_given_up_and_made_again() -> None:
    policy = msgspec.structs.replace(QUICK, max_provision_s=120.0)
    many = _jobs(*(Job(f"j{n}", n * 3600.0, 60.0, 4000) for n in range(20)))
    result = simulate(many, _settings(policy=policy), chances=Chances(seed=3, fail=0.4))
    assert result.failed_power_ons > 0
    assert result.finished == 20
    assert result.wait_max_s > 120.0


def test_the_longer_idle_nodes_are_kept_the_fewer_power_cycles() -> None:
    many = _jobs(*(Job(f"j{n}", n * 900.0, 300.0, 4000) for n in range(20)))
    eager = simulate(many, _settings(), chances=EXACT)
    patient = simulate(many, _settings(policy=msgspec.structs.replace(QUICK, unneeded_s=1200.0)), chances=EXACT)
    assert eager.power_ons == 20
    assert patient.power_ons == 1
    assert patient.wait_mean_s < eager.wait_mean_s
    assert patient.node_hours > eager.node_hours


@pytest.mark.parametrize("name", ["workload.swf", "workload.yaml"])
def test_one_seed_one_outcome(name: str) -> None:
    load = read_workload(HERE / name)
    first, again, other = (
        simulate(load, _settings(), chances=Chances(seed=seed, fail=0.1), name="x") for seed in (1, 1, 2)
    )
    assert result_shape(first) == result_shape(again)
    assert result_shape(first) != result_shape(other)
    assert first.finished == first.jobs == len(load.jobs)


@settings(max_examples=some(15), deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 4000), st.integers(1, 2000), st.sampled_from([500, 1000, 3000]), st.booleans()),
        min_size=1,
        max_size=12,
    )
)
def test_every_job_ends_or_is_told_and_nodes_go_again(jobs: list[tuple[int, int, int, bool]]) -> None:
    load = _jobs(*(Job(f"j{n}", a, r, c, evictable=e) for n, (a, r, c, e) in enumerate(jobs)))
    result = simulate(load, _settings(), chances=EXACT)
    assert result.finished == result.jobs == len(jobs)
    assert result.power_ons == result.power_offs > 0
    assert 0 <= result.wait_p50_s <= result.wait_p95_s <= result.wait_max_s
    assert 0 < result.utilisation <= 1


def test_no_pools() -> None:
    with pytest.raises(Misconfigured):
        simulate(_jobs(Job("a", 0.0, 1.0, 1)), Settings())


def test_percentiles() -> None:
    assert percentile([], 0.5) == 0.0
    assert [percentile([1.0, 2.0, 3.0, 4.0], share) for share in (0.0, 0.5, 0.75, 0.95, 1.0)] == [
        1.0,
        2.0,
        3.0,
        4.0,
        4.0,
    ]


@pytest.mark.slow
def test_ten_thousand_jobs_in_well_under_a_minute() -> None:
    rng = random.Random(7)
    jobs, at = [], 0.0
    for number in range(10_000):
        at += rng.expovariate(1 / 40.0)
        jobs.append(
            Job(f"j{number}", at, rng.lognormvariate(6, 1.2), 1000, tasks=rng.choice((1, 1, 1, 2, 4, 8)), joinable=True)
        )
    pool = msgspec.structs.replace(POOL, max=40)
    began = time.process_time()
    result = simulate(_jobs(*jobs), _settings(pool, Policy()))
    took = time.process_time() - began
    print(f"\n10,000 jobs: {took:.1f} s CPU, {result.decisions} decisions")
    assert result.finished == 10_000
