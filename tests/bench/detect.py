#!/usr/bin/python3
"""detect.py - which wrong steps of a program each heap tells of: what `kiln bench detect` runs.

A program does one wrong step with a block (tests/death/case.h), built without any heap of its own, and
so its correct twin. A heap caught a step when the program ended by a signal, with the heap's error
status or after a report, and its twin did not. A crash that the step itself led to counts: the program
did not go on. A request that cannot be served is caught by an answer of NULL, too, and old bytes by a
program that could not read them. A heap that is told to do so is run several times, and caught what one
of the runs did.
"""

import collections
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading

sys.dont_write_bytecode = True  # this folder is the checkout's

import heaps
import measure

LIMIT_S = 60
SEEDS = 10
VALGRIND_STATUS = 99
NO_PLACE = 3
OWN_STATUSES = (0, 2, NO_PLACE, 4)  # of case.h: none of them is a heap's
REFUSED = b"\nrefused 0x0 "
REPORT = re.compile(rb"ERROR: (Kiln|AddressSanitizer|LeakSanitizer): |Scudo ERROR: |^\*\*\* \[AFL\] ", re.M)

SIZES = (24, 1000, 4097, 1 << 20)
SMALL = SIZES[:2]
HUGE = 64 << 20
ALIGNED = ((100, 64), (5000, 4096))  # bytes, alignment
MOST = (1 << 64) - 1
BARS_OF = 176
BARS = {"hardened": 110, "fuzz": 140, "guard-all": 165, "guard": 165}  # so many of BARS_OF is what a profile is for
Run = collections.namedtuple("Run", "caught done cpu_s")


def row(kind, deed, **numbers):
    words = [f"--deed={deed}"] + [f"--{name.replace('_', '-')}={value}" for name, value in numbers.items()]
    return kind, words


def block(size, align=0):
    """The arguments for one of that size with neighbours like it."""
    taken = {"take": "posix_memalign", "align": align} if align else {}
    return {"bytes": size, "neighbour": size, "blocks": 40 if size < 1 << 20 else 3, **taken}


