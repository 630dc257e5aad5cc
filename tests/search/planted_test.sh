#!/bin/bash
# tests/search/planted_test.sh - the exhaustive search finds what was put in, by the law that it
# breaks, and nothing where nothing was.
#
# Each patch puts one bug, or one repair that the seed does not have, into a copy of the sources.
# Ends with "N passed, N failed".
source "$(dirname "${BASH_SOURCE[0]}")/../../tools/lib/kiln.sh"
cd "$KILN_ROOT"

out=$(mktemp -d "$KILN_OUT/planted_search.XXXXXX")
trap 'rm -rf "$out"' EXIT
passed=0 failed=0
sources=(allocator/arena/arena*.c allocator/base/*.c allocator/os/{record,stop_linux}.c tests/search/*.c)
flags=(-std=c11 -O2 -Wall -Wextra -Werror -I.)

# build NAME [PATCH] makes $out/NAME from the sources, one of them patched.
build() {
    local name=$1 patch=${2-} source=none object
    local -a objects=()
    if [[ -n $patch ]]; then
        source=$(sed -n 's|^+++ b/||p' "$patch")
        cp "$source" "$out/$name.c"
        patch --quiet --fuzz=0 "$out/$name.c" "$patch" ||
            kiln_die "$patch does not fit $source any more: plant it anew"
        objects=("$out/$name.c")
    fi
    for object in "${sources[@]}"; do
        [[ $object == "$source" ]] || objects+=("$out/${object//\//_}.o")
    done
    clang-19 "${flags[@]}" "${objects[@]}" -o "$out/$name" || kiln_die "$name does not compile"
}

# expect STATUS NAME FOLLOW WORDS searches, and looks for the words in what it says.
expect() {
    local wanted=$1 name=$2 follow=$3 words=$4 status=0 what
    "$out/$name" --follow="$follow" --walks=100 >"$out/log" 2>&1 || status=$?
    what=$(grep -m 1 -e '^broken rule: ' "$out/log" || tail -n 1 "$out/log")
    if [[ $status == "$wanted" ]] && grep -qF -e "$words" "$out/log"; then
        passed=$((passed + 1))
        echo "ok      $follow, $name: $what"
    else
        failed=$((failed + 1))
        echo "FAILED  $follow, $name: status $status, no '$words'"
        tail -n 30 "$out/log"
    fi
}

for source in "${sources[@]}"; do
    clang-19 "${flags[@]}" -c "$source" -o "$out/${source//\//_}.o" || kiln_die "$source does not compile"
done
build as-it-is
for follow in seed go19 kiln; do expect 0 as-it-is "$follow" 'no unknown break'; done

while read -r follow patch words; do
    name=$(basename "$patch" .patch)
    build "$name" "$patch"
    expect 1 "$name" "$follow" "$words"
    [[ $words != *'was not found' ]] || continue # there is no break to go to
    # The command that it prints goes to the same break.
    again=$(sed -n 's/^again: //p' "$out/log")
    if [[ -z $again ]]; then
        failed=$((failed + 1))
        echo "FAILED  $name: no command is printed that goes there again"
        continue
    fi
    status=0
    # shellcheck disable=SC2086 # a command and its arguments
    $again >"$out/again" 2>&1 || status=$?
    if [[ $status == 1 ]] && grep -qF -e "$words" "$out/again"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED  $again: status $status"
    fi
done <<'END'
seed tests/fuzz/planted/20259.patch L2: arena_used never decreases
kiln tests/search/planted/lost_minus_one.patch a block that can be asked for is asked for
kiln tests/search/planted/lost_minus_one_fallback.patch the fallback's memory in the possible range is taken
kiln tests/search/planted/granule_stops_early.patch every size that is possible is asked for, once
kiln tests/search/planted/top_not_chopped.patch arena_end is representable
kiln tests/search/planted/believed_free_twice.patch os: commit as unreserved does not take memory that is ours
go19 tests/search/planted/go19_publishes_late.patch tables cover [arena_start, arena_used)
seed tests/search/planted/w7_repaired.patch is known, and was not found
END

echo "$passed passed, $failed failed"
((failed == 0))
