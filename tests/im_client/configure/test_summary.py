from im_client.configure.model import Failure
from im_client.configure.summary import failure_lines

FAILURE = Failure(
    node="wn-1",
    play="slurm.Standard.configure",
    task="Install the packages",
    file="/a/roles/slurm/tasks/main.yml",
    line=12,
    message="No package matching 'slurmd'\nis available",
    last_lines=("E: broken", "E: Unable to locate package slurmd", ""),
)


def test_a_failure_reads_in_five_lines() -> None:
    assert failure_lines(FAILURE, "im logs demo") == (
        'wn-1 failed at "Install the packages" (slurm.Standard.configure)',
        "  /a/roles/slurm/tasks/main.yml:12",
        "  No package matching 'slurmd' is available",
        "  said last: E: Unable to locate package slurmd",
        "  more: im logs demo",
    )


def test_what_is_not_known_is_left_out_and_a_long_message_is_cut() -> None:
    bare = Failure("a", "p", "", "", 0, "x" * 500, unreachable=True)
    lines = failure_lines(bare)
    assert lines[0] == "a cannot be reached (p)"
    assert len(lines) == 2
    assert len(lines[1]) < 210
