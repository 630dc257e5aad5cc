#!/bin/bash
# tests/fuzz/planted_test.sh - the fuzzers find what was put in, and nothing where nothing was.
#
# Each patch in tests/fuzz/planted, and some of tests/mutants, puts one bug into a copy of the sources. From the seeds, both
# engines must find the bug of issue 20259 in 10 s, which no seed shows by itself; the others are the
# negative controls of the oracles, of the hardened heap's detectors among them, and one engine is
# enough. The same 10 s on the sources as they are must find nothing; the targets that came later have
# these two at a time. With arguments, of these targets alone. Ends with "N passed, N failed".
source "$(dirname "${BASH_SOURCE[0]}")/../../tools/lib/kiln.sh"
cd "$KILN_ROOT"

SECONDS_MAX=10
out=$(mktemp -d "$KILN_OUT/planted.XXXXXX")
trap 'rm -rf "$out"' EXIT
passed=0 failed=0

verdict() { # verdict STATUS WHAT
    if [[ $1 == 0 ]]; then
        passed=$((passed + 1))
        echo "ok      $2"
    else
        failed=$((failed + 1))
        echo "FAILED  $2"
    fi
}

arena_sources=(allocator/arena/{arena,arena_block,arena_kept,arena_kept_list,arena_kiln,arena_pages,arena_seed,arena_start,arena_tables}.c
    allocator/os/{fake,fake_policy,model,ranges,record}.c allocator/base/{check,lock}.c
    fuzz/{arena_fuzz,arena_model,ops,target}.c)
