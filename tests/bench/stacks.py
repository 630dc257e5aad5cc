#!/usr/bin/python3
"""stacks.py - what keeping stacks takes of real programs' time: what `kiln bench stacks` runs.

Under profile=fuzz each malloc and free keeps the stack that it was called from. perf looks 3,000 times a
second where a run is (tests/real/NAME.sh); the share is of the functions of allocator/api/stack.c,
stack_depot.c, lone.c and module.c in all that the run did, the kernel's part and the shell around it included.
"""

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True  # this folder is the checkout's
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "real"))

import measure
from real_program import PROGRAMS, Program

CHOSEN = ("python3", "git", "gcc")
SHARE_MAX = 1.0  # percent, of the stacks
LIMIT_S = 600
SOURCES = ("lone.c", "module.c", "stack.c", "stack_depot.c")
PREFIXES = ("kiln_lone_", "kiln_module_", "kiln_stack_")
ROW = re.compile(r"^ *([0-9.]+)% *\|([^|]*)\|\[[.k]\] (.*)$", re.M)


def functions_of(symbols):
    """The stacks' functions, of what readelf says of a library: those of their files, and, as functions
    that other files call are listed without a file, by their prefix."""
    found, source = set(), ""
    for line in symbols.splitlines():
        words = line.split()
        if len(words) < 8:
            continue
        kind, name = words[3], words[7]
        if kind == "FILE":
            source = name
        elif kind == "FUNC" and (source in SOURCES and words[4] == "LOCAL" or name.startswith(PREFIXES)):
            found.add(name)
    return found


def shares(report, library, functions):
    """Percent of the samples in those functions, and in all of the library, of perf's report."""
    stacks = whole = 0.0
    for percent, where, name in ROW.findall(report):
        if where.strip() == library:
            whole += float(percent)
            stacks += float(percent) if name.strip() in functions else 0
    return stacks, whole


def look(name, library, folder, functions):
    """The shares of one run; Failure where it failed, or was not on Kiln."""
    data = os.path.join(folder, "perf.data")
    program = Program(name, folder)
    with open(os.path.join(folder, "said"), "wb") as said:
        status, _, _ = measure.run(["perf", "record", "-q", "-F", "3000", "-e", "cpu-clock", "-o", data, "--",
                                    *program.command("run", library, program.folder, "bench")], LIMIT_S,
                                   env=dict(os.environ, KILN_OPTIONS="profile=fuzz"), stdout=said, stderr=said)
    measure.check_status(status, measure.tail(os.path.join(folder, "said")) + program.tail("err"))
    report = subprocess.run(["perf", "report", "-i", data, "--stdio", "--sort", "dso,sym", "-t", "|"], text=True,
                            capture_output=True, stdin=subprocess.DEVNULL, check=False).stdout
    stacks, whole = shares(report, os.path.basename(library), functions)
    if whole == 0:
        raise measure.Failure("not-loaded", "no sample was in Kiln")
    return stacks, whole


def arguments():
    parser = measure.Parser(prog="kiln bench stacks")
    parser.add_argument("--only", action="append", metavar="NAME")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    args = parser.parse_args()
    for name in args.only or []:
        if name not in PROGRAMS:
            parser.wrong(f"there is no program '{name}'; there are {', '.join(PROGRAMS)}")
    if not 1 <= args.rounds <= 1000:
        parser.wrong(f"--rounds is 1 to 1000, not {args.rounds}")
    if not shutil.which("perf"):
        parser.wrong("there is no perf; apt-get install linux-perf")
    return parser, args


def main():
    parser, args = arguments()
    library = os.path.abspath(os.environ.get("KILN_LIB", ""))
    if not os.path.isfile(library):
        parser.wrong(f"there is no file '{library}'; set KILN_LIB")
    symbols = subprocess.run(["readelf", "-sW", library], capture_output=True, text=True, check=False).stdout
    functions = functions_of(symbols)
    if not functions:
        parser.wrong(f"'{library}' names none of its functions; build it without stripping it")
    rows, failed = [["% of the time", "stacks", "all of Kiln", f"stacks at most {SHARE_MAX:.0f}"]], []
    folder = tempfile.mkdtemp(prefix="kiln-stacks-")
    try:
        for name in args.only or CHOSEN:
            Program(name, folder).prepare()
            try:
                looks = [look(name, library, folder, functions) for _ in range(args.rounds)]
            except measure.Failure as failure:
                failed.append(f"{failure.kind}: {name}: {failure}")
                continue
            stacks, whole = (statistics.median(column) for column in zip(*looks))
            rows.append([name, f"{stacks:.2f}", f"{whole:.2f}", "met" if stacks <= SHARE_MAX else "MISSED"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{measure.machine()}\nprofile=fuzz, medians of {args.rounds}\n")
    measure.table(rows)
    for failure in failed:
        print(f"FAILED {failure}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(measure.main(main))
