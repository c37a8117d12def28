"""A group whose commands are imported when they are used, so that `--help` costs nothing but click."""

import importlib
import keyword
from collections.abc import Mapping
from typing import Any, TypeAlias

import click

__all__ = ["ExampleCommand", "ExampleGroup", "LazyGroup", "UntilDashes"]


Examples: TypeAlias = tuple[tuple[str, str], ...]
"""Command lines, and what each does."""


def _write_examples(formatter: click.HelpFormatter, examples: Examples) -> None:
    with formatter.section("Examples"):
        for line, meaning in examples:
            formatter.write(f"{'':{formatter.current_indent}}{line}\n")
            formatter.indent()
            formatter.write_text(meaning)
            formatter.dedent()


class ExampleCommand(click.Command):
    """A command whose help ends with examples."""

    def __init__(self, *args: Any, examples: Examples = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples after the options."""
        super().format_epilog(ctx, formatter)
        _write_examples(formatter, self.examples)


class ExampleGroup(click.Group):
    """A group whose help ends with examples."""

    def __init__(self, *args: Any, examples: Examples = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples after the commands."""
        super().format_epilog(ctx, formatter)
        _write_examples(formatter, self.examples)


class UntilDashes(ExampleCommand):
    """A command that leaves all that follows `--` to another program: see `command_words`."""

    _KEY = "infracore.after-dashes"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what follows the first `--` aside, and parse what stands before it."""
        if "--" in args:
            at = args.index("--")
            ctx.meta[self._KEY] = tuple(args[at + 1 :])
            args = args[:at]
        return super().parse_args(ctx, args)

    @classmethod
    def command_words(cls, ctx: click.Context) -> tuple[str, ...]:
        """Return the words after `--`, or none."""
        words: tuple[str, ...] = ctx.meta.get(cls._KEY, ())
        return words


class LazyGroup(ExampleGroup):
    """Finds its commands in the modules of a package.

    `summaries` maps each command to the one line that `--help` shows; a test compares it with the command's own.
    """

    def __init__(self, *args: Any, package: str, summaries: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.package = package
        self.summaries = summaries

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the commands in the order of a first use, not of the alphabet."""
        return list(self.summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        if cmd_name not in self.summaries:
            return None
        name = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name  # `import` is no name of a module
        module = importlib.import_module(f"{self.package}.{name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the summaries without importing a command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Answer an unknown command with the nearest known one."""
        name = args[0]
        if name not in self.summaries and not name.startswith("-"):
            import difflib

            near = difflib.get_close_matches(name, self.summaries, n=1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"there is no command {name!r}.{meant}", ctx)
        return super().resolve_command(ctx, args)