heap_sources=("${arena_sources[@]//fuzz\/arena_/fuzz/heap_}" allocator/os/fake_window_linux.c
    allocator/heap/*.c allocator/harden/*.c fuzz/{contents,fiber,heap_machine,heap_subject,harden_model,harden_plant}.c)
# What all that have a heap on a fake OS need, but for the target itself.
machine_sources=(allocator/arena/{arena,arena_block,arena_kept,arena_kept_list,arena_kiln,arena_pages,arena_seed,arena_start,arena_tables}.c
    allocator/os/{fake,fake_policy,fake_window_linux,model,ranges}.c allocator/base/{check,lock}.c
    allocator/heap/*.c allocator/harden/*.c fuzz/{contents,fiber,heap_machine,heap_subject,ops,target}.c)
canary_sources=(allocator/base/check.c fuzz/{canary_fuzz,ops,target}.c)
checkpoint_sources=("${machine_sources[@]}" allocator/os/{rewind,rewind_mark}.c
    fuzz/{checkpoint_fuzz,harden_model,harden_plant,heap_model}.c)
heap_threads_sources=("${machine_sources[@]}" fuzz/{harden_model,harden_plant,heap_threads_fuzz,os_points}.c)

page_heap_sources=("${machine_sources[@]}" fuzz/page_heap_fuzz.c)
publish_sources=("${machine_sources[@]}" fuzz/publish_fuzz.c)

os_sources=(allocator/os/{check,fake,fake_policy,fake_window_linux,fault,linux,model,ranges}.c
    allocator/base/{check,lock}.c fuzz/{os_call,os_fuzz,os_pages,os_probe,os_sleeper,os_world,ops,target}.c)

options_sources=(allocator/api/{message,options,out,report_options}.c allocator/base/check.c
    fuzz/{ops,options_fuzz,options_model,target}.c)

report_sources=(allocator/arena/{arena,arena_block,arena_kept,arena_kept_list,arena_kiln,arena_pages,arena_seed,arena_start,arena_tables}.c
    allocator/os/{fake,fake_policy,fake_window_linux,model,ranges}.c allocator/base/{check,lock}.c
    allocator/heap/*.c allocator/harden/*.c
    allocator/api/{frame,lone,out,readable,report_block,report_json,report_options,report_text,report_words,stack,stack_depot,unwind}.c
    fuzz/{ops,report_code,report_fuzz,report_heap,report_judge,target}.c)

oracles='-fsanitize-coverage-ignorelist=tools/toolchain/oracles.txt'
declare -A flags=(
    [libfuzzer]="-fsanitize=fuzzer-no-link $oracles"
    [afl]="-fsanitize-coverage=trace-pc-guard $oracles" [replay]=''
    [address]='-fsanitize=fuzzer-no-link,address' [memory]='-fsanitize=fuzzer-no-link,memory'
    [undefined]='-fsanitize=fuzzer-no-link,undefined -fno-sanitize-recover=all'
)
declare -A ends=(
    [libfuzzer]='-fsanitize=fuzzer' [afl]='/usr/lib/afl/libAFLDriver.a /usr/lib/afl/afl-compiler-rt.o'
    [replay]=fuzz/standalone_main.c
    [address]='-fsanitize=fuzzer' [memory]='-fsanitize=fuzzer' [undefined]='-fsanitize=fuzzer'
)

# compile ENGINE SOURCE... makes what is not there yet of the objects and prints their names.
compile() {
    local engine=$1 source object
    shift
    for source; do
        object=$out/$engine/${source//\//_}.o
        mkdir -p "${object%/*}"
        # shellcheck disable=SC2086 # several flags, or none
        [[ -f $object ]] || clang-19 -std=c11 -O1 -g -Wall -Wextra -Werror -I. ${flags[$engine]} \
            -c "$source" -o "$object" || return 1
        echo "$object"
    done
}

# build ENGINE TARGET [PATCH] makes $out/TARGET-PATCH-ENGINE.
build() {
    local engine=$1 target=$2 patch=${3-none} source file planted=''
    local -n sources=${target}_sources
    local -a objects
    if [[ $patch != none ]]; then
        file=tests/fuzz/planted/$patch.patch
        [[ -f $file ]] || file=tests/mutants/$patch.patch
        source=$(sed -n 's|^+++ b/||p' "$file")
        planted=$out/$patch.c
        cp "$source" "$planted"
        patch --quiet --fuzz=0 "$planted" "$file" || kiln_die "$file does not fit $source any more: plant it anew"
    fi
    mapfile -t objects < <(compile "$engine" "${sources[@]}")
    [[ ${#objects[@]} == "${#sources[@]}" ]] || kiln_die "$target does not compile"
    if [[ -n $planted ]]; then
        mapfile -t objects < <(printf '%s\n' "${objects[@]}" | grep -vF "/${source//\//_}.o")
    fi
    # shellcheck disable=SC2086 # several flags, or none
    clang-19 -std=c11 -O1 -g -Wall -Wextra -Werror -I. ${flags[$engine]} $planted "${objects[@]}" \
        ${ends[$engine]} -o "$out/$target-$patch-$engine" || kiln_die "$target-$patch does not link"
}

# seeds TARGET prints the folder with the seeds alone: what fuzzing found later is not in it.
seeds() {
    mkdir -p "$out/seeds-$1"
    cp -n corpus/"$1"/seed_* "$out/seeds-$1"
    echo "$out/seeds-$1"
}

# fuzz ENGINE TARGET PATCH gives launch.sh's status; what it said is in $out/TARGET-PATCH-ENGINE.log.
fuzz() {
    local name=$2-$3-$1
    fuzz/engines/launch.sh --binary="$out/$name" --corpus="$(seeds "$2")" --dict="corpus/$2.dict" \
        --seconds="$SECONDS_MAX" --work="$out/work-$name" >"$out/$name.log" 2>&1
}

# expect WANTED_STATUS ENGINE TARGET PATCH [LAW] reads what fuzz left.
expect() {
    local wanted=$1 got=$2 engine=$3 target=$4 patch=$5 law=${6-} what time
    time=$(awk '/ in the queue$/ { at = $1 " s, " ($4 == "inputs" ? $3 : "few") " inputs" } END { print at }' "$out/$target-$patch-$engine.log")
    what="$engine: $target, planted $patch: found ($time)"
    [[ $wanted == 1 ]] || what="$engine: $target as it is: $SECONDS_MAX s without a finding ($time)"
    if [[ $got == "$wanted" ]] && { [[ -z $law ]] || grep -qE "$law" "$out/$target-$patch-$engine.log"; }; then
        verdict 0 "$what"
    else
        verdict 1 "$what; status $got"
        tail -n 25 "$out/$target-$patch-$engine.log"
    fi
}

# both TARGET PATCH WANTED LAW fuzzes on both engines at the same time.
both() {
    local status_libfuzzer=0 status_afl=0
    fuzz libfuzzer "$1" "$2" &
    local libfuzzer=$!
    fuzz afl "$1" "$2" || status_afl=$?
    wait "$libfuzzer" || status_libfuzzer=$?
    expect "$3" "$status_libfuzzer" libfuzzer "$1" "$2" "$4"
    expect "$3" "$status_afl" afl "$1" "$2" "$4"
}

wanted() { # wanted TARGET: is it one of the arguments, where there are any?
    ((${#only[@]} == 0)) || [[ " ${only[*]} " == *" $1 "* ]]
}

only=("$@")
if wanted arena; then
    for engine in libfuzzer afl; do
        build "$engine" arena
        build "$engine" arena 20259
    done
    build replay arena 20259
    status=0
    { "$out/arena-20259-replay" "$(seeds arena)" >"$out/seeds.log" 2>&1 || status=$?; } 2>/dev/null
    verdict "$status" "no seed shows 20259 by itself"
    status=1
    { "$out/arena-20259-replay" corpus/arena >"$out/corpus.log" 2>&1 || status=0; } 2>/dev/null
    verdict "$status" "a replay of the corpus does, since then"
    both arena 20259 1 'broken rule: L2: arena_used never decreases'
    both arena none 0 ''
fi
for target in os heap options report; do
    wanted "$target" || continue
    build libfuzzer "$target"
    status=0
    fuzz libfuzzer "$target" none || status=$?
    expect 0 "$status" libfuzzer "$target" none
done

# later TARGET [TARGET] fuzzes them as they are at the same time.
later() {
    local target
    local -A pids=()
    for target; do
        wanted "$target" || continue
        build libfuzzer "$target"
        fuzz libfuzzer "$target" none &
        pids[$target]=$!
    done
    for target in "${!pids[@]}"; do
        status=0
        wait "${pids[$target]}" || status=$?
        expect 0 "$status" libfuzzer "$target" none
    done
}
later heap_threads checkpoint
later page_heap publish

# The canary's bug is another one under each sanitizer.
for engine in libfuzzer afl address memory undefined; do
    wanted canary || continue
    build "$engine" canary
    status=0
    fuzz "$engine" canary none || status=$?
    expect 1 "$status" "$engine" canary none "$(case $engine in
        address) echo 'heap-buffer-overflow' ;;
        memory) echo 'use-of-uninitialized-value' ;;
        undefined) echo 'signed integer overflow' ;;
        *) echo 'the canary sings' ;;
    esac)"
done

# A law of its own finds each of these: another one would mean that this law is blind. Where the bug
# breaks several, which one is met first is the seed's choice.
while read -r target patch law; do
    wanted "$target" || continue
    build libfuzzer "$target" "$patch"
    status=0
    fuzz libfuzzer "$target" "$patch" || status=$?
    expect 1 "$status" libfuzzer "$target" "$patch" "broken rule: $law"
done <<'END'
arena bound_before_tables L2: the tables are mapped before the bound is stored
arena rejected_block_leaks L4: (the OS has what it had|nothing that the OS granted is lost)
heap slots_given_twice (L1: blocks do not overlap|.*slot|.*cache|the heap's records are)
heap calloc_not_zero (L1: calloc's bytes are zero|L1: what a block grew by|L5: only what was done is told)
heap quarantine_of_one L8: a freed block waits
heap large_does_not_wait L8: as many large blocks wait as there are places
heap large_stays_open L8: a freed large block faults
heap large_waits_for_one L8: as many large blocks wait as there are places
heap large_not_guarded L8: behind a large block is what faults
heap large_tail_left_behind (.*os: |L8: behind a large block|L1: )
heap guard_stays_open L8: a freed guarded block faults
heap fresh_not_filled L1: a fresh block holds what it should
heap freed_not_filled (L1: a freed block holds nothing of its owner|L5: only what was done is told)
heap grown_keeps_canary L1: what a block grew by where it is holds what it should
heap canary_not_checked_at_free L5: a write beside a block is told when it is freed
heap canary_not_checked_at_realloc L5: a write beside a block is told when it is resized
heap guard_canary_not_checked L5: a write beside a block is told when it is freed
heap ruined_slot_handed_out L5: a write to a free slot is told when it is handed out
heap bin_not_looked_at L5: (all damage was told in time|a check tells of all damage)
heap check_blind_to_freed L5: a check tells of all damage
heap side_not_told L5: damage is told with its kind
heap double_free_not_told L5: a misuse is reported$
heap family_not_checked L5: a misuse is reported$
heap size_not_checked L5: a misuse is reported$
heap_threads end_keeps_blocks (when all threads are gone|the heap's ledger|a slot|.*cache)
heap_threads lock_not_taken (os: |no |L1|the |every|spans)
heap_threads unlock_forgotten (no thread waits for ever|no lock is held)
heap_threads busy_not_seen L5: a correct program is never reported
checkpoint rewind_calls_unnoted (the backend below has the same states|L4: a restore gives back what came since)
checkpoint rewind_kept_records what stays is memory for programs
checkpoint rewind_list_ends_short after a restore all bytes and states are as at the mark
checkpoint rewind_marked_released L4: a restore gives back what came since
checkpoint rewind_new_memory_stays L4: a restore gives back what came since
checkpoint rewind_sums_stay the bytes of each state are counted
publish alloc_told_early L3: a block is the caller's when its alloc is told
publish cleared_before_alloc L3: the heap writes to live blocks alone
publish copy_of_slot L3: a copy fits both
publish kiln_watcher_told_twice L3: what grows was no heap before
publish retire_short L3: all that has grown retires
page_heap class_not_aligned an alignment has the least class whose slots are multiples of it
page_heap commit_believed (L1: a span's pages are Ready|.*os: )
page_heap dirty_forgotten what is said to be zero is
page_heap first_fit the best fit is taken
os release_short linux: what is released is not mapped
options bound_of_numbers L7: (no value is out of its range|a list is taken that is right, and no other)
options message_not_cut L7: a message (fits|says|is a line)
options message_of_two_lines L7: a message is one line
options nearest_by_beginning L7: what is said to be nearest is an option, and is nearest
options path_keeps_tail L7: (a list means what it says|what was read and is written is right)
options value_of_next_piece L7: a message
report about_takes_lock a report takes no lock
report bytes_lost_at_flush a report is written whole
report guard_count_believed a report faults only where an address was ruined
report json_control_bytes a string has no control bytes, and ends
report kept_number_believed (a stack ends|a report faults only where an address was ruined)
report step_half_done where no step can be made the frame stays as it was
report text_of_two_lines (frames are counted|a text .*)
END

echo "$passed passed, $failed failed"
((failed == 0))
