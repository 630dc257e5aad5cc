#!/usr/bin/python3
"""bench.py - real programs on two heaps: wall time, CPU time, peak memory.

What a program is, is said by tests/real/NAME.sh; this file runs it through that script's commands,
in pairs A B A B ..., so that a machine that slows down slows both. A is the system's malloc or the
library of --against; B is Kiln.

Times are of the script's `run`: the program and the few milliseconds of bash around it. Peak memory
is that of the biggest process: the kernel's maximum for the processes that were waited for, or what
the script found itself (a server's VmHWM). /usr/bin/time asks the kernel for it, for a process
started by Python inherits Python's own peak.
"""

import argparse
import hashlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

PROGRAMS = ["python3", "sqlite3", "perl", "git", "gcc", "xmllint", "xz", "redis", "bash",
            "coreutils", "node"]
WALL_LIMIT = 1.25
PEAK_LIMIT = 1.5
RUN_LIMIT_S = 240
HERE = os.path.dirname(os.path.abspath(__file__))


class Failure(Exception):
    """A program that did not do on a heap what it does on the system's."""


class Sample:
    def __init__(self, wall_s, cpu_s, peak_kib):
        self.wall_s, self.cpu_s, self.peak_kib = wall_s, cpu_s, peak_kib


class Progress:
    """One line on a terminal, wiped at the end; nothing elsewhere."""

    def __init__(self, runs):
        self.runs, self.done, self.began = runs, 0, time.monotonic()
        self.terminal = sys.stderr.isatty()

    def show(self, text):
        if self.terminal:
            spent = int(time.monotonic() - self.began)
            line = f"[{self.done}/{self.runs} runs, {spent // 60}:{spent % 60:02d}] {text}"
            sys.stderr.write("\r\033[K" + line[:shutil.get_terminal_size().columns - 1])
            sys.stderr.flush()
        self.done += 1

    def wipe(self):
        if self.terminal:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


class Program:
    def __init__(self, name, folder):
        self.name, self.folder = name, os.path.join(folder, name)
        self.script = os.path.join(HERE, name + ".sh")
        self.expected = None

    def command(self, *args):
        return ["/bin/bash", self.script, *args]

    def prepare(self):
        if subprocess.run(self.command("prepare"), stdin=subprocess.DEVNULL).returncode != 0:
            raise SystemExit(2)

    def run(self, heap, evidence=False):
        """One run on a heap; gives its Sample. Its output must be that of the first run."""
        peak = self.folder + ".peak"
        env = dict(os.environ)
        if evidence:
            env["REAL_EVIDENCE"] = "1"
        command = ["/usr/bin/time", "-q", "-f", "%M", "-o", peak,
                   *self.command("run", heap, self.folder, "bench")]
        began = time.monotonic()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=env,
                                 start_new_session=True)
        status, usage = self.wait(child, heap)
        wall_s = time.monotonic() - began
        if status != 0:
            raise Failure(f"{heap}: exit {status}\n{self.tail('err')}")
        self.compare(heap)
        if evidence:
            self.check_evidence(heap)
        own = os.path.join(self.folder, "peak_kib")
        with open(own if os.path.exists(own) else peak, encoding="ascii") as file:
            peak_kib = int(file.read())
        return Sample(wall_s, usage.ru_utime + usage.ru_stime, peak_kib)

    def wait(self, child, heap):
        """Waits at most RUN_LIMIT_S; whatever ends the wait, nothing of the run is left behind."""
        def too_long(_signal, _frame):
            raise Failure(f"{heap}: not done after {RUN_LIMIT_S} s")
        signal.signal(signal.SIGALRM, too_long)
        signal.alarm(RUN_LIMIT_S)
        try:
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            return child.returncode, usage
        finally:
            signal.alarm(0)
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def compare(self, heap):
        made = subprocess.run(self.command("result", self.folder), stdout=subprocess.PIPE,
                              stdin=subprocess.DEVNULL)
        if made.returncode != 0 or not made.stdout:
            raise Failure(f"{heap}: no output\n{self.tail('err')}")
        if self.expected is None:
            self.expected = made.stdout
        elif made.stdout != self.expected:
            ours, first = made.stdout.splitlines(), self.expected.splitlines()
            where = next((i for i, pair in enumerate(zip(first, ours)) if pair[0] != pair[1]),
                         min(len(first), len(ours)))
            raise Failure(f"{heap}: its output differs from line {where + 1} on")

    def check_evidence(self, heap):
        done = subprocess.run(self.command("evidence", self.folder, heap), text=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if done.returncode != 0:
            raise Failure(f"{heap}: {done.stderr.strip()}")

    def tail(self, name):
        try:
            with open(os.path.join(self.folder, name), errors="replace", encoding="utf-8") as file:
                return "".join(file.readlines()[-8:])
        except OSError:
            return ""


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


def measure(name, args, folder, progress, sides):
    program = Program(name, folder)
    progress.show(f"{name}: inputs")
    program.prepare()
    progress.show(f"{name}: first run on {sides[0]}")
    program.run(args.against or "system", evidence=bool(args.against))
    progress.show(f"{name}: first run on Kiln")
    program.run(args.library, evidence=True)
    pairs = []
    for n in range(args.pairs):
        pair = []
        for side, heap in zip(sides, (args.against or "system", args.library)):
            progress.show(f"{name}: pair {n + 1} of {args.pairs} on {side}")
            pair.append(program.run(heap))
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
    widths = [max(len(row[i]) for row in [head] + rows) for i in range(len(head))]
    for row in [head] + rows:
        cells = [cell.ljust(width) if i in (0, len(head) - 1) else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths))]
        print("  ".join(cells).rstrip())


