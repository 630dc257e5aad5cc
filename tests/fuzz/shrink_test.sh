#!/bin/bash
# tests/fuzz/shrink_test.sh [--all] - inputs are shrunk to what is known to be the smallest, of a toy target
# under each sanitizer and whatever its options are (sim_test.sh: of planted bugs); what kiln shrink
# and kiln sim say of wrong arguments. Ends with "N passed, N failed".
source "$(dirname "${BASH_SOURCE[0]}")/../cli/expect.sh"
source "$KILN_ROOT/tools/lib/kiln.sh"
source "$KILN_ROOT/tools/lib/target.sh"
set +e # which is for commands
cd "$KILN_ROOT" || exit 1

sources=(tests/fuzz/shrink_toy.c fuzz/{child,ops,shrink,sim,swarm,target,tool_main}.c allocator/base/check.c)
declare -A flags=([none]='' [asan]=-fsanitize=address [msan]=-fsanitize=memory
    [ubsan]='-fsanitize=undefined -fno-sanitize-recover=all')
for sanitizer in "${!flags[@]}"; do
    # shellcheck disable=SC2086 # several flags, or none
    clang-19 -std=c11 -O1 -g -w -I. ${flags[$sanitizer]} "${sources[@]}" -o "$scratch/toy-$sanitizer" ||
        expect_not "the toy with $sanitizer does not compile"
done
clang-19 -std=c11 -O1 -g -w -I. tests/fuzz/shrink_toy.c fuzz/{ops,target,standalone_main}.c allocator/base/check.c \
    -o "$scratch/toy" || expect_not "the toy does not compile"

# input FILE BUG RECORDS makes an input with the bug's records among others, from the bug's number.
input() {
    awk -v bug="$2" -v records="$3" 'BEGIN {
        srand(bug)
        print "set bug " bug "\nset other 77\nset nothing 9\nset byte7 200"
        for (i = 1; i <= records; i++) {
            if (i == int(records / 4)) print "mark+9 slot=3 size=200 how=3 arg=0x12345678"
            else if (i == int(records / 2)) print "mark slot=1 size=2 arg=0x77"
            else if (i == records - 20) print "mark+4 slot=7 how=200 arg=0xfffffff0"
            else print (rand() < 0.2 ? "noise" : "count") "+" int(rand() * 80) " slot=" int(rand() * 200) " arg=" int(rand() * 1000000)
        }
    }' >"$1.txt"
    "$scratch/toy" --bytes "$1.txt" "$1"
}

marks=$'set bug BUG\nset other 5\nmark slot=3\nmark slot=7 arg=0x3e8'

