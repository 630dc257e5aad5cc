#!/bin/bash
# The seeds in corpus/ are those that fuzz/seeds makes; the text form of every input leads back to
# its bytes; the trace of an input is one that kiln replay takes. The arguments are the targets.
set -euo pipefail

out=${TEST_TMPDIR:-$(mktemp -d)}
failed=0

for target; do
    program=fuzz/${target}_fuzz_raw_
    bash fuzz/seeds/make.sh "$target" "$program" "$out/$target"
    for seed in "$out/$target"/seed_*; do
        cmp "$seed" "corpus/$target/${seed##*/}" || failed=1
    done
    for file in "corpus/$target"/*; do
        if [[ ${file##*/} == seed_* && ! -f $out/$target/${file##*/} ]]; then
            echo "$file has no text in fuzz/seeds/$target"
            failed=1
        fi
        "$program" --text "$file" >"$out/text"
        "$program" --bytes "$out/text" "$out/bytes"
        cmp "$out/bytes" "$file" || failed=1
    done
done
[[ $failed == 0 ]] || echo "again: fuzz/seeds/make.sh TARGET PROGRAM corpus/TARGET"

# Machines of 32 and 64 bits with both tables are what a trace can say.
traces=0
for file in corpus/arena/*; do
    fuzz/arena_fuzz_raw_ --trace "$file" >/dev/null 2>"$out/trace"
    ! grep -qE '^# (kiln replay knows|tables:)' "$out/trace" || continue
    grep -qE '^(alloc|grow) ' "$out/trace" || continue
    if ! tools/replay/kiln-replay "$out/trace" >"$out/transcript" 2>"$out/errors"; then
        echo "$file: kiln replay refuses its trace:"
        cat "$out/errors"
        failed=1
    fi
    traces=$((traces + 1))
done
echo "$traces traces replayed"
[[ $traces -ge 20 && $failed == 0 ]]
