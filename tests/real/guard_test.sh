#!/bin/bash
# tests/real/guard_test.sh - the real programs with guard=all: each block ends at a page that faults,
# and faults itself once it was freed, for as long as the program runs. What they say is as ever.
#
# Half an hour, so that it is a part of --all alone: a guarded pair takes some microseconds, and they
# make millions. That those options guard is shown first, by a program that reads on beyond a block.
#
#   tests/real/guard_test.sh [NAME...]   those programs; all where none is named, or --all
#
# Ends with "N passed, N failed".
source "$(dirname "${BASH_SOURCE[0]}")/../../tools/lib/kiln.sh"
source "$KILN_ROOT/tools/lib/program.sh"

readonly GUARD=profile=fuzz:guard=all
passed=0 failed=0

# expect STATUS NAME COMMAND... runs it; its output is shown where the status is another.
expect() {
    local wanted=$1 name=$2 status=0 log=$KILN_OUT/test/guard.log
    shift 2
    "$@" >"$log" 2>&1 </dev/null || status=$?
    if [[ $status == "$wanted" ]]; then
        passed=$((passed + 1))
        echo "good: $name: $(tail -n 1 "$log")"
    else
        failed=$((failed + 1))
        tail -n 30 "$log"
        echo "FAILED: $name: status $status, wanted $wanted"
    fi
}

mkdir -p "$KILN_OUT/test"
kiln_need build test real
kiln_library
kiln_program //tests/death:case_plain tests/death allocator/api
beyond=("$KILN_PROGRAM" --deed=overflow-read --bytes=4096 --blocks=40 --neighbour=4096 --distance=1)
on=(env "LD_PRELOAD=$KILN_LIBRARY")
expect 134 'a read beyond a block' "${on[@]}" KILN_OPTIONS=$GUARD "${beyond[@]}"
expect 0 'a read of its last byte' "${on[@]}" KILN_OPTIONS=$GUARD "${beyond[@]}" --right
expect 0 'a read beyond a block that has no guard' "${on[@]}" KILN_OPTIONS=profile=fast "${beyond[@]}"

export KILN_LIB=$KILN_LIBRARY KILN_OPTIONS=$GUARD REAL_LIMIT_S=1800
if [[ ${1:---all} == --all ]]; then
    mapfile -t names < <(grep -l '^real_main ' "$KILN_ROOT"/tests/real/*.sh | sed 's|.*/||; s|\.sh$||')
else
    names=("$@")
fi
for name in "${names[@]}"; do expect 0 "$name" bash "$KILN_ROOT/tests/real/$name.sh"; done
echo 'a program again: tests/real/guard_test.sh NAME'
echo "$passed passed, $failed failed"
((failed == 0))
