#!/bin/bash
# Runs every input of a corpus through a fuzz target once: replay.sh TARGET FOLDER...
# Works for the plain program, libFuzzer's and AFL++'s: all three run the files they are given.
set -euo pipefail

target=$1
shift
files=()
while IFS= read -r -d '' file; do files+=("$file"); done \
    < <(find -L "$@" -type f -not -name '.*' -print0 | sort -z)
if [ ${#files[@]} = 0 ]; then
    echo "replay: no input in $*" >&2
    exit 1
fi
if ! "$target" "${files[@]}" > "${TEST_TMPDIR:-/tmp}/replay.$$" 2>&1; then
    tail -n 100 "${TEST_TMPDIR:-/tmp}/replay.$$" >&2
    rm -f "${TEST_TMPDIR:-/tmp}/replay.$$"
    exit 1
fi
rm -f "${TEST_TMPDIR:-/tmp}/replay.$$"
echo "${#files[@]} inputs replayed"
