#!/bin/bash
# python3.sh - Debian's Python runs its own tests, PYTHONMALLOC=malloc: every object is a block.
#
# Compared is the verdict on every single test (a table made from the JUnit report: name, verdict),
# so that times, pids and the order of tests are no part of it.
#
# Whole: dict, list, set, json, re, threading, ctypes, multiprocessing with fork, and its handling
# of __main__. Multiprocessing with spawn and forkserver runs the same 375 tests as with fork, most
# of their minutes asleep: of these, the classes that move memory between processes are run. The
# benchmark runs the five modules that wait for nothing.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

real_name=python3
real_needs='/usr/bin/python3=python3 /usr/lib/python3.11/test/test_dict.py=libpython3.11-testsuite'
real_process='(.*/)?python3(\.11)?'

real_prepare() {
    :
}

# python_tests N ARGS... runs Python's own test driver. A failed test is a verdict, to be compared;
# a driver that died left no report.
python_tests() {
    local n=$1
    shift
    on_heap /usr/bin/python3 -m test --junit-xml "$PWD/report-$n.xml" "$@" >log-$n 2>&1 || cat log-$n >&2
    [ -s "report-$n.xml" ]
}

# Four drivers at once: what they do most is sleep.
python_all() {
    local name status=0
    local -a moving=() pids=()
    for name in TestQueue TestPool TestLock TestValue TestArray TestSharedMemory TestHeap \
        TestConnection TestSharedCTypes TestProcess; do
        moving+=(-m "*WithProcesses$name*")
    done
    python_tests 1 -m '*WithProcesses*' -m '*WithThreads*' test_multiprocessing_fork &
    pids+=($!)
    python_tests 2 -i '*WithProcesses*' -i '*WithThreads*' test_multiprocessing_fork &
    pids+=($!)
    python_tests 3 "${moving[@]}" test_multiprocessing_spawn test_multiprocessing_forkserver &
    pids+=($!)
    python_tests 4 test_dict test_list test_set test_json test_re test_threading test_ctypes \
        test_multiprocessing_main_handling &
    pids+=($!)
    for name in "${pids[@]}"; do wait "$name" || status=1; done
    return $status
}

real_run() {
    export PYTHONMALLOC=malloc PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1
    if [ "$real_size" = bench ]; then
        python_tests 1 test_dict test_list test_set test_json test_re || return 1
    else
        python_all || return 1
    fi
    cat report-*.xml
}

real_normalise() {
    /usr/bin/python3 -I -c '
import sys
from xml.etree import ElementTree

verdicts = []
for report in sys.stdin.read().replace("<testsuites", "\0<testsuites").split("\0")[1:]:
    for case in ElementTree.fromstring(report.split("<?xml")[0]).iter("testcase"):
        verdict = "+".join(sorted({child.tag for child in case if child.tag != "system-out"}))
        verdicts.append(case.get("name") + " " + (verdict or case.get("result")))
print(len(verdicts), "tests")
print(*sorted(verdicts), sep="\n")
'
}

real_main "$@"
