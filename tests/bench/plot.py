"""plot.py - the results as an SVG picture, drawn by gnuplot: ratios as bars, scale as lines."""

import shutil
import subprocess

from heaps import BASE
from results import cost_ns

COLOURS = ["#7f7f7f", "#d62728", "#1f77b4", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#17becf",
           "#bcbd22", "#e377c2"]
RATIO_MAX = 8.0  # a bar that is higher ends there, and says so


class NoPicture(Exception):
    """Nothing was drawn; the text says why."""


def check():
    if shutil.which("gnuplot") is None:
        raise NoPicture("gnuplot is missing; install it: apt-get install gnuplot-nox")


def colour(results, heap):
    return COLOURS[results.heaps.index(heap) % len(COLOURS)]


def text(words):
    return '"' + words.replace("\\", "").replace('"', "").replace("_", "-") + '"'


def bars(results, title, what):
    """A panel: for each workload a bar a heap, the geometric mean first."""
    names = [one.name for one in results.workloads if one.group != "scale"]
    others = [heap for heap in results.heaps if heap != BASE]
    if not names or not others:
        return []
    labels = ["geometric mean"] + names
    lines = ["set logscale y", f"set yrange [0.05:{RATIO_MAX}]", "set xrange [-0.6:*]",
             f"set title {text(title + f', ratio to {BASE} (above {RATIO_MAX:.0f} cut off)')}",
             "set style data histograms", "set style histogram clustered gap 2",
             "set style fill solid noborder", "set grid y",
             "set ytics (0.1,0.25,0.5,0.75,1,1.5,2,4,8)", "set xtics rotate by -40 nomirror",
             "unset xlabel", "unset ylabel", "set arrow 1 from graph 0, first 1 to graph 1, first 1 "
             "nohead lc rgb 'black' front"]
    plots = []
    for n, heap in enumerate(others):
        values = [results.mean(names, heap, what)[0]]
        values += [results.ratio(name, heap, what) for name in names]
        lines += [f"$bars{what}{n} << END"]
        lines += [f"{text(label)} {'NaN' if value is None else min(value, RATIO_MAX)}"
                  for label, value in zip(labels, values)]
        lines += ["END"]
        plots.append(f"$bars{what}{n} using 2:xtic(1) title {text(heap)} "
                     f"lc rgb '{colour(results, heap)}'")
    return lines + ["plot " + ", ".join(plots), "unset arrow 1"]


def curves(results, kind, label):
    """A panel: the cost of an operation over a growing number, a line a heap."""
    found = [one for one in results.workloads if one.name.startswith(kind + "-")]
    touched = [one for one in results.workloads if one.name.startswith("touch-")]
    found = [one for one in found if one.group == "scale"]
    if not found:
        return []
    ticks = [one.name.partition("-")[2] for one in found]
    lines = ["set logscale xy", f"set xrange [{ticks[0]}:{float(ticks[-1]) * 1.01}]",
             "set yrange [*:*]", "set grid x y",
             f"set title {text('CPU time of an operation, ns')}", f"set xlabel {text(label)}",
             f"set xtics norotate ({','.join(ticks)})", "unset mxtics",
             "set ytics autofreq", "set style data linespoints"]
    plots = []
    rows = [(heap, found, colour(results, heap), heap) for heap in results.heaps]
    if kind == "any" and touched:
        rows.append((BASE, touched, "black", "no heap"))
    for n, (heap, workloads, rgb, title) in enumerate(rows):
        costs = [(one.name.partition("-")[2], cost_ns(results, one, heap)) for one in workloads]
        costs = [(x, cost) for x, cost in costs if cost is not None]
        if not costs:
            continue
        lines += [f"${kind}{n} << END"] + [f"{x} {cost:.3f}" for x, cost in costs] + ["END"]
        plots.append(f"${kind}{n} using 1:2 title {text(title)} lc rgb '{rgb}' pt 7 ps 0.5 lw 1.5")
    return lines + ["plot " + ", ".join(plots)] if plots else []


def draw(results, path):
    panels = [panel for panel in (bars(results, "CPU time", "cpu_s"),
                                  bars(results, "Peak memory", "peak_kib"),
                                  curves(results, "any", "live blocks of 32 bytes, any replaced"),
                                  curves(results, "oldest", "live blocks of 32 bytes, the oldest "
                                         "replaced"),
                                  curves(results, "threads", "threads")) if panel]
    width = max(900, 200 + 45 * len(results.workloads))
    script = [f"set terminal svg size {width},{420 * len(panels)} dynamic background 'white' "
              "font 'sans-serif,12'", f"set output '{path}'", "set key outside right top",
              f"set multiplot layout {len(panels)},1"]
    for panel in panels:
        script += panel
    script += ["unset multiplot", "unset output"]
    if not panels:
        return
    done = subprocess.run(["gnuplot"], input="\n".join(script) + "\n", text=True,
                          capture_output=True)
    if done.returncode != 0:
        raise NoPicture(f"gnuplot failed: {done.stderr.strip()}")
