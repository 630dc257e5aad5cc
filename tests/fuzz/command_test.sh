#!/bin/bash
# tests/fuzz/command_test.sh - kiln fuzz as a user types it. Ends with "N passed, N failed".
source "$(dirname "${BASH_SOURCE[0]}")/../../tools/lib/kiln.sh"
cd "$KILN_ROOT"

out=$(mktemp -d "$KILN_OUT/fuzz-command.XXXXXX")
trap 'rm -rf "$out"' EXIT
passed=0 failed=0

# expect STATUS PATTERN ARGS... runs kiln fuzz ARGS.
expect() {
    local status=0 wanted=$1 pattern=$2
    shift 2
    ./kiln fuzz "$@" >"$out/log" 2>&1 </dev/null || status=$?
    if [[ $status == "$wanted" ]] && grep -qE -e "$pattern" "$out/log"; then
        passed=$((passed + 1))
        echo "ok      kiln fuzz $*"
    else
        failed=$((failed + 1))
        echo "FAILED  kiln fuzz $*: status $status, wanted $wanted and a line like: $pattern"
        tail -n 25 "$out/log"
    fi
}

expect 0 '^Usage: kiln fuzz' --help
expect 2 'which target\? kiln fuzz arena\|canary\|checkpoint\|heap\|heap_threads\|options\|os\|page_heap\|publish\|report'
expect 2 "no target 'arnea'; the nearest is 'arena'" arnea
expect 2 "no engine 'honggfuzz'; libfuzzer or afl" arena --engine=honggfuzz
expect 2 "no sanitizer 'tsan' for fuzzing" arena --sanitizer tsan
expect 2 "no option '--second'; the nearest is '--seconds'" arena --second=3
expect 2 "not '0'" arena --seconds=0
expect 2 "seed is 1 to 999999999, not 'x'" heap --seed=x
expect 2 "is no folder" heap --corpus-dir="$out/none"
expect 2 "there is no file" heap --replay="$out/none"
expect 2 "speed is of libfuzzer alone" heap --speed --engine=afl
expect 2 "speed is of operations" options --speed

expect 0 '^no findings$' arena --engine=libfuzzer --sanitizer=none --seconds=2 --seed=1
expect 0 '^no findings$' heap --engine=afl --sanitizer=asan --seconds=2
rm -rf "$KILN_OUT/fuzz/heap-asan-afl"
expect 0 'inputs to start from' heap --engine afl --sanitizer asan --seconds 1 --corpus-dir corpus/heap
expect 0 '^set follow go19' arena --sanitizer=none --replay corpus/arena/regress_20259_switch_down
expect 0 '^operations of the corpus +[0-9]+ runs/s of 64 operations, seed 3$' heap --sanitizer=none --speed --seed=3

expect 1 '^1 findings$' canary --seconds=30

# Nothing that was started runs on.
if pgrep -f "$KILN_OUT/fuzz/" >"$out/processes"; then
    failed=$((failed + 1))
    echo "FAILED  these processes are left:"
    ps -o pid,args -p "$(paste -sd, "$out/processes")"
else
    passed=$((passed + 1))
    echo "ok      no process is left"
fi

echo "$passed passed, $failed failed"
((failed == 0))
