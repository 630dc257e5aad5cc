"""results.py - the samples of a comparison, and what is told of them: tables and TSV.

A ratio is the median over the rounds of a heap's sample over the base's sample of the same round,
never that of two medians. A heap that failed on a workload has no ratio there but a word: crash,
failed, output, slow or not-loaded.
"""

import statistics

import measure
from heaps import BASE
from workloads import DAYS


class Results:
    def __init__(self, heaps, rounds):
        self.heaps, self.rounds = [heap.name for heap in heaps], rounds
        self.workloads = []  # in the order in which they were run
        self.samples = {}    # by (workload's name, heap's name): one a round
        self.failures = {}   # by the same

    def add(self, workload, heap, sample):
        self.samples.setdefault((workload.name, heap.name), []).append(sample)

    def failed(self, name, heap):
        return (name, heap) in self.failures

    def of(self, name, heap):
        """The samples of a heap that finished all rounds; else none."""
        return [] if self.failed(name, heap) else self.samples.get((name, heap), [])

    def ratios(self, name, heap, what):
        pairs = zip(self.of(name, heap), self.of(name, BASE))
        return [getattr(ours, what) / max(getattr(base, what), 1e-9) for ours, base in pairs]

    def ratio(self, name, heap, what):
        ratios = self.ratios(name, heap, what)
        return statistics.median(ratios) if ratios else None

    def mean(self, names, heap, what):
        """The geometric mean over the workloads that the heap finished, and how many those are."""
        found = [self.ratio(name, heap, what) for name in names]
        found = [ratio for ratio in found if ratio is not None]
        return (statistics.geometric_mean(found) if found else None), len(found)

    def finished(self, heap):
        return sum(1 for workload in self.workloads if self.of(workload.name, heap))


def spread(values):
    """Half of the interquartile range; None of fewer than two values."""
    if len(values) < 2:
        return None
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2


def ratio_cell(results, name, heap, what):
    if results.failed(name, heap):
        return results.failures[name, heap].kind
    ratios = results.ratios(name, heap, what)
    if not ratios:
        return "-"
    cell = f"{statistics.median(ratios):.2f}"
    half = spread(ratios)
    return cell if half is None else f"{cell} ±{half:.2f}"


def mean_row(results, title, names, others, what):
    cells = [title, ""]
    for heap in others:
        mean, count = results.mean(names, heap, what)
        cell = "-" if mean is None else f"{mean:.2f}"
        cells.append(cell if count in (0, len(names)) else f"{cell} of {count}")
    return cells


def ratio_table(results, title, what, unit, factor):
    others = [heap for heap in results.heaps if heap != BASE]
    rows = [["", f"{BASE} {unit}"] + others]
    groups = {}
    for workload in results.workloads:
        if workload.group != "scale":
            groups.setdefault(workload.group, []).append(workload.name)
    for group, names in groups.items():
        for name in names:
            base = results.of(name, BASE)
            value = statistics.median(getattr(one, what) for one in base) * factor if base else None
            rows.append([name, "-" if value is None else f"{value:.2f}"]
                        + [ratio_cell(results, name, heap, what) for heap in others])
        if len(names) > 1:
            rows.append(mean_row(results, f"geometric mean, {group}", names, others, what))
    if len(groups) > 1:
        names = [name for names in groups.values() for name in names]
        rows.append(mean_row(results, "geometric mean, all", names, others, what))
    if len(rows) > 1:
        print(f"\n{title}, ratio to {BASE}")
        measure.table(rows)


def fragmentation(results, name, heap):
    """Peak memory of a server's day without what is not the heap's, over the live bytes' peak."""
    shares = [(one.peak_kib - one.more["start_kib"] - one.more["array_kib"])
              / max(one.more["live_kib"], 1) for one in results.of(name, heap)]
    return statistics.median(shares) if shares else None


def fragmentation_table(results):
    days = [name for name in DAYS if results.of(name, BASE)]
    if not days:
        return
    print("\nMemory that the days of a server took at their peak, over that of their blocks then")
    rows = [["", "blocks MiB"] + results.heaps]
    for name in days:
        values = [fragmentation(results, name, heap) for heap in results.heaps]
        rows.append([name, f"{results.of(name, BASE)[0].more['live_kib'] / 1024:.1f}"]
                    + ["-" if value is None else f"{value:.2f}" for value in values])
    measure.table(rows)


def cost_ns(results, workload, heap):
    """CPU time of an operation; None when the heap did not finish."""
    samples = results.of(workload.name, heap)
    if not samples:
        return None
    return statistics.median(one.more["phase_ns"] for one in samples) / workload.ops


def cost_cell(results, workload, heap):
    if results.failed(workload.name, heap):
        return results.failures[workload.name, heap].kind
    cost = cost_ns(results, workload, heap)
    return "-" if cost is None else f"{cost:.1f}"


def scale_table(results):
    scale = [workload for workload in results.workloads if workload.group == "scale"]
    touched = {one.name.partition("-")[2]: one for one in scale if one.name.startswith("touch")}
    for kind, title in (("any", "at N live blocks, any of which is replaced"),
                        ("oldest", "at N live blocks, the oldest of which is replaced"),
                        ("threads", "on N threads")):
        found = [one for one in scale if one.name.startswith(kind)]
        if not found:
            continue
        rows = [["N"] + results.heaps + (["no heap"] if kind == "any" and touched else [])]
        for one in found:
            x = one.name.partition("-")[2]
            rows.append([x] + [cost_cell(results, one, heap) for heap in results.heaps])
            if len(rows[0]) > len(rows[-1]):
                rows[-1].append(cost_cell(results, touched[x], BASE) if x in touched else "-")
        print(f"\nCPU time of an operation {title}, in nanoseconds")
        if kind == "any" and touched:
            print("(no heap: the same accesses, to blocks that stay)")
        measure.table(rows)


def show(results):
    """Prints all tables."""
    print("One round, so no spread" if results.rounds == 1 else
          f"Medians over {results.rounds} rounds, ± half of the interquartile range")
    ratio_table(results, "CPU time", "cpu_s", "s", 1)
    ratio_table(results, "Wall time", "wall_s", "s", 1)
    ratio_table(results, "Peak memory", "peak_kib", "MiB", 1 / 1024)
    fragmentation_table(results)
    scale_table(results)


COLUMNS = ["group", "workload", "round", "heap", "wall_s", "cpu_s", "peak_kib", "start_kib",
           "array_kib", "live_kib", "phase_ns", "failure"]


def write_tsv(results, path):
    """One line a run; a run that failed has a word in the last column and no figures."""
    with open(path, "w", encoding="utf-8") as file:
        file.write("\t".join(COLUMNS) + "\n")
        for workload in results.workloads:
            for heap in results.heaps:
                key = (workload.name, heap)
                samples = results.samples.get(key, [])
                lines = [[n + 1, heap, f"{one.wall_s:.4f}", f"{one.cpu_s:.4f}", one.peak_kib]
                         + [one.more.get(name, "") for name in COLUMNS[7:11]] + [""]
                         for n, one in enumerate(samples)]
                if key in results.failures:
                    lines.append([len(samples) + 1, heap] + [""] * 7 + [results.failures[key].kind])
                for line in lines:
                    file.write("\t".join(map(str, [workload.group, workload.name] + line)) + "\n")
