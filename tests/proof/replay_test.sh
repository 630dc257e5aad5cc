#!/bin/bash
# tests/proof/replay_test.sh - what the proofs refute of `seed` and `go19` really happens: cbmc's
# counterexample becomes a trace, `kiln replay` plays it, and the transcript shows the broken law.
# Ends with "N passed, N failed".
source "$(dirname "${BASH_SOURCE[0]}")/../cli/expect.sh"

# field NAME FILE prints the last value of a field NAME=VALUE; `block` prints what the last ret gave.
field() {
    local value
    value=$(grep -oE "\b$1=(0x)?[0-9a-f]+" "$2" | tail -n 1)
    echo $((${value#*=}))
}
block() {
    local value
    value=$(sed -n 's/^ *ret \(0x[0-9a-f]*\) .*/\1/p' "$1" | tail -n 1)
    echo $((${value:-0}))
}

# broken_KIND FILE: does the transcript show it?
broken_top() { # the block ends above arena_used
    (($(block "$1") != 0 && $(block "$1") + $(field n "$1") > $(field used "$1")))
}
broken_fresh() { # the block lies below arena_used, and no table is mapped
    (($(block "$1") != 0 && $(block "$1") < $(field used "$1") && $(field spans "$1") == 0))
}
broken_hole() { # the watcher was told of something else than the block, or of nothing
    local told
    told=$(sed -n 's/^ *race map addr=\(0x[0-9a-f]*\) len=\(0x[0-9a-f]*\)$/\1 \2/p' "$1" | tail -n 1)
    read -r addr bytes <<<"${told:-0 0}"
    (($(block "$1") != 0 && (addr != $(block "$1") || bytes != $(field n "$1"))))
}
broken_release() { # a block that was only believed reserved is given back
    grep -q 'os free' <<<"$(grep -A 1 'os reserve .* reserved=0$' "$1")"
}
broken_one_flag() { # blocks of both flags are joined, and what was one kind is committed as the other
    local was now
    was=$(sed -n 's/^st .* reserved=\([01]\) .*/\1/p' "$1" | head -n 1)
    now=$(sed -n 's/^ *os reserve .* reserved=\([01]\)$/\1/p' "$1" | tail -n 1)
    [[ -n $now && $now != "$was" ]] && grep -qE "os (map|commit) .*reserved=$now" "$1"
}
broken_lost() { # the OS granted whole hardware pages, and the arena knows the first part of the last
    local bytes phys
    bytes=$(sed -n 's/^ *os reserve .* len=\(0x[0-9a-f]*\) -> 0x[0-9a-f]* reserved=1$/\1/p' "$1" | tail -n 1)
    phys=$(field phys "$1")
    [[ -n $bytes ]] && ((phys > 0 && bytes % phys != 0)) && ! grep -q 'os free' "$1"
}

while read -r proof shows; do
    trace=$scratch/$proof.trace
    if ! "$kiln" prove --trace "$proof" >"$trace" 2>"$scratch/err"; then
        expect_not "$proof gives no trace: $(cat "$scratch/err")"
    elif ! "$kiln" replay "$trace" >"$scratch/$proof.transcript" 2>&1; then
        expect_not "$proof's trace cannot be replayed: $(cat "$scratch/$proof.transcript" "$trace")"
    elif ! "$shows" "$scratch/$proof.transcript"; then
        expect_not "$proof: the transcript does not show it: $(cat "$scratch/$proof.transcript")"
    else
        expect_ok
    fi
    # The negative control: a request that breaks nothing is not taken for one.
    if "$shows" "$KILN_ROOT/tests/replay/traces/go19-mallocinit-publishes.expected"; then
        expect_not "$shows sees a broken law where none is"
    else
        expect_ok
    fi
done <<'END_OF_LIST'
arena_seed_top broken_top
arena_go19_top broken_top
arena_seed_fresh broken_fresh
arena_seed_hole broken_hole
arena_go19_hole broken_hole
arena_seed_believed_release broken_release
arena_go19_believed_release broken_release
arena_seed_one_flag broken_one_flag
arena_go19_one_flag broken_one_flag
arena_start_seed_lost broken_lost
arena_start_go19_lost broken_lost
END_OF_LIST

expect_run "only what is refuted has a trace" 2 'takes the name of one proof' "$kiln" prove --trace units
expect_done
