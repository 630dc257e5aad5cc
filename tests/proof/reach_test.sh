#!/bin/bash
# tests/proof/reach_test.sh - `kiln prove --reach` sees a proof that holds because its assumptions
# leave nothing. Ends with "N passed, N failed".
source "$(dirname "${BASH_SOURCE[0]}")/../cli/expect.sh"
source "$KILN_ROOT/tools/lib/paths.sh"

# A checkout whose harness knows hardware pages of 4 KiB alone: its proof of 16 KiB is about nothing.
tree=$scratch/tree
mkdir -p "$tree/.kiln" "$tree/tests"
cp -r "$KILN_ROOT/kiln" "$KILN_ROOT/allocator" "$KILN_ROOT/sanitizer" "$KILN_ROOT/tools" "$tree/"
cp -r "$KILN_ROOT/tests/proof" "$KILN_ROOT"/tests/*.h "$tree/tests/"
ln -s "$KILN_OUT/cbmc-trixie" "$tree/.kiln/"
harness=$tree/tests/proof/arena_seed_harness.c
sed -i 's/^    any_state();$/&\n    PROOF_ASSUME(PHYS == 4096);/' "$harness"
grep -q 'PHYS == 4096' "$harness" || expect_not "no harness was made vacuous"

expect_run "a vacuous proof holds" 0 '1 passed, 0 failed' \
    "$tree/kiln" prove --proofs arena_go19_any_32_16k
expect_run "and no input gets to its end" 1 'no input gets there: reached: the end' \
    "$tree/kiln" prove --reach arena_go19_any_32_16k
expect_run "its twin has inputs" 0 '1 passed, 0 failed' \
    "$tree/kiln" prove --reach arena_go19_any_32_4k

# A cbmc that cannot run says so, in both uses, and what to do.
rm "$tree/.kiln/cbmc-trixie"
mkdir -p "$tree/.kiln/cbmc-trixie/run"
printf '#!/bin/sh\necho a library is missing >&2\nexit 127\n' >"$tree/.kiln/cbmc-trixie/run/cbmc"
chmod +x "$tree/.kiln/cbmc-trixie/run/cbmc"
for part in --proofs --trace; do
    expect_run "a cbmc that cannot run, $part" 1 'a library is missing.*delete .*cbmc-trixie' \
        "$tree/kiln" prove "$part" arena_seed_top
done
expect_done
