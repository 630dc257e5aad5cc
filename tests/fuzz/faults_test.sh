#!/bin/bash
# tests/fuzz/faults_test.sh [full] - every input of the arena's and the heap's corpora with each call
# of the OS that it makes refused in turn, once and with all after it (fuzz/faults_main.c), under
# AddressSanitizer for 10 s a target; `full`: all of it, under MemorySanitizer, too, and the corpora
# of the other targets that have a heap. A planted bug for each target must be found so.
# Ends with "N passed, N failed".
source "$(dirname "${BASH_SOURCE[0]}")/../../tools/lib/kiln.sh"
cd "$KILN_ROOT"

out=$(mktemp -d "$KILN_OUT/faults.XXXXXX")
trap 'rm -rf "$out"' EXIT
passed=0 failed=0
limit=(--seconds=10) sanitizers=(address) targets=(arena heap)
if [[ ${1-} == full ]]; then
    limit=() sanitizers=(address memory) targets=(arena checkpoint heap heap_threads publish)
fi

common=(allocator/arena/{arena,arena_block,arena_kept,arena_kept_list,arena_kiln,arena_pages,arena_seed,arena_start,arena_tables}.c
    allocator/os/{fake,fake_policy,model,ranges}.c allocator/base/{check,lock}.c fuzz/{faults_main,ops,target}.c)
machine=(allocator/os/fake_window_linux.c allocator/heap/*.c allocator/harden/*.c
    fuzz/{contents,heap_machine,heap_subject}.c)
models=(fuzz/{harden_model,harden_plant,heap_model}.c)
declare -A sources=(
    [arena]="allocator/os/record.c fuzz/arena_model.c"
    [checkpoint]="${machine[*]} ${models[*]} allocator/os/rewind.c allocator/os/rewind_mark.c"
    [heap]="${machine[*]} ${models[*]}"
    [heap_threads]="${machine[*]} ${models[*]} fuzz/fiber.c fuzz/os_points.c"
    [publish]="${machine[*]}"
)

verdict() { # verdict STATUS WHAT
    if [[ $1 == 0 ]]; then
        passed=$((passed + 1))
        echo "ok      $2"
    else
        failed=$((failed + 1))
        echo "FAILED  $2"
    fi
}

# compile SANITIZER SOURCE... makes what is not there yet of the objects, two at a time.
compile() {
    local sanitizer=$1 source
    shift
    mkdir -p "$out/$sanitizer"
    for source; do
        [[ -f $out/$sanitizer/${source//\//_}.o ]] || printf '%s\0' "$source"
    done | xargs -0 -r -P 2 -I {} bash -c 'clang-19 -std=c11 -O1 -g -Wall -Wextra -Werror -I. -fsanitize="$1" \
        -c "$2" -o "$3/$1/${2//\//_}.o"' _ "$sanitizer" {} "$out" || kiln_die "$sanitizer does not compile"
}

# build SANITIZER TARGET [PATCH] makes $out/TARGET-SANITIZER, or $out/PATCH.
build() {
    local sanitizer=$1 target=$2 patch=${3-} source file planted=''
    local -a of objects=()
    read -r -a of <<<"${sources[$target]}"
    of+=("${common[@]}" "fuzz/${target}_fuzz.c")
    compile "$sanitizer" "${of[@]}"
    if [[ -n $patch ]]; then
        file=tests/fuzz/planted/$patch.patch
        [[ -f $file ]] || file=tests/mutants/$patch.patch
        planted=$(sed -n 's|^+++ b/||p' "$file")
        cp "$planted" "$out/$patch.c"
        patch --quiet --fuzz=0 "$out/$patch.c" "$file" || kiln_die "$file does not fit $planted any more: plant it anew"
        objects=("$out/$patch.c")
    fi
    for source in "${of[@]}"; do
        [[ $source == "$planted" ]] || objects+=("$out/$sanitizer/${source//\//_}.o")
    done
    clang-19 -std=c11 -O1 -g -I. -fsanitize="$sanitizer" "${objects[@]}" \
        -o "$out/${patch:-$target-$sanitizer}" || kiln_die "$target does not link"
}

export ASAN_OPTIONS=abort_on_error=1:detect_leaks=0 MSAN_OPTIONS=abort_on_error=1
for target in "${targets[@]}"; do
    for sanitizer in "${sanitizers[@]}"; do
        build "$sanitizer" "$target"
        status=0
        { "$out/$target-$sanitizer" "${limit[@]}" "corpus/$target" >"$out/log" 2>&1 || status=$?; } 2>/dev/null
        verdict "$status" "$target, $sanitizer: $(tail -n 1 "$out/log")"
        [[ $status == 0 ]] || tail -n 40 "$out/log"
    done
done

# What a failed call of the OS must take back, or must be believed to have failed.
while read -r target patch law; do
    build address "$target" "$patch"
    status=0
    { "$out/$patch" "corpus/$target" >"$out/log" 2>&1 || status=$?; } 2>/dev/null
    again=$(grep -a -m 1 -oE -- '--call=[0-9]+ (once|ever) .*' "$out/log" || true)
    if [[ $status != 0 && -n $again ]] && grep -qE "broken rule: $law" "$out/log"; then
        verdict 0 "$target, planted $patch: found by $again"
    else
        verdict 1 "$target, planted $patch: status $status"
        tail -n 20 "$out/log"
    fi
    # shellcheck disable=SC2086 # its arguments
    [[ -z $again ]] || { status=0 && { "$out/$patch" $again >"$out/log" 2>&1 || status=$?; } 2>/dev/null; }
    verdict $((status == 0)) "$target, planted $patch: the run that is named fails alone"
done <<'END'
arena kiln_commit_not_undone .*
heap commit_believed .*
END

echo "$passed passed, $failed failed"
((failed == 0))
