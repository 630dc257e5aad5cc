#!/bin/bash
# tests/mutants/mutants_test.sh - a handful of mutants is killed as the table says; what is wrong
# with an argument, a patch or the table is named. Ends with "N passed, N failed".
source "$(dirname "${BASH_SOURCE[0]}")/../cli/expect.sh"

# A few of each layer, with the killers that take seconds.
few=(seed_20259 kiln_bound_moves_down kiln_commit_not_undone table_last_page_unmapped
    linux_commit_clobbers model_sum_not_reduced)
expect_run "a few mutants are killed" 0 $'\n'"$((${#few[@]} + 1)) passed, 0 failed$" \
    "$kiln" mutants "${few[@]}" --by=contract,seeds

# Those that name a proof of seconds; full_test.sh runs all that name one.
mapfile -t few < <(cd "$KILN_ROOT/tests/mutants" && grep -lE \
    '^Proof: (arena_(geometry_32_64k|grow_64|kept_add_32|seed_32|pages_covers_count))$' ./*.patch |
    xargs -n 1 basename -s .patch)
expect_run "proofs kill mutants" 0 $'\n'"$((${#few[@]} + 1)) passed, 0 failed$" \
    "$kiln" mutants "${few[@]}" --by=proof

expect_run "an unknown mutant" 2 "'seed_20529'.*'seed_20259'" "$kiln" mutants seed_20529
expect_run "a mutant is no path" 2 "no mutant '\.\./fuzz/planted/20259'" "$kiln" mutants ../fuzz/planted/20259
expect_run "an empty mutant" 2 "no mutant ''" "$kiln" mutants ''
expect_run "an unknown killer" 2 "'unti'.*'unit'" "$kiln" mutants --by=unti
expect_run "no killer" 2 "names no killer" "$kiln" mutants --by=
expect_run "an empty killer" 2 "names an empty killer" "$kiln" mutants --by=unit,,seeds
expect_run "an empty last killer" 2 "names an empty killer" "$kiln" mutants --by=unit,
expect_run "--by without a value" 2 "needs a value" "$kiln" mutants --by
expect_run "an unknown option" 2 "'--updte'.*'--update'" "$kiln" mutants --updte

# A checkout of its own, whose mutants are planted here.
twin=$scratch/checkout
mkdir -p "$twin"
cp -r -t "$twin" "$KILN_ROOT"/{allocator,corpus,fuzz,kiln,sanitizer,tests,tools}
rm "$twin"/tests/mutants/{*.patch,TABLE.md}
patch_of() { # patch_of NAME HEAD OLD NEW [FILE]: one line of the model becomes another
    local file=${5:-allocator/os/model.c}
    sed "s|$3|$4|" "$twin/$file" >"$scratch/changed"
    {
        printf '%s\n\n' "$2"
        diff -U 2 --label "a/$file" --label "b/$file" "$twin/$file" "$scratch/changed"
    } >"$twin/tests/mutants/$1.patch"
}
contract() {
    "$twin/kiln" mutants --by=contract "$@"
}
patch_of kills 'The sums start at 1.' 'state_bytes\[i\] = 0;' 'state_bytes[i] = 1;'
expect_run "a mutant that the table does not know" 1 \
    "kills +contract +killed.*FAILED kills: killed by 1; strengthen.*FAILED kills: by contract: killed, but .*says ''.*1 passed, 1 failed$" \
    contract
expect_run "a mutant without a reason fails with --update too" 1 'FAILED kills: killed by 1; .*1 passed, 1 failed$' \
    contract --update
expect_run "the table has it" 0 '\| kills \| .*killed .*\| The sums start at 1\. \|' cat "$twin/tests/mutants/TABLE.md"
patch_of kills $'The sums start at 1.\n\nReason: one killer is all there is.' \
    'state_bytes\[i\] = 0;' 'state_bytes[i] = 1;'
expect_run "a mutant with a reason" 0 '2 passed, 0 failed$' contract
sed -i 's/killed/lives/' "$twin/tests/mutants/TABLE.md"
expect_run "a table that is out of date" 1 "kills: by contract: killed, but .*'lives' .*1 passed, 1 failed$" contract
sed -i -E 's/^(\| kills ([|][^|]+){3}[|]) [^|]+ /\1 lives /' "$twin/tests/mutants/TABLE.md" # by fuzz
expect_run "fuzz that kills more than the table says" 0 'note: kills: fuzz came as far.*2 passed, 0 failed$' \
    "$twin/kiln" mutants --by=fuzz kills
expect_run "--update mends it" 0 '2 passed, 0 failed$' contract --update
patch_of kills 'The sums start elsewhere.' 'state_bytes\[i\] = 0;' 'state_bytes[i] = 1;'
expect_run "another sentence than the table's" 1 'kills: .*has another sentence' contract
rm "$twin/tests/mutants/kills.patch"

patch_of same $'Nothing is different.\n\nReason: equivalent, because an empty statement does nothing.' \
    'bool kiln_os_model_set' ';bool kiln_os_model_set'
expect_run "a row without a patch" 1 'FAILED kills: is in .*but there is no such patch.*' contract same
expect_run "an equivalent mutant lives, named twice" 0 'same +contract +lives.*2 passed, 0 failed$' contract same same --update
expect_run "its reason is in the table" 0 '`same`: equivalent, because' cat "$twin/tests/mutants/TABLE.md"
patch_of named $'Nothing is different.\n\nProof: arena_nothing\n' 'bool kiln_os_model_set' ';bool kiln_os_model_set'
expect_run "a mutant that names no proof" 1 "named\.patch: there is no proof 'arena_nothing'; 'kiln prove --list'" \
    contract named
rm "$twin/tests/mutants/named.patch"
patch_of endless 'A search never ends.' 'unsigned low = 0, high = ranges->count;' \
    'unsigned low = 0, high = ranges->count; while (high == 1) low = low;' allocator/os/ranges.c
expect_run "a mutant that does not end is killed" 1 'endless +contract +killed +.*no end' \
    env KILN_MUTANTS_SECONDS_MAX=15 "$twin/kiln" mutants --by=contract endless
patch_of broken 'No C.' 'bool kiln_os_model_set' 'bool bool kiln_os_model_set('
expect_run "a mutant that does not compile is an error" 1 \
    'broken +contract +error +does not compile: .*model.c:.*1 passed, 1 failed$' contract broken
sed -i '/^Nothing/d' "$twin/tests/mutants/same.patch"
patch_of stale 'It was for another source.' 'bool kiln_os_model_set' ';bool kiln_os_model_set'
sed -i 's/kiln_os_model_set/kiln_os_model_put/' "$twin/tests/mutants/stale.patch"
expect_run "a stale patch, and one without a sentence, are named, and nothing is tried" 1 \
    'same\.patch: no sentence.*stale\.patch does not fit allocator/os/model\.c any more.*no mutant was tried$' contract
sed -i 's/^bool kiln_os_model_grant/;;;&/; s/state_bytes\[i\] = 0;/state_bytes[i] = 1;/' "$twin/allocator/os/model.c"
expect_run "sources that do not survive themselves" 1 'correct +contract +killed.*do not survive' contract endless

# Nothing that was started runs on.
if pgrep -f "$twin" >/dev/null; then expect_not "a process is left"; else expect_ok; fi
if compgen -G "$twin/.kiln/mutants.*" >/dev/null; then expect_not "a folder is left"; else expect_ok; fi

expect_done
