#!/bin/bash
# tests/stress/planted_test.sh - the stresses find what was put in, and nothing where nothing was.
#
# bound_threads_test runs under ThreadSanitizer, exhaust_test at 32 bits on a plain heap. Each patch puts one bug
# into a copy of the sources. A program that hangs is ended, and has failed. Ends with "N passed, N failed".
source "$(dirname "${BASH_SOURCE[0]}")/../../tools/lib/kiln.sh"
source "$(dirname "${BASH_SOURCE[0]}")/../../tools/lib/bits32.sh"
kiln_need_bits32
bits32_by=$(kiln_bits32_by)
cd "$KILN_ROOT"

out=$(mktemp -d "$KILN_OUT/planted_stress.XXXXXX")
trap 'rm -rf "$out"' EXIT
passed=0 failed=0
export KILN_OPTIONS=profile=fast

bound_sources=(allocator/arena/arena{,_block,_kept,_kept_list,_kiln,_pages,_seed,_start,_tables}.c allocator/base/{check,lock}.c
    allocator/os/{linux,stop_linux}.c tests/stress/bound_threads_test.c)
exhaust_sources=(allocator/{api,arena,harden,heap}/*.c allocator/base/{check,lock}.c
    allocator/os/{linux,model,ranges,record,rewind,rewind_mark,scatter,stop_linux,written_linux}.c tests/stress/exhaust_test.c)
LIMIT_S=240 # some seconds are what each takes
common=(-std=c11 -g -Wall -Wextra -Werror -I. -pthread)
bound_flags=(-O1 -fsanitize=thread)
exhaust_flags=(-O2 -m32 -fno-builtin)

# build TEST NAME [PATCH] makes $out/NAME from the sources of the test, one of them patched.
build() {
    local name=$2 patch=${3-} planted=none source object
    local -n sources=$1_sources flags=$1_flags
    local -a objects=()
    if [[ -n $patch ]]; then
        planted=$(sed -n 's|^+++ b/||p' "$patch")
        cp "$planted" "$out/$name.c"
        patch --quiet --fuzz=0 "$out/$name.c" "$patch" ||
            kiln_die "$patch does not fit $planted any more: plant it anew"
        objects=("$out/$name.c")
    fi
    for source in "${sources[@]}"; do
        [[ $source != "$planted" ]] || continue
        object=$out/$1-${source//\//_}.o
        [[ -f $object ]] || clang-19 "${common[@]}" "${flags[@]}" -c "$source" -o "$object" ||
            kiln_die "$source does not compile"
        objects+=("$object")
    done
    clang-19 "${common[@]}" "${flags[@]}" "${objects[@]}" -o "$out/$name" ||
        kiln_die "$name does not compile"
}

# expect good|bad NAME WORDS ARGS... runs it, and looks for the words in what it says.
expect() {
    local wanted=$1 name=$2 words=$3 status=0 ended=good
    shift 3
    { TSAN_OPTIONS=halt_on_error=1 timeout -k 5 "$LIMIT_S" "$out/$name" "$@" >"$out/log" 2>&1 || status=$?; } 2>/dev/null
    [[ $status == 0 ]] || ended=bad
    [[ $status != 124 ]] || ended="not within $LIMIT_S s"
    if [[ $ended == "$wanted" ]] && grep -qE -e "$words" "$out/log"; then
        passed=$((passed + 1))
        echo "ok      $name: $(grep -m 1 -E -e "$words" "$out/log" | cut -c 1-100)"
    else
        failed=$((failed + 1))
        echo "FAILED  $name $*: it ended $ended, status $status; wanted $wanted and '$words'"
        tail -n 30 "$out/log"
    fi
}

build bound bound-as-it-is
expect good bound-as-it-is '^4 passed, 0 failed$' --lookups=4000000
build exhaust exhaust-as-it-is
expect good exhaust-as-it-is '--seed=1: [0-9]+ MiB' --layout=none
expect good exhaust-as-it-is '--seed=1: [0-9]+ MiB' --layout=hole

while read -r test patch which words; do
    name=$(basename "$patch" .patch)
    if [[ $bits32_by == emulator && $which == --layout=hole ]]; then
        echo "not run $name: this kernel hands 32-bit programs to qemu-i386, which lies where the hole would"
        continue
    fi
    build "$test" "$name" "$patch"
    expect bad "$name" "$words" "$which"
done <<'END'
bound tests/stress/planted/bound_before_tables.patch test_bound_shows_tables SEGV|data race
bound tests/stress/planted/bits_before_tables.patch test_present_bits_show_tables SEGV|the entry of 0x|data race
bound tests/stress/planted/bits_relaxed.patch test_present_bits_show_tables data race
bound tests/stress/planted/bound_relaxed.patch test_bound_shows_tables data race
exhaust tests/stress/planted/no_errno.patch --layout=none errno is 0
exhaust tests/mutants/kiln_remainder_stranded.patch --layout=hole as much as the layout leaves
exhaust tests/stress/planted/nothing_goes_back.patch --layout=none the memory is given back
exhaust tests/fuzz/planted/calloc_not_zero.patch --layout=none zeros
exhaust tests/fuzz/planted/slots_given_twice.patch --layout=none expected|broken rule|heap-corruption
END

echo "$passed passed, $failed failed"
((failed == 0))
