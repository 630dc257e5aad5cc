#!/bin/bash
# The search for leaks, where it is hard: beside threads, without ptrace, in children, without a first
# thread; under each profile. What is told of simple programs, tests/death/case_table.py says.
source tests/api/lib.sh
program=tests/api/leak_program
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# An old address on some stack, or at 32 bits one word in some thousand, looks like that of the lost
# block, which may so be missed in one run; not in each. What is found wrongly is never tried again.
tries=5
# How often leaks are looked for beside threads. A guarded block is a page to read, and to fault in.
checks=100

# run WHAT: what it prints, and how it ends
run()
{
    KILN_OPTIONS=halt_on_error=0:symbolize=0:$options timeout 300 "$program" "$1" "--checks=$checks" 2> "$folder/said"
    echo "status $?"
}

# found NAME WHAT WANTED MISSED: the same, where something is to be found
found()
{
    local got i
    for ((i = 0; i < tries; i++)); do
        got=$(run "$2" | xargs)
        [ "$got" = "$4" ] || break
    done
    same "$1" "$got" "$3"
}

for options in profile=fast profile=hardened profile=fuzz profile=hardened:guard=all profile=fuzz:guard=low; do
    [[ $options != *guard=* ]] || checks=10
    found "$options: threads" threads "found 0 then 1 status 0" "found 0 then 0 status 0"
    same "$options: one report" "$(grep -c 'ERROR: Kiln: detected memory leaks' "$folder/said")" 1
    same "$options: no ptrace, threads" "$(run no_ptrace | xargs)" "found 0 status 0"
    same "$options: why not" "$(cat "$folder/said")" \
        "kiln: leaks were not looked for: its other threads cannot be stopped with ptrace"
    found "$options: no ptrace, one thread" no_ptrace_alone "found 1 status 0" "found 0 status 0"
    found "$options: a handler that waits for children" child_handler "found 0 then 1 status 0" \
        "found 0 then 0 status 0"
    found "$options: pages that cannot be read, or not be written any more" protected "found 1 status 0" \
        "found 0 status 0"
    found "$options: child" child "child 1 parent 1 status 0" "child 1 parent 0 status 0"
    found "$options: first thread ended" first_ended "found 1 status 0" "found 0 status 0"
done

# At the end of the process, also where threads go on; the exit status that the user wants.
for profile in fast hardened fuzz; do
    checks=1 options=profile=$profile:detect_leaks=1:halt_on_error=1:exitcode=23
    found "$profile: a leak at the end" exit "status 23" "status 0"
    check "$profile: its size" grep -q '^SUMMARY: Kiln: 1[0-9]* byte(s) leaked in 1 allocation(s).$' "$folder/said"
    same "$profile: none at the end" "$(run exit_clean)" "status 0"
    same "$profile: nothing said" "$(cat "$folder/said")" ""
done
finish
