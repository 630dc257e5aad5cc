"""measure.py - what the benchmarks share: a run with its time, progress, tables, the machine.

Wall time is the run's, CPU time that of the run and all it waited for (wait4). Peak memory is not
taken here: a process started by Python inherits Python's own peak in ru_maxrss. Workloads tell their
own (VmHWM), real programs are asked through /usr/bin/time.
"""

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time


class Failure(Exception):
    """A program that did not do on a heap what it does on the system's. `kind` is one word of it,
    for tables; the text says all."""

    def __init__(self, kind, text):
        super().__init__(text)
        self.kind = kind


class Sample:
    """What one run cost. `more` has what only some programs tell."""

    def __init__(self, wall_s, cpu_s, peak_kib, more=None):
        self.wall_s, self.cpu_s, self.peak_kib = wall_s, cpu_s, peak_kib
        self.more = more or {}


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


def run(command, limit_s, **how):
    """Runs a command for at most limit_s; gives (status, wall_s, cpu_s), the status as Popen has it.
    Whatever ends the wait, nothing of the run is left behind."""
    def too_long(_signal, _frame):
        raise Failure("slow", f"not done after {limit_s:.0f} s")
    began = time.monotonic()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **how)
    signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        return child.returncode, time.monotonic() - began, usage.ru_utime + usage.ru_stime
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.wait()


def check_status(status, said):
    """Fails unless the status of run() is 0; `said` is what the program put on its standard error.
    A shell says 128 + N of a program that signal N ended."""
    number = -status if status < 0 else status - 128
    if number in set(signal.Signals):
        raise Failure("crash", f"{signal.Signals(number).name}\n{said}".rstrip())
    if status != 0:
        raise Failure("failed", f"exit {status}\n{said}".rstrip())


def tail(path, lines=8):
    """The last lines of a text file; empty when there is none."""
    try:
        with open(path, errors="replace", encoding="utf-8") as file:
            return "".join(file.readlines()[-lines:])
    except OSError:
        return ""


def table(rows, left=(0,)):
    """Prints rows of cells in columns; those numbered in `left` are aligned to the left. A row that
    is a text stands alone."""
    cells = [row for row in rows if not isinstance(row, str)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    for row in rows:
        if isinstance(row, str):
            print(row)
            continue
        print("  ".join(cell.ljust(width) if i in left else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(row, widths))).rstrip())


def machine():
    """One line on the machine, and a warning when others use it."""
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


class Parser(argparse.ArgumentParser):
    """Names a wrong argument and where help is, and ends the program with status 2."""

    def __init__(self, **how):
        super().__init__(allow_abbrev=False, **how)

    def error(self, message):
        self.wrong(f"{message}; {self.prog} --help lists all")

    def wrong(self, text):
        print(f"{self.prog}: {text}", file=sys.stderr)
        raise SystemExit(2)

    def check_writable(self, option, path):
        """`path`, of an option, may be None; a folder that cannot be written to is told now, not
        after an hour."""
        if path and (os.path.isdir(path)
                     or not os.access(os.path.dirname(os.path.abspath(path)), os.W_OK)):
            self.wrong(f"{option}: '{path}' cannot be written; name a file in a folder of yours")


def main(function):
    """Runs a benchmark's main function; gives the process's exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return function()
    except KeyboardInterrupt:
        return 130
