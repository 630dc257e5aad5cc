#!/bin/bash
# harness_test.sh - kiln bench with a hundredth of the work: Kiln finishes every workload with the
# system's output; each way in which a heap can be wrong is told, in the tables, the TSV and the exit
# status, and a sound heap of the same make is not. No test here fails on a time.
#
# Run by bazel. By hand, in a checkout:
#   KILN_LIB=... KILN_WORKLOAD=... KILN_WORKLOAD_ASAN=... KILN_FLOORS=... PLANTED=... KILN_GUARD_PAIRS=... \
#       bash tests/bench/harness_test.sh
set -u

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export KILN_LIB=${KILN_LIB:-$PWD/allocator/api/libkiln.so}
export KILN_WORKLOAD=${KILN_WORKLOAD:-$PWD/tests/bench/workload}
export KILN_WORKLOAD_ASAN=${KILN_WORKLOAD_ASAN:-$PWD/tests/bench/workload_asan}
export KILN_FLOORS=${KILN_FLOORS:-$PWD/tests/bench}
planted=${PLANTED:-$PWD/tests/bench/planted_heap.so}
unset PLANTED
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

wrong() {
    echo "FAILED: $*"
    failed=1
}

# expect STATUS TEXT COMMAND... runs the command; its status and a text in its output are as said.
# What it said stays in $scratch/said.
expect() {
    local status=$1 text=$2 got=0
    shift 2
    "$@" >"$scratch/said" 2>&1 || got=$?
    if [ "$got" = "$status" ] && grep -qF -- "$text" "$scratch/said"; then
        echo "good: $text"
        return
    fi
    wrong "exit $got, wanted $status and \"$text\" from: $*"
    tail -n 20 "$scratch/said"
}

bench() {
    /usr/bin/python3 "$here/compare.py" --rounds=1 --percent=1 --tsv="$scratch/runs.tsv" "$@"
}

# one COMMAND-OPTIONS... is the bench of one workload on glibc and a heap called `own`.
one() {
    bench --heaps=glibc --only=lifo work "$@"
}

# last_column HEAP prints the last column of the heap's lines of the TSV.
last_column() {
    awk -F '\t' -v heap="$1" '$4 == heap { print $12 }' "$scratch/runs.tsv"
}

for file in "$KILN_LIB" "$KILN_WORKLOAD" "$KILN_WORKLOAD_ASAN" "$KILN_FLOORS/floor_heap.so" "$KILN_FLOORS/floor_hardened_heap.so" "$planted"; do
    [ -e "$file" ] || {
        echo "FAILED: $file is not there"
        exit 1
    }
done

# Kiln against glibc: everything finishes, and is in the tables, the TSV and the picture.
expect 0 'glibc 18 of 18, kiln 18 of 18' bench --heaps=kiln work --svg="$scratch/work.svg"
grep -q '^geometric mean, work ' "$scratch/said" || wrong "no geometric mean"
grep -q '^Peak memory, ratio to glibc$' "$scratch/said" || wrong "no table of memory"
grep -qE "^server +[0-9]" "$scratch/said" && grep -q '^Memory that the days of a server took' "$scratch/said" || wrong "no memory over live bytes"
awk -F '\t' 'NF != 12 { bad = 1 } NR > 1 && !($5 > 0 && $6 >= 0 && $7 > 0 && $12 == "") { bad = 1 }
    NR > 1 { runs[$4]++ } END { exit bad || runs["glibc"] != 18 || runs["kiln"] != 18 }' \
    "$scratch/runs.tsv" || wrong "the TSV: $(cat "$scratch/runs.tsv")"
grep -q '</svg>' "$scratch/work.svg" && grep -q 'geometric mean' "$scratch/work.svg" ||
    wrong "the picture"
expect 0 'kiln 2 of 2' bench --heaps=kiln scale --only=any-1000 --only=touch-1000 \
    --only=threads-4 --svg="$scratch/scale.svg"
grep -q '</svg>' "$scratch/scale.svg" || wrong "the picture of scale"

# Every peer is found by its package, and serves.
expect 0 'kiln 1 of 1, kiln-hardened 1 of 1, kiln-fuzz 1 of 1, mimalloc 1 of 1, jemalloc 1 of 1, tcmalloc 1 of 1, scudo 1 of 1, dislocator 1 of 1, asan 1 of 1' \
    bench work --only=threads

# Heaps that do nothing serve blocks of one size, and nothing else.
expect 0 'glibc 2 of 2, floor 2 of 2, floor-hardened 2 of 2' bench --heaps=floor,floor-hardened sizes --only=lifo-64 --only=random-65536
expect 2 "the heap 'floor' serves none of these workloads" bench --heaps=floor work --only=lifo

