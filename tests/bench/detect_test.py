#!/usr/bin/python3
"""detect_test.py - what counts as caught, and the sums, of runs whose answer is known."""

import sys

sys.dont_write_bytecode = True  # this folder is the checkout's

import detect
from detect import Run


def expect(what, got, wanted):
    if got != wanted:
        print(f"FAILED: {what} is {got}, not {wanted}")
        sys.exit(1)


def main():
    refused = b"case --deed=request\nrefused 0x0 12\n"
    for words, status, said, out, wanted in (
            ([], 0, b"", b"", False), ([], 3, b"", b"", False), ([], 4, b"", b"", False), ([], -6, b"", b"", True),
            ([], -11, b"", b"", True), ([], detect.VALGRIND_STATUS, b"", b"", True), ([], 1, b"", b"", True),
            ([], 0, b"a word", b"", False), ([], 0, b"==7==ERROR: Kiln: attempting double-free on 0x10", b"", True),
            (["--deed=request"], 0, b"", refused, True), (["--deed=request"], 0, b"", b"case\nserved 0x10 0\n", False),
            (["--deed=leak"], 0, b"", refused, False),
            (["--deed=old-bytes"], 0, b"", b"", True), (["--deed=old-bytes"], 4, b"", b"", False),
            (["--deed=old-bytes"], 3, b"", b"", False), (["--deed=old-bytes", "--right"], 0, b"", b"", False)):
        expect(f"exit {status} of {words} with {said + out}", detect.is_caught(words, status, said, out), wanted)
    tally = detect.Tally()
    clean, caught = Run(False, True, 1.0), Run(True, True, 3.0)
    tally.add("read", [clean, caught], [clean, clean])  # under one seed of two
    tally.add("read", [clean, clean], [clean, clean])
    tally.add("read", [caught], [caught])               # whoever cries always has caught nothing
    tally.add("free", [caught], [clean])
    expect("what was caught", (tally.caught["read"], tally.total["read"], tally.caught["free"]), (1, 3, 1))
    expect("the false reports, and what was not done", (tally.false, tally.undone), (1, 0))
    lost = detect.Tally()
    lost.add("read", [Run(False, False, 1.0)] * 2, [clean])
    expect("what was not done under any seed", (lost.undone, lost.caught.total()), (1, 0))
    expect("CPU time, a mean of the runs of each twin", tally.cpu_s, 1 + 1 + 3 + 1)
    table = detect.rows({"glibc": tally, "other": tally}, ["read", "free"], "glibc")
    expect("the table", table[1:4], [["read", "1/3", "1/3"], ["free", "1/1", "1/1"], ["all", "2/4", "2/4"]])
    expect("the ratio", table[-1][1:], ["1.0", "1.0"])
    bar = detect.Tally()
    for i in range(176):
        bar.add("read", [caught if i < 140 else clean], [clean])
    expect("a bar that is met", "met" in next(detect.bars({"fuzz": bar})), True)
    bar.add("read", [clean], [clean])
    expect("a bar that is missed", "MISSED" in next(detect.bars({"fuzz": bar})), True)
    found = list(detect.cases())
    expect("whether there are so many cases as the bars are of", len(found) >= detect.BARS_OF, True)
    expect("whether cases differ", len({tuple(words) for _, words in found}), len(found))
    print("what counts as caught is right")


main()
