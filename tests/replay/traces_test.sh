#!/bin/bash
# Every trace gives its expected transcript, byte for byte.
set -uo pipefail
replay=tools/replay/kiln-replay
traces=tests/replay/traces
passed=0
failed=0

check() { # check WHAT STATUS: counts, and says what failed
    if [[ $2 == 0 ]]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $1" >&2
    fi
}

for trace in "$traces"/*.trace; do
    diff -u "${trace%.trace}.expected" <("$replay" "$trace" 2>&1)
    check "$replay $trace: the transcript is not ${trace%.trace}.expected" $?
done

# Each trace has an expected transcript and each transcript its trace.
diff <(cd "$traces" && ls -- *.trace | sed 's/trace$//') <(cd "$traces" && ls -- *.expected | sed 's/expected$//')
check "traces and transcripts in $traces come in pairs" $?

# Standard input, and several at once, each under its name.
a=$traces/bump.trace
b=$traces/switch-up.trace
cmp <("$replay" - <"$a") "${a%.trace}.expected"
check "a trace from standard input" $?
cmp <("$replay" "$a" "$b") <(
    echo "== $a"
    cat "${a%.trace}.expected"
    echo "== $b"
    cat "${b%.trace}.expected"
)
check "two traces at once" $?

# A last line without its end, lines that end in CR LF, and a comment longer than any buffer.
cmp <(printf %s "$(cat "$a")" | "$replay" -) "${a%.trace}.expected"
check "no final newline" $?
cmp <(sed 's/$/\r/' "$a" | "$replay" -) "${a%.trace}.expected"
check "CR LF" $?
cmp <({
    printf '#'
    head -c 300000 /dev/zero | tr '\0' x
    echo
    sed 's/^alloc /\t  alloc \t\t /' "$a"
} | "$replay" -) "${a%.trace}.expected"
check "long comments and blanks" $?

# The detector detects: a transcript with one digit changed is not the expected one.
! cmp -s <("$replay" "$a" | sed '0,/0x7/s//0x8/') "${a%.trace}.expected"
check "a wrong transcript is seen" $?

echo "$passed passed, $failed failed"
[[ $failed == 0 && $passed -gt 50 ]]
