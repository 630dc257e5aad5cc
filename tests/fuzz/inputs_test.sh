#!/bin/bash
# tests/fuzz/inputs_test.sh - fuzz inputs as text and as C: kiln decode and kiln encode lose nothing,
# of any input in any corpus, and say what is wrong with what they are given. Ends with "N passed, N failed".
source "$(dirname "${BASH_SOURCE[0]}")/../cli/expect.sh"
cd "$KILN_ROOT" || exit 1

# back_as_c TARGET FOLDER FILE... has a C compiler read the C form of the files, and write their
# bytes into FOLDER again.
back_as_c() {
    local target=$1 folder=$2 source=$scratch/$1.c name
    shift 2
    {
        printf '#include <stdint.h>\n#include <stdio.h>\n'
        "$kiln" decode --c "$target" "$@"
        echo 'static int put(const char *name, const uint8_t *bytes, size_t size)'
        echo '{ FILE *f = fopen(name, "wb"); return !f || fwrite(bytes, 1, size, f) != size || fclose(f); }'
        echo 'int main(void) { return 0'
        for name; do
            name=${name##*/}
            echo "|| put(\"$folder/$name\", ${name//[^a-zA-Z0-9_]/_}, ${name//[^a-zA-Z0-9_]/_}_bytes)"
        done
        echo '; }'
    } >"$source" && clang-19 -std=c11 -Wall -Wextra -Werror -o "$scratch/$target-c" "$source" && "$scratch/$target-c"
}

# same WHAT FOLDER FILE... compares the files with those of their names in FOLDER.
same() {
    local what=$1 folder=$2 file
    shift 2
    for file; do
        if cmp "$file" "$folder/${file##*/}"; then expect_ok; else expect_not "$what: $file"; fi
    done
}

# What no corpus may have: nothing, an end within the settings or a record, more than a target reads.
odd=$scratch/odd
mkdir "$odd"
: >"$odd/i_empty"
printf '\1' >"$odd/i_one"
printf '%15s' '' >"$odd/i_short"
printf '%15s\0' '' >"$odd/i_settings"
head -c 16 /dev/zero >"$odd/i_zeros"
head -c 100 "$KILN_ROOT/LICENSE" >"$odd/i_part"
cat "$KILN_ROOT/LICENSE" "$KILN_ROOT/kiln" >"$odd/i_long"
awk 'BEGIN { for (i = 0; i < 256; i++) printf "%c", i }' >"$odd/i_all"

for path in fuzz/*_fuzz.c; do
    target=${path##*/}
    target=${target%_fuzz.c}
    files=("corpus/$target"/* "$odd"/*)
    mkdir -p "$scratch/$target"/{text,bytes,c}
    "$kiln" decode "$target" "${files[@]}" |
        awk -v to="$scratch/$target/text/" '/^# / { sub(/.*\//, ""); file = to $0 ".txt"; printf "" >file; next } { print >file }'
    "$kiln" encode "$target" "$scratch/$target/text"/*.txt "$scratch/$target/bytes" || expect_not "encode $target"
    same "text and back" "$scratch/$target/bytes" "${files[@]}"
    if back_as_c "$target" "$scratch/$target/c" "${files[@]}"; then
        same "C and back" "$scratch/$target/c" "${files[@]}"
    else
        expect_not "the C form of the inputs of $target"
    fi
done
echo "$expect_passed round trips"

# The comparison can fail: one number of a text is another.
text=$scratch/heap/text/seed_aligned.txt
sed '3s/arg=0x64/arg=0x65/' "$text" >"$scratch/other"
"$kiln" encode heap "$scratch/other" "$scratch/seed_aligned"
if cmp -s "$scratch/seed_aligned" corpus/heap/seed_aligned; then expect_not "another text made the same bytes"; else expect_ok; fi

expect_run "one file has no heading" 0 '^set follow 1.set machine 6' "$kiln" decode arena corpus/arena/seed_at_top_go19
expect_run "several have" 0 '^# corpus/arena/seed_at_top_go19.set.*# corpus/arena/seed_at_top_kiln.set' \
    "$kiln" decode arena corpus/arena/seed_at_top_{go19,kiln}
expect_run "standard input to standard output" 0 '^$' \
    bash -c '"$0" encode heap - - <corpus/../fuzz/seeds/heap/aligned.txt | cmp - corpus/heap/seed_aligned' "$kiln"
expect_run "the C form has the text beside it" 0 '0x00, /\* alloc size=5 how=7 \*/' "$kiln" decode --c arena corpus/arena/seed_at_top_go19
cp corpus/arena/seed_at_top_go19 "$scratch/1 odd-name"
expect_run "a name that C does not take" 0 'uint8_t input_1_odd_name\[\] = ' "$kiln" decode --c arena "$scratch/1 odd-name"

expect_run "decode without a target" 2 'which target\? kiln decode arena\|.*heap' "$kiln" decode
expect_run "decode of a target that there is not" 2 "no target 'haep'; the nearest is 'heap'" "$kiln" decode haep x
expect_run "decode without a file" 2 'which file\? kiln decode heap FILE' "$kiln" decode heap
expect_run "decode of a file that there is not" 2 "no file '$scratch/none'" "$kiln" decode heap "$scratch/none"
expect_run "decode of a folder" 2 "'corpus/heap' is a folder" "$kiln" decode heap corpus/heap
head -c 2000000 /dev/zero >"$scratch/large"
expect_run "decode of a large file" 2 'larger than 1 MiB' "$kiln" decode heap "$scratch/large"
expect_run "encode without a place" 2 'where to\? kiln encode heap TEXT' "$kiln" encode heap "$text"
expect_run "encode of a text that there is not" 2 "no file '$scratch/none'" "$kiln" encode heap "$scratch/none" "$scratch/out"
expect_run "encode of two into a file" 2 'several texts go into a folder' "$kiln" encode heap "$text" "$text" "$scratch/out"
expect_run "encode over the text itself" 2 'is the text itself' "$kiln" encode heap "$text" "$text"
expect_run "encode of another target's text" 2 "$text:1: no such operation" "$kiln" encode arena "$text" "$scratch/out"
expect_run "encode of an input" 2 'holds a zero byte.*an input already' "$kiln" encode heap corpus/heap/seed_aligned "$scratch/out"
expect_run "encode into no folder" 2 "none/out: No such file" "$kiln" encode heap "$text" "$scratch/none/out"
if [[ -e $scratch/out ]]; then expect_not "a refused text left a file"; else expect_ok; fi

expect_done
