#!/usr/bin/python3
"""cases.py PROGRAM [--profile=NAME]... [--group=WORD]... [--every=N] [--seed=N] [--control]

Runs every case of case_table.py and case_guarded.py, and its correct twin, each in a process of its own, and judges what
was said: that a promise was kept, at the call that it names, with the right kind, and with addresses
that are those of the deed; that nothing else was said; that twins say nothing. Prints a table, and
"N passed, M failed". Exit status 1 where any failed.

--every=N runs each Nth case, --group=WORD those whose row of the table has that word. --control judges
overflows of a heap that sees none (profile=fast) by the promises of one that does: each must be said to
be missed, so that it fails. What a failure prints first is one command line that shows it again."""

import argparse
import collections
import dataclasses
import multiprocessing
import os
import re
import subprocess
import sys
import time

sys.dont_write_bytecode = True

import case_guarded as guarded
import case_table as table

LIMIT_S = 60
JSON_EVERY = 60
SHOWN_MAX = 20
CHECK_REPORT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "report", "check_report.py")
ABORTED, OLD_BYTES = -6, 4
HIDDEN = "a lost block was taken for one in reach"

FACT = re.compile(r"^(\w+) 0x([0-9a-f]+) (\d+)$", re.M)
SUMMARY = re.compile(r"^SUMMARY: Kiln: ([a-z-]+) ", re.M)
ERROR = re.compile(r"^==\d+==ERROR: Kiln: (.*)$", re.M)
CALL = re.compile(r"^    (operator (?:new|delete)(?:\[\])?|\w+) ", re.M)
FOUND_BY = re.compile(r"^NOTE: (operator (?:new|delete)(?:\[\])?|\w+): ", re.M)
ADDRESS = re.compile(r"(?:on address|on|malloc\(\)-ed:) 0x([0-9a-f]+)")
ACCESS = re.compile(r"^(READ|WRITE) of size (\d+) at 0x([0-9a-f]+) ", re.M)
ALLOCATED = re.compile(r"^(?:previously )?allocated by thread T\d+ here:\n    #0 0x", re.M)
FREED = re.compile(r"^freed by thread T\d+ here:\n    #0 0x", re.M)
REGION = re.compile(r"^0x([0-9a-f]+) is located (\d+) bytes? (before|after|inside of) (\d+)-byte region "
                    r"\[0x([0-9a-f]+),0x([0-9a-f]+)\)$", re.M)
CLAIMED = re.compile(r"^the block was freed as one(?: of (\d+) bytes?)?(?: aligned to (\d+))?$", re.M)
LOST_BYTES = re.compile(r"^(Direct|Indirect) leak of (\d+) byte\(s\) in \d+ object\(s\) allocated from:$", re.M)
SUMMARY_LOST = re.compile(r"^SUMMARY: Kiln: (\d+) byte\(s\) leaked in (\d+) allocation\(s\)\.$", re.M)
ASKED = re.compile(r": ([a-z_]+) asked for (\d+) bytes?, in thread T\d+:$", re.M)


class Wrong(Exception):
    """What was said is not what is right."""


@dataclasses.dataclass
class Said:
    status: int
    facts: dict
    out: str
    err: str
    shown: str


def accessed(case):
    """The name of the fact that says where the access was; None: the deed is none."""
    deed = case.args["deed"]
    return "write" if deed.endswith("-write") else "read" if deed.endswith("-read") else None


