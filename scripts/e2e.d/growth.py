#!/usr/bin/python3
"""Draws how cost grows: growth.py <FIGURES >PICTURE

Reads lines of chart, series, x and y with tabs between them, and writes an SVG with one small chart each, in the order in
which they come. The x axis is logarithmic, and the y axis begins at zero. Standard library only.
"""

import html
import math
import sys

WIDTH, HEIGHT, COLUMNS = 340, 210, 2
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 34, 30
COLOURS = {"Breakwater": "#0b6e99"}
OTHER = "#9a6b1f"
TITLES = {
    "answers a second": "Manifests by tag a second, by clients",
    "99th percentile in ms": "99th percentile in ms, by clients",
    "seconds for all, cold": "Seconds, by cold images at once",
    "start in s": "Start in seconds, by blobs kept",
    "answers a second, by blobs": "Manifests by tag a second, by blobs kept",
    "99th percentile in ms, by blobs": "99th percentile in ms, by blobs kept",
    "memory in MB": "Memory in MB, by blobs kept",
}


def read():
    charts = {}
    for line in sys.stdin:
        chart, series, x, y = line.rstrip("\n").split("\t")
        charts.setdefault(chart, {}).setdefault(series, []).append((float(x), float(y)))
    return charts


def rounded_up(value):
    """The next of 1, 2, 5, 10, ... above the value."""
    power = 10 ** math.floor(math.log10(value)) if value > 0 else 1
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


def short(number):
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:g}{name}"
    return f"{number:g}"


def chart(title, series):
    points = [point for line in series.values() for point in line]
    xs = sorted({x for x, _ in points})
    top = rounded_up(max(y for _, y in points))
    low, high = math.log(xs[0]), math.log(xs[-1])

    def place(x, y):
        across = (math.log(x) - low) / (high - low or 1)
        return (
            LEFT + across * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM),
        )

    out = [f'<text class="title" x="{LEFT}" y="16">{html.escape(title)}</text>']
    for part in (0, 0.5, 1):
        _, y = place(xs[0], top * part)
        out.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        out.append(f'<text class="y" x="{LEFT - 6}" y="{y + 4:.1f}">{short(top * part)}</text>')
    shown = xs if len(xs) <= 5 else xs[::3]
    for x in shown:
        out.append(f'<text class="x" x="{place(x, 0)[0]:.1f}" y="{HEIGHT - BOTTOM + 16}">{short(x)}</text>')
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS.get(name, OTHER)
        dashes = "" if name in COLOURS else ' stroke-dasharray="5 3"'
        path = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in line)
        out.append(f'<polyline points="{path}" stroke="{colour}"{dashes}/>')
        for x, y in line:
            across, down = place(x, y)
            out.append(f'<circle cx="{across:.1f}" cy="{down:.1f}" r="2.5" fill="{colour}"/>')
        if len(series) > 1:
            out.append(f'<text x="{LEFT + number * 130}" y="29" style="fill:{colour}">{html.escape(name)}</text>')
    return "\n".join(out)


def main():
    charts = read()
    rows = math.ceil(len(charts) / COLUMNS)
    width, height = WIDTH * COLUMNS, HEIGHT * rows
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="How cost grows">')
    print(
        "<style>text{font:11px sans-serif;fill:#555}text.title{font-weight:bold;fill:#222}"
        "text.y{text-anchor:end}text.x{text-anchor:middle}line.grid{stroke:#ddd}"
        "polyline{fill:none;stroke-width:1.8}</style>"
    )
    print(f'<rect width="{width}" height="{height}" fill="#fff"/>')
    for number, (name, series) in enumerate(charts.items()):
        across, down = number % COLUMNS * WIDTH, number // COLUMNS * HEIGHT
        print(f'<g transform="translate({across},{down})">\n{chart(TITLES.get(name, name), series)}\n</g>')
    print("</svg>")


main()
