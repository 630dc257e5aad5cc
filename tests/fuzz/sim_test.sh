#!/bin/bash
# tests/fuzz/sim_test.sh [--all] - the simulation tester: it finds nothing, from a seed of each day's own;
# does the same again; and finds what is planted, says how to do that again, and shrinks it to what
# cannot be smaller, of which a test is written that fails there and passes here. With --all 10^9
# operations of the heap and 10^8 of the arena, and a bug planted in the arena, too. Ends with "N passed, N failed".
source "$(dirname "${BASH_SOURCE[0]}")/../cli/expect.sh"
source "$KILN_ROOT/tools/lib/kiln.sh"
set +e # which is for commands
cd "$KILN_ROOT" || exit 1

heap=(heap --seconds=6) arena=(arena --seconds=6)
if [[ ${1:-} == --all ]]; then
    heap=(heap --steps=1000000000)
    arena=(arena --steps=100000000)
fi
targets=(heap)
[[ ${1:-} != --all ]] || targets=(arena heap)
for target in heap arena; do
    declare -n words=$target
    if "$kiln" sim "${words[@]}" >"$scratch/log" 2>&1 && grep -q ': no law broken$' "$scratch/log"; then
        expect_ok
    else
        expect_not "something is found in what is not planted"
    fi
    grep -v '^from round' "$scratch/log"
done

# said COMMAND... prints what it says but for the times.
said() {
    "$@" 2>&1 | sed 's/, [0-9.]* s: .*//'
}
one=$(said "$kiln" sim --seed=42 --steps=200000)
two=$(said "$kiln" sim --seed=42 --steps=200000)
other=$(said "$kiln" sim --seed=43 --steps=200000)
if [[ $one == "$two" && $one == *'events  0x'*'events  0x'* ]]; then expect_ok; else expect_not "a seed does not do the same again: $one and $two"; fi
if [[ $(grep -o 'events  0x[0-9a-f]*' <<<"$one") != "$(grep -o 'events  0x[0-9a-f]*' <<<"$other")" ]]; then
    expect_ok
else
    expect_not "another seed does the same: $one"
fi
expect_run "the seed is said first" 0 $'^seed [0-9]+\nsimulating arena: ' "$kiln" sim arena --steps=1
[[ $one =~ sim\ (arena\ --seed=42\ --steps=[0-9]+) ]]
read -ra again <<<"${BASH_REMATCH[1]}"
expect_run "the command it prints does the same" 0 "$(grep -m 1 -o 'events  0x[0-9a-f]*' <<<"$one")" "$kiln" sim "${again[@]}"

# A checkout with bugs in it.
twin=$scratch/twin
mkdir "$twin"
tar c --exclude=./.kiln --exclude=./.git . | tar x -C "$twin"
for planted in 20259 calloc_not_zero; do
    patch --quiet --fuzz=0 -p1 -d "$twin" <"tests/fuzz/planted/$planted.patch" || expect_not "$planted does not fit any more"
done

# minimal TARGET FILE LAW: leaves out each record, turns each setting to 0: each time the law holds.
minimal() {
    local program=$twin/.kiln/fuzz/replay-none/$1_fuzz file=$2 law=$3 size at tried=$scratch/tried
    size=$(stat -c %s "$file")
    for ((at = 0; at < 16; at++)); do
        cp "$file" "$tried"
        printf '\0' | dd of="$tried" bs=1 seek="$at" conv=notrunc status=none
        if ! cmp -s "$file" "$tried" && breaks "$program" "$tried" "$law"; then echo "$file breaks the same without setting $at"; fi
    done
    for ((at = 16; at < size; at += 8)); do
        { head -c "$at" "$file" && tail -c "+$((at + 9))" "$file"; } >"$tried"
        breaks "$program" "$tried" "$law" && echo "$file breaks the same without the record at $at"
    done
    breaks "$program" "$file" "$law" || echo "$file does not break it at all"
}
breaks() { # PROGRAM FILE LAW
    [[ $(exec 2>&1; "$1" "$2") == *"broken rule: $3"$'\n'* ]]
}

for target in "${targets[@]}"; do
    log=$scratch/$target.log
    "$twin/kiln" sim "$target" --steps=1000000 >"$log" 2>&1
    [[ $? == 1 ]] && expect_ok || expect_not "the bug in the $target is not found: $(<"$log")"
    law=$(sed -n 's/^kind    broken rule: //p' "$log")
    echo "$target: found: $law; $(sed -n 's/^ *in round [0-9]*, after/after/p; s/^runs    /shrunk by runs: /p' "$log" | paste -sd' ')"
    # What is printed does it again: the round, then the smallest input.
    mapfile -t again < <(sed -n 's|^again   ./kiln ||p' "$log")
    [[ ${#again[@]} == 2 ]] || expect_not "two ways to do it again, not: ${again[*]}"
    expect_run "the round alone: kiln ${again[0]}" 1 "kind    broken rule: $law"$'\n' bash -c "'$twin/kiln' ${again[0]}"
    expect_run "the input: kiln ${again[1]}" 1 "broken rule: $law"$'\n.*--- stopped here' bash -c "'$twin/kiln' ${again[1]}"
    file=${again[1]##* }
    problems=$(minimal "$target" "$file" "$law" 2>/dev/null)
    if [[ -z $problems ]]; then expect_ok; else expect_not "$problems"; fi
    expect_run "it is no finding where nothing is planted" 2 'breaks nothing' "$kiln" shrink "$target" "$file" --sanitizer=none
done
expect_run "kiln shrink, of the input that was drawn" 0 'none can be left out.*--- the input as operations' \
    "$twin/kiln" shrink heap "${file}.drawn" --sanitizer=none --out="$scratch/small"
if cmp "$file" "$scratch/small"; then expect_ok; else expect_not "kiln shrink and kiln sim differ"; fi
# A test is written of it, and of what is not planted: in the BUILD file that is named it fails with
# the bug, and passes without.
expect_run "to-test says what breaks today" 0 "wrote   .*/heap_planted_test.c"$'\n'"  +it fails today: $law" \
    "$twin/kiln" to-test heap "$file" --name=heap_planted
expect_run "to-test overwrites nothing" 2 'is there already' "$twin/kiln" to-test heap "$file" --name=heap_planted
mkdir "$scratch/there"
"$kiln" to-test heap "$file" --name=heap_planted --out="$scratch/there" | sed -n '/^kiln_test(/,/^)/p' >>"$twin/tests/fuzz/BUILD"
expect_run "the test is formatted" 0 '^$' clang-format-19 --dry-run --Werror "--style=file:$KILN_ROOT/.clang-format" "$twin/tests/fuzz/heap_planted_test.c"
in_twin() {
    (cd "$twin" && tools/bazel test --noshow_progress --color=no //tests/fuzz:heap_planted_test)
}
expect_run "the test fails with the bug, and says why" 3 "broken rule: $law" in_twin
patch --quiet --reverse --fuzz=0 -p1 -d "$twin" <tests/fuzz/planted/calloc_not_zero.patch
expect_run "the test passes without" 0 'heap_planted_test +PASSED' in_twin
(cd "$twin" && tools/bazel shutdown) >/dev/null 2>&1
chmod -R u+w "$twin" # Bazel's outputs

expect_done
