#!/bin/bash
# tools/mutants/smoke.sh PROGRAM LIBRARY - a real program says the same on the library as without.
set -euo pipefail

bash_run() {
    # shellcheck disable=SC2016
    "$@" bash -c 'x=$(seq 20000); for i in {1..400}; do a[i]=$i$x; ((i % 20)) || unset a; done
        echo "${#x}"; sort -R --random-source=<(yes) <<<"$x" | sort -n | cksum'
}
perl_run() {
    # shellcheck disable=SC2016
    "$@" perl -e 'for $r (1 .. 6) { my %h; $h{$_ * $r} = "x" x ($_ % 300) for 1 .. 60000;
        $n += length $h{$_} for keys %h; } print "$n\n"; $s = "ab" x 20000000; print length $s, "\n"'
}
clang_run() {
    "$@" clang-19 -std=c11 -I. -O1 -S -o - allocator/arena/arena_seed.c
}

program=$1
export LD_PRELOAD=
cmp <("${program}_run" env) <("${program}_run" env LD_PRELOAD="$2" || echo "FAILED status $?")