def write_tsv(path, results, sides):
    with open(path, "w", encoding="utf-8") as file:
        file.write("program\tpair\theap\twall_s\tcpu_s\tpeak_kib\n")
        for result in results:
            for n, pair in enumerate(result.pairs):
                for side, sample in zip(sides, pair):
                    file.write(f"{result.name}\t{n + 1}\t{side}\t{sample.wall_s:.4f}\t"
                               f"{sample.cpu_s:.4f}\t{sample.peak_kib}\n")


def wrong(text):
    print(f"kiln bench real: {text}", file=sys.stderr)
    raise SystemExit(2)


class Parser(argparse.ArgumentParser):
    def error(self, message):
        wrong(message + "; kiln bench real --help lists all")


def arguments():
    parser = Parser(
        prog="kiln bench real", allow_abbrev=False,
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
        wrong(f"--pairs is 1 to 1000, not {args.pairs}")
    for name in args.only or []:
        if name not in PROGRAMS:
            wrong(f"there is no program '{name}' here; there are: {', '.join(PROGRAMS)}")
    if not args.library:
        wrong("which library? set KILN_LIB or give --library=LIB.so")
    for option in ("library", "against"):
        path = getattr(args, option)
        if path is not None:
            if not os.path.isfile(path):
                wrong(f"--{option}: there is no file '{path}'")
            setattr(args, option, os.path.abspath(path))
    if args.tsv and not os.access(os.path.dirname(os.path.abspath(args.tsv)), os.W_OK):
        wrong(f"--tsv: '{args.tsv}' cannot be written")
    if not os.path.exists("/usr/bin/time"):
        wrong("/usr/bin/time is missing; install it: apt-get install time")
    return args


def machine():
    model = "unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    load = os.getloadavg()[0]
    busy = f"; BUSY: load {load:.1f}, times mean little" if load > 0.5 * os.cpu_count() else ""
    return f"{model}, {os.cpu_count()} CPUs, Linux {os.uname().release}{busy}"


def library_id(path):
    with open(path, "rb") as file:
        return f"{os.path.basename(path)} (sha256 {hashlib.sha256(file.read()).hexdigest()[:12]})"


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    names = [name for name in PROGRAMS if not args.only or name in args.only]
    sides = [os.path.basename(args.against).split(".so")[0] if args.against else "system", "Kiln"]
    other = library_id(args.against) if args.against else "the system's malloc"
    print(f"{library_id(args.library)} against {other}; {args.pairs} pairs\n{machine()}\n",
          flush=True)
    progress = Progress(len(names) * (2 * args.pairs + 3))
    results, failures = [], []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kiln-bench-", dir="/tmp") as folder:
        for name in names:
            try:
                results.append(measure(name, args, folder, progress, sides))
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
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
