"""Line charts as SVG, and a page to put them on: no script, no network, light and dark."""

import html
import math

WIDTH, HEIGHT = 560, 250
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 12, 42
COLOURS = 6

STYLE = """
:root { --paper: #ffffff; --ink: #1b1f24; --soft: #59636e; --line: #d1d9e0; --panel: #f6f8fa;
  --good: #1a7f37; --bad: #cf222e;
  --c0: #0969da; --c1: #bc4c00; --c2: #1a7f37; --c3: #8250df; --c4: #bf3989; --c5: #6e7781; }
@media (prefers-color-scheme: dark) { :root { --paper: #0d1117; --ink: #e6edf3; --soft: #9198a1;
  --line: #3d444d; --panel: #151b23; --good: #3fb950; --bad: #f85149;
  --c0: #4493f8; --c1: #f0883e; --c2: #3fb950; --c3: #ab7df8; --c4: #db61a2; --c5: #9198a1; } }
body { background: var(--paper); color: var(--ink); margin: 0 auto; max-width: 1200px;
  padding: 24px; font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 32px 0 8px; }
p, figcaption { color: var(--soft); margin: 4px 0; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 500px), 1fr));
  gap: 16px; }
figure { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; margin: 0;
  padding: 12px; }
figure h3 { font-size: 15px; margin: 0; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
svg .grid { stroke: var(--line); stroke-width: 1; } svg .mark { stroke-dasharray: 5 4; }
svg polyline { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.key { display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: 13px; color: var(--soft); }
.key i { display: inline-block; width: 14px; height: 3px; margin-right: 6px;
  vertical-align: middle; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: 4px 12px; text-align: right;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { color: var(--soft); font-weight: 600; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; }
"""


def nice_ticks(top, count=5):
    """Round numbers from 0 to at least `top`."""
    if top <= 0:
        return [0.0, 1.0]
    rough = top / count
    unit = 10 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough * 0.999)
    return [step * i for i in range(math.ceil(top / step - 1e-9) + 1)]


def powers(low, high):
    """Powers of ten around [low, high], both above 0."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high) - 1e-9)
    return [10.0 ** exponent for exponent in range(first, max(last, first + 1) + 1)]


def label(value):
    if value == 0:
        return "0"
    if value >= 1e6:
        return f"{value / 1e6:g} M"
    if value >= 1e4:
        return f"{value / 1e3:g} k"
    return f"{value:g}"


def chart(title, unit, series, note="", mark=None, logarithmic=False):
    """`series`: [(name, [(seconds, value)])]; `mark`: (value, name) of a level to compare with."""
    series = [(name, points) for name, points in series if points]
    if not series:
        return ""
    xs = [x for _, points in series for x, _ in points]
    ys = [y for _, points in series for _, y in points if y > 0 or not logarithmic]
    if mark:
        ys.append(mark[0])
    if not ys:
        return ""
    x_ticks = nice_ticks(max(xs), 6)
    y_ticks = powers(min(ys), max(ys)) if logarithmic else nice_ticks(max(ys))
    right = max(max(xs), 1e-9)

    def across(x):
        return LEFT + (WIDTH - LEFT - RIGHT) * min(x / right, 1)

    def up(y):
        if logarithmic:
            low, high = math.log10(y_ticks[0]), math.log10(y_ticks[-1])
            part = (math.log10(max(y, y_ticks[0])) - low) / (high - low)
        else:
            part = y / y_ticks[-1]
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - part)

    parts = []
    for tick in y_ticks:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(tick):.1f}" '
                     f'y2="{up(tick):.1f}"/><text x="{LEFT - 8}" y="{up(tick) + 4:.1f}" '
                     f'text-anchor="end">{label(tick)}</text>')
    for tick in x_ticks:
        if tick <= right * 1.001:
            parts.append(f'<text x="{across(tick):.1f}" y="{HEIGHT - BOTTOM + 18}" '
                         f'text-anchor="middle">{label(tick)}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 5}" text-anchor="end">seconds</text>'
                 f'<text x="{LEFT}" y="{HEIGHT - 5}">{html.escape(unit)}</text>')
    if mark:
        parts.append(f'<line class="mark" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(mark[0]):.1f}" '
                     f'y2="{up(mark[0]):.1f}" stroke="var(--bad)"/>'
                     f'<text x="{WIDTH - RIGHT - 4}" y="{up(mark[0]) - 5:.1f}" '
                     f'text-anchor="end">{html.escape(mark[1])}</text>')
    key = []
    for index, (name, points) in enumerate(series):
        colour = f"var(--c{index % COLOURS})"
        line = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in points)
        parts.append(f'<polyline stroke="{colour}" points="{line}"/>')
        key.append(f'<span><i style="background:{colour}"></i>{html.escape(name)}</span>')
    note = f"<figcaption>{html.escape(note)}</figcaption>" if note else ""
    return (f"<figure><h3>{html.escape(title)}</h3>"
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title)}">'
            f'{"".join(parts)}</svg><div class="key">{"".join(key)}</div>{note}</figure>')


def table(head, rows):
    """Cells are text, or (text, class)."""
    def cell(value):
        text, kind = value if isinstance(value, tuple) else (value, "")
        return f'<td class="{kind}">{html.escape(text)}</td>' if kind else \
            f"<td>{html.escape(text)}</td>"
    lines = ["<tr>" + "".join(f"<th>{html.escape(name)}</th>" for name in head) + "</tr>"]
    lines += ["<tr>" + "".join(cell(value) for value in row) + "</tr>" for row in rows]
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def page(title, parts):
    return ("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
            f"<title>{html.escape(title)}</title><style>{STYLE}</style>"
            f"<body>{''.join(parts)}</body></html>\n")
