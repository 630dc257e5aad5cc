"""case_guarded.py - cases of heaps whose blocks are guarded: all of them, or another tenth under each seed.

A guarded block lies in pages of its own, between pages that fault. Where in its pages it lies is worked
out here: behind it (guard=all), or in front of it (guard=low), is a page that faults, as near as its
alignment allows; the rest of its pages is slack. An access beyond the slack is seen where it is made.
A write to slack is seen by the free or the check that looks there next; a read of it by nobody, which
is promised to nobody. After free all of its pages fault.

Freed blocks are known as long as their part of the address space is not used again: see `remembered`."""

import dataclasses

import case_table as table
from case_table import CALLS, FREED_WRITE, LARGE, MEDIUM, NEVER, OVERFLOW, PHYS, SMALL, UNDERFLOW, Case, Profile

CHUNK_PAGES, CHUNK_SLOTS_MAX = 512, 256
SEEDS = 10   # of the fuzz profile: under one of them a block is guarded, and its start under one of the next ten
SEEN = frozenset(("free", "realloc", "check", "exit"))

PROFILES = {row.name: row for row in (
    Profile("all", "profile=fuzz:guard=all", True, SEEN, SEEN, False, guard="high", stacks=True),
    Profile("low", "profile=fuzz:guard=low", True, SEEN, SEEN, False, guard="low", stacks=True),
    Profile("sampled", "profile=hardened:seed=20259:guard=some:guard_every=1", True, SEEN - {"exit"}, SEEN, False, guard="high",
            few=True),
    Profile("rotating", "profile=fuzz", True, SEEN, SEEN, False, guard="high", few=True, stacks=True),
    Profile("rotating-low", "profile=fuzz", True, SEEN, SEEN, False, guard="low", few=True, stacks=True),
)}


def slack(profile, size, align):
    """Bytes of its pages before a block and behind it."""
    if size == 0:
        return 0, 0
    above = -size % min(max(align, 16), PHYS)
    rest = -size % PHYS
    return (0, rest) if profile.guard == "low" else (rest - above, above)


def gap(bits):
    """Bytes between the pages of two blocks; where more lie there, both are farther from each other."""
    return 2 * PHYS if bits == 64 else PHYS


def bytes_max(profile, bits):
    """Larger blocks are not guarded."""
    return 1 << 20 if profile.few else 1 << 34 if bits == 64 else 1 << 24


