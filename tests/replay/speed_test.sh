#!/bin/bash
# How many steps a second are replayed: reported, and only a hang fails. Two traces of 400,000 steps,
# one of bumps alone, one in which every other step gets a block elsewhere.
set -uo pipefail
replay=tools/replay/kiln-replay
folder=${TEST_TMPDIR:-$(mktemp -d)}
steps=400000

{
    printf 'width 64\nset arena_end 0x7ffffff000\n'
    yes 'alloc 0x10000' | head -n $steps
} >"$folder/bumps.trace"
{
    printf 'width 32\nset arena_used 0x20000000\n'
    yes $'alloc 0xf800000\n  reserve -> 0x30000000\nalloc 0x7fe000\nalloc 0xf800000\n  reserve -> 0x60000000\nalloc 0x7fe000' |
        head -n $((steps / 4 * 6))
} >"$folder/blocks.trace"

status=0
for name in bumps blocks; do
    start=${EPOCHREALTIME/./}
    seen=$("$replay" "$folder/$name.trace" | grep -c '^step')
    took=$((${EPOCHREALTIME/./} - start))
    echo "$name: $seen steps in $((took / 1000)) ms: $((seen * 1000000 / took)) steps/s"
    if [[ $seen != "$steps" ]]; then
        echo "FAILED $replay $folder/$name.trace: $seen steps, expected $steps" >&2
        status=1
    fi
done
exit $status
