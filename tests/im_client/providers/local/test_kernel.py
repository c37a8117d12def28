"""The kernel's shared limits."""

from pathlib import Path

from im_client.providers.local.kernel import LIMITS, low_limits, raise_limits


def _tree(root: Path, value: int) -> Path:
    for name in LIMITS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{value}\n")
    return root


def test_low_limits_are_raised(tmp_path: Path) -> None:
    root = _tree(tmp_path, 128)
    assert set(low_limits(root)) == set(LIMITS)
    raise_limits(root)
    assert not low_limits(root)


def test_nothing_is_lowered(tmp_path: Path) -> None:
    root = _tree(tmp_path, 10**7)
    raise_limits(root)
    assert {int((root / name).read_text()) for name in LIMITS} == {10**7}


def test_a_kernel_without_a_limit_is_left_alone(tmp_path: Path) -> None:
    raise_limits(tmp_path)
    assert not low_limits(tmp_path)
