#!/bin/bash
# coreutils.sh - sort of a big file and its relatives. Nothing is normalised.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

real_name=coreutils
real_needs='/usr/bin/sort=coreutils'
real_process='(.*/)?(sort|uniq|join|tac|shuf|tsort|fmt|od|csplit|factor|ls|cp|split|ptx|cut|comm)'

real_prepare() {
    perl "$real_dir/generate.pl" words 24000000 >words
    mkdir many
    (cd many && seq -f 'file-%05g' 1 4000 | xargs touch -d @1700000000)
}

real_run() {
    local words=$real_inputs/words
    on_heap sort --parallel=2 -S 48M -T "$TMPDIR" "$words" >by_number || return 1
    on_heap sort --parallel=2 -S 48M -T "$TMPDIR" -k3,3 -k1,1n "$words" >by_word || return 1
    on_heap sort -c by_number || return 1
    on_heap cut -d' ' -f2 "$words" | on_heap sort -S 24M | on_heap uniq -c | on_heap sort -k1,1nr \
        -k2,2 | head -n 20
    on_heap join -j 1 by_number by_number 2>join_says | sha256sum || return 1
    on_heap comm -12 by_number <(on_heap tac by_number | on_heap sort -S 24M) | sha256sum || return 1
    on_heap shuf --random-source="$words" by_word | sha256sum || return 1
    head -c 3000000 "$words" | on_heap fmt -w 60 | sha256sum || return 1
    head -c 2000000 "$words" | on_heap od -A d -t x4 -v | sha256sum || return 1
    head -c 100000 "$words" | on_heap ptx -f -w 90 | sha256sum || return 1
    awk '$2 < $3 { print $2, $3 }' by_word | on_heap tsort | sha256sum || return 1
    seq 1000000000000 1000000002000 | on_heap factor | sha256sum || return 1
    on_heap factor "$(printf "9%.0s" {1..42})" || return 1
    on_heap cp -a "$real_inputs/many" many && on_heap ls -lR --time-style=+%s -G -g many | sha256sum ||
        return 1
    on_heap split -n l/7 by_word part. && cat part.* | sha256sum
    sha256sum by_number by_word join_says
}

real_main "$@"
