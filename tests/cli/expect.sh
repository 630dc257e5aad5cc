# tests/cli/expect.sh - what the tests of the command line share. Sourced.
#
# A test script sources this, calls expect_* and ends with expect_done, which prints the line
# "N passed, N failed" and gives the exit status. $KILN_ROOT is the checkout, $scratch a folder that
# is removed at the end.

set -uo pipefail
KILN_ROOT=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
kiln=$KILN_ROOT/kiln
expect_passed=0
expect_failed=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

expect_ok() {
    expect_passed=$((expect_passed + 1))
}

expect_not() {
    echo "FAILED $*" >&2
    expect_failed=$((expect_failed + 1))
}

# expect_run WHAT STATUS PATTERN COMMAND... runs the command: it must end with STATUS, and standard
# output and standard error together must match the extended regular expression PATTERN.
expect_run() {
    local what=$1 status=$2 pattern=$3 said got=0
    shift 3
    said=$("$@" 2>&1 </dev/null) || got=$?
    if [[ $got != "$status" ]]; then
        expect_not "$what: status $got, expected $status, from: $* - which said: $said"
    elif ! [[ $said =~ $pattern ]]; then
        expect_not "$what: expected /$pattern/ from: $* - which said: $said"
    else
        expect_ok
    fi
}

expect_done() {
    echo "$expect_passed passed, $expect_failed failed"
    [[ $expect_failed == 0 && $expect_passed -gt 0 ]]
    exit
}