def run(program, case, right=False, options=""):
    words = [program, *case.line(right)]
    env = {"KILN_OPTIONS": case.all_options() + ":symbolize=0" + options}
    shown = f"KILN_OPTIONS={env['KILN_OPTIONS']} {' '.join(words)}"
    try:
        done = subprocess.run(words, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return Said(-1, {}, "", f"it did not end within {LIMIT_S} s", shown)
    out, err = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
    facts = {name: (int(address, 16), int(count)) for name, address, count in FACT.findall(out)}
    return Said(done.returncode, facts, out, err, shown)


def want(what, got, right):
    if got != right:
        raise Wrong(f"{what} is {got}, not {right}")


# ---- what a report must say ----

def region_of(said):
    """Its parts, of which the sums were checked: address, offset, where, bytes, start."""
    match = REGION.search(said.err)
    if not match:
        raise Wrong("it does not say where the address is located")
    address, offset, where, count, start, end = match.groups()
    address, start, end, offset, count = int(address, 16), int(start, 16), int(end, 16), int(offset), int(count)
    want("the region's size", end - start, count)
    right = {"before": start - address, "after": address - end, "inside of": address - start}[where]
    want(f"the distance {where} the region", offset, right)
    return address, where, count, start


def check_access(said, word, count, address):
    access = ACCESS.search(said.err)
    want("the access", access and (access.group(1), int(access.group(2)), int(access.group(3), 16)), (word, count, address))


def check_write(case, said, kind):
    """A write to slack: the first byte that is damaged, how many are, and of whose slack."""
    first, count = said.facts["write"]
    front, asked = said.facts["front"]
    address, where, region_bytes, start = region_of(said)
    bad, end = max(first, front + asked), min(first + count, front + case.args["slot"])
    want("the address", address, bad)
    check_access(said, "WRITE", end - bad, bad)
    block, side = (said.facts["front"], "after") if kind == table.OVERFLOW else (said.facts.get("behind"), "before")
    want("the region", (start, region_bytes, where), (*(block or (0, 0)), side))


def check_edge(case, said, kind):
    """A write behind a large block, where it faults."""
    address, where, region_bytes, start = region_of(said)
    want("the address", address, said.facts["front"][0] + case.edge)
    check_access(said, "WRITE", 1, address)
    block, side = (said.facts["front"], "after") if kind == table.OVERFLOW else (said.facts.get("behind"), "before")
    want("the region", (start, region_bytes, where), (*(block or (0, 0)), side))


def check_freed(case, said, of):
    first, count = said.facts[accessed(case)]
    address, where, region_bytes, start = region_of(said)
    want("the address", address, first)
    check_access(said, accessed(case).upper(), count, first)
    inside = first < start + region_bytes
    want("the region", (start, region_bytes, where), (*said.facts[of], "inside of" if inside else "after"))


def check_guarded(case, said, kind):
    """An access to a block that is alone in its pages: all of it is known beforehand."""
    block, asked = said.facts["block"]
    offset, word, count = case.expect
    address, where, region_bytes, start = region_of(said)
    want("the address", address, block + offset)
    check_access(said, word, count, block + offset)
    side = "before" if offset < 0 else "after" if offset >= asked else "inside of"
    want("the region", (start, region_bytes, where), (block, asked, side))
    stacks = bool(ALLOCATED.search(said.err)), bool(FREED.search(said.err))
    want("where it was allocated and freed", stacks, (case.profile.stacks, case.profile.stacks and kind == table.FREED_WRITE))


def check_free(case, said, kind):
    """A wrong free: the address that was passed, and of a block its own region."""
    block, asked = said.facts["block"]
    passed = said.facts.get("freed", (block, 0))[0]
    address = ADDRESS.search(ERROR.search(said.err).group(1))
    want("the address", address and int(address.group(1), 16), passed)
    if kind == table.FOREIGN:
        want("that the address is nobody's", "is not memory of this heap\n" in said.err, True)
        return
    slot, large = table.slot_of(case.profile, asked, case.args.get("align", 16))
    if kind == table.DOUBLE and "is in pages of the heap that no block uses now\n" in said.err:
        return
    _, where, region_bytes, start = region_of(said)
    want("the region", (start, region_bytes, where), (block, asked if case.profile.hard else slot, "inside of"))
    if kind in (table.SIZE, table.ALIGN):
        align = case.args["claimed-align"] if "aligned" in case.args["call"] else 0
        claimed = CLAIMED.search(said.err)
        sized = "sized" in case.args["call"]
        right = (str(case.args["claimed"]) if sized else None, str(align) if align else None)
        want("what the free was told", claimed and claimed.groups(), right)


def check_request(case, said, kind):
    asked = ASKED.search(said.err)
    product = case.args.get("count", 1) * case.args["bytes"]
    call = "realloc" if case.args.get("how") == "resize" else case.args["take"]
    if case.args["take"] == "posix_memalign" and kind == table.BAD_ALIGN:
        return
    if kind == table.PRODUCT:
        product = 0  # there is no such number
    want("the request", asked and (asked.group(1), int(asked.group(2)) if kind != table.PRODUCT else 0), (call, product))


def kinds_of(said):
    return SUMMARY.findall(said.err) + [table.LEAK] * said.err.count("ERROR: Kiln: detected memory leaks\n")


def check_leaks(case, said):
    """How much was lost, directly and by way of others."""
    lost = {(direct == "Direct", int(count)) for direct, count in LOST_BYTES.findall(said.err)}
    size, blocks, how = case.args["bytes"], case.args["blocks"], case.args["how"]
    seen = size if case.profile.hard else table.slot_of(case.profile, size, case.args.get("align") or 16)[0]
    right = {"plain": {(True, blocks * seen)}, "chain": {(True, seen), (False, (blocks - 1) * seen)},
             "ring": {(False, blocks * seen)}}[how]
    told = sum(count for _, count in lost)
    if told < blocks * seen:
        raise Wrong(f"{HIDDEN}: {told} bytes were told of {blocks * seen}")
    want("what was lost", {(direct, sum(count for other, count in lost if other == direct)) for direct, _ in lost}, right)
    want("the summary", SUMMARY_LOST.findall(said.err), [(str(blocks * seen), str(blocks))])
    if case.profile.stacks:
        want("that stacks are told", "allocated from:\n    #0 0x" in said.err, True)


def check_report(case, said):
    """The kind, where all that was said is right."""
    if said.status != ABORTED:
        raise Wrong(f"exit status {said.status}, not SIGABRT")
    kinds = kinds_of(said)
    if len(kinds) != 1 or said.err.count("ERROR: Kiln: ") != 1 or not said.err.endswith("==ABORTING\n"):
        raise Wrong(f"{len(kinds)} reports, or one that is not whole")
    if kinds[0] not in case.kinds:
        raise Wrong(f"the kind is {kinds[0]}, not {' or '.join(sorted(case.kinds)) or 'none: the report is false'}")
    call = FOUND_BY.search(said.err) or CALL.search(said.err)
    if case.promised and (not call or call.group(1) not in case.calls):
        raise Wrong(f"{call and call.group(1)} told of it, not {' or '.join(sorted(case.calls))}")
    deed = case.args["deed"]
    if case.expect:
        check_guarded(case, said, kinds[0])
    elif case.args.get("place") == "freed":
        check_freed(case, said, "front")
    elif case.edge:
        check_edge(case, said, kinds[0])
    elif deed in ("overflow-write", "underflow-write"):
        check_write(case, said, kinds[0])
    elif deed in ("freed-write", "freed-read", "restored-write"):
        check_freed(case, said, "block")
    elif deed == "request":
        check_request(case, said, kinds[0])
    elif deed == "leak":
        check_leaks(case, said)
    else:
        check_free(case, said, kinds[0])
    return kinds[0]


# ---- the verdict on a case ----

def judge_answer(case, said):
    if said.err or said.status not in (0, OLD_BYTES):
        raise Wrong(f"exit status {said.status}, where an answer was wanted")
    if case.answer == "refused":
        want("the answer", said.facts.get("refused", (1, 0))[0], 0)
        return "kept"
    revealed = said.status == OLD_BYTES
    if case.answer == "old-bytes":  # where nothing is promised; a heap that hides them all would be a surprise
        return "not promised, missed" if revealed else "not promised, seen"
    return "missed" if revealed else "kept"


def judge(case, said):
    """kept, missed, owed, "not promised, seen" or "not promised, missed", and the kind that was told;
    Wrong for all else."""
    if accessed(case) and accessed(case) not in said.facts:
        raise Wrong(f"the deed was not done: {said.out.splitlines()[-1:]}")
    if case.answer:
        return judge_answer(case, said), None
    if said.status == 0 and not said.err:
        if not case.promised:
            return "not promised, missed", None
        return "owed" if case.owed else "missed", None
    kind = check_report(case, said)
    return "kept" if case.promised else "not promised, seen", kind


def check_json(program, case):
    said = run(program, case, options=":report=json")
    kind = kinds_of(run(program, case))
    done = subprocess.run([sys.executable, CHECK_REPORT, "json", f"kind={kind[0] if kind else '?'}", "halts=True"],
                          input=said.err.encode(), capture_output=True, check=False)
    if done.returncode != 0:
        raise Wrong(f"JSON: {done.stdout.decode()}")


def judge_run(program, number, case, said):
    """The verdict on one run, where something is wrong what, and the kind that was told, if any."""
    try:
        verdict, kind = judge(case, said)
        if verdict == "kept" and not case.answer and number % JSON_EVERY == 0:
            check_json(program, case)
        if verdict == "missed" and not case.seeds:
            raise Wrong("it was not seen, which is promised")
    except Wrong as wrong:
        verdict = "missed" if "not seen" in str(wrong) else "wrong"
        return verdict, f"{wrong}\n    {said.shown}\n" + said.err, None
    return verdict, None, kind


def judge_twin(program, case):
    """None, or what was said of a program that does nothing wrong."""
    twin = run(program, case, right=True)
    if twin.status == 0 and not twin.err:
        return None
    return f"the correct twin: exit status {twin.status}\n    {twin.shown}\n" + twin.out + twin.err


def try_once(program, number, case):
    said = run(program, case)
    verdict, why, kind = judge_run(program, number, case, said)
    false = None if why else judge_twin(program, case)
    return ("twin", false, None) if false else (verdict, why, kind)


def try_case(program, number, case):
    """What judge_run says; of a case that has seeds, of all of them together; of one that chance may hide,
    of the first try that it did not."""
    if not case.seeds:
        result = try_once(program, number, case)
        for _ in range(case.tries - 1):
            if result[0] != "missed" and HIDDEN not in (result[1] or ""):
                break
            result = try_once(program, number, case)
        return result
    kept = 0
    for seed in case.seeds:
        seeded = dataclasses.replace(case, options=f"{case.options}:seed={seed}")
        verdict, why, kind = try_once(program, number, seeded)
        if why:
            return verdict, why, kind
        kept += verdict == "kept"
    if kept > 0:
        return "kept", None, None
    shown = run(program, case, options=":seed=%d..%d" % (case.seeds[0], case.seeds[-1])).shown
    return "missed", f"it was not seen under any seed, which is promised\n    {shown}\n", None


# ---- all of them ----

def try_share(program, cases, share, shares, pipe):
    pipe.send([try_case(program, i, cases[i]) for i in range(share, len(cases), shares)])
    pipe.close()


def try_all(program, cases):
    """What try_case says of each, in their order; as many at once as there are processors."""
    shares = os.cpu_count() or 1
    verdicts = [("wrong", "its worker died", None)] * len(cases)
    workers = []
    for share in range(shares):
        ours, theirs = multiprocessing.Pipe(duplex=False)
        worker = multiprocessing.Process(target=try_share, args=(program, cases, share, shares, theirs))
        worker.start()
        theirs.close()
        workers.append((worker, ours))
    for share, (worker, ours) in enumerate(workers):
        try:
            verdicts[share::shares] = ours.recv()
        except EOFError:
            pass  # what it has not tried has failed
        worker.join()
    return verdicts


def print_table(counts):
    columns = ("kept", "owed", "not promised, seen", "not promised, missed", "missed", "wrong", "twin")
    heads = ("kept", "owed", "beyond", "unseen", "MISSED", "WRONG", "TWIN")
    print(f"{'profile':14}{'what':32}" + "".join(f"{head:>8}" for head in heads))
    for profile, group in sorted(counts):
        row = counts[profile, group]
        print(f"{profile:14}{group:32}" + "".join(f"{row[column] or '-':>8}" for column in columns))
    print("kept: promised and reported. owed: promised, not seen yet. beyond: reported though not promised; unseen: neither.")


def controlled(cases):
    """Overflows of a heap that sees none, judged as hardened's."""
    sees = table.PROFILES["hardened"].slack
    for case in cases:
        if case.profile.name == "fast" and case.group in ("overflow into slack", "underflow into slack"):
            yield dataclasses.replace(case, promised=case.args["when"] in sees,
                                      kinds=frozenset((table.OVERFLOW, table.UNDERFLOW)))


def bits_of(program):
    with open(program, "rb") as file:
        return 64 if file.read(5)[4] == 2 else 32


def arguments():
    parser = argparse.ArgumentParser(prog="cases.py", allow_abbrev=False)
    parser.add_argument("program")
    parser.add_argument("--profile", action="append", choices=sorted({**table.PROFILES, **guarded.PROFILES}))
    parser.add_argument("--group", action="append", metavar="WORD")
    parser.add_argument("--every", type=int, default=1, metavar="N")
    parser.add_argument("--seed", type=int, metavar="N", help="of the heap: blocks lie elsewhere")
    parser.add_argument("--control", action="store_true")
    return parser.parse_args()


def main():
    args = arguments()
    started = time.monotonic()
    bits = bits_of(args.program)
    cases = list(table.all_cases(bits, args.profile)) + list(guarded.all_cases(bits, args.profile))
    if args.control:
        cases = list(controlled(cases))
    if args.group:
        cases = [case for case in cases if any(word in case.group for word in args.group)]
    cases = cases[:: args.every]
    if args.seed is not None:
        cases = [dataclasses.replace(case, options=f"{case.options}:seed={args.seed}") for case in cases if not case.seeds]
    counts = collections.defaultdict(collections.Counter)
    failures, debts, paid = [], collections.Counter(), collections.Counter()
    aside = 0
    for case, (verdict, why, kind) in zip(cases, try_all(args.program, cases)):
        counts[case.profile.name, case.group][verdict] += 1
        other = {"overflow-write": table.UNDERFLOW, "underflow-write": table.OVERFLOW}.get(case.args["deed"])
        aside += kind is not None and kind == other
        if why:
            failures.append(why)
        if case.owed and verdict in ("owed", "kept"):
            (debts if verdict == "owed" else paid)[case.owed] += 1
    whole = args.every == 1 and not args.group and not args.profile and args.seed is None
    for owed in paid.keys() - debts.keys() if whole else ():
        failures.append(f"every case of this is seen now; take it out of the table: {owed}")
    for why in failures[:SHOWN_MAX]:
        print(f"FAILED {why}")
    print_table(counts)
    print(f"{aside} writes between two blocks were told of from the other side, where the bytes do not say which it was.")
    for owed, count in debts.items():
        print(f"owed, {count} cases, and {paid[owed]} that are seen all the same: {owed}")
    promised = sum(row[verdict] for row in counts.values() for verdict in ("kept", "owed", "missed"))
    print(f"{len(cases)} cases and as many twins, {promised} promised, in {time.monotonic() - started:.0f} s")
    print(f"{len(cases) - len(failures)} passed, {len(failures)} failed")
    sys.exit(1 if failures or not cases else 0)


main()
