#!/bin/bash
# Reports of ruined heaps end, and say at least what they are: 1,000 cases, other ones at each run.
set -u
program=tests/report/ruin_program
first=${KILN_RUIN_FIRST:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
export KILN_OPTIONS=
echo "first case: $first (KILN_RUIN_FIRST=$first repeats them)"
"$program" control && "$program" "$first" 1000
