#!/usr/bin/python3
"""guard.py - what it costs that every block ends at a page that faults: what `kiln bench guard` runs.

First times, of a few pairs of malloc and free on each heap in turn (guard_pairs.c): Kiln with guard=all,
its guarded blocks without the rest of the heap, libdislocator, and the least that the system takes for
opening a page, touching it and making it fault again. Then very many pairs in one process on Kiln, of
random sizes and alignments, and the most mappings that it had at once.
"""

import os
import re
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True  # this folder is the checkout's

import heaps
import measure

SHAPES = (("64", "0"), ("64", "10000"), ("random", "100"))  # bytes, live blocks
SHORT_PAIRS = "20000"
MAPPINGS_MAX = 1000
FACT = re.compile(r"(\w+)=(\d+)")


class Heap:
    def __init__(self, name, word, library=None, options=""):
        self.name, self.word = name, word
        self.env = {"PATH": "/usr/bin:/bin", **({"LD_PRELOAD": library, "KILN_OPTIONS": options} if library else {})}

    def run(self, program, bytes_, pairs, live):
        """The facts that guard_pairs prints, or the text of what went wrong."""
        done = subprocess.run([program, self.word, bytes_, pairs, live], env=self.env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)
        facts = {name: int(value) for name, value in FACT.findall(done.stdout)}
        if done.returncode == 0:
            return facts, None
        return facts, f"{facts.get('pairs', 'no')} pairs, then exit status {done.returncode} {done.stderr[:500]}".strip()


def compare(program, chosen, rounds):
    """The rows of a table: nanoseconds a pair, the median of the rounds; and what went wrong."""
    rows, wrong = [["ns a pair"] + [heap.name for heap in chosen] + ["dislocator/kiln"]], []
    progress = measure.Progress(len(SHAPES) * rounds * len(chosen))
    for bytes_, live in SHAPES:
        spent = {heap.name: [] for heap in chosen}
        for _ in range(rounds):
            for heap in chosen:
                progress.show(f"{bytes_} bytes on {heap.name}")
                facts, why = heap.run(program, bytes_, SHORT_PAIRS, live)
                if why:
                    wrong.append((heap.name, why))
                else:
                    spent[heap.name].append(facts["ns"])
        medians = {name: statistics.median(values) if values else None for name, values in spent.items()}
        both = medians.get("dislocator") and medians["kiln"]
        rows.append([f"{bytes_} bytes, {live} live"] + [f"{one:.0f}" if one else "-" for one in medians.values()]
                    + [f"{medians['dislocator'] / medians['kiln']:.1f}" if both else "-"])
    progress.wipe()
    return rows, wrong


def judge(facts, why):
    """What is wrong with the facts of the long run, or None."""
    if why:
        return why
    if facts["mappings"] > MAPPINGS_MAX:
        return f"{facts['mappings']} mappings at once; {MAPPINGS_MAX} are allowed"
    if facts["elsewhere"] > 0 or facts["at_page"] == 0:
        return f"{facts['elsewhere']} blocks that could end at a page did not; {facts['at_page']} did"
    return None


def arguments():
    parser = measure.Parser(prog="kiln bench guard")
    parser.add_argument("--pairs", type=int, default=10**8, metavar="N")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    args = parser.parse_args()
    if args.pairs < 1:
        parser.wrong(f"--pairs is 1 or more, not {args.pairs}")
    if not 0 <= args.rounds <= 1000:
        parser.wrong(f"--rounds is 0 (the long run alone) to 1000, not {args.rounds}")
    return parser, args


def main():
    parser, args = arguments()
    program, library = (os.path.abspath(os.environ.get(name, "")) for name in ("KILN_GUARD_PAIRS", "KILN_LIB"))
    for path in (program, library):
        if not os.path.isfile(path):
            parser.wrong(f"there is no file '{path}'; set KILN_GUARD_PAIRS and KILN_LIB")
    kiln = Heap("kiln", "malloc", library, "profile=fuzz:guard=all")
    failed = False
    if args.rounds > 0:
        dislocator = next((heaps.path_of(package, pattern) for name, package, pattern in heaps.PEERS if name == "dislocator"), None)
        chosen = [kiln, Heap("guard", "guard-high")] + ([Heap("dislocator", "malloc", dislocator)] if dislocator else []) \
            + [Heap("floor", "floor"), Heap("floor-16", "floor-16")]
        print(f"{measure.machine()}\n")
        rows, wrong = compare(program, chosen, args.rounds)
        measure.table(rows)
        for name, why in wrong:
            print(f"{name}: {why}")
        failed = any(name == "kiln" for name, _ in wrong)
        print("\nkiln: guard=all. guard: its guarded blocks alone. floor: a page opened, touched and made to fault again; "
              "floor-16: 16 at a time.\n")
    facts, why = kiln.run(program, "random", str(args.pairs), "100")
    fault = judge(facts, why)
    print(f"{args.pairs} pairs of random sizes and alignments in one process: {facts.get('mappings', '?')} mappings at most, "
          f"{facts.get('ns', '?')} ns a pair, {facts.get('resident_kib', '?')} KiB resident, "
          f"{facts.get('page_tables_kib', '?')} KiB of page tables at the end")
    if fault:
        print(f"FAILED: {fault}")
    return 1 if fault or failed else 0


if __name__ == "__main__":
    sys.exit(measure.main(main))
