"""A line chart with logarithmic axes, as an SVG file of its own: for light and dark pages."""

import html
import math

WIDTH, HEIGHT = 690, 360
LEFT, RIGHT, TOP, BOTTOM = 60, 26, 14, 74
STYLE = """text{fill:#59636e;font:12px system-ui,sans-serif}line{stroke:#d1d9e0}
polyline{fill:none;stroke-width:1.8}.c0{stroke:#0969da;fill:#0969da}.c1{stroke:#bc4c00;fill:#bc4c00}
.c2{stroke:#1a7f37;fill:#1a7f37}.c3{stroke:#8250df;fill:#8250df}.c4{stroke:#bf3989;fill:#bf3989}
polyline.c0,polyline.c1,polyline.c2,polyline.c3,polyline.c4{fill:none}
@media(prefers-color-scheme:dark){text{fill:#9198a1}line{stroke:#3d444d}}"""
COLOURS = 5
# Ticks within a power of ten.
STEPS = (1, 2, 5)


def ticks(low, high):
    """Two or more round numbers, from at most `low` to at least `high`, both above 0."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [step * 10.0 ** exponent for exponent in exponents for step in STEPS]
    first = max((tick for tick in every if tick <= low * 1.0001), default=every[0])
    last = min((tick for tick in every if tick >= high * 0.9999), default=every[-1])
    begin, end = every.index(first), every.index(last)
    return every[begin:max(end, begin + 1) + 1]


def label(value):
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def chart(series, across, up):
    """`series`: {name: [(x, y)]}, all above 0; `across` and `up` name the axes."""
    points = [point for line in series.values() for point in line]
    x_ticks = ticks(min(x for x, _ in points), max(x for x, _ in points))
    y_ticks = ticks(min(y for _, y in points), max(y for _, y in points))

    def at(value, marks, begin, end):
        part = math.log(value / marks[0]) / math.log(marks[-1] / marks[0])
        return begin + (end - begin) * part

    def x_of(value):
        return at(value, x_ticks, LEFT, WIDTH - RIGHT)

    def y_of(value):
        return at(value, y_ticks, HEIGHT - BOTTOM, TOP)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
             f"<title>{html.escape(up)}, by {html.escape(across)}</title><style>{STYLE}</style>"]
    for tick in y_ticks:
        y = y_of(tick)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
                     f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label(tick)}</text>')
    for tick in x_ticks:
        parts.append(f'<text x="{x_of(tick):.1f}" y="{HEIGHT - BOTTOM + 18}" '
                     f'text-anchor="middle">{label(tick)}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - BOTTOM + 36}" text-anchor="end">'
                 f'{html.escape(across)}</text><text x="{LEFT}" y="{HEIGHT - BOTTOM + 36}">'
                 f"{html.escape(up)}</text>")
    for number, (name, line) in enumerate(series.items()):
        kind = f"c{number % COLOURS}"
        path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in line)
        parts.append(f'<polyline class="{kind}" points="{path}"/>')
        left = LEFT + number * (WIDTH - LEFT - RIGHT) / len(series)
        parts.append(f'<rect class="{kind}" x="{left:.1f}" y="{HEIGHT - 17}" width="14" height="3"'
                     f'/><text x="{left + 19:.1f}" y="{HEIGHT - 11}">{html.escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])
