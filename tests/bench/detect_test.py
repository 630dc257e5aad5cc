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
    for status, said, wanted in ((0, b"", False), (3, b"", False), (4, b"", False), (-6, b"", True), (-11, b"", True),
                                 (detect.VALGRIND_STATUS, b"", True), (1, b"", True), (0, b"a word", False),
                                 (0, b"==7==ERROR: Kiln: attempting double-free on 0x10", True)):
        expect(f"exit {status} with {said}", detect.is_caught(status, said), wanted)
    tally = detect.Tally()
    clean, caught = Run(False, 1.0), Run(True, 3.0)
    tally.add("read", [clean, caught], [clean, clean])  # under one seed of two
    tally.add("read", [clean, clean], [clean, clean])
    tally.add("read", [caught], [caught])               # whoever cries always has caught nothing
    tally.add("free", [caught], [clean])
    expect("what was caught", (tally.caught["read"], tally.total["read"], tally.caught["free"]), (1, 3, 1))
    expect("the false reports", tally.false, 1)
    expect("CPU time, a mean of the runs of each twin", tally.cpu_s, 1 + 1 + 3 + 1)
    table = detect.rows({"glibc": tally, "other": tally}, ["read", "free"], "glibc")
    expect("the table", table[1:4], [["read", "1/3", "1/3"], ["free", "1/1", "1/1"], ["all", "2/4", "2/4"]])
    expect("the ratio", table[-1][1:], ["1.0", "1.0"])
    found = list(detect.cases())
    expect("whether cases differ", len({tuple(words) for _, words in found}), len(found))
    print("what counts as caught is right")


main()
