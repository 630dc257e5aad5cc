#!/usr/bin/python3
"""compare.py - workloads and real programs on Kiln and other heaps: what `kiln bench` runs.

Every round runs a workload on each heap in turn, A B C A B C, so that a machine that slows down slows
all. A heap that fails is told of and left out of the rest of that workload's rounds.
"""

import os
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # this folder is the checkout's

import heaps
import measure
import plot
import results as told
import workloads
from heaps import BASE
from measure import Failure

BASE_LIMIT_S = 240
LIMIT_S = 10     # what a heap has at least, and
LIMIT_FACTOR = 20  # how many times the base's


def arguments():
    parser = measure.Parser(
        prog="kiln bench", description="Kiln and other heaps side by side; kiln bench --help tells "
        "what the tables say.")
    parser.add_argument("what", nargs="*", metavar="GROUP | NAME=LIB.so")
    parser.add_argument("--rounds", "--pairs", type=int, default=5, metavar="N")
    parser.add_argument("--only", action="append", metavar="NAME")
    parser.add_argument("--heaps", metavar="NAME,NAME...")
    parser.add_argument("--percent", type=int, default=100, metavar="P")
    parser.add_argument("--tsv", metavar="FILE")
    parser.add_argument("--svg", metavar="FILE")
    args = parser.parse_intermixed_args()  # groups may stand after options
    args.own = [word for word in args.what if "=" in word]
    args.groups = [word for word in args.what if "=" not in word] or workloads.DEFAULT_GROUPS
    for word in args.groups:
        if word not in workloads.GROUPS:
            parser.wrong(f"there is no group '{word}'; there are {', '.join(workloads.GROUPS)}, and "
                         "NAME=LIB.so for a heap of yours")
    if not 1 <= args.rounds <= 1000:
        parser.wrong(f"--rounds is 1 to 1000, not {args.rounds}")
    if not 1 <= args.percent <= 10000:
        parser.wrong(f"--percent is 1 to 10000, not {args.percent}")
    for option in ("tsv", "svg"):
        parser.check_writable(f"--{option}", getattr(args, option))
    if args.svg:
        try:
            plot.check()
        except plot.NoPicture as why:
            parser.wrong(f"--svg: {why}")
    return parser, args


def chosen_heaps(parser, args):
    wanted = None if args.heaps is None else [name for name in args.heaps.split(",") if name]
    try:
        return heaps.choose(wanted, args.own, os.environ.get("KILN_LIB"),
                            os.environ.get("KILN_WORKLOAD_ASAN"), os.environ.get("KILN_FLOORS"))
    except heaps.Unknown as why:
        parser.wrong(str(why))


def chosen_workloads(parser, args, folder):
    program = os.environ.get("KILN_WORKLOAD", "")
    if not os.path.isfile(program):
        parser.wrong(f"there is no workload program at '{program}'; set KILN_WORKLOAD")
    found = workloads.of_groups(args.groups, os.path.abspath(program), folder, args.percent)
    names = [one.name for one in found]
    for name in args.only or []:
        if name not in names:
            parser.wrong(f"there is no '{name}' in {' and '.join(args.groups)}; there are: "
                         + ", ".join(names))
    return [one for one in found if not args.only or one.name in args.only]


def measure_one(workload, heap, found, first):
    """One run; its sample or its failure goes to `found`. False: it failed."""
    base = found.samples.get((workload.name, BASE))
    limit_s = max(LIMIT_S, LIMIT_FACTOR * base[0].wall_s) if base else BASE_LIMIT_S
    try:
        found.add(workload, heap, workload.run(heap, first, limit_s))
        return True
    except Failure as failure:
        found.failures[workload.name, heap.name] = failure
        return False


def measure_all(chosen, candidates, found, progress):
    for workload in chosen:
        found.workloads.append(workload)
        able = [heap for heap in candidates if workload.runs_on(heap)]
        progress.show(f"{workload.name}: inputs")
        workload.prepare()
        for round_idx in range(found.rounds):
            for heap in list(able):
                progress.show(f"{workload.name}: round {round_idx + 1} of {found.rounds} on {heap.name}")
                if not measure_one(workload, heap, found, round_idx == 0):
                    able.remove(heap)
                    if heap.name == BASE:
                        able = []
                        break
        workload.finish()


def summary(found, candidates, spent_s):
    """Prints what failed and how many each heap finished; gives the exit status."""
    if found.failures:
        print()
    for (name, heap), failure in found.failures.items():
        print(f"{failure.kind}: {name} on {heap}: {failure}")
    counts = []
    for heap in candidates:
        runs = sum(1 for workload in found.workloads if workload.runs_on(heap))
        counts.append(f"{heap.name} {found.finished(heap.name)} of {runs}")
    print(f"\nFinished, in {spent_s:.0f} s: {', '.join(counts)}")
    peers = [name for name in heaps.NAMES if name not in heaps.PROFILES]
    return 1 if any(heap not in peers for _, heap in found.failures) else 0


def main():
    parser, args = arguments()
    candidates = chosen_heaps(parser, args)
    with tempfile.TemporaryDirectory(prefix="kiln-bench-", dir="/tmp") as folder:
        chosen = chosen_workloads(parser, args, folder)
        useless = [heap for heap in candidates if not any(one.runs_on(heap) for one in chosen)]
        if args.heaps and useless:
            parser.wrong(f"the heap '{useless[0].name}' serves none of these workloads")
        candidates = [heap for heap in candidates if heap not in useless]
        for heap in candidates:
            if heap.library:
                print(f"{heap.name}: {measure.library_id(heap.library)}")
        print(f"{measure.machine()}\n", flush=True)
        found = told.Results(candidates, args.rounds)
        progress = measure.Progress(len(chosen) * (args.rounds * len(candidates) + 1))
        began = time.monotonic()
        measure_all(chosen, candidates, found, progress)
        progress.wipe()
    told.show(found)
    if args.tsv:
        told.write_tsv(found, args.tsv)
    status = summary(found, candidates, time.monotonic() - began)
    if args.svg:
        try:
            plot.draw(found, args.svg)
        except plot.NoPicture as why:
            print(f"--svg: {why}", file=sys.stderr)
            return 1
    return status


if __name__ == "__main__":
    sys.exit(measure.main(main))