def remembered(profile, bits, size):
    """After so many frees of other blocks of its size a freed one is still known."""
    chunks = 16 if profile.few else 1024 if bits == 64 else 65
    pages = -(-size // PHYS) + gap(bits) // PHYS
    return (chunks - 1) * max(1, min(CHUNK_SLOTS_MAX, CHUNK_PAGES // pages))


def nearer_than_next(profile, bits, underflow, far, below, above):
    """Is an address `far` bytes beyond a block (1: the first) nearer to it than to the next block there?
    Of an address in the middle nothing tells whose access it was."""
    other = gap(bits) - far + below + above + 1
    return far < other or (far == other and underflow == (profile.guard == "low"))


def access_case(profile, bits, side, size, distance, read=False, align=0, width=1, when="free", place="middle"):
    """An access outside of the bounds of a live block. None: it is not the nearest one."""
    if size > bytes_max(profile, bits):
        return None
    underflow = side == "underflow"
    below, above = slack(profile, size, align)
    edge = -below if underflow else size + above  # the first byte that faults, seen from the block
    first = -distance if underflow else size + distance - 1
    width = min(width, distance) if underflow else width
    faults = first < edge if underflow else first + width > edge
    told = first if underflow else max(first, edge)
    if faults and not nearer_than_next(profile, bits, underflow, -told if underflow else told - size + 1, below, above):
        return None
    if not faults:  # of the bytes that were damaged the nearest one is told
        told = first + width - 1 if underflow else first
    promised = faults or (not read and when in profile.slack)
    blocks = 3 if size > 60000 else 40 if size > 1000 else 400 if "rotating" in profile.name else 60
    args = table.taken({"deed": side + ("-read" if read else "-write"), "bytes": size, "neighbour": size, "blocks": blocks,
                        "distance": distance, "width": width, "when": when, "place": place}, align)
    kinds = NEVER if read and not faults else frozenset((UNDERFLOW if underflow else OVERFLOW,))
    group = f"{side} {'read' if read else 'write'} {'beyond the page' if faults else 'of slack'}"
    return Case(group, profile, args, kinds, promised, CALLS["access" if faults else when],
                expect=(told, "READ" if read else "WRITE", 1))


def access_cases(profile, bits):
    for size in (0,) + SMALL + MEDIUM + LARGE + table.HUGE:
        for side, distances in (("overflow", (1, 8, 16, 64, 4096)), ("underflow", (1, 8, 16, 4096))):
            for i, distance in enumerate(distances if size not in table.HUGE else distances[:1]):
                yield access_case(profile, bits, side, size, distance, read=True)
                yield access_case(profile, bits, side, size, distance)
                yield access_case(profile, bits, side, size, distance, when=("realloc", "check", "exit")[(i + size) % 3])
                if size not in table.HUGE:
                    yield access_case(profile, bits, side, size, distance, read=i % 2 == 0, place="last")
                    yield access_case(profile, bits, side, size, distance, width=64, when="check")
    for align in table.ALIGNS:
        for size in (1, 100, 5000, 70000):
            for distance in (1, align, 4096):
                for side in ("overflow", "underflow"):
                    if distance <= 4096:
                        yield access_case(profile, bits, side, size, distance, align=align, read=size != 100)


def freed_case(profile, bits, size, spot, ops=0, read=False, how="plain", align=0, take="malloc", call="free"):
    """An access to a block that was freed; beyond its end, too, it is one of a freed block."""
    if size > bytes_max(profile, bits) or ops > remembered(profile, bits, size):
        return None
    blocks = 1 if profile.name == "sampled" and size > 60000 else 2 if size > 60000 else 9
    args = {"deed": "freed-read" if read else "freed-write", "bytes": size, "neighbour": size, "blocks": blocks,
            "distance": spot, "ops": ops, "how": how, "take": take, "call": call}
    return Case(f"{'read' if read else 'write'} after free", profile, table.taken(args, align), frozenset((FREED_WRITE,)), True,
                CALLS["access"], expect=(spot, "READ" if read else "WRITE", 1))


def freed_cases(profile, bits):
    for read in (True, False):
        for size in SMALL + MEDIUM + LARGE + table.HUGE[:1]:
            for spot in sorted({0, size // 2, size - 1}):
                yield freed_case(profile, bits, size, spot, read=read)
            if size in table.HUGE:
                continue
            yield freed_case(profile, bits, size, size + 7, read=read)
            yield freed_case(profile, bits, size, size // 2, ops=10, read=read)
            yield freed_case(profile, bits, size, size // 2, how="realloc", read=read)
            if size <= 60000:
                yield freed_case(profile, bits, size, size // 3, ops=1000, read=read)
        for size in (16, 1000, 4097):
            yield freed_case(profile, bits, size, size // 2, ops=100000, read=read)
        for align in (32, 256, 4096, 8192, 65536):
            yield freed_case(profile, bits, 100, 40, align=align, read=read)
        for take, call in (("new", "delete"), ("new_array", "delete_array"), ("malloc", "free_sized"), ("calloc", "cfree")):
            yield freed_case(profile, bits, 100, 40, take=take, call=call, read=read)


def rotating_cases(profile, bits):
    """Reads by a program that a fuzzer runs under one seed after another: reported at least once. Where
    the block is not guarded the read is one of other bytes of the heap, and is not seen."""
    if profile.guard == "low":
        for size in (16, 100, 1000, 4000, 4097):
            for distance in (1, 8, 16, 4096):
                yield access_case(profile, bits, "underflow", size, distance, read=True)
            yield freed_case(profile, bits, size, size // 2, read=True)
        yield access_case(profile, bits, "underflow", 100, 1, read=True, align=64)
        return
    for size in (16, 100, 1000, 4000, 4097):
        for distance in (16, 64, 4096):
            yield access_case(profile, bits, "overflow", size, distance, read=True)
        yield access_case(profile, bits, "underflow", size, 4096, read=True)
        for ops in (0, 10, 1000):
            yield freed_case(profile, bits, size, size // 2, ops=ops, read=True)
        yield freed_case(profile, bits, size, size - 1, how="realloc", read=True)
    yield freed_case(profile, bits, 100, 50, ops=100000, read=True)
    yield access_case(profile, bits, "overflow", 100, 4096, read=True, align=64)
    yield freed_case(profile, bits, 100, 50, read=True, align=4096)


def cases_of(profile, bits):
    if "rotating" in profile.name:
        seeds = range(SEEDS, 2 * SEEDS) if profile.guard == "low" else range(SEEDS)
        for case in rotating_cases(profile, bits):
            if case and case.promised:
                yield dataclasses.replace(case, seeds=seeds)
        return
    yield from access_cases(profile, bits)
    yield from freed_cases(profile, bits)
    if not profile.few:
        for case in table.call_cases(profile, bits):
            if case.args.get("ops", 0) <= remembered(profile, bits, case.args["bytes"]):
                yield case


def all_cases(bits, names=None):
    """Every case once."""
    return table.distinct(case for profile in PROFILES.values() if not names or profile.name in names
                          for case in cases_of(profile, bits))
