"""How our pages look: one style sheet, light and dark; nothing is loaded from anywhere."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Final

from infracore.units import format_duration

__all__ = ["STATES", "Raw", "age", "document", "figure", "legend", "table", "tiles"]

STATES: Final[Mapping[str, str]] = {
    "busy": "in use",
    "ready": "ready",
    "idle": "idle",
    "draining": "draining",
    "stopping": "going off",
    "booting": "booting",
    "unready": "not ready",
    "failed": "failed",
    "unmanaged": "not managed",
    "off": "off",
}
"""States of nodes in the order in which they are stacked, and what they are called."""

# Colours that people with any kind of colour vision tell apart (Okabe and Ito 2008), a little calmer.
_CSS: Final = """
:root{color-scheme:light dark;--paper:#fbfbfa;--card:#fff;--ink:#1c2024;--soft:#667079;--line:#e2e5e8;
--busy:#0b7a5c;--ready:#0b7a5c;--idle:#7cc8b0;--draining:#b46a9a;--stopping:#d5acc8;--booting:#e3a008;--unready:#c9b458;
--failed:#cc4b1e;--unmanaged:#8aa4be;--off:#c9ced3;--accent:#1f6fb4}
@media(prefers-color-scheme:dark){:root{--paper:#14171a;--card:#1c2024;--ink:#e8eaec;--soft:#98a2ab;--line:#2e353b;
--busy:#27a37f;--ready:#27a37f;--idle:#1d6350;--draining:#c583ae;--stopping:#7a5570;--booting:#e6ab2b;--unready:#b5a14b;
--failed:#e0693f;--unmanaged:#6c86a0;--off:#434b52;--accent:#58a6e6}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1060px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:24px;margin:0;letter-spacing:-.01em}h2{font-size:16px;margin:34px 0 10px}
.sub{color:var(--soft);margin:2px 0 20px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(148px,1fr));gap:12px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px}
.tile b{display:block;font-size:21px;white-space:nowrap;
font-weight:600;font-variant-numeric:tabular-nums;letter-spacing:-.01em}
.tile span{color:var(--soft);font-size:13px}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px;overflow-x:auto}
.card>p:first-child{margin-top:0}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{text-align:left;color:var(--soft);font-weight:500;font-size:13px;padding:4px 14px 6px 0;white-space:nowrap}
td{padding:6px 14px 6px 0;border-top:1px solid var(--line);vertical-align:top;overflow-wrap:break-word}
th.n,td.n{text-align:right;white-space:nowrap}
td:has(.dot){white-space:nowrap}
.bar{display:flex;height:12px;min-width:160px;border-radius:6px;overflow:hidden;background:var(--line)}
.bar i{display:block}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;color:var(--soft);font-size:13px;margin:0 0 8px}
.legend i,.dot{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:6px}
.note{border-left:3px solid var(--booting);padding:2px 0 2px 12px;margin:8px 0}
.bad{border-left-color:var(--failed)}
.soft{color:var(--soft)}
svg{display:block;width:100%;height:auto}
svg text{fill:var(--soft);font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
svg .grid{stroke:var(--line);stroke-width:1}
svg .area{stroke:var(--card);stroke-width:.6}
footer{color:var(--soft);font-size:13px;margin-top:36px}
@media print{body{background:#fff}.card,.tile{break-inside:avoid}}
"""


class Raw(str):
    """HTML that we made ourselves; any other text is escaped."""

    __slots__ = ()


def document(title: str, body: Iterable[str], *, refresh_s: int | None = None) -> str:
    """Return a whole page. `body` is HTML."""
    again = f'<meta http-equiv="refresh" content="{refresh_s}">' if refresh_s else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">{again}'
        f"<title>{escape(title)}</title><style>{_CSS}</style></head><body><main>{''.join(body)}</main></body></html>\n"
    )


def tiles(facts: Iterable[tuple[str, str]]) -> str:
    """Return big figures, each with what it is."""
    inner = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span></div>' for value, name in facts
    )
    return f'<div class="tiles">{inner}</div>'


def table(headings: Iterable[str], rows: Iterable[Iterable[str | int | float]]) -> str:
    """Return a table in a card; a heading that begins with `#` is of numbers."""
    heads = list(headings)
    kinds = [' class="n"' if head.startswith("#") else "" for head in heads]
    top = "".join(f"<th{kind}>{escape(head.removeprefix('#'))}</th>" for head, kind in zip(heads, kinds, strict=True))
    lines = []
    for row in rows:
        cells = zip(row, kinds, strict=True)
        lines.append("<tr>" + "".join(f"<td{kind}>{_cell(cell)}</td>" for cell, kind in cells) + "</tr>")
    return f'<div class="card"><table><thead><tr>{top}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _cell(value: str | int | float) -> str:
    return str(value) if isinstance(value, Raw) else escape(str(value))


def legend(states: Iterable[str]) -> str:
    """Return what the colours of states mean."""
    inner = "".join(
        f'<span><i style="background:var(--{state})"></i>{escape(STATES[state])}</span>' for state in states
    )
    return f'<div class="legend">{inner}</div>'


def figure(drawing: str, above: str = "") -> str:
    """Return a drawing in a card."""
    return f'<div class="card">{above}{drawing}</div>'


def age(seconds: float) -> str:
    """Return how long ago something was."""
    return f"{format_duration(seconds)} ago" if seconds >= 1 else "now"
