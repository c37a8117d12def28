"""What selects by labels, found by the labels of one pod without asking every selector."""

from dataclasses import dataclass, field
from typing import Any

from clues.model import Labels, Selector

__all__ = ["LabelIndex"]


@dataclass(slots=True)
class LabelIndex:
    """Finds selectors by a label that they ask for, and kinds by their labels."""

    by_label: dict[tuple[str, str], list[Any]] = field(default_factory=dict)
    others: list[Any] = field(default_factory=list)

    def add(self, selector: Selector | None, item: Any) -> None:
        for requirement in selector.requirements if selector is not None else ():
            if requirement.operator == "In":
                for value in requirement.values:
                    self.by_label.setdefault((requirement.key, value), []).append(item)
                return
        self.others.append(item)

    def near(self, labels: Labels) -> list[Any]:
        """Return what may match these labels; nothing that does is left out."""
        found = list(self.others)
        for pair in labels.items():
            found += self.by_label.get(pair, ())
        return found
