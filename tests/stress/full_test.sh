#!/bin/bash
# tests/stress/full_test.sh - what the usual run does in short, at full length: the exhaustive
# search of the arena from every start, 10^8 look-ups beside growth under ThreadSanitizer, every case
# of a heap bug, all that `kiln prove` does, and each mutant that names a proof. Fifteen minutes, and
# those of all proofs, their planted bugs and some thirty more; prints what each counted.
# Ends with "N passed, N failed".
source "$(dirname "${BASH_SOURCE[0]}")/../../tools/lib/kiln.sh"

passed=0 failed=0

# full CONFIG TARGET WORDS ARGS... runs it, and looks for the words in what it says.
full() {
    local config=$1 target=$2 words=$3 status=0 log
    shift 3
    log=$KILN_OUT/test/full.${target##*:}.log
    echo "== $target $*"
    kiln_bazel run --noshow_progress --color=no --curses=no "--config=$config" "$target" -- "$@" \
        >"$log" 2>&1 </dev/null || status=$?
    tail -n 12 "$log"
    if [[ $status == 0 ]] && grep -qE -e "$words" "$log"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED with status $status; all it said is in $log"
    fi
}

# kiln_command WORDS... is one of `kiln`, which prints what it does.
kiln_command() {
    echo "== kiln $1"
    if "$KILN_ROOT/kiln" "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

mkdir -p "$KILN_OUT/test"
for follow in seed go19 kiln; do
    full release "//tests/search:arena_search_${follow}_test" 'no unknown break' "--follow=$follow" --full
done
full tsan //tests/stress:bound_threads_test '^below +[0-9]{8,} look-ups' --lookups=100000000
full release //tests/death:cases_test 'by a bug that was planted' --every=1

kiln_command prove
mapfile -t named < <(cd "$KILN_ROOT/tests/mutants" && grep -l '^Proof: ' ./*.patch | xargs -n 1 basename -s .patch)
kiln_command mutants "${named[@]}" --by=proof
echo "$passed passed, $failed failed"
[[ $failed == 0 ]]