def accesses(what):
    """Writes or reads beyond a block's ends, and of one that was freed."""
    past, before, freed = f"{what} past the end", f"{what} before the start", f"{what} after free"
    for size in SIZES:
        for distance in (1, 8, 16, 64, 4096):
            yield row(past, f"overflow-{what}", **block(size), distance=distance)
        for distance in (1, 8, 16, 4096):
            yield row(before, f"underflow-{what}", **block(size), distance=distance)
        for ops in (0, 10, 1000) if size < 1 << 20 else (0,):
            yield row(freed, f"freed-{what}", **block(size), distance=size // 2, ops=ops)
        yield row(freed, f"freed-{what}", **block(size), distance=size // 2, how="realloc")
    for size in (24, 4097):
        yield row(freed, f"freed-{what}", **block(size), distance=size // 2, ops=100000)
    for size, align in ALIGNED + ((HUGE, 0),):
        for distance in (1, 64):
            yield row(past, f"overflow-{what}", **block(size, align), distance=distance)
        yield row(before, f"underflow-{what}", **block(size, align), distance=8)
        yield row(freed, f"freed-{what}", **block(size, align), distance=size // 2)


def frees():
    """Of blocks that were freed before, and of what is no block."""
    for size in SIZES + (HUGE,):
        for ops in (0, 10):
            yield row("double free", "double-free", bytes=size, ops=ops)
        yield row("double free", "double-free", bytes=size, how="threads")
        for distance in (8, 16, size // 2):
            yield row("invalid free", "interior-free", bytes=size, distance=distance)
    for size in SMALL:
        yield row("double free", "double-free", bytes=size, ops=1000)
        for how in ("reuse", "race", "realloc"):
            yield row("double free", "double-free", bytes=size, how=how)
    for size in SIZES:
        yield row("double free", "double-free", bytes=size, call="realloc")
    for how in ("stack", "global", "code", "foreign", "headed", "unmapped"):
        for distance in (0, 16):
            yield row("invalid free", "foreign-free", bytes=100, how=how, distance=distance)
        yield row("invalid free", "foreign-free", bytes=100, how=how, call="realloc")
    for size in SMALL:
        yield row("invalid free", "interior-free", bytes=size, distance=16, call="realloc")


def mismatches():
    """Blocks that are freed as what they are not: of another size, alignment or family."""
    for size in SIZES:
        yield row("wrong size or alignment", "size-mismatch", bytes=size, take="new", call="delete_sized", claimed=size + 1)
        yield row("wrong size or alignment", "size-mismatch", bytes=size, take="new_array", call="delete_array_sized", claimed=size // 2)
    for size in (24, 4097):
        yield row("wrong size or alignment", "size-mismatch", bytes=size, call="free_sized", claimed=size * 2)
        aligned = {"bytes": size, "align": 64}
        yield row("wrong size or alignment", "size-mismatch", **aligned, take="posix_memalign", call="free_aligned_sized",
                  claimed=size * 2, claimed_align=64)
        yield row("wrong size or alignment", "size-mismatch", **aligned, take="new_aligned", call="delete_sized_aligned",
                  claimed=size * 2, claimed_align=64)
        yield row("wrong size or alignment", "size-mismatch", **aligned, take="new_aligned", call="delete_aligned",
                  claimed_align=65536, how="misaligned")
        yield row("wrong size or alignment", "wrong-family", **aligned, take="new_aligned", call="delete")
    for take, call in (("malloc", "delete"), ("new", "free"), ("new_array", "delete"), ("new", "delete_array"),
                       ("malloc", "delete_array"), ("new_array", "free")):
        for size in (24, 4097):
            yield row("wrong family", "wrong-family", bytes=size, take=take, call=call)


def requests():
    """What no heap can serve."""
    for take, align, count, size in (("malloc", 0, 1, MOST // 2 + 1), ("malloc", 0, 1, MOST), ("calloc", 0, MOST // 2 + 1, 2),
                                     ("calloc", 0, 1 << 32, 1 << 32), ("reallocarray", 0, MOST // 2 + 1, 2),
                                     ("aligned_alloc", 24, 1, 96), ("memalign", 24, 1, 96), ("posix_memalign", 24, 1, 96)):
        yield row("bad request", "request", take=take, align=align, count=count, bytes=size)
    yield row("bad request", "request", how="resize", bytes=MOST)


def cases():
    """(kind, arguments) of each."""
    for made in (accesses("write"), accesses("read"), frees(), mismatches(), requests()):
        yield from made
    for size in (100, 1000, 4097, 1 << 20):
        yield row("old bytes", "old-bytes", bytes=size)
    yield row("old bytes", "old-bytes", bytes=1000, how="grown")
    for how in ("plain", "chain", "ring"):
        for size in SIZES:
            yield row("lost at the end", "leak", bytes=size, blocks=5, how=how, when="exit")


class Subject:
    """A heap: how its runs are started, one a setting."""

    def __init__(self, name, program, settings=({},), before=(), library=None):
        self.name, self.program, self.before = name, program, list(before)
        self.settings = [dict(one, **({"LD_PRELOAD": library} if library else {})) for one in settings]


def kiln(name, program, library, *options):
    return Subject(name, program, [{"KILN_OPTIONS": one + ":detect_leaks=0:alloc_dealloc_mismatch=1:symbolize=0"} for one in options], library=library)


def debug_library():
    """glibc's checks of MALLOC_CHECK_, which are a library of their own since 2.34."""
    return heaps.path_of("libc6", r"/libc_malloc_debug\.so\.0$")


def subjects(program, asan_program, library):
    """All heaps by name; one of which something is missing has the word of what."""
    found = {"glibc": Subject("glibc", program)}
    debug = debug_library()
    found["check"] = Subject("check", program, [{"MALLOC_CHECK_": "3"}], library=debug) if debug else "libc6"
    for name in ("scudo", "dislocator"):
        package, pattern = next((package, pattern) for peer, package, pattern in heaps.PEERS if peer == name)
        path = heaps.path_of(package, pattern)
        found[name] = Subject(name, program, library=path) if path else package
    found["asan"] = Subject("asan", asan_program, [{"ASAN_OPTIONS": "detect_leaks=0:symbolize=0"}])
    valgrind = shutil.which("valgrind")
    found["valgrind"] = Subject("valgrind", program, before=[valgrind, "-q", f"--error-exitcode={VALGRIND_STATUS}"]) \
        if valgrind else "valgrind"
    for one in (kiln("fast", program, library, "profile=fast"),
                kiln("hardened", program, library, "profile=hardened:seed=20259"),
                kiln("fuzz", program, library, *(f"profile=fuzz:seed={seed}" for seed in range(SEEDS))),
                kiln("guard-all", program, library, "profile=fuzz:guard=all"),
                kiln("guard", program, library, "profile=fuzz:guard=all", "profile=fuzz:guard=low")):
        found[one.name] = one
    return found


def is_caught(words, status, said, out):
    if status not in OWN_STATUSES or REPORT.search(said):
        return True
    if "--deed=request" in words:
        return REFUSED in out
    return "--deed=old-bytes" in words and "--right" not in words and status == 0


def asked_for_leaks(before, env):
    """The same heap, told to look for leaks: else it would tell of blocks that other deeds leave behind."""
    if before:
        before = [before[0], "--leak-check=full", *before[1:]]
    return before, {name: value.replace("detect_leaks=0", "detect_leaks=1") for name, value in env.items()}


def run(subject, setting, words):
    """One run. One that does not end was not caught: nobody was told anything."""
    before, env = subject.before, {"PATH": "/usr/bin:/bin", "LC_ALL": "C", **setting}
    if "--deed=leak" in words:
        before, env = asked_for_leaks(before, env)
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as out:
        child = subprocess.Popen(before + [subject.program] + words, env=env, stdin=subprocess.DEVNULL,
                                 stdout=out, stderr=said)
        ended = threading.Event()

        def stop():
            ended.set()
            child.kill()
        timer = threading.Timer(LIMIT_S, stop)
        timer.start()
        _, status, usage = os.wait4(child.pid, 0)
        timer.cancel()
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        out.seek(0)
        caught = not ended.is_set() and is_caught(words, child.returncode, said.read(), out.read())
        return Run(caught, caught or child.returncode != NO_PLACE, usage.ru_utime + usage.ru_stime)


class Tally:
    """What one heap caught, by kind."""

    def __init__(self):
        self.caught, self.total = collections.Counter(), collections.Counter()
        self.false, self.undone, self.cpu_s = 0, 0, 0.0

    def add(self, kind, deeds, twins):
        """The runs of one case, and of its twin, one a setting. A false report is none of the deed."""
        self.total[kind] += 1
        false = any(twin.caught for twin in twins)
        self.false += false
        self.caught[kind] += not false and any(deed.caught for deed in deeds)
        self.undone += not any(deed.done for deed in deeds)
        self.cpu_s += sum(twin.cpu_s for twin in twins) / len(twins)


def try_one(subject, case):
    kind, words = case
    deeds, twins = [], []
    for setting in subject.settings:
        twins.append(run(subject, setting, words + ["--right"]))
        if not any(deed.caught for deed in deeds):
            deeds.append(run(subject, setting, words))
    return subject.name, kind, words, deeds, twins


def try_all(chosen, found):
    """Gives the tallies by name, and the lines of the TSV."""
    tallies = {subject.name: Tally() for subject in chosen}
    lines = []
    tasks = [(subject, case) for subject in chosen for case in found]
    progress = measure.Progress(len(tasks))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, kind, words, deeds, twins in pool.map(lambda task: try_one(*task), tasks):
            progress.show(f"{kind} on {name}")
            tallies[name].add(kind, deeds, twins)
            lines.append([name, kind, " ".join(words), int(any(deed.caught for deed in deeds)),
                          int(any(twin.caught for twin in twins))])
    progress.wipe()
    return tallies, lines


def rows(tallies, kinds, base):
    """The table: a line a kind, then the sums."""
    out = [["caught"] + list(tallies)]
    for kind in kinds:
        out.append([kind] + [f"{one.caught[kind]}/{one.total[kind]}" for one in tallies.values()])
    out.append(["all"] + [f"{one.caught.total()}/{one.total.total()}" for one in tallies.values()])
    out.append(["false reports of twins"] + [str(one.false) for one in tallies.values()])
    out.append(["steps that no place was found for"] + [str(one.undone) for one in tallies.values()])
    out.append([f"CPU time of the twins, {base} is 1"]
               + ["-" if base not in tallies else f"{one.cpu_s / max(tallies[base].cpu_s, 1e-9):.1f}"
                  for one in tallies.values()])
    return out


def bars(tallies):
    """A line on each profile that has a bar, which is the same share of however many cases there are."""
    for name, wanted in BARS.items():
        if name in tallies:
            caught, total = tallies[name].caught.total(), tallies[name].total.total()
            kept = caught * BARS_OF >= wanted * total
            yield (f"{name}: {caught} of {total}, {caught / total:.0%}; its bar is {wanted} of {BARS_OF}, "
                   f"{wanted / BARS_OF:.1%}: {'met' if kept else 'MISSED'}")


def arguments(known):
    parser = measure.Parser(prog="kiln bench detect")
    parser.add_argument("--only", action="append", metavar="HEAP")
    parser.add_argument("--tsv", metavar="FILE")
    args = parser.parse_args()
    for name in args.only or []:
        if name not in known:
            parser.wrong(f"there is no heap '{name}'; there are {', '.join(known)}")
    parser.check_writable("--tsv", args.tsv)
    return parser, args


def main():
    paths = [os.environ.get(name, "") for name in ("KILN_CASE", "KILN_CASE_ASAN", "KILN_LIB")]
    known = subjects(*(os.path.abspath(path) for path in paths))
    parser, args = arguments(known)
    for path in paths:
        if not os.path.isfile(path):
            parser.wrong(f"there is no file '{path}'; set KILN_CASE, KILN_CASE_ASAN and KILN_LIB")
    chosen = [known[name] for name in known if not args.only or name in args.only]
    for subject in chosen:
        if isinstance(subject, str):
            parser.wrong(f"a heap is not here; apt-get install {subject}")
    found = list(cases())
    tallies, lines = try_all(chosen, found)
    measure.table(rows(tallies, dict(found), "glibc"))
    print(f"\ncheck: glibc with MALLOC_CHECK_=3. fuzz: the best of {SEEDS} seeds. guard: guard=all or guard=low, each a run.")
    for line in bars(tallies):
        print(line)
    if args.tsv:
        with open(args.tsv, "w", encoding="utf-8") as file:
            for line in [["heap", "kind", "case", "caught", "false"]] + lines:
                file.write("\t".join(map(str, line)) + "\n")
    return 1 if any(tallies[name].false for name in ("fast", "hardened", "fuzz", "guard-all", "guard") if name in tallies) else 0


if __name__ == "__main__":
    sys.exit(measure.main(main))
