"""case_table.py - every case: what is done, and what the profile promises to say about it.

A case is one deed (case.h) under one profile. The promises are the issue's table, for the profiles
there are: a row of PROFILES is all that another one needs (with guarded blocks: one of case_guarded.py's). Where a write lands is worked out here,
from the heap's size classes, and not asked of the heap: it decides whether it can be seen at all.

Bytes between two blocks are behind the one and before the other. What was written there shows who
came: damage that begins right behind the front block is an overflow, damage that ends right before the
other one, and does not begin there, an underflow. In the middle nothing tells. So each deed has a
set of right kinds: one where the bytes tell, else both. (AddressSanitizer says heap-buffer-overflow
for all of these.)"""

import dataclasses
import os
import re
from dataclasses import dataclass, field

OVERFLOW, UNDERFLOW, FREED_WRITE = "heap-buffer-overflow", "heap-buffer-underflow", "heap-use-after-free"
DOUBLE, INTERIOR, FOREIGN = "double-free", "interior-free", "foreign-free"
SIZE, ALIGN, FAMILY = "size-mismatch", "alignment-mismatch", "alloc-dealloc-mismatch"
LEAK, RESTORED = "memory-leak", "use-after-restore"
TOO_BIG, PRODUCT, BAD_ALIGN, NO_MEMORY = ("allocation-size-too-big", "calloc-overflow", "invalid-allocation-alignment",
                                          "out-of-memory")

SMALL = (1, 7, 8, 15, 16, 17, 24, 100, 1000)
MEDIUM = (4000, 4097, 9999, 20000, 40001, 60000)
LARGE = (65536, 1 << 20, (1 << 20) + 5000, 3000001)
HUGE = (64 << 20, (64 << 20) + 12345)
FEW = (1, 16, 100, 1000, 4097, 60000, 1 << 20)
ALIGNS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)

PAGE = 8192        # of the page heap
SMALL_MAX = 65536  # more is a large block: whole pages
PHYS = 4096        # bytes of a page of the machine
CLASSES = [16 * i for i in range(1, 17)] + [base // 8 * (8 + i) for base in (1 << n for n in range(8, 16))
                                            for i in range(1, 9)]


