#!/bin/bash
# control_test.sh - the tests of real programs fail when they should: when the library was not what
# served the program, and when what served it loses a byte. Its correct twin passes.
#
# Run by bazel; by hand, in a folder with tests/real/planted_{fault,sound}.so below it.
set -u

program=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/bash.sh
bench=${program%/*}/bench.py
planted=$PWD/tests/real
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

# expect STATUS TEXT COMMAND... runs the command; its status and a text in its output are as said.
expect() {
    local status=$1 text=$2 got=0
    shift 2
    "$@" >"$scratch/said" 2>&1 || got=$?
    sed -n 's/^kept: //p' "$scratch/said" | while read -r kept; do rm -rf "${kept%/*}"; done
    if [ "$got" = "$status" ] && grep -qF -- "$text" "$scratch/said"; then
        echo "good: $text"
        return
    fi
    printf 'FAILED: exit %s, wanted %s and "%s" from: %s\n' "$got" "$status" "$text" "$*"
    tail -n 20 "$scratch/said"
    failed=1
}

on() {
    KILN_LIB=$1 bash "$program"
}

measured_on() {
    /usr/bin/python3 "$bench" --only=bash --pairs=1 --library="$1"
}

echo 'no library' >"$scratch/broken.so"
for library in "$planted/planted_sound.so" "$planted/planted_fault.so"; do
    [ -e "$library" ] || {
        echo "FAILED: $library is not there"
        exit 1
    }
done

expect 0 'the same' on "$planted/planted_sound.so"
expect 1 'the output differs' on "$planted/planted_fault.so"
expect 2 'no such library' on "$scratch/missing.so"
expect 1 'was not loaded' on "$scratch/broken.so"
expect 1 'called another malloc' on /lib/x86_64-linux-gnu/libm.so.6
expect 0 '0 failed' measured_on "$planted/planted_sound.so"
expect 1 'its output differs from line' measured_on "$planted/planted_fault.so"
expect 1 'was not loaded' measured_on "$scratch/broken.so"
expect 2 'there is no file' measured_on "$scratch/missing.so"
expect 2 "there is no program 'lisp'" /usr/bin/python3 "$bench" --only=lisp --library=/bin/sh
expect 2 '--pairs is 1 to 1000' /usr/bin/python3 "$bench" --pairs=0 --library=/bin/sh
exit $failed
