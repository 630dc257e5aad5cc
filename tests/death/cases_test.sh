#!/bin/bash
# usage: cases_test.sh --every=N...
#
# Each Nth of the generated cases (the last N counts), then the driver's own controls: it must say of a
# heap that sees no overflows, and of one that was built not to look at its canaries, that they were missed.
set -u
folder=tests/death
failed=0
every=${*: -1}

# cases STATUS PATTERN PROGRAM ARGS...: the exit status, and what the last line is like.
cases()
{
    local wanted=$1 pattern=$2 output status
    shift 2
    output=$(python3 "$folder/cases.py" "$@" 2>&1)
    status=$?
    if [ $status = "$wanted" ] && [[ $(tail -n 1 <<< "$output") =~ $pattern ]]; then
        [ "$wanted" != 0 ] || echo "$output"
        return
    fi
    echo "FAILED cases.py $*: exit status $status, not $wanted, or another last line than $pattern"
    echo "$output"
    failed=1
}

cases 0 '^[1-9][0-9]* passed, 0 failed$' "$folder/case" "$every"
cases 1 '^0 passed, [1-9][0-9]* failed$' "$folder/case" --control --every=17
cases 1 '^0 passed, [1-9][0-9]* failed$' "$folder/case_planted" --profile=fuzz --group='overflow into slack' --every=17
cases 0 '^[1-9][0-9]* passed, 0 failed$' "$folder/case_planted" --profile=fuzz --group='double free' --every=17
[ $failed = 0 ] && echo "the driver tells of what is missed: by design, and by a bug that was planted"
exit $failed
