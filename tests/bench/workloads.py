"""workloads.py - what is run on each heap: our workloads (workload.c) and the real programs.

Each has a name, a group, and run(heap, first, limit_s), which gives a Sample or raises a Failure. The
output of the first run, on the base, is what every other run must print.
"""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "real"))

import measure
import real_program
from heaps import BASE
from measure import Failure, Sample

GROUPS = {
    "work": "18 programs that do nothing but allocate, in shapes that real ones have",
    "real": "11 real programs, those of kiln bench real",
    "sizes": "blocks of one size: 16 bytes to 64 KiB, in three orders",
    "scale": "cost per operation at 10^3 to 10^7 live blocks, and on 1 to 64 threads",
}
DEFAULT_GROUPS = ["work", "real"]

# Shape: operations, so that glibc takes about half a second.
WORK_OPS = {
    "single": 30_000_000, "lifo": 20_000_000, "fifo": 30_000_000, "random": 20_000_000,
    "mix": 8_000_000, "tree": 15_000_000, "text": 15_000_000, "realloc": 2_500, "calloc": 50_000,
    "large": 20_000, "server": 10_000_000, "steady": 10_000_000, "apart": 10_000_000, "queue": 6_000_000,
    "hand": 10_000_000, "share": 6_000_000, "scratch": 8_000_000, "threads": 2_000_000,
}
SIZES = {16: 20_000_000, 64: 20_000_000, 256: 15_000_000,
         4096: 4_000_000, 16384: 1_000_000, 65536: 500_000}
SCALE_LIVE = [10 ** n for n in range(3, 8)]
SCALE_THREADS = [1, 2, 4, 8, 16, 32, 64]
SCALE_LIVE_OPS, SCALE_THREADS_OPS, SCALE_BYTES = 8_000_000, 8_000_000, 32
SCALE_THREADS_LIVE = 20000  # of all threads: more threads do not mean more memory
DAYS = ["server", "steady"]  # the shapes that tell their live bytes


class Workload:
    """A run of workload.c."""

    def __init__(self, group, name, program, folder, shape, ops, **options):
        self.group, self.name, self.program, self.ops = group, name, program, ops
        self.report = os.path.join(folder, "report")
        self.said = os.path.join(folder, "said")
        self.only_base = False
        self.expected = None
        self.arguments = [shape, f"--ops={ops}", f"--report={self.report}"]
        self.arguments += [f"--{key}={value}" for key, value in options.items()]

    def prepare(self):
        pass

    def finish(self):
        pass

    def runs_on(self, heap):
        return heap.serves(self.group) and (heap.name == BASE or not self.only_base)

    def run(self, heap, first, limit_s):
        del first  # every run says which heap served it
        program = heap.program or self.program
        if os.path.exists(self.report):
            os.remove(self.report)
        with open(self.said, "wb") as said, open(self.said + ".out", "wb") as out:
            status, wall_s, cpu_s = measure.run([program, *self.arguments], limit_s, stdout=out,
                                                stderr=said, env=heap.environment())
        measure.check_status(status, measure.tail(self.said))
        report = self.read_report()
        heap.check_served(report, program)
        with open(self.said + ".out", "rb") as out:
            line = out.read()
        if self.expected is None:
            self.expected = line
        elif line != self.expected:
            raise Failure("output", f"it printed {line[:200]!r}, not {self.expected!r}")
        more = {key: int(report[key]) for key in ("start_kib", "array_kib", "live_kib", "phase_ns")}
        return Sample(wall_s, cpu_s, int(report["peak_kib"]), more)

    def read_report(self):
        try:
            with open(self.report, encoding="utf-8") as file:
                return dict(line.rstrip("\n").split(" ", 1) for line in file)
        except OSError:
            raise Failure("failed", "it wrote no report") from None


class RealProgram:
    """A run of a program of tests/real; of a heap's settings it is given only KILN_OPTIONS."""

    def __init__(self, name, folder):
        self.group, self.name, self.only_base = "real", name, False
        self.program = real_program.Program(name, folder)

    def prepare(self):
        self.program.prepare()

    def finish(self):
        subprocess.run(["rm", "-rf", self.program.folder], check=False)

    def runs_on(self, heap):
        return heap.runs_programs() and heap.serves(self.group)

    def run(self, heap, first, limit_s):
        on = heap.library or "system"
        options = heap.environment().get("KILN_OPTIONS")
        more = {"KILN_OPTIONS": options} if options else {}
        if first:  # with the dynamic linker's record of it: too slow to be measured
            self.program.run(on, bool(heap.library), limit_s, more)
        return self.program.run(on, False, limit_s, more)


def scale_workloads(program, folder, some):
    made = []
    for live in SCALE_LIVE:
        for name, shape in (("any", "random"), ("touch", "touch"), ("oldest", "fifo")):
            made.append(Workload("scale", f"{name}-{live}", program, folder, shape,
                                 some(SCALE_LIVE_OPS), bytes=SCALE_BYTES, live=live))
            made[-1].only_base = name == "touch"
    for threads in SCALE_THREADS:
        made.append(Workload("scale", f"threads-{threads}", program, folder, "apart",
                             some(SCALE_THREADS_OPS), threads=threads,
                             live=SCALE_THREADS_LIVE // threads))
    return made


def sizes_workloads(program, folder, some):
    return [Workload("sizes", f"{order}-{size}", program, folder, order, some(ops), bytes=size,
                     live=10000 if size < 4096 else 500)
            for size, ops in SIZES.items() for order in ("lifo", "fifo", "random")]


def of_groups(groups, program, folder, percent):
    """All workloads of those groups, doing `percent` of their work. `folder` is for what they write."""
    def some(ops):
        return max(1, ops * percent // 100)
    made = []
    for group in GROUPS:
        if group not in groups:
            continue
        if group == "work":
            made += [Workload("work", shape, program, folder, shape, some(ops))
                     for shape, ops in WORK_OPS.items()]
        elif group == "real":
            made += [RealProgram(name, folder) for name in real_program.PROGRAMS]
        elif group == "sizes":
            made += sizes_workloads(program, folder, some)
        else:
            made += scale_workloads(program, folder, some)
    return made
