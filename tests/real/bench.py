#!/usr/bin/python3
"""bench.py - real programs on two heaps: wall time, CPU time, peak memory.

What a program is, is said by tests/real/NAME.sh; this file runs it through that script's commands,
in pairs A B A B ..., so that a machine that slows down slows both. A is the system's malloc or the
library of --against; B is Kiln, which has profile=fast where KILN_OPTIONS names no other.

Times are of the script's `run`: the program and the few milliseconds of bash around it. Peak memory
is that of the biggest process: the kernel's maximum for the processes that were waited for, or what
the script found itself (a server's VmHWM). /usr/bin/time asks the kernel for it, for a process
started by Python inherits Python's own peak.
"""

import os
import shutil
import statistics
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # this folder is the checkout's

from real_program import PROGRAMS, Failure, Program, measure

WALL_LIMIT = 1.25
PEAK_LIMIT = 1.5


class Result:
    """The pairs of one program. Ratios are medians over the pairs, never of two medians."""

    def __init__(self, name, pairs):
        self.name, self.pairs = name, pairs

    def median(self, side, what):
        return statistics.median(getattr(pair[side], what) for pair in self.pairs)

    def ratios(self, what):
        return [getattr(b, what) / max(getattr(a, what), 1e-9) for a, b in self.pairs]

    def ratio(self, what):
        return statistics.median(self.ratios(what))

    def row(self):
        walls = self.ratios("wall_s")
        wall, cpu, peak = (self.ratio(what) for what in ("wall_s", "cpu_s", "peak_kib"))
        mark = "time" if wall > WALL_LIMIT else ""
        mark += (" " if mark else "") + "memory" if peak > PEAK_LIMIT else ""
        return [self.name, f"{self.median(0, 'wall_s'):.2f}", f"{self.median(1, 'wall_s'):.2f}",
                f"{wall:.2f}", f"{min(walls):.2f}-{max(walls):.2f}",
                f"{self.median(0, 'cpu_s'):.2f}", f"{self.median(1, 'cpu_s'):.2f}", f"{cpu:.2f}",
                f"{self.median(0, 'peak_kib') / 1024:.1f}",
                f"{self.median(1, 'peak_kib') / 1024:.1f}", f"{peak:.2f}", mark]


def run_on(side, program, *args, **how):
    """A run whose failure says on which side it was."""
    try:
        return program.run(*args, **how)
    except Failure as failure:
        raise Failure(failure.kind, f"{side}: {failure}") from failure


def measure_program(name, args, folder, progress, sides):
    program = Program(name, folder)
    progress.show(f"{name}: inputs")
    program.prepare()
    heaps = list(zip(sides, (args.against or "system", args.library)))
    for side, heap in heaps:
        progress.show(f"{name}: first run on {side}")
        run_on(side, program, heap, evidence=heap != "system")
    pairs = []
    for n in range(args.pairs):
        pair = []
        for side, heap in heaps:
            progress.show(f"{name}: pair {n + 1} of {args.pairs} on {side}")
            pair.append(run_on(side, program, heap))
        pairs.append(pair)
    shutil.rmtree(program.folder, ignore_errors=True)
    return Result(name, pairs)


def table(results, sides):
    head = ["program", f"{sides[0]} s", "Kiln s", "ratio", "spread", f"{sides[0]} CPU", "Kiln CPU",
            "ratio", f"{sides[0]} MiB", "Kiln MiB", "ratio", "over"]
    rows = [result.row() for result in results]
    if len(results) > 1:
        means = [statistics.geometric_mean([result.ratio(what) for result in results])
                 for what in ("wall_s", "cpu_s", "peak_kib")]
        rows.append(["geometric mean", "", "", f"{means[0]:.2f}", "", "", "", f"{means[1]:.2f}",
                     "", "", f"{means[2]:.2f}", ""])
    measure.table([head] + rows, left=(0, len(head) - 1))


def write_tsv(path, results, sides):
    with open(path, "w", encoding="utf-8") as file:
        file.write("program\tpair\theap\twall_s\tcpu_s\tpeak_kib\n")
        for result in results:
            for n, pair in enumerate(result.pairs):
                for side, sample in zip(sides, pair):
                    file.write(f"{result.name}\t{n + 1}\t{side}\t{sample.wall_s:.4f}\t"
                               f"{sample.cpu_s:.4f}\t{sample.peak_kib}\n")


def arguments():
    parser = measure.Parser(
        prog="kiln bench real",
        description="Real programs on the system's malloc and on Kiln; kiln bench real --help "
        "tells what the table says.")
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="pairs of runs (5)")
    parser.add_argument("--only", action="append", metavar="NAME",
                        help="only this program; may be repeated: " + ", ".join(PROGRAMS))
    parser.add_argument("--tsv", metavar="FILE", help="also write every run to FILE")
    parser.add_argument("--against", metavar="LIB.so",
                        help="this library takes the place of the system's malloc")
    parser.add_argument("--library", metavar="LIB.so", default=os.environ.get("KILN_LIB"),
                        help="the library called Kiln, when it is not the one built here")
    args = parser.parse_args()
    if not 1 <= args.pairs <= 1000:
        parser.wrong(f"--pairs is 1 to 1000, not {args.pairs}")
    for name in args.only or []:
        if name not in PROGRAMS:
            parser.wrong(f"there is no program '{name}' here; there are: {', '.join(PROGRAMS)}")
    if not args.library:
        parser.wrong("which library? set KILN_LIB or give --library=LIB.so")
    for option in ("library", "against"):
        path = getattr(args, option)
        if path is not None:
            if not os.path.isfile(path):
                parser.wrong(f"--{option}: there is no file '{path}'")
            setattr(args, option, os.path.abspath(path))
    parser.check_writable("--tsv", args.tsv)
    if not os.path.exists("/usr/bin/time"):
        parser.wrong("/usr/bin/time is missing; install it: apt-get install time")
    return args


def main():
    args = arguments()
    named = os.environ.get("KILN_OPTIONS")  # what is named last wins
    os.environ["KILN_OPTIONS"] = "profile=fast" + (":" + named if named else "")
    names = [name for name in PROGRAMS if not args.only or name in args.only]
    sides = [os.path.basename(args.against).split(".so")[0] if args.against else "system", "Kiln"]
    other = measure.library_id(args.against) if args.against else "the system's malloc"
    print(f"{measure.library_id(args.library)} against {other}; {args.pairs} pairs\n"
          f"{measure.machine()}\n", flush=True)
    progress = measure.Progress(len(names) * (2 * args.pairs + 3))
    results, failures = [], []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kiln-bench-", dir="/tmp") as folder:
        for name in names:
            try:
                results.append(measure_program(name, args, folder, progress, sides))
            except Failure as failure:
                failures.append(f"{name}: on {failure}".rstrip())
    progress.wipe()
    if results:
        table(results, sides)
    if args.tsv:
        write_tsv(args.tsv, results, sides)
    for failure in failures:
        print(failure)
    over = [result.name for result in results if result.row()[-1]]
    print(f"\n{len(results)} measured in {time.monotonic() - began:.0f} s, {len(failures)} failed, "
          f"{len(over)} over a limit" + (f": {', '.join(over)}" if over else ""))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(measure.main(main))