# A heap that is wrong, each in its way; and its sound twin.
expect 0 'own 1 of 1' one own="$planted"
[ "$(last_column own)" = '' ] || wrong "a sound heap is marked in the TSV"
expect 1 'crash: lifo on own: SIGABRT' one own="$planted,PLANTED=crash"
grep -qE '^lifo +[0-9.]+ +crash$' "$scratch/said" || wrong "the crash is not in the table"
grep -q 'glibc 1 of 1, own 0 of 1' "$scratch/said" || wrong "the crash is not counted"
[ "$(last_column own)" = crash ] || wrong "the crash is not in the TSV"
expect 1 'malloc gave NULL' one own="$planted,PLANTED=null"
expect 1 'output: lifo on own: it printed' one own="$planted,PLANTED=output"
[ "$(last_column own)" = output ] || wrong "the other output is not in the TSV"

# A library that does not load, and one that loads but has no malloc.
echo 'no library' >"$scratch/broken.so"
expect 1 'not-loaded: lifo on own: malloc was that of' one own="$scratch/broken.so"
[ "$(last_column own)" = not-loaded ] || wrong "the broken library is not in the TSV"
expect 1 'not-loaded: lifo on own: malloc was that of' one own=/lib/x86_64-linux-gnu/libm.so.6

# A program that does not end is ended, with what it started.
expect 0 'slow: not done after 1 s; it is gone' /usr/bin/python3 -B - "$here" "$scratch/pid" <<'PYTHON'
import sys, time
sys.path.insert(0, sys.argv[1])
import measure
try:
    measure.run(["bash", "-c", 'sleep 600 & echo $! >"$1"; wait', "bash", sys.argv[2]], 1)
except measure.Failure as failure:
    said = f"{failure.kind}: {failure}"
child = open(sys.argv[2]).read().strip()
for _ in range(600):
    try:
        state = open(f"/proc/{child}/stat").read().rpartition(") ")[2][0]
    except OSError:
        state = "Z"
    if state == "Z":  # what is dead and was not waited for
        print(f"{said}; it is gone")
        break
    time.sleep(0.1)
PYTHON

# Ratios are of one round, their median is told; a heap that failed is in no mean.
expect 0 'the figures are right' /usr/bin/python3 "$here/results_test.py"
expect 0 'what counts as caught is right' /usr/bin/python3 "$here/detect_test.py"
expect 0 'the share of stacks is right' /usr/bin/python3 "$here/stacks_test.py"

# Very many pairs on guarded blocks, which must end where they should, take few mappings, and get on.
export KILN_GUARD_PAIRS=${KILN_GUARD_PAIRS:-$PWD/tests/bench/guard_pairs}
pairs() {
    /usr/bin/python3 "$here/guard.py" --rounds=0 "$@"
}
expect 0 '200000 pairs of random sizes and alignments in one process' pairs --pairs=200000
planted_pairs() {
    printf '#!/bin/sh\nPLANTED=%s exec "%s" "$@"\n' "$1" "$KILN_GUARD_PAIRS" >"$scratch/pairs"
    chmod +x "$scratch/pairs"
    KILN_GUARD_PAIRS=$scratch/pairs KILN_LIB=$planted pairs --pairs=3000
}
expect 1 'blocks that could end at a page did not' planted_pairs nothing
expect 1 'mappings at once; 1000 are allowed' planted_pairs mappings
expect 1 'pairs, then exit status 1' planted_pairs null
expect 2 '--pairs is 1 or more' pairs --pairs=0

# Wrong arguments.
expect 2 "there is no group 'wrok'" bench wrok
expect 2 "there is no file 'no.so'" bench work --heaps=kiln own=no.so
expect 2 "there is no heap 'tmalloc'" bench --heaps=tmalloc
expect 2 "there is no 'lofi' in work" bench work --only=lofi
expect 2 'there is no file' bench own=/no/such.so
expect 2 'two heaps are called' bench own="$planted" own="$planted"
expect 2 'is not VARIABLE=VALUE' bench own="$planted,3"
expect 2 '--rounds is 1 to 1000' bench --rounds=0
expect 2 '--percent is 1 to 10000' bench --percent=0
expect 2 'cannot be written' bench --svg=/no/such/folder/x.svg
for wrong_call in 'lofi' 'lifo --ops=0' 'lifo --ops=x' 'mix --bytes=8' 'queue --threads=3' \
    'realloc --bytes=8' 'lifo lifo' ''; do
    # shellcheck disable=SC2086 # words
    expect 2 'workload: ' "$KILN_WORKLOAD" $wrong_call
done
exit $failed
