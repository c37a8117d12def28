"""What `--help` of clues and cluesd promises."""

import resource
import shlex
import subprocess
import sys

import click
import pytest

from clues.cli.main import SUMMARIES, cli, daemon_command, run_daemon

OTHERS = {"plan", "simulate"}
"""Commands with tests of their own, beside what they call."""
OURS = [name for name in SUMMARIES if name not in OTHERS]


def command_of(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return command


@pytest.mark.parametrize("name", OURS)
def test_the_summary_in_the_list_is_the_commands_own(name: str) -> None:
    assert command_of(name).short_help == SUMMARIES[name]


@pytest.mark.parametrize("name", OURS)
def test_every_help_ends_with_two_examples_or_more(clues, name: str) -> None:
    answer = clues(name, "--help")
    examples = answer.out.partition("Examples:\n")[2]
    assert answer.status == 0
    assert sum(line.strip().startswith(("clues ", "eval ")) for line in examples.splitlines()) >= 2


@pytest.mark.parametrize("name", OURS)
def test_the_words_of_every_example_are_accepted(name: str) -> None:
    for line, _ in command_of(name).examples:  # type: ignore[attr-defined]
        words = shlex.split(line)
        if words[0] != "clues":
            continue
        words = words[: words.index(">")] if ">" in words else words
        context = cli.make_context("clues", words[1:], resilient_parsing=False)
        rest = [*context._protected_args, *context.args]
        context.close()
        command, rest = command_of(rest[0]), rest[1:]
        if isinstance(command, click.Group):
            found = command.get_command(click.Context(command), rest[0])
            assert found is not None
            command, rest = found, rest[1:]
        command.make_context(name, rest).close()


def test_what_reads_has_json() -> None:
    for name in OURS:
        command = command_of(name)
        commands = list(command.commands.values()) if isinstance(command, click.Group) else [command]
        for one in commands:
            assert name == "completion" or any("--json" in param.opts for param in one.params), one.name


def test_help_imports_neither_rich_nor_what_decides_and_takes_a_quarter_second_at_most() -> None:
    code = (
        "import sys\nfrom clues.cli.main import run\nrun(['--help'])\n"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in {'rich', 'msgspec', 'yaml', 'numpy', 'structlog'}"
        " or m.startswith(('clues.api', 'clues.dae', 'clues.set'))), file=sys.stderr)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stderr.strip() == "[]"
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0  # 0.25 s on a free core


def test_an_unknown_command_is_answered_with_the_nearest_one(clues) -> None:
    answer = clues("statsu")
    assert answer.status == 2
    assert "Did you mean 'status'?" in answer.err
    assert answer.out == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(clues, shell: str) -> None:
    answer = clues("completion", shell)
    assert answer.status == 0
    assert "_CLUES_COMPLETE" in answer.out


def test_completion_offers_the_nodes_of_the_daemon_and_stays_silent_without_one(clues, control, tmp_path) -> None:
    from click.shell_completion import ShellComplete

    def found() -> list[str]:
        words = ["poweroff"]
        return [item.value for item in ShellComplete(cli, {}, "clues", "X").get_completions(words, "pi")]

    assert found() == ["pi-1", "pi-2"]
    (tmp_path / "s").rename(tmp_path / "moved")
    assert found() == []
    (tmp_path / "moved").rename(tmp_path / "s")


def test_the_daemon_has_help_with_examples_and_refuses_what_it_does_not_know(
    capsys: pytest.CaptureFixture[str], tmp_path
) -> None:
    assert run_daemon(["--help"]) == 0
    assert capsys.readouterr().out.count("cluesd -") >= 2
    assert run_daemon(["--version"]) == 0
    assert capsys.readouterr().out.startswith("cluesd ")
    assert run_daemon(["start"]) == 2
    assert {param.name for param in daemon_command.params} >= {"config", "dry_run", "debug", "options"}


def test_the_page_of_the_commands_can_be_made() -> None:
    from clues.cli.main import SUMMARIES as ALL

    assert set(ALL) >= {
        "status", "nodes", "pods", "why", "plan", "simulate", "hold", "release", "poweron", "poweroff", "enable",
        "disable", "report", "replay", "doctor", "config", "completion",
    }  # fmt: skip
