"""What `--help` promises."""

import subprocess
import sys

import click
import pytest

from im_client.cli.main import SUMMARIES, cli


def command_of(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return command


@pytest.mark.parametrize("name", SUMMARIES)
def test_the_summary_in_the_list_is_the_commands_own(name: str) -> None:
    assert command_of(name).short_help == SUMMARIES[name]


@pytest.mark.parametrize("name", SUMMARIES)
def test_every_help_ends_with_two_examples_or_more(im, name: str) -> None:
    answer = im(name, "--help")
    examples = answer.out.partition("Examples:\n")[2]
    assert answer.status == 0
    assert sum(line.strip().startswith(("im ", "eval ")) for line in examples.splitlines()) >= 2


@pytest.mark.parametrize("name", SUMMARIES)
def test_the_words_of_every_example_are_accepted(name: str) -> None:
    import shlex

    for line, _ in command_of(name).examples:  # type: ignore[attr-defined]
        words = shlex.split(line)
        if words[0] != "im":
            continue
        if ">" in words:
            words = words[: words.index(">")]
        cli.make_context("im", words[1:], resilient_parsing=False).close()
        command, rest = command_of(words[1]), words[2:]
        if isinstance(command, click.Group):
            found = command.get_command(click.Context(command), rest[0])
            assert found is not None
            command, rest = found, rest[1:]
        command.make_context(words[1], rest).close()


def test_help_imports_neither_rich_nor_a_service() -> None:
    code = (
        "import sys\nfrom im_client.cli.main import run\nrun(['--help'])\n"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in {'rich', 'msgspec', 'yaml', 'cryptography'}"
        " or m.startswith('im_client.services')), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "[]"


def test_an_unknown_command_is_answered_with_the_nearest_one(im) -> None:
    answer = im("depoly")
    assert answer.status == 2
    assert "Did you mean 'deploy'?" in answer.err
    assert answer.out == ""


def test_an_unknown_option_is_wrong_usage(im) -> None:
    answer = im("list", "--jsn")
    assert answer.status == 2
    assert "--jsn" in answer.err
    assert answer.out == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(im, shell: str) -> None:
    answer = im("completion", shell)
    assert answer.status == 0
    assert "_IM_COMPLETE" in answer.out


def test_completion_offers_the_commands() -> None:
    from click.shell_completion import ShellComplete

    found = [item.value for item in ShellComplete(cli, {}, "im", "_IM_COMPLETE").get_completions([], "de")]
    assert found == ["deploy", "destroy"]


def test_completion_offers_the_infrastructures_and_their_machines(im, tmp_path) -> None:
    from click.shell_completion import ShellComplete

    def found(*words: str) -> list[str]:
        return [item.value for item in ShellComplete(cli, {}, "im", "_IM_COMPLETE").get_completions(list(words), "")]

    assert found("show") == []
    template = tmp_path / "t.yaml"
    template.write_text(
        "tosca_definitions_version: tosca_simple_yaml_1_3\n"
        "topology_template: {node_templates: {web: {type: tosca.nodes.Compute}}}\n"
    )
    assert im("deploy", str(template), "--name", "demo", "--provider", "fake", "--no-configure", "-y").status == 0
    assert found("show") == ["demo"]
    assert found("stop", "demo") == ["web-1"]
