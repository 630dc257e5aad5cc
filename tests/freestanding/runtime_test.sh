#!/bin/bash
# A program that brings nothing but a start of its own and four functions that compilers call runs two
# heaps, before it is relocated: it has no dynamic linker, no library, nothing undefined, no
# thread-local memory, and data that wants to be relocated.
set -u
program=tests/freestanding/runtime_program
failed=0

check() { # check WHAT COMMAND...
    local what=$1
    shift
    "$@" || { echo "FAILED  $what"; failed=1; }
}

none() { # none PATTERN COMMAND...: nothing of what it prints matches
    local pattern=$1
    shift
    ! "$@" | grep -E "$pattern"
}

said=$("$program")
check "it runs: status $?, $said" test "$said" = "two heaps, no library, nothing relocated"
check "no library, no linker" none 'NEEDED|INTERP' readelf -dlW "$program"
check "no thread-local memory" none ' TLS ' readelf -lW "$program"
check "nothing undefined" none ' U ' nm "$program"
check "data to relocate" test "$(readelf -rW "$program" | grep -c RELATIVE)" -gt 0
exit $failed
