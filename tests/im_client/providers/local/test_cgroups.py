"""Which control groups a computer has, and the limits that are written into them."""

from pathlib import Path

import pytest

from im_client.providers.local.cgroups import GroupTree, find_groups
from infracore.errors import CommandFailed, Misconfigured

V2 = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = (
    "40 24 0:30 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
    "41 40 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "42 40 0:32 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "43 40 0:33 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
    "44 40 0:34 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)


def test_a_pure_version_2_is_known_by_its_mount_point() -> None:
    tree = find_groups(V2)
    assert tree.is_pure
    assert tree.v1 == {}


def test_a_hybrid_has_its_limits_on_version_1_and_its_tree_on_version_2() -> None:
    tree = find_groups(HYBRID)
    assert not tree.is_pure
    assert tree.unified == Path("/sys/fs/cgroup/unified")
    assert tree.v1_folders("m") == [
        Path("/sys/fs/cgroup/memory/imclues/m"),
        Path("/sys/fs/cgroup/cpu,cpuacct/imclues/m"),
    ]


def test_controllers_on_one_mount_are_one_folder() -> None:
    tree = find_groups("41 40 0:31 / /cg rw - cgroup cgroup rw,memory,cpu\n")
    assert tree.v1_folders("m") == [Path("/cg/imclues/m")]


def test_a_computer_without_control_groups_is_told_how_to_get_them() -> None:
    with pytest.raises(Misconfigured) as caught:
        find_groups("1 1 0:1 / / rw - ext4 /dev/vda rw\n")
    assert "mount" in caught.value.hint


@pytest.fixture
def pure(tmp_path: Path) -> GroupTree:
    """A version 2 tree of plain files, as the kernel would offer them."""
    folder = tmp_path / "imclues" / "m"
    folder.mkdir(parents=True)
    for name in ("memory.max", "memory.swap.max", "cpu.max", "cpuset.cpus"):
        (folder / name).touch()
    return GroupTree(tmp_path, {}, frozenset({"memory", "cpu", "cpuset"}))


def test_memory_is_limited_with_its_swap(pure: GroupTree, tmp_path: Path) -> None:
    pure.limit("m", num_cpus=None, mem_bytes=2**28)
    assert (tmp_path / "imclues/m/memory.max").read_text() == str(2**28)
    assert (tmp_path / "imclues/m/memory.swap.max").read_text() == "0"
    pure.limit("m", num_cpus=None, mem_bytes=None)
    assert (tmp_path / "imclues/m/memory.max").read_text() == "max"


def test_neighbours_get_other_processors(pure: GroupTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0, 1, 2, 5})
    seen = []
    for offset in (10, 11, 12):
        pure.limit("m", num_cpus=2, mem_bytes=None, offset=offset)
        seen.append((tmp_path / "imclues/m/cpuset.cpus").read_text())
    assert seen == ["2,5", "0,5", "0,1"]
    assert (tmp_path / "imclues/m/cpu.max").read_text() == "200000 100000"


def test_more_processors_than_there_are_means_all(
    pure: GroupTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0, 1})
    pure.limit("m", num_cpus=16, mem_bytes=None)
    assert (tmp_path / "imclues/m/cpu.max").read_text() == "max 100000"


def test_a_limit_that_the_kernel_refuses_is_a_typed_error(tmp_path: Path) -> None:
    folder = tmp_path / "imclues" / "m" / "memory.max"
    folder.mkdir(parents=True)
    with pytest.raises(CommandFailed):
        GroupTree(tmp_path, {}, frozenset({"memory"})).limit("m", num_cpus=None, mem_bytes=2**28)
