"""Draw docs/pictures/flow.svg: the way of a template. `--check` compares and writes nothing."""

import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "flow.svg"
_BOXES = (
    ("template", "TOSCA in YAML", "im validate"),
    ("topology", "groups, operations", "tosca"),
    ("plan", "steps with reasons", "im plan"),
    ("machines", "local, existing", "im deploy"),
    ("cluster", "configured by Ansible", "im ssh, im scale"),
)
_WIDTH, _HEIGHT, _GAP = 150, 62, 34


def picture() -> str:
    """Return the picture."""
    total = len(_BOXES) * (_WIDTH + _GAP) - _GAP + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} 190" font-family="sans-serif" role="img"'
        ' aria-label="A template becomes a topology, a plan, machines and a configured cluster">',
        '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#555"/></marker></defs>',
        f'<rect x="0" y="0" width="{total}" height="190" fill="#fff"/>',
    ]
    for place, (name, what, how) in enumerate(_BOXES):
        left = 10 + place * (_WIDTH + _GAP)
        middle = left + _WIDTH // 2
        parts += [
            f'<rect x="{left}" y="20" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="#eef3fa" stroke="#2f5d9b"/>',
            _text(middle, 46, name, 16, "#1c2b3a", bold=True),
            _text(middle, 67, what, 12, "#444"),
            _text(middle, 103, how, 12, "#2f5d9b"),
        ]
        if place:
            parts.append(_arrow(left - _GAP + 2, 51, left - 3, 51))
    first, last = 10 + 2 * (_WIDTH + _GAP) + _WIDTH // 2, 10 + 4 * (_WIDTH + _GAP) + _WIDTH // 2
    parts += [
        f'<path d="M{last} 110 V150 H{first} V112" fill="none" stroke="#555" stroke-dasharray="5 4"'
        ' marker-end="url(#a)"/>',
        _text((first + last) // 2, 170, "recorded state and what the provider reports: the next plan", 12, "#444"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _text(left: int, top: int, words: str, size: int, colour: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{left}" y="{top}" font-size="{size}" fill="{colour}" text-anchor="middle"{weight}>{words}</text>'


def _arrow(left: int, top: int, right: int, bottom: int) -> str:
    return f'<path d="M{left} {top} L{right} {bottom}" stroke="#555" fill="none" marker-end="url(#a)"/>'


def main(words: list[str]) -> int:
    """Write the picture, or compare it."""
    if "--check" in words:
        return int(not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != picture())
    PAGE.write_text(picture(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
