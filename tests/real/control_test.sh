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

# evidence_of PROGRAM NAME... reads a linker's record made here: of a process that called malloc of
# the library, and of a PROGRAM whose only bindings of malloc, in other libraries, are to NAMEs.
evidence_of() {
    local program=$1 name
    shift
    rm -rf "$scratch/made"
    mkdir -p "$scratch/made/ld"
    for name in /bin/bash "$program"; do
        printf '7: file=lib.so [0];  generating link map\n7: initialize program: %s\n' "$name" \
            >"$scratch/made/ld/log.${name//\//-}"
    done
    echo "7: binding file /bin/bash [0] to lib.so [0]: normal symbol \`malloc'" \
        >>"$scratch/made/ld/log.-bin-bash"
    for name; do
        echo "7: binding file libc.so.6 [0] to $name [0]: normal symbol \`malloc'"
    done >>"$scratch/made/ld/log.${program//\//-}"
    bash "${bench%/*}/bash.sh" evidence "$scratch/made" lib.so
}

echo 'no library' >"$scratch/broken.so"
mkdir "$scratch/own" "$scratch/stub"
for library in "$planted/planted_sound.so" "$planted/planted_fault.so"; do
    [ -e "$library" ] || {
        echo "FAILED: $library is not there"
        exit 1
    }
done

cp "$planted/planted_sound.so" "$scratch/own/bash"
cp /bin/true "$scratch/stub/bash"
expect 0 'the same' on "$planted/planted_sound.so"
expect 1 'the output differs' on "$planted/planted_fault.so"
expect 2 'no such library' on "$scratch/missing.so"
expect 1 'was not loaded' on "$scratch/broken.so"
expect 1 'called another malloc' on /lib/x86_64-linux-gnu/libm.so.6
expect 0 '2 processes under test, 1 called' evidence_of "$scratch/stub/bash" "$scratch/stub/bash"
expect 1 'called another malloc' evidence_of "$scratch/own/bash" "$scratch/own/bash"
expect 1 'called another malloc' evidence_of "$scratch/stub/bash" "$scratch/stub/bash" libother.so
expect 0 '0 failed' measured_on "$planted/planted_sound.so"
expect 1 'its output differs from line' measured_on "$planted/planted_fault.so"
expect 1 'was not loaded' measured_on "$scratch/broken.so"
expect 2 'there is no file' measured_on "$scratch/missing.so"
expect 2 "there is no program 'lisp'" /usr/bin/python3 "$bench" --only=lisp --library=/bin/sh
expect 2 '--pairs is 1 to 1000' /usr/bin/python3 "$bench" --pairs=0 --library=/bin/sh
exit $failed
