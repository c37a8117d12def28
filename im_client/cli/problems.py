"""Problems of a template as people read them: place, code, message, the line with a caret, the hint."""

from collections.abc import Sequence
from pathlib import Path

from im_client.template.problems import Level, Problem
from infracore.cli.console import say
from infracore.cli.text import clean

__all__ = ["problem_lines", "say_problems"]

_WIDEST_LINE = 160


def problem_lines(problem: Problem) -> list[str]:
    """Return one problem: `file:line:column: code: message`, the line itself, a caret below it, and the hint."""
    word = "" if problem.level is Level.ERROR else "warning: "
    place = f"{clean(_short(problem.file))}:{problem.line}:{problem.column}"
    lines = [f"{place}: {problem.code}: {word}{clean(problem.message)}"]
    if problem.source_line.strip():
        source, before = _excerpt(problem.source_line, problem.column - 1)
        number = f"{problem.line:>5} | "
        lines.append(number + source)
        lines.append(f"{'':>5} | " + " " * before + "^")
    if problem.hint:
        lines.append(f"      hint: {clean(problem.hint)}")
    return lines


def _short(path: str) -> str:
    """Return a path relative to the current folder where it is in it."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def _excerpt(line: str, column: int) -> tuple[str, int]:
    """Return the line, cut round the column if it is long, and how many cells stand before the column."""
    from rich.cells import cell_len

    line = line.replace("\t", " ").rstrip()
    start = 0
    if len(line) > _WIDEST_LINE:
        start = max(0, min(column - _WIDEST_LINE // 2, len(line) - _WIDEST_LINE))
    head, tail = clean(line[start:column]), clean(line[column : start + _WIDEST_LINE])
    dots = "..." if start else ""
    return dots + head + tail, cell_len(dots + head)


def say_problems(problems: Sequence[Problem]) -> None:
    """Write problems on standard error in the order of their places, and how many there are."""
    for problem in sorted(problems):
        for line in problem_lines(problem):
            say(line)
    errors = sum(problem.level is Level.ERROR for problem in problems)
    warnings = len(problems) - errors
    counted = [_count(errors, "error")] if errors else []
    counted += [_count(warnings, "warning")] if warnings else []
    if counted:
        say(", ".join(counted))


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
