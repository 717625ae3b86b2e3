#!/usr/bin/env python3
"""Draws metrics of one or more runs into an SVG, with the standard library alone:

    python3 examples/plot.py solved curve.svg runs/a runs/b
"""
import html
import json
import pathlib
import sys

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 400, 70, 40, 30
COLOURS = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf"]


def read(run, name):
    points = []
    for line in (pathlib.Path(run) / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        m = json.loads(line)
        if isinstance(m.get(name), (int, float)):
            points.append((m["step"], m[name]))
    if not points:
        sys.exit(f"plot: {run} has no metric {name}; docs/metrics.md lists them")
    return points


def smooth(points, span):
    """Mean over `span` steps around each."""
    values = [y for _, y in points]
    half = span // 2
    return [(x, sum(values[max(0, i - half): i + half + 1]) / len(values[max(0, i - half): i + half + 1]))
            for i, (x, _) in enumerate(points)]


def ticks(low, high):
    """About five round numbers between."""
    step = 10.0 ** (len(f"{int(1e12 * (high - low))}") - 13)
    step = next(step * f for f in (0.1, 0.2, 0.5, 1, 2, 5, 10) if (high - low) / (step * f) <= 6)
    first = int(low / step) - 1
    return [i * step for i in range(first, first + 12) if low - 1e-9 <= i * step <= high + 1e-9]


def draw(name, runs):
    series = [(run, read(run, name)) for run in runs]
    xs = [x for _, points in series for x, _ in points]
    ys = [y for _, points in series for _, y in points]
    x0, x1, y0, y1 = min(xs), max(max(xs), min(xs) + 1), min(ys), max(ys)
    if y1 <= y0:
        y0, y1 = y0 - 0.5, y1 + 0.5

    def at(x, y):
        return (LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - 20),
                HEIGHT - BOTTOM - (y - y0) / (y1 - y0) * (HEIGHT - BOTTOM - TOP))

    def line(points, style):
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in (at(*p) for p in points))
        return f'<polyline points="{path}" fill="none" {style}/>'

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for y in ticks(y0, y1):
        px, py = at(x0, y)
        out.append(f'<line x1="{px:.1f}" y1="{py:.1f}" x2="{WIDTH - 20}" y2="{py:.1f}" stroke="#dddddd"/>'
                   f'<text x="{px - 6:.1f}" y="{py + 4:.1f}" text-anchor="end">{y:g}</text>')
    for x in ticks(x0, x1):
        px, py = at(x, y0)
        out.append(f'<text x="{px:.1f}" y="{py + 18:.1f}" text-anchor="middle">{x:g}</text>')
    out.append(f'<text x="{LEFT}" y="18" font-size="14">{html.escape(name)} by step</text>')
    for i, (run, points) in enumerate(series):
        colour = COLOURS[i % len(COLOURS)]
        out.append(line(points, f'stroke="{colour}" stroke-opacity="0.3"'))
        out.append(line(smooth(points, max(3, len(points) // 12)), f'stroke="{colour}" stroke-width="2"'))
        out.append(f'<text x="{WIDTH - 24}" y="{18 + 15 * i}" text-anchor="end" fill="{colour}">{html.escape(str(run))}</text>')
    return "\n".join(out + ["</svg>\n"])


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit("usage: plot.py METRIC OUT.svg RUN...")
    pathlib.Path(sys.argv[2]).write_text(draw(sys.argv[1], sys.argv[3:]), encoding="utf-8")
