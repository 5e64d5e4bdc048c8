# SPDX-License-Identifier: BSD-3-Clause
"""Small line plots in SVG, readable on light and dark pages."""
import math
from collections import namedtuple
from xml.sax.saxutils import escape

# A line with, at each x, the median, the lowest and the highest y.
Series = namedtuple("Series", "name xs ys lows highs")

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 76, 24, 44, 52
COLOURS = ("#0969da", "#bc4c00", "#1a7f37", "#8250df")
DARK_COLOURS = ("#58a6ff", "#f0883e", "#3fb950", "#bc8cff")


def style():
    def rules(paper, ink, faint, colours):
        lines = "".join(f".s{i}{{stroke:{c};fill:{c}}}" for i, c in enumerate(colours))
        return f".paper{{fill:{paper}}}text{{fill:{ink}}}.grid{{stroke:{faint}}}{lines}"
    return ("<style>text{font:13px sans-serif}.grid{stroke-width:1}.line{fill:none!important;"
            "stroke-width:2}.bar{stroke-width:1.5}"
            + rules("#ffffff", "#1f2328", "#d1d9e0", COLOURS)
            + "@media(prefers-color-scheme:dark){"
            + rules("#0d1117", "#e6edf3", "#3d444d", DARK_COLOURS) + "}</style>")


def short(n):
    """1 M, 100 M; below that in full."""
    return f"{n / 1e6:,.10g} M" if n >= 1e6 else f"{n:,}"


def nice_step(most):
    """A step that divides 0 to `most` into some five parts."""
    raw = most / 5
    power = 10 ** math.floor(math.log10(raw))
    return next(power * k for k in (1, 2, 5, 10) if power * k >= raw)


def write_plot(path, title, x_name, y_name, series, log_x=False):
    """Writes a plot whose y axis begins at 0."""
    xs = sorted({x for s in series for x in s.xs})
    most = max(high for s in series for high in s.highs) * 1.25
    step = nice_step(most)
    most = step * math.ceil(most / step)

    def place_x(x):
        scale = math.log10 if log_x else float
        low, high = scale(xs[0]), scale(xs[-1])
        return LEFT + 32 + (scale(x) - low) / ((high - low) or 1) * (WIDTH - LEFT - RIGHT - 56)

    def place_y(y):
        return HEIGHT - BOTTOM - y / most * (HEIGHT - TOP - BOTTOM)

    def text(x, y, what, anchor="middle", more=""):
        return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}"{more}>{escape(what)}</text>'

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
           f'height="{HEIGHT}" role="img"><title>{escape(title)}</title>', style(),
           f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>',
           text(WIDTH / 2, 24, title, more=' font-weight="bold"'),
           text(WIDTH / 2, HEIGHT - 10, x_name + (", log scale" if log_x else "")),
           text(0, 0, y_name, more=f' transform="translate(18 {HEIGHT / 2:.0f}) rotate(-90)"')]
    for i in range(round(most / step) + 1):
        y = place_y(i * step)
        out.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        out.append(text(LEFT - 8, y + 4, f"{i * step:,.{0 if step >= 1 else 1}f}", "end"))
    out += [text(place_x(x), HEIGHT - BOTTOM + 20, short(x)) for x in xs]
    for i, s in enumerate(series):
        points = [(place_x(x), place_y(y)) for x, y in zip(s.xs, s.ys)]
        out.append(f'<path class="line s{i}" d="M' + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
                   + '"/>')
        for (x, y), value, low, high in zip(points, s.ys, s.lows, s.highs):
            out.append(f'<path class="bar s{i}" d="M{x:.1f} {place_y(low):.1f}V{place_y(high):.1f}"/>'
                       f'<circle class="s{i}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
            # The first line is what the plot is about.
            if i == 0:
                out.append(text(x - 6, y - 8, f"{value:,.{0 if most >= 50 else 1}f}", "end"))
        if len(series) > 1:
            y = TOP + 16 + 18 * i
            out.append(f'<circle class="s{i}" cx="{LEFT + 16}" cy="{y - 4}" r="4"/>')
            out.append(text(LEFT + 28, y, s.name, "start"))
    out.append("</svg>\n")
    path.write_text("\n".join(out))
