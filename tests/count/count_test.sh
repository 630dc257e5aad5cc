#!/bin/bash
# How many instructions the common paths take, as callgrind counts them, against counts.txt: they are
# the same on a busy machine and an idle one. Two runs of each shape differ by N operations alone.
# And how often the pages of new blocks fault: once each, fast and hardened, and not at all where
# calloc's are not touched.
set -uo pipefail
program=tests/count/count_program
library=$PWD/allocator/api/libkiln.so
table=${1:-tests/count/counts.txt}
operations=20000
allowed_percent=3

keep_blocks=100000 # of 64 bytes, and 16 more where the heap is hardened: 1,563 or 1,954 pages

# options PROFILE prints the KILN_OPTIONS of a profile: its random numbers are the same each time.
options() {
    echo "profile=$1:seed=1"
}

# collected PROFILE:SHAPE N prints what callgrind counted in a run of N.
collected() {
    KILN_OPTIONS=$(options "${1%:*}") LD_PRELOAD=$library \
        valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        "$program" "${1#*:}" "$2" 2>&1 | sed -n 's/.*Collected : \([0-9]*\)$/\1/p'
}

# judge_faults PROFILE SHAPE N LEAST MOST [GOT]: how many pages fault where N blocks are made and
# stay; some beyond theirs are records.
judge_faults() {
    local bad='' got
    got=${6:-$(KILN_OPTIONS=$(options "$1") LD_PRELOAD=$library "$program" "$2" "$3")}
    [[ $got -ge $4 && $got -le $5 ]] || bad='FAILED '
    echo "$bad$1: $got pages faulted for $3 blocks of $2, $4 to $5 are right"
    [[ -z $bad ]]
}

# judge NAME WANTED GOT: GOT is in hundredths.
judge() {
    awk -v name="$1" -v wanted="$2" -v got="$3" -v allowed=$allowed_percent 'BEGIN {
        got /= 100
        off = (got - wanted) / wanted * 100
        bad = off > allowed || off < -allowed
        printf "%s%-20s %9.2f instructions, %.2f in the table (%+.1f %%)\n", bad ? "FAILED " : "", name, got, wanted, off
        exit bad
    }'
}

command -v valgrind >/dev/null || {
    echo "count_test: there is no valgrind; ./kiln test installs it" >&2
    exit 1
}
[[ $(LD_PRELOAD=$library LD_DEBUG=bindings "$program" pair_16 1 2>&1) == *"$program"*"libkiln.so"*"malloc"* ]] || {
    echo "FAILED $program does not get its malloc from $library" >&2
    exit 1
}
# Negative control: counts that are off by more than is allowed, up and down, are seen.
if judge control 100 10310 >/dev/null || judge control 100 9690 >/dev/null || ! judge control 100 10290 >/dev/null; then
    echo "FAILED a count that is 3.1 % off passes, or one that is 2.9 % off does not" >&2
    exit 1
fi

if judge_faults control none 1 1954 2500 $((2 * 1954)) >/dev/null || judge_faults control none 1 1954 2500 1953 >/dev/null; then
    echo "FAILED two faults a page pass, or fewer faults than pages" >&2
    exit 1
fi

failed=0
judge_faults fast keep_64 $keep_blocks 1563 2000 || failed=$((failed + 1))
judge_faults hardened keep_64 $keep_blocks 1954 2500 || failed=$((failed + 1))
for profile in fast hardened fuzz; do
    judge_faults $profile zeroed_64m 10 160 300 || failed=$((failed + 1)) # of 163,840; 160 are the span table's
done
shapes=0
while read -r name wanted; do
    once=$(collected "$name" $operations)
    twice=$(collected "$name" $((2 * operations)))
    if [[ -z $once || -z $twice ]]; then
        echo "FAILED $name: callgrind counted nothing"
        failed=$((failed + 1))
        continue
    fi
    judge "$name" "$wanted" $(((twice - once) * 100 / operations)) || failed=$((failed + 1))
    shapes=$((shapes + 1))
done < <(grep -v '^#' "$table")
[[ $shapes -gt 0 ]] || { echo "FAILED $table names no shape" >&2; exit 1; }
[[ $failed -eq 0 ]] || echo "$failed of the counts are off; again alone: tools/bazel test --config=release //tests/count:count_test"
[[ $failed -eq 0 ]]
