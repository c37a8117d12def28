"""A failure in five lines, as people read it."""

from im_client.configure.model import Failure

__all__ = ["failure_lines"]

_WIDTH = 200


def failure_lines(failure: Failure, log: str = "") -> tuple[str, ...]:
    """Return at most five lines: machine and task, place, message, what the program said last, and where more is.

    `log` is the command or the file that shows the whole log.
    """
    kind = "cannot be reached" if failure.unreachable else "failed"
    task = f' at "{failure.task}"' if failure.task else ""
    lines = [f"{failure.node} {kind}{task} ({failure.play})"]
    if failure.file:
        lines.append(f"  {failure.file}:{failure.line}" if failure.line else f"  {failure.file}")
    lines.append("  " + _cut(" ".join(failure.message.split())))
    said = [line for line in failure.last_lines if line.strip() and line.strip() not in failure.message]
    if said:
        lines.append("  said last: " + _cut(said[-1].strip()))
    if log:
        lines.append(f"  more: {log}")
    return tuple(lines)


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."
