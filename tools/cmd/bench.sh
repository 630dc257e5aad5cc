#!/bin/bash
# kiln bench - sets Kiln beside other heaps: time and memory of workloads and real programs
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kiln.sh"
source "$KILN_ROOT/tools/lib/program.sh"

usage() {
    cat <<'END'
Usage: kiln bench [GROUP]... [NAME=LIB.so[,VARIABLE=VALUE]...]... [OPTION]...
       kiln bench real [--pairs=N] [--only=NAME]... [--against=LIB.so] [--tsv=FILE]
       kiln bench detect [--only=HEAP]... [--tsv=FILE]
       kiln bench guard [--pairs=N] [--rounds=N]
       kiln bench stacks [--only=NAME]... [--rounds=N]

Runs workloads and real programs on glibc's malloc, on Kiln and on other heaps, turn and turn about,
and prints tables of CPU time, wall time and peak memory. A cell is a heap's ratio to glibc: the
median over the rounds, and half of their interquartile range. Every run must print what the first
one on glibc printed, and must have been served by the heap that it is counted for; one that crashed,
printed something else, took 20 times as long as glibc (and more than 10 s), or ran on another heap
has a word in its cell, and the heap's mean is over fewer. Installs what is missing and builds
libkiln.so first. The machine should do nothing else meanwhile.

Groups (work and real, if none is given; about an hour):
  work     18 programs that do nothing but allocate, in shapes that real ones have
  real     11 real programs. Alone, it is the second form: the system's malloc and Kiln
  sizes    blocks of one size, 16 bytes to 64 KiB: last in first out, first in first out, random
  scale    cost of an operation at 10^3 to 10^7 live blocks, and on 1 to 64 threads

Heaps: kiln (profile=fast), kiln-hardened and kiln-fuzz (its other profiles), mimalloc, jemalloc, tcmalloc, scudo,
dislocator (AFL++'s, for what finishes on it), asan (a build of the workloads with AddressSanitizer),
floor and floor-hardened (of sizes: heaps that do nothing, so what is left is the workloads' own, and
nothing but the checks of a hardened heap, each in the cheapest way that there is),
and any NAME=LIB.so, which is preloaded, with the settings that follow it; real programs are given of
these only KILN_OPTIONS.

  --heaps=NAME,...  only these, and glibc
  --only=NAME       only this workload or program; may be given more than once
  --rounds=N        rounds of each; 5 if not given (--pairs=N is the same)
  --percent=P       of the workloads' work; 100 if not given
  --tsv=FILE        also writes every run to FILE
  --svg=FILE        also draws the ratios as bars, and the costs of scale as lines

detect, guard and stacks are other things: what each heap catches of wrong steps of a program, what it
costs to guard every block, and what to keep stacks; each has its own --help.

The exit status is 0; 1 when Kiln or a heap NAME=LIB.so failed anywhere; 2 for a wrong argument.
END
}

usage_detect() {
    cat <<'END'
Usage: kiln bench detect [--only=HEAP]... [--tsv=FILE]

Runs programs that do one wrong step with a block each, and their correct twins, on Kiln's profiles
and on other heaps, and prints a table of how many of each kind were caught: the program ended by a
signal, with the heap's error status or after a report, and its twin did not. It takes some 8 minutes.
Installs what is missing and builds first.

Heaps: glibc, check (glibc with MALLOC_CHECK_=3), scudo, dislocator (AFL++'s), asan (a build with
AddressSanitizer), valgrind (memcheck), and Kiln's fast, hardened, fuzz (caught under one of ten
seeds), guard-all (guard=all) and guard (guard=all or, in a run of its own, guard=low).

  --only=HEAP   only this heap; may be given more than once
  --tsv=FILE    also writes every case to FILE: heap, kind, case, caught, false

The exit status is 0; 1 when Kiln told of a correct twin; 2 for a wrong argument.
END
}

usage_guard() {
    cat <<'END'
Usage: kiln bench guard [--pairs=N] [--rounds=N]

What it costs that every block ends at a page that faults. First the time of a pair of malloc and free
on Kiln with guard=all, on its guarded blocks without the rest of the heap, on libdislocator, and what
the system alone takes for a page, turn and turn about. Then N pairs of random sizes and alignments in
one process on Kiln, and the most mappings of the kernel that it had at once.

  --pairs=N    of the long run; 100,000,000 if not given, which takes about 20 minutes
  --rounds=N   of the first part, which takes about a minute a round; 5 if not given; 0: without it

The exit status is 0; 1 when Kiln did not make all pairs, had more than 1,000 mappings, or a block
did not end where it should; 2 for a wrong argument.
END
}

usage_stacks() {
    cat <<'END'
Usage: kiln bench stacks [--only=NAME]... [--rounds=N]

Which share of the time of real programs under profile=fuzz goes into keeping the stacks of malloc and
free, as perf sees it, and into all of Kiln. Installs what is missing and builds libkiln.so first.

  --only=NAME  only this program of kiln bench real; may be given more than once. Else python3, git, gcc
  --rounds=N   of which the medians are told; 3 if not given

The exit status is 0; 1 when a program failed or did not run on Kiln; 2 for a wrong argument, or
without perf.
END
}

