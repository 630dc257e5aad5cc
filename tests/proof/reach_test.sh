#!/bin/bash
# tests/proof/reach_test.sh - `kiln prove --reach` sees a proof that holds because its assumptions
# leave nothing. Ends with "N passed, N failed".
source "$(dirname "${BASH_SOURCE[0]}")/../cli/expect.sh"
source "$KILN_ROOT/tools/lib/paths.sh"

# A checkout whose harness knows hardware pages of 4 KiB alone, or none at all.
tree=$scratch/tree
mkdir -p "$tree/.kiln" "$tree/tests"
cp -r "$KILN_ROOT/kiln" "$KILN_ROOT/allocator" "$KILN_ROOT/sanitizer" "$KILN_ROOT/tools" "$tree/"
cp -r "$KILN_ROOT/tests/proof" "$KILN_ROOT"/tests/*.h "$tree/tests/"
ln -s "$KILN_OUT/cbmc-trixie" "$tree/.kiln/"
harness=$tree/tests/proof/arena_seed_harness.c
right=$(<"$harness")
# know PAGE leaves of all states those with that hardware page.
know() {
    sed "s/^    any_state();$/&\n    PROOF_ASSUME(PHYS == $1);/" <<<"$right" >"$harness"
    grep -q "PHYS == $1" "$harness" || expect_not "no harness was made vacuous"
}

expect_run "a proof has inputs" 0 '1 passed, 0 failed' "$tree/kiln" prove --reach arena_go19_any_32
know 4096
expect_run "one of a page alone has none of another" 1 'no input gets there: reached: a hardware page of 16 KiB' \
    "$tree/kiln" prove --reach arena_go19_any_32
know 512
expect_run "a vacuous proof holds" 0 '1 passed, 0 failed' "$tree/kiln" prove --proofs arena_go19_any_32
expect_run "and no input gets to its end" 1 'no input gets there: reached: the end' \
    "$tree/kiln" prove --reach arena_go19_any_32

# The lines of a harness are covered by its proofs together, also when one alone is named.
expect_run "coverage by the name of one proof" 0 '1 passed, 0 failed' "$tree/kiln" prove --cover arena_pages_seek
excuses=$tree/tests/proof/unreached.txt
sed -i '/^arena_destroy_harness.c|kiln_arena_table_has|/d' "$excuses"
expect_run "a line that no proof reaches" 1 'arena[a-z_/.]*:[0-9]+ kiln_arena_table_has is never reached: ' \
    "$tree/kiln" prove --cover arena_destroy_kiln
echo 'arena_pages_harness.c|kiln_arena_table_show||never' >>"$excuses"
expect_run "an excuse for what is reached" 1 'excuses nothing any more, delete it: arena_pages_harness.c.kiln_arena_table_show' \
    "$tree/kiln" prove --cover arena_pages_seek

# A law that nothing breaks, and a bug that says too little of what it breaks.
laws() {
    python3 "$tree/tests/proof/laws_test.py" "$tree"
}
expect_run "each law has a planted bug" 0 ' passed, 0 failed' laws
rm "$tree/tests/proof/planted/arena_block_short.patch"
expect_run "a law without one is named" 1 'refutes: a block serves the request.*, 1 failed' laws
sed -i 's/^refutes: .*/refutes: a block/' "$tree/tests/proof/planted/arena_block_too_long.patch"
expect_run "a bug that may mean several laws is refused" 1 "refutes 'a block', which more than one law says" laws

# A cbmc that cannot run says so, in both uses, and what to do.
rm "$tree/.kiln/cbmc-trixie"
mkdir -p "$tree/.kiln/cbmc-trixie/run"
printf '#!/bin/sh\necho a library is missing >&2\nexit 127\n' >"$tree/.kiln/cbmc-trixie/run/cbmc"
chmod +x "$tree/.kiln/cbmc-trixie/run/cbmc"
for part in --proofs --trace; do
    expect_run "a cbmc that cannot run, $part" 1 'a library is missing.*delete .*cbmc-trixie' \
        "$tree/kiln" prove "$part" arena_seed_top
done

# What would be ignored is refused.
expect_run "a trace and a part" 2 '--trace prints one trace' "$tree/kiln" prove --trace arena_seed_top --reach
expect_run "a trace of what is quick" 2 '--trace prints one trace' "$tree/kiln" prove --trace --quick arena_seed_top
expect_run "a list and a part" 2 '--list runs nothing' "$tree/kiln" prove --list --planted
expect_run "a list and --first" 2 '--list runs nothing' "$tree/kiln" prove --list --first
expect_run "a trace and --first" 2 '--trace prints one trace' "$tree/kiln" prove --trace --first arena_seed_top

# A name that begins others is one proof; what is none is all that begin so.
expect_run "a name" 0 '^arena_start_seed_64_large [^
]*$' "$tree/kiln" prove --list arena_start_seed_64_large
expect_run "the beginning of names" 0 'arena_start_seed_64_large_one ' "$tree/kiln" prove --list arena_start_seed_64_larg
expect_done
