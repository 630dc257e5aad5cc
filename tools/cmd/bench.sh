#!/bin/bash
# kiln bench - measures Kiln; `kiln bench real`: real programs on the system's malloc and on Kiln
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kiln.sh"
source "$KILN_ROOT/tools/lib/program.sh"

usage() {
    cat <<'END'
Usage: kiln bench real [--pairs=N] [--only=NAME]... [--against=LIB.so] [--tsv=FILE]

Runs real programs on the system's malloc and on Kiln, turn and turn about, and prints a table of
wall time, CPU time and the biggest process's peak memory. Ratios are Kiln over the other, medians
over the pairs; the last column names what is over its limit: time above 1.25, memory above 1.5.
It takes about 8 minutes; the machine should do nothing else meanwhile. Installs what is missing
and builds libkiln.so first.

  --pairs=N         pairs of runs of each program; 5 if not given
  --only=NAME       only this program; may be given more than once
  --against=LIB.so  this library takes the place of the system's malloc
  --library=LIB.so  this library takes Kiln's place
  --tsv=FILE        also writes every run to FILE: program, pair, heap, seconds, KiB

The exit status is 0; 1 when a program crashed or its output differed; 2 for a wrong argument.
END
}

case ${1:-} in
-h | --help)
    usage
    exit 0
    ;;
real) shift ;;
'') kiln_usage "what to measure? kiln bench real" ;;
-*) kiln_bad_option bench "$1" --help ;;
*) kiln_usage "there is no benchmark '$1'; the nearest is 'kiln bench real'" ;;
esac

for arg; do
    case $arg in
    -h | --help)
        usage
        exit 0
        ;;
    --pairs* | --only* | --against* | --library* | --tsv*) ;;
    -*) kiln_bad_option 'bench real' "$arg" --pairs --only --against --library --tsv --help ;;
    esac
done
kiln_need real
kiln_library
export KILN_LIB=$KILN_LIBRARY
unset KILN_ROOT KILN_OUT
exec /usr/bin/python3 "${BASH_SOURCE[0]%/tools/cmd/*}/tests/real/bench.py" "$@"