usage_real() {
    cat <<'END'
Usage: kiln bench real [--pairs=N] [--only=NAME]... [--against=LIB.so] [--tsv=FILE]

Runs real programs on the system's malloc and on Kiln (profile=fast, unless KILN_OPTIONS names
another), turn and turn about, and prints a table of wall time, CPU time and the biggest process's peak memory. Ratios are Kiln over the other, medians
over the pairs; the last column names what is over its limit: time above 1.25, memory above 1.5.
It takes about 8 minutes; the machine should do nothing else meanwhile. Installs what is missing
and builds libkiln.so first.

  --pairs=N         pairs of runs of each program; 5 if not given
  --only=NAME       only this program; may be given more than once
  --against=LIB.so  this library takes the place of the system's malloc
  --library=LIB.so  this library takes Kiln's place
  --tsv=FILE        also writes every run to FILE: program, pair, heap, seconds, KiB

With an option of kiln bench (--heaps, --rounds, --percent, --svg) or NAME=LIB.so it is that command.

The exit status is 0; 1 when a program crashed or its output differed; 2 for a wrong argument.
END
}

# The second form: `real` is the only group, and nothing was said that only the first form has.
form=compare
for arg; do
    case $arg in
    real) [[ $form == other ]] || form=real ;;
    --heaps* | --rounds* | --percent* | --svg* | [!-]*) form=other ;;
    esac
done
[[ $form == real ]] || form=compare
case ${1:-} in
detect | guard | stacks) form=$1 ;;
esac
for arg; do
    case $form/$arg in
    guard/guard | guard/--pairs=* | guard/--rounds=*) ;;
    stacks/stacks | stacks/--only=* | stacks/--rounds=*) ;;
    stacks/-h | stacks/--help)
        usage_stacks
        exit 0
        ;;
    stacks/--only | stacks/--rounds) kiln_usage "$arg wants a value: $arg=..." ;;
    stacks/-*) kiln_bad_option 'bench stacks' "$arg" --only --rounds --help ;;
    stacks/*) kiln_usage "kiln bench stacks takes no '$arg'" ;;
    guard/-h | guard/--help)
        usage_guard
        exit 0
        ;;
    guard/--pairs | guard/--rounds) kiln_usage "$arg wants a value: $arg=..." ;;
    guard/-*) kiln_bad_option 'bench guard' "$arg" --pairs --rounds --help ;;
    guard/*) kiln_usage "kiln bench guard takes no '$arg'" ;;
    detect/detect | detect/--only=* | detect/--tsv=*) ;;
    detect/-h | detect/--help)
        usage_detect
        exit 0
        ;;
    detect/--only | detect/--tsv) kiln_usage "$arg wants a value: $arg=..." ;;
    detect/-*) kiln_bad_option 'bench detect' "$arg" --only --tsv --help ;;
    detect/*) kiln_usage "kiln bench detect takes no '$arg'" ;;
    real/-h | real/--help)
        usage_real
        exit 0
        ;;
    compare/-h | compare/--help)
        usage
        exit 0
        ;;
    */--pairs=* | */--only=* | */--tsv=*) ;;
    real/--against=* | real/--library=*) ;;
    compare/--rounds=* | compare/--heaps=* | compare/--percent=* | compare/--svg=*) ;;
    */--pairs | */--only | */--tsv | */--against | */--library | */--rounds | */--heaps | */--percent | */--svg)
        kiln_usage "$arg wants a value: $arg=..." ;;
    real/-*) kiln_bad_option 'bench real' "$arg" --pairs --only --against --library --tsv --help ;;
    compare/-*) kiln_bad_option bench "$arg" --pairs --rounds --only --heaps --percent --tsv --svg --help ;;
    compare/work | */real | compare/sizes | compare/scale | compare/*=*) ;;
    *) kiln_usage "there is no group '$arg'; the nearest is '$(kiln_nearest "$arg" work real sizes scale detect guard stacks)'" \
        "(a heap of yours is NAME=LIB.so)" ;;
    esac
done

kiln_library
export KILN_LIB=$KILN_LIBRARY
tests=$KILN_ROOT/tests
if [[ $form == real ]]; then
    kiln_need real
    options=()
    for arg; do [[ $arg == real ]] || options+=("$arg"); done
    unset KILN_ROOT KILN_OUT
    exec /usr/bin/python3 "$tests/real/bench.py" "${options[@]}"
fi
if [[ $form == detect ]]; then
    kiln_need bench
    kiln_program //tests/death:case_plain tests/death allocator/api
    export KILN_CASE=$KILN_PROGRAM
    kiln_program //tests/death:case_asan tests/death allocator/api
    export KILN_CASE_ASAN=$KILN_PROGRAM
    shift
    unset KILN_ROOT KILN_OUT
    exec /usr/bin/python3 "$tests/bench/detect.py" "$@"
fi
if [[ $form == guard ]]; then
    kiln_need bench
    kiln_program //tests/bench:guard_pairs tests/bench allocator
    export KILN_GUARD_PAIRS=$KILN_PROGRAM
    shift
    unset KILN_ROOT KILN_OUT
    exec /usr/bin/python3 "$tests/bench/guard.py" "$@"
fi
kiln_need bench real
if [[ $form == stacks ]]; then
    shift
    unset KILN_ROOT KILN_OUT
    exec /usr/bin/python3 "$tests/bench/stacks.py" "$@"
fi
kiln_program //tests/bench:workload tests/bench allocator/base
export KILN_WORKLOAD=$KILN_PROGRAM
kiln_program //tests/bench:workload_asan tests/bench allocator/base
export KILN_WORKLOAD_ASAN=$KILN_PROGRAM
kiln_program //tests/bench:floor_heap.so tests/bench
kiln_program //tests/bench:floor_hardened_heap.so tests/bench
export KILN_FLOORS=${KILN_PROGRAM%/*}
unset KILN_ROOT KILN_OUT
exec /usr/bin/python3 "$tests/bench/compare.py" "$@"