# shrinks SANITIZER BUG RECORDS KIND TEXT: what the sanitizer's options are must not matter.
shrinks() {
    local sanitizer=$1 bug=$2 records=$3 kind=$4 text=${5//BUG/$2} odd said
    input "$scratch/in" "$bug" "$records"
    odd=dedup_token_length=3:exitcode=0:print_summary=0:abort_on_error=0:halt_on_error=0:log_path=/dev/null
    said=$(export ASAN_OPTIONS=$odd:handle_abort=2 MSAN_OPTIONS=$odd UBSAN_OPTIONS=$odd
        kiln_target_options
        "$scratch/toy-$sanitizer" --shrink "$scratch/in" "$scratch/out" 600 '' 2>&1) # slow machines take their time
    if [[ $? == 0 && $said == "kind    $kind"$'\n'* && $(<"$scratch/out.txt") == "$text" ]] &&
        "$scratch/toy" --bytes "$scratch/out.txt" "$scratch/back" && cmp "$scratch/back" "$scratch/out"; then
        expect_ok
        sed -n "/^runs/s/^/$sanitizer, bug $bug, $records records: /p" <<<"$said"
    else
        expect_not "$sanitizer, bug $bug: wanted kind '$kind' and '$text', got: $said"
    fi
}

shrinks none 1 510 'broken rule: toy: seven came after three' "$marks"
shrinks asan 1 510 'broken rule: toy: seven came after three' "$marks"
shrinks asan 2 510 'AddressSanitizer: heap-buffer-overflow' "$marks"
shrinks ubsan 3 510 'UndefinedBehaviorSanitizer: signed-integer-overflow' "$marks"
shrinks msan 4 510 'MemorySanitizer: use-of-uninitialized-value' "$marks"
shrinks none 7 510 'ended by signal 11' "$marks"
shrinks asan 7 510 'AddressSanitizer: SEGV' "$marks"
# With fewer records it breaks another law, which is another finding.
shrinks asan 6 100 'broken rule: toy: no mark and noise' $'set bug 6\nset other 5\nnoise\nmark slot=1'
# The worst: nearly all of it is needed.
all=$(yes count | head -n 400)
shrinks none 5 510 'broken rule: toy: not so many' $'set bug 5\nset other 5\n'"$all"
[[ ${1:-} != --all ]] || shrinks asan 5 510 'broken rule: toy: not so many' $'set bug 5\nset other 5\n'"$all"

input "$scratch/in" 1 510
expect_run "when the time is over it says that this is not minimal" 1 'NOT minimal, the time was over' \
    "$scratch/toy-none" --shrink "$scratch/in" "$scratch/out" 0 ''
clang-19 -std=c11 -O1 -g -w -I. -DTOY_IS_RIGHT "${sources[@]}" -o "$scratch/toy-right" || expect_not "the toy's twin does not compile"
expect_run "what breaks nothing is not shrunk" 2 'as an input of toy: breaks nothing; is it of another target' \
    "$scratch/toy-right" --shrink "$scratch/in" "$scratch/out" 60 ''
expect_run "a target that tells of no steps is not simulated" 2 'no input that is drawn takes a step' \
    "$scratch/toy-right" --sim 1 1000 0 all "$scratch/out" ''

expect_run "shrink without a target" 2 'which target\? kiln shrink arena' "$kiln" shrink
expect_run "shrink without a file" 2 'which file\? kiln shrink heap FILE' "$kiln" shrink heap
expect_run "shrink of a file that there is not" 2 "no file '$scratch/none'" "$kiln" shrink heap "$scratch/none"
expect_run "shrink for no time" 2 "seconds is 1 to 9999999, not '0'" "$kiln" shrink heap "$scratch/in" --seconds=0
expect_run "shrink into no folder" 2 "no folder '$scratch/none'" "$kiln" shrink heap "$scratch/in" --out="$scratch/none/x"
expect_run "shrink over the input" 2 'is the input itself' "$kiln" shrink heap "$scratch/in" --out="$scratch/in"
expect_run "shrink with a sanitizer that there is not" 2 "no sanitizer 'tsan'" "$kiln" shrink heap "$scratch/in" --sanitizer=tsan
expect_run "shrink of two" 2 'one file at a time' "$kiln" shrink heap "$scratch/in" "$scratch/out"
expect_run "sim of a target that is not simulated" 2 "'options' is not simulated" "$kiln" sim options
expect_run "sim of a seed that is none" 2 "seed is 0 to 9+, not '-1'" "$kiln" sim --seed=-1
expect_run "sim of no steps" 2 "steps is 1 to 9+, not '0'" "$kiln" sim --steps=0
expect_run "sim of a round without a seed" 2 'round is of one target and seed' "$kiln" sim heap --round=3
expect_run "sim of a round and steps" 2 'round is one round' "$kiln" sim heap --seed=1 --round=3 --steps=4

expect_run "to-test without a file" 2 'which file\? kiln to-test heap FILE' "$kiln" to-test heap
expect_run "to-test of a name that is none" 2 "'9 x' is no name of a test" "$kiln" to-test heap "$scratch/in" --name='9 x'
expect_run "to-test into no folder" 2 "no folder '$scratch/none'" "$kiln" to-test heap "$scratch/in" --out="$scratch/none"

expect_done
