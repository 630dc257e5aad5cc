#!/bin/bash
# The record of a program on libkiln.so replays: the arena goes through the same states, with one big
# reservation and by blocks under an address-space limit.
set -uo pipefail
replay=tools/replay/kiln-replay
program=tests/replay/grow_program
library=$PWD/allocator/api/libkiln.so
folder=$(mktemp -d "${TEST_TMPDIR:-/tmp}/XXXXXX")
passed=0
failed=0

check() { # check WHAT STATUS
    if [[ $2 == 0 ]]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $1" >&2
    fi
}

# states RECORD TRANSCRIPT: are they the same in both? The first of a transcript is from before the
# first step.
same_states() {
    diff <(sed -n 's/^# st /st /p' "$1") <(grep '^st ' "$2" | tail -n +2) | head -n 20
}

# record NAME LIMIT-KIB: runs the program under `ulimit -v`, and replays its record.
record() {
    local trace=$folder/$1 transcript=$folder/$1.out steps
    (
        ulimit -v "$2"
        KILN_OPTIONS=record=$trace LD_PRELOAD=$library "$program"
    ) >"$folder/said" 2>&1
    check "$program under ulimit -v $2: $(cat "$folder/said")" $?
    "$replay" "$trace" >"$transcript"
    check "$replay $trace" $?
    same_states "$trace" "$transcript"
    check "$1: the states recorded and replayed are the same" $?
    steps=$(grep -c '^# st ' "$trace")
    ((steps >= 20 && steps == $(grep -c '^step ' "$transcript")))
    check "$1: $steps steps recorded, $(grep -c '^step ' "$transcript") replayed" $?
    "$replay" --svg "$trace" >"$folder/svg" && grep -q 'heap, handed out' "$folder/svg"
    check "$1: the drawing" $?
    echo "$1: $steps steps, $(grep -c 'reserve' "$trace") lines of answers to reserves"
}

record free unlimited
record limited 700000
grep -q -e '-> fail' "$folder/limited"
check "the limit was met" $?
! cmp -s "$folder/free" "$folder/limited"
check "the two runs differ" $?

# The comparison compares: one digit of a state in the record changed is seen.
sed -i '0,/heap_sys=0x1/s//heap_sys=0x2/' "$folder/free"
[[ -n $(same_states "$folder/free" "$folder/free.out") ]]
check "a changed state is seen" $?

rm -r "$folder"
echo "$passed passed, $failed failed"
[[ $failed == 0 && $passed == 13 ]]
