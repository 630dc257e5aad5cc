#!/bin/bash
# tools/check/memcheck.sh PROGRAM ARGUMENTS - runs it, and the programs of this checkout that it starts,
# under valgrind's memcheck. An error ends it with status 99. What the system brings (bash itself, sort)
# is not looked at, nor is a script that asks valgrind by itself.
set -eu
options=(-q --fair-sched=yes --error-exitcode=99)
if [[ $(head -c 2 "$1") == '#!' ]]; then
    options+=(--trace-children=yes "--trace-children-skip=/bin/*,/usr/bin/*,/sbin/*,/usr/sbin/*")
fi
[[ $1 != *watch_test ]] || exec "$@"
exec valgrind "${options[@]}" "$@"
