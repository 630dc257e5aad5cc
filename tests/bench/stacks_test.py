#!/usr/bin/python3
"""stacks_test.py - which functions count as those that keep stacks, and their share, of a known report."""

import sys

sys.dont_write_bytecode = True  # this folder is the checkout's

import stacks

SYMBOLS = """
     1: 0000000000000000     0 FILE    LOCAL  DEFAULT  ABS stack.c
     2: 0000000000030400   100 FUNC    LOCAL  DEFAULT   12 capture_other
     3: 0000000000040400     8 OBJECT  LOCAL  DEFAULT   12 seen
     4: 0000000000000000     0 FILE    LOCAL  DEFAULT  ABS malloc.c
     5: 0000000000030500   100 FUNC    LOCAL  DEFAULT   12 malloc_kept
     6: 0000000000000000     0 FILE    LOCAL  DEFAULT  ABS
     7: 0000000000030600   100 FUNC    LOCAL  DEFAULT   12 kiln_stack_capture_from
     8: 0000000000030700   100 FUNC    GLOBAL DEFAULT   12 malloc
"""
REPORT = """# Overhead
     4.50%  |libkiln.so            |[.] malloc_kept
     1.25%  |libkiln.so            |[.] kiln_stack_capture_from
     0.50%  |libkiln.so            |[.] capture_other
     2.00%  |other.so              |[.] capture_other
     9.00%  |[kernel.kallsyms]     |[k] exc_page_fault
"""


def expect(what, got, wanted):
    if got != wanted:
        print(f"FAILED: {what} is {got}, not {wanted}")
        sys.exit(1)


def main():
    functions = stacks.functions_of(SYMBOLS)
    expect("the functions", functions, {"capture_other", "kiln_stack_capture_from"})
    expect("the shares", stacks.shares(REPORT, "libkiln.so", functions), (1.75, 6.25))
    expect("the shares without Kiln", stacks.shares(REPORT, "absent.so", functions), (0, 0))
    print("the share of stacks is right")


main()
