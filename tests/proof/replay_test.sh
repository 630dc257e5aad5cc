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

# What an OS that lies breaks. state NAME FILE prints a field as it was before the request.
state() {
    local value
    value=$(sed -n "s/^st .*\b$1=\(0x[0-9a-f]*\).*/\1/p" "$2" | head -n 1)
    echo $((${value:-0}))
}
# as_it_was FILE prints the states before and after the request, without the counts of table pages.
as_it_was() {
    sed -n 's/ bits=.* heap_sys=/ heap_sys=/; /^st /p' "$1" | sort -u
}
broken_twice() { # the block covers bytes below the bound that the current block does not have
    local low high
    low=$(block "$1")
    high=$((low + $(field n "$1")))
    ((low != 0 && high > low && high > $(state start "$1") && low < $(state used "$1"))) &&
        ((low < $(state alloc "$1") || high > $(state end "$1") || low >= $(state end "$1")))
}
broken_outside() { # the block begins below the arena, or ends above the bound
    (($(block "$1") != 0)) &&
        (($(block "$1") < $(field start "$1") || $(block "$1") + $(field n "$1") > $(field used "$1")))
}
broken_entries() { # four bytes of span table for each page up to the block's last
    local pages
    pages=$((($(block "$1") + $(field n "$1") - $(field start "$1")) / $(field page "$1")))
    (($(block "$1") != 0 && pages * 4 > $(field spans "$1")))
}
broken_rule() { # the current block ends below its start
    (($(field alloc "$1") > $(field end "$1") && $(field end "$1") != 0))
}
broken_failed() { # the request failed, and left its traces
    grep -q '^ *ret 0x0 ' "$1" && (($(as_it_was "$1" | wc -l) > 1))
}
broken_told() { # the request failed, and the watcher was told of something
    grep -q '^ *ret 0x0 ' "$1" && grep -q '^ *race map ' "$1"
}

head -n 6 "$KILN_ROOT/tests/replay/traces/reserve-failed-seed.expected" >"$scratch/refused"
while read -r proof shows law; do
    trace=$scratch/$proof.trace
    if ! "$kiln" prove --trace ${law:+"--law=$law"} "$proof" >"$trace" 2>"$scratch/err"; then
        expect_not "$proof gives no trace: $(cat "$scratch/err")"
    elif ! "$kiln" replay "$trace" >"$scratch/$proof.transcript" 2>&1; then
        expect_not "$proof's trace cannot be replayed: $(cat "$scratch/$proof.transcript" "$trace")"
    elif ! "$shows" "$scratch/$proof.transcript"; then
        expect_not "$proof: the transcript does not show it: $(cat "$scratch/$proof.transcript")"
    else
        expect_ok
    fi
    # The negative controls: a request that is served, and one that is refused, break nothing.
    for control in "$KILN_ROOT/tests/replay/traces/go19-mallocinit-publishes.expected" "$scratch/refused"; do
        if "$shows" "$control"; then
            expect_not "$shows sees a broken law in $control, where none is"
        else
            expect_ok
        fi
    done
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
arena_seed_lies broken_twice L1: no byte is handed out twice
arena_go19_lies broken_twice L1: no byte is handed out twice
arena_seed_lies broken_outside an OS that lies: L1: a block lies
arena_go19_lies broken_outside an OS that lies: L1: a block lies
arena_seed_lies broken_entries an OS that lies: L2: a block's entries
arena_go19_lies broken_entries an OS that lies: L2: a block's entries
arena_seed_lies broken_rule an OS that lies: L2: the rule
arena_go19_lies broken_rule an OS that lies: L2: the rule
arena_seed_lies broken_failed leaves the arena as it was
arena_go19_lies broken_failed leaves the arena as it was
arena_seed_lies broken_told leaves the watcher as it was
arena_go19_lies broken_told leaves the watcher as it was
END_OF_LIST

expect_run "only what is refuted has a trace" 2 'takes the name of one proof' "$kiln" prove --trace units
expect_run "a law that no proof has" 2 "no law of arena_seed_top has 'nothing such'" "$kiln" prove --trace '--law=nothing such' arena_seed_top
expect_run "a law is no place" 2 "no law of arena_seed_top has 'arena_seed.c'" "$kiln" prove --trace --law=arena_seed.c arena_seed_top
expect_run "no law" 2 '--law needs a part' "$kiln" prove --trace --law= arena_seed_top
expect_run "a law without a trace" 2 'there is no --trace' "$kiln" prove --law=L1 arena_seed_top
expect_done
