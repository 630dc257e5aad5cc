#!/usr/bin/python3
"""results_test.py - the figures that are told of samples, against samples whose figures are known."""

import sys

sys.dont_write_bytecode = True  # this folder is the checkout's

import results
import workloads
from heaps import Heap
from measure import Failure, Sample

MORE = {"start_kib": 100, "array_kib": 50, "live_kib": 400, "phase_ns": 10}


def expect(what, got, wanted):
    if got != wanted:
        print(f"FAILED: {what} is {got}, not {wanted}")
        sys.exit(1)


def main():
    heaps = [Heap("glibc"), Heap("own", "/own.so")]
    found = results.Results(heaps, 3)
    found.workloads = [workloads.Workload("work", name, "/program", "/tmp", name, ops=4)
                       for name in ("server", "mix")]
    for base_cpu_s in (1, 2, 4):
        found.add(found.workloads[0], heaps[0], Sample(9, base_cpu_s, 9, MORE))
        found.add(found.workloads[0], heaps[1], Sample(18, 2, 750, MORE))
        found.add(found.workloads[1], heaps[0], Sample(2, 1, 9, MORE))
        found.add(found.workloads[1], heaps[1], Sample(9, 1, 9, MORE))
    names = ["server", "mix"]
    # Of one round each: 2, 1, 0.5.
    expect("the median ratio", found.ratio("server", "own", "cpu_s"), 1)
    expect("half of the range", results.spread(found.ratios("server", "own", "cpu_s")), 0.375)
    expect("the cell", results.ratio_cell(found, "server", "own", "cpu_s"), "1.00 ±0.38")
    mean, count = found.mean(names, "own", "wall_s")
    expect("the mean of 2 and 4.5", (round(mean, 9), count), (3, 2))
    expect("memory over live bytes", results.fragmentation(found, "server", "own"), 1.5)
    expect("an operation's cost", results.cost_ns(found, found.workloads[0], "own"), 2.5)
    # A heap that failed in a later round is in no figure.
    found.failures["mix", "own"] = Failure("crash", "planted")
    mean, count = found.mean(names, "own", "wall_s")
    expect("the mean without what failed", (round(mean, 9), count), (2, 1))
    expect("the cell of what failed", results.ratio_cell(found, "mix", "own", "cpu_s"), "crash")
    expect("the row of means", results.mean_row(found, "", names, ["own"], "wall_s")[2], "2.00 of 1")
    expect("the finished", found.finished("own"), 1)
    print("the figures are right")


main()