@dataclass(frozen=True)
class Profile:
    name: str
    options: str
    hard: bool            # blocks have a byte of slack at least, and know what was asked for
    slack: frozenset      # moments at which a write to slack is found
    freed: frozenset      # the same of a write to a block in quarantine
    waits_in_cache: bool  # behind the quarantine, until its thread gives it away or hands it out
    quarantine_blocks: int = 0
    quarantine_bytes: int = 0
    guard: str = ""       # where guarded blocks have their page that faults: high, low (case_guarded.py)
    few: bool = False     # only so many blocks, and so large ones, are guarded
    stacks: bool = False  # a report says where its block was allocated and freed

    def places(self, slot):
        """How many frees of its class a freed block waits for."""
        if self.quarantine_bytes == 0:
            return 0
        return min(self.quarantine_blocks, max(1, self.quarantine_bytes // slot))

    def leaves(self, slot):
        """After how many frees of its class it is looked at, if nothing of its class is handed out."""
        kept = max(2, min(128 if slot <= 256 else 64, 32768 // slot))  # size_class.h: cache_max
        return self.places(slot) + (kept + 1 if self.waits_in_cache else 0)


# Linux 6.13 has pages that fault and are no mapping of their own: they lie behind hard large blocks.
GUARDS_LARGE = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) >= (6, 13)
NEVER = frozenset()
PROFILES = {row.name: row for row in (
    Profile("fast", "profile=fast", False, NEVER, NEVER, False),
    Profile("hardened", "profile=hardened:seed=20259:guard=none", True, frozenset(("free", "realloc", "check")),
            frozenset(("leave", "reuse", "check", "exit")), True, 32, 8192),
    Profile("fuzz", "profile=fuzz:guard=none", True, frozenset(("free", "realloc", "check", "exit")),
            frozenset(("leave", "reuse", "check", "exit")), False, 1024, 32768),
)}

# Which call of the program tells of it.
CALLS = {"free": {"free"}, "realloc": {"realloc"}, "check": {"kiln_check_heap"}, "exit": {"exit"},
         "leave": {"free", "malloc", "aligned_alloc"}, "reuse": {"free", "malloc", "aligned_alloc"},
         "access": {"the"}}  # "the program went past ..."


@dataclass
class Case:
    group: str            # its row of the table
    profile: Profile
    args: dict
    kinds: frozenset      # right ones; empty: any report is a false one
    promised: bool
    calls: set = field(default_factory=set)   # that are to tell of it; empty: any
    options: str = ""
    answer: str = ""      # what is said instead of a report: refused, old-bytes, no-old-bytes
    expect: tuple = ()    # of an access to a guarded block: from its start, what, bytes
    seeds: range = range(0)  # promised under one of these seeds of the heap; else silent
    tries: int = 1        # of which chance may hide the blocks from all but one
    edge: int = 0         # of a write behind a large block: where in its slot it first faults; 0: nowhere
    owed: str = ""        # why what is promised may not be seen yet: a debt, which is counted

    def line(self, right=False):
        words = [f"--{name.replace('_', '-')}={value}" for name, value in self.args.items()]
        return words + (["--right"] if right else [])

    def all_options(self):
        return self.profile.options + self.options


def size_class(need, align):
    """The slot of a request, and whether it is a large block's."""
    if need > SMALL_MAX or align > PAGE:
        return -(-need // PAGE) * PAGE, True
    return next(size for size in CLASSES if size >= max(need, align) and (align <= 16 or size % align == 0)), False


def slot_of(profile, size, align=16):
    slot, large = size_class(max(size + profile.hard, 1), align)
    if large and profile.hard and GUARDS_LARGE:
        slot = -(-(size + 1 + PHYS) // PAGE) * PAGE
    return slot, large


def neighbour_with(profile, size, align, at):
    """The most bytes that a block of the same slot can have so that the byte `at` of the slot is not
    its own; None: there is none."""
    slot, large = slot_of(profile, size, align)
    for asked in (min(size, at), min(size, at) // 16 * 16):
        if asked >= 0 and slot_of(profile, asked, align) == (slot, large):
            return asked
    return None


def taken(args, align):
    return {**args, **({"take": "aligned_alloc", "align": align} if align else {})}


# ---- writes into slack and neighbours ----

def slack_case(profile, underflow, size, align, distance, when, slack, width=1, run=False, place="middle"):
    """None where no block of that slot has slack there, or `slack` is False and it has no bytes."""
    slot, large = slot_of(profile, size, align or 16)
    if underflow:
        away = -(-distance // slot)
        first = away * slot - distance
    else:
        away, first = divmod(size + (0 if run else distance - 1), slot)
    end = first + (distance if run else width)
    if large and align:  # nobody knows what lies in the gap that the alignment leaves
        if underflow or away > 0 or end > slot:
            return None
    own = not underflow and away == 0
    neighbour = size if own else neighbour_with(profile, size, align or 16, first) if slack else size
    if neighbour is None or (not own and not slack and first >= size):
        return None
    if run and (end > slot + neighbour or (underflow and away > 1)):
        return None
    asked = size if own else neighbour
    lands = own or slack  # else in the neighbour's bytes, where nobody can tell it from the neighbour's own
    group = "underflow" if underflow else "overflow"
    blocks = 3 + underflow if size >= HUGE[0] else 6 if large else min(1300, max(40, away * 4))
    args = taken({"deed": group + "-write", "bytes": size, "neighbour": neighbour, "slot": slot, "blocks": blocks,
                  "distance": distance, "width": width, "how": "run" if run else "jump", "when": when,
                  "place": place}, align)
    first_bad, end_bad = max(first, asked), min(end, slot)
    kinds = {OVERFLOW, UNDERFLOW}
    if not underflow and first_bad == asked:
        kinds = {OVERFLOW}
    if underflow and end_bad == slot and first_bad > asked:
        kinds = {UNDERFLOW}
    promised = lands and when in profile.slack
    if not profile.hard:
        kinds = set()
    case = Case(f"{group} into {'slack' if lands else 'live bytes'}", profile, args, frozenset(kinds), promised, CALLS[when])
    if large and profile.hard and GUARDS_LARGE:
        return at_the_edge(case, asked, first, end)
    return case


def at_the_edge(case, asked, first, end):
    """The same where bytes [first, end) of a large block's slot are written: from the first whole page
    behind the block on they fault. Of the blocks on both sides the nearer one is told of."""
    open_bytes, slot = -(-(asked + 1) // PHYS) * PHYS, case.args["slot"]
    if end <= open_bytes:
        return case
    edge = max(first, open_bytes)
    nearer = {UNDERFLOW} if slot - edge < edge - asked else {OVERFLOW}
    kinds = nearer | {OVERFLOW} if case.args["place"] == "last" else nearer  # or there is none behind
    return dataclasses.replace(case, group="out of a large block", kinds=frozenset(kinds), promised=True, edge=edge,
                               calls=CALLS["access"])


def slack_cases(profile):
    whens = ("free", "check", "exit", "realloc") if profile.hard else ("free",)
    for size in SMALL + MEDIUM + LARGE + HUGE[:1]:
        for underflow, distances in ((False, (1, 8, 16, 64, 4096)), (True, (1, 8, 16, 4096))):
            for distance in distances:
                for i, when in enumerate(whens):
                    if size in HUGE and i != distance % 4:
                        continue
                    for slack in (True, False):
                        yield slack_case(profile, underflow, size, 0, distance, when, slack)
                yield slack_case(profile, underflow, size, 0, max(distance, 8), "free", True, width=8)
                yield slack_case(profile, underflow, size, 0, distance, "check" if profile.hard else "free", True, run=True)
        if size not in HUGE:
            yield slack_case(profile, False, size, 0, 1, "free", True, place="last")
            slack_bytes = slot_of(profile, size)[0] - size
            if slack_bytes > 0:  # the last byte before nothing: no block begins there
                yield slack_case(profile, False, size, 0, slack_bytes, "free", True, place="last")
    for align in ALIGNS:
        for size in (1, 100, 1000, 5000, 70000):
            yield slack_case(profile, False, size, align, 1, "free", True)
            yield slack_case(profile, False, size, align, 16, whens[len(whens) > 1], True)
            yield slack_case(profile, True, size, align, 1, "free", True)
            yield slack_case(profile, True, size, align, 8, whens[len(whens) > 1], True, width=8)


def freed_neighbour_case(profile, underflow, size, distance, when):
    """A write that lands in a neighbour's slot which is in quarantine: the heap sees a freed block that
    was written, and cannot know where the write came from."""
    slot, large = slot_of(profile, size)
    away, first = (-(-distance // slot), -distance % slot) if underflow else divmod(size + distance - 1, slot)
    if large or away == 0:
        return None
    args = {"deed": ("underflow" if underflow else "overflow") + "-write", "bytes": size, "neighbour": size, "slot": slot,
            "blocks": min(1300, max(40, away * 4)), "distance": distance, "when": when, "place": "freed"}
    return Case("overflow into a freed block", profile, args, frozenset((FREED_WRITE,) if profile.hard else ()),
                when in profile.freed, CALLS[when])


def freed_neighbour_cases(profile):
    for size in SMALL + MEDIUM:
        for when in ("check", "exit") if profile.hard else ("exit",):
            for distance in (1, 8, 16, 64, 4096):
                yield freed_neighbour_case(profile, False, size, distance, when)
                yield freed_neighbour_case(profile, True, size, distance, when)


# ---- writes to what was freed ----

def freed_case(profile, size, distance, ops, when, how="plain", align=0, take="malloc", call="free", deed="freed-write"):
    slot, large = slot_of(profile, size, align or 16)
    places = profile.places(slot)
    args = {"deed": deed, "bytes": size, "blocks": 2 if large else 8, "neighbour": size, "distance": distance,
            "ops": ops, "when": when, "how": how, "take": take, "call": call}
    args = taken(args, align)
    if when in ("leave", "reuse"):
        args["later"] = 3 if large else profile.leaves(slot) + 8
    if large and when == "reuse":
        return None
    promised = profile.hard and when in profile.freed and (large or ops < places)
    case = Case("write after free" if promised or not profile.hard else "write after free, reused", profile, args,
                frozenset((FREED_WRITE,) if profile.hard else ()), promised, CALLS[when])
    if large and profile.hard:
        case.calls = CALLS["access"]  # its pages fault while it waits
    return case


def large_read_case(profile, size, spot, ops=0, how="plain"):
    """A freed large block waits with pages that fault, so that reads are seen, too. (65,536 bytes are one
    where a byte of slack is.)"""
    case = freed_case(profile, size, spot, ops, "check", how, deed="freed-read")
    return dataclasses.replace(case, group="read after free, large")


def freed_cases(profile):
    whens = ("check", "leave", "reuse", "exit") if profile.hard else ("check",)
    for size in SMALL + MEDIUM + LARGE + HUGE[:1]:
        slot, large = slot_of(profile, size)
        spots = {0, size // 2, size - 1} if size < HUGE[0] else {size // 2}
        for spot in sorted(spots):
            for when in whens:
                yield freed_case(profile, size, spot, 0, when)
        if large and size != 1 << 20:
            continue
        for when in whens:
            yield freed_case(profile, size, size // 2, 10, when)
            yield freed_case(profile, size, size // 3, 10 if large else 1000, when)
            yield freed_case(profile, size, size // 2, 0, when, how="realloc")
        if not large and profile.hard:
            yield freed_case(profile, size, slot - 1, 0, "check")  # what was slack is nobody's now, too
    for size in LARGE + HUGE[:1] if profile.hard else ():
        for spot in sorted({0, size // 2, size - 1}):
            yield large_read_case(profile, size, spot)
            yield large_read_case(profile, size, spot, how="realloc")
        yield large_read_case(profile, size, 0, ops=10)
    for size in (16, 1000, 4097):
        yield freed_case(profile, size, size // 2, 100000, "check")
    for align in (32, 64, 256, 4096, 8192):
        for when in whens:
            yield freed_case(profile, 100, 40, 0, when, align=align)
    for take, call in (("new", "delete"), ("new_array", "delete_array"), ("malloc", "free_sized"), ("calloc", "cfree")):
        yield freed_case(profile, 100, 40, 0, "check", take=take, call=call)


# ---- frees ----

BAD_CALLS = ("free", "realloc", "reallocarray", "free_sized", "free_aligned_sized", "cfree", "usable", "delete", "delete_array",
             "delete_nothrow", "delete_sized", "delete_array_sized", "delete_aligned", "delete_array_aligned",
             "delete_sized_aligned", "delete_array_sized_aligned")
SAID = {"usable": "malloc_usable_size"}


def said(call):
    if call.startswith("delete"):
        return {"operator delete[]" if "array" in call else "operator delete"}
    return {SAID.get(call, call)}


def with_family(args):
    """What is freed by a delete comes from a new."""
    if not args["call"].startswith("delete") or args.get("take", "").startswith("new"):
        return args
    return {**args, "take": ("new_array" if "array" in args["call"] else "new") + ("_aligned" if "align" in args else "")}


def at_call(group, kind, profile, args):
    args = with_family(args)
    return Case(group, profile, args, frozenset((kind,)), True, said(args["call"]))


def double_free(profile, size, call="free", align=0, **more):
    args = taken({"deed": "double-free", "bytes": size, "call": call, **more}, align)
    return at_call("double free", DOUBLE, profile, args)


def double_frees(profile):
    for size in SMALL + MEDIUM + LARGE + HUGE:
        _, large = slot_of(profile, size)
        yield double_free(profile, size)
        yield double_free(profile, size, how="threads")
        if size in HUGE:
            continue
        yield double_free(profile, size, how="race")
        yield double_free(profile, size, how="reuse")
        yield double_free(profile, size, how="realloc")
        yield double_free(profile, size, ops=10)
        if not large or size == 65536:
            yield double_free(profile, size, ops=1000)
    for size in (16, 1000, 9999):
        yield double_free(profile, size, ops=100000)
    for call in BAD_CALLS:
        for size in (100, 70000):
            yield double_free(profile, size, call, align=16)
    for align in ALIGNS:
        yield double_free(profile, 100, align=align)


def wrong_frees(profile):
    for size in SMALL + MEDIUM + LARGE + HUGE:
        for distance in sorted({1, 8, 16, size // 2, size - 1}):
            if 0 < distance < size:
                yield at_call("interior free", INTERIOR, profile, {"deed": "interior-free", "bytes": size,
                                                                   "distance": distance, "call": "free"})
    for call in BAD_CALLS:
        if call != "usable":
            yield at_call("interior free", INTERIOR, profile, taken(
                {"deed": "interior-free", "bytes": 100, "distance": 16, "call": call}, 16))
    for call in ("delete_aligned", "delete_array_aligned"):
        yield at_call("interior free", INTERIOR, profile, taken(
            {"deed": "interior-free", "bytes": 100, "distance": 8, "call": call}, 16))
    foreign = {"deed": "foreign-free", "bytes": 100}
    for how in ("stack", "global", "code", "foreign", "headed", "unmapped"):
        for distance in (0, 1, 16, 48):
            yield at_call("foreign free", FOREIGN, profile, {**foreign, "how": how, "distance": distance, "call": "free"})
        for call in BAD_CALLS:
            if call != "usable":
                yield at_call("foreign free", FOREIGN, profile, taken({**foreign, "how": how, "distance": 32, "call": call}, 16))
        for call in ("delete_aligned", "delete_array_aligned"):  # that its alignment is wrong, too, matters less
            yield at_call("foreign free", FOREIGN, profile, taken({**foreign, "how": how, "distance": 33, "call": call}, 16))
    for number in (1, 16, 4096, 8192, 0xfffffff0, 0x7fff0000):
        for call in ("free", "realloc", "delete"):
            yield at_call("foreign free", FOREIGN, profile, {**foreign, "how": "number", "distance": number, "call": call})


def mismatches(profile):
    def case(group, kind, size, align, call, claimed, claimed_align, promised=True, **more):
        args = {"deed": "size-mismatch", "bytes": size, "call": call, "claimed": claimed, "claimed-align": claimed_align, **more}
        made = at_call(group, kind, profile, taken(args, align))
        made.promised = promised
        return made

    sized = ("free_sized", "delete_sized", "delete_array_sized")
    aligned = ("free_aligned_sized", "delete_sized_aligned", "delete_array_sized_aligned")
    for size in SMALL + MEDIUM + LARGE + HUGE[:1]:
        for i, claimed in enumerate((size + 1, size - 1, size * 2 + 20, size // 2)):
            if claimed == size:
                continue
            other = slot_of(profile, claimed) != slot_of(profile, size)
            yield case("sized free", SIZE, size, 0, sized[i % 3], claimed, 0, profile.hard or other)
            other = slot_of(profile, claimed, 64) != slot_of(profile, size, 64)
            yield case("sized free", SIZE, size, 64, aligned[i % 3], claimed, 64, profile.hard or other)
    for size in (1, 100, 1000, 60000):
        for call in aligned:
            for align in (3, 24, 100):
                yield case("aligned free", ALIGN, size, 16, call, size, align)
            yield case("aligned free", ALIGN, size, 16, call, size, 65536, how="misaligned")
        for call in ("delete_aligned", "delete_array_aligned"):
            yield case("aligned free", ALIGN, size, 16, call, size, 65536, how="misaligned")


FAMILIES = {"malloc": ("free", "realloc", "free_sized"), "new": ("delete", "delete_nothrow", "delete_sized"),
            "new_array": ("delete_array", "delete_array_sized")}
ALIASES = {"malloc": "malloc", "calloc": "malloc", "aligned_alloc": "malloc", "posix_memalign": "malloc", "new": "new",
           "new_nothrow": "new", "new_aligned": "new", "new_array": "new_array", "new_array_aligned": "new_array"}


def wrong_families(profile):
    """Only a heap that knows more of a block than its size can tell."""
    if not profile.hard:
        return
    for take, family in ALIASES.items():
        for other, calls in FAMILIES.items():
            for i, call in enumerate(calls):
                for size in (100, 5000, 70000) if i == 0 else (100,):
                    if other == family or (call == "free_sized" and size == 70000):
                        continue
                    args = {"deed": "wrong-family", "take": take, "bytes": size, "call": call, "align": 64}
                    if "sized" in call and take != "calloc":
                        args["claimed"] = 1
                    made = Case("wrong family", profile, args, frozenset((FAMILY,)), True, said(call))
                    yield dataclasses.replace(made, options=":alloc_dealloc_mismatch=1")
                    if profile.stacks:  # fuzz, where it is so without being asked for
                        yield made


def leaks(profile, bits):
    """Lost blocks, seen at the end or when asked; the twin keeps an address of the first one. Where there are just
    32 bits a word that means nothing may be an address in a block: of 1500 runs that lost five blocks of 1 MiB
    17 had one, such as the random guard word of the stack, which is drawn anew in each run."""
    tries = 3 if bits == 32 else 1
    for size in (16, 24, 100, 1000, 5000, 70000, 1 << 20):
        for how in ("plain", "chain", "ring"):
            for when in ("exit", "check"):
                for place in ("middle", "inside") if how == "plain" else ("middle", "thread"):
                    args = {"deed": "leak", "bytes": size, "blocks": 5, "how": how, "when": when, "place": place}
                    yield Case(f"leak, {how}", profile, args, frozenset((LEAK,)), True, CALLS["access"], ":detect_leaks=1",
                               tries=tries)
    for take, align in (("calloc", 0), ("aligned_alloc", 64), ("aligned_alloc", 4096), ("new_array", 0), ("realloc", 0)):
        args = {"deed": "leak", "bytes": 200, "blocks": 3, "how": "plain", "when": "exit", "take": take, "align": align}
        yield Case("leak, plain", profile, args, frozenset((LEAK,)), True, CALLS["access"], ":detect_leaks=1", tries=tries)


# ---- blocks that a restore took ----

def restored_case(profile, deed, size, spot=0, when="access", align=0):
    args = {"deed": f"restored-{deed}", "bytes": size, "blocks": 1, "distance": spot, "when": when}
    if deed == "free":
        return Case("free after restore", profile, taken(args, align), frozenset((DOUBLE,)), True, {"free"}, ":checkpoints=1")
    calls = {"access": CALLS["access"], "restore": {"kiln_restore"}, "check": {"kiln_check_heap"}, "reuse": {"malloc"}}[when]
    expect = (spot, deed.upper(), 1) if when == "access" else ()
    return Case(f"{deed} after restore", profile, taken(args, align), frozenset((RESTORED,)), True, calls, ":checkpoints=1",
                expect=expect)


def restored(profile):
    """At the access where all blocks are guarded; else a write when it is looked for, or the place is given out
    again, in a span that the heap had at the checkpoint."""
    for size in FEW:
        yield restored_case(profile, "free", size)
        for spot in sorted({0, size // 2, size - 1}):
            if profile.guard:
                yield restored_case(profile, "read", size, spot)
                yield restored_case(profile, "write", size, spot)
            elif profile.hard and size <= 4097:
                for when in ("restore", "check", "reuse"):
                    yield restored_case(profile, "write", size, spot, when)


# ---- requests, and what is read from fresh memory ----

def requests(profile, bits):
    most = (1 << bits) - 1
    half = 1 << (bits - 1)
    wrong = [(TOO_BIG, "malloc", 0, 1, half), (TOO_BIG, "malloc", 0, 1, most), (TOO_BIG, "malloc", 0, 1, most - 4096),
             (TOO_BIG, "calloc", 0, 1, half), (TOO_BIG, "realloc", 0, 1, most), (TOO_BIG, "aligned_alloc", 64, 1, half + 64),
             (TOO_BIG, "memalign", 4096, 1, most), (TOO_BIG, "posix_memalign", 64, 1, half), (TOO_BIG, "pvalloc", 0, 1, most),
             (PRODUCT, "calloc", 0, 2, half), (PRODUCT, "calloc", 0, half, 2), (PRODUCT, "calloc", 0, most, most),
             (PRODUCT, "calloc", 0, 1 << bits // 2, 1 << bits // 2), (PRODUCT, "reallocarray", 0, 2, half),
             (PRODUCT, "reallocarray", 0, most, 3)]
    wrong += [(BAD_ALIGN, take, align, 1, 100) for take in ("aligned_alloc", "memalign") for align in (0, 3, 24, 100, most)]
    wrong += [(BAD_ALIGN, "posix_memalign", align, 1, 100) for align in (0, 2, 24, 100)]
    for may_return_null in (0, 1):
        options = f":allocator_may_return_null={may_return_null}"
        for kind, take, align, count, size in wrong:
            args = {"deed": "request", "take": take, "align": align, "count": count, "bytes": size}
            case = Case("bad request", profile, args, frozenset((kind,)), True, {take}, options)
            if may_return_null:
                case.kinds, case.answer = NEVER, "refused"
            yield case
            if not may_return_null:
                yield dataclasses.replace(case, args={**args, "how": "first"})
        args = {"deed": "request", "take": "malloc", "how": "resize", "bytes": most}
        yield Case("bad request", profile, args, NEVER if may_return_null else frozenset((TOO_BIG,)), True, {"realloc"}, options,
                   "refused" if may_return_null else "")


def old_bytes(profile):
    answer = "no-old-bytes" if profile.hard else "old-bytes"
    for size in SMALL + MEDIUM + LARGE:
        for how in ("plain", "grown"):
            if how == "grown" and size < 16:
                continue
            yield Case("old bytes", profile, {"deed": "old-bytes", "bytes": size, "how": how}, NEVER, profile.hard, answer=answer)
    for align in (64, 4096, 65536):
        for size in (100, 5000):
            yield Case("old bytes", profile, taken({"deed": "old-bytes", "bytes": size}, align), NEVER, profile.hard, answer=answer)
    for take in ("new", "calloc", "realloc"):
        if take != "calloc" or profile.hard:
            yield Case("old bytes", profile, {"deed": "old-bytes", "bytes": 100, "take": take}, NEVER, profile.hard, answer=answer)


def call_cases(profile, bits):
    """What is seen at a call, whatever the heap knows of its blocks' bytes."""
    for made in (double_frees(profile), wrong_frees(profile), mismatches(profile), wrong_families(profile), leaks(profile, bits),
                 restored(profile), requests(profile, bits), old_bytes(profile)):
        yield from made


def distinct(cases):
    """Each once, without those that cannot be."""
    seen = set()
    for case in cases:
        key = case and (case.all_options(), tuple(case.line()))
        if case and key not in seen:
            seen.add(key)
            yield case


def cases_of(profile, bits):
    for made in (slack_cases(profile), freed_neighbour_cases(profile), freed_cases(profile), call_cases(profile, bits)):
        yield from made


def all_cases(bits, names=None):
    """Every case once."""
    return distinct(case for profile in PROFILES.values() if not names or profile.name in names
                    for case in cases_of(profile, bits))
