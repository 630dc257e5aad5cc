#!/bin/bash
# libkiln.so as programs meet it: what it exports and needs, preloaded, opened late, at fork, before
# constructors and after the end of main.
source tests/api/lib.sh
bits=$(kiln_bits)
profile=$KILN_OPTIONS

# What it exports, with size_t written as m.
wanted=$(cat tests/api/symbols.txt)
[ "$bits" = 64 ] || wanted=$(sed -E '/^_Z/{s/^(_Zn[wa])m/\1j/; s/^(_Zd[la]Pv)m/\1j/}' <<< "$wanted" | LC_ALL=C sort)
same "exported symbols" "$(nm -D --defined-only "$kiln_so" | awk '{print $3}' | LC_ALL=C sort)" "$wanted"
same "libraries it needs" "$(readelf -d "$kiln_so" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')" libc.so.6
same "text relocations" "$(readelf -d "$kiln_so" | grep -c TEXTREL)" 0

# Where programs begin and end.
check "threads and the process end" tests/api/exit_program
check "leaking threads are noticed" bash -c '! tests/api/exit_program control'
same "threads and the process end, preloaded" "$(preload tests/api/exit_program_system)" "all went well"
same "opened late" "$(tests/api/dlopen_program "$kiln_so")" "all went well"
early=$PWD/tests/api/libearly.so
same "before other constructors" "$(LD_PRELOAD=$kiln_so:$early tests/api/exit_program_system)" "all went well"
same "after other constructors" "$(LD_PRELOAD=$early:$kiln_so tests/api/exit_program_system)" "all went well"

# Fork with four threads in the heap; and the control, where it must go wrong.
same "fork" "$(timeout 300 tests/api/fork_program 100)" "well 100, stuck 0, badly 0"
same "fork, preloaded" "$(LD_PRELOAD=$kiln_so:$early timeout 300 tests/api/fork_program_system 30)" "well 30, stuck 0, badly 0"
same "a stuck child is noticed" \
    "$(timeout 300 tests/api/fork_program 2000 control 2> /dev/null | grep -cE 'stuck 1|badly [1-9]')" 1

# Options.
export KILN_OPTIONS=$profile:stat=1
same "a wrong option" "$(preload tests/api/exit_program_system 2>&1)" \
    'kiln: KILN_OPTIONS has no option "stat"; the nearest is stats, and KILN_OPTIONS=help=1 lists them all'
preload tests/api/exit_program_system > /dev/null 2>&1
same "a wrong option's exit status" $? 2
export KILN_OPTIONS=$profile:stats=1
same "stats at the end" "$(preload tests/api/exit_program_system 2>&1 | grep -cE '^(Kiln: heap of process|  in use)')" 1
export KILN_OPTIONS=$profile:help=1
check "help has every option, with defaults" bash -c "grep -q '^  report=text|json|both (default: text)' <<<\"\$(LD_PRELOAD=$kiln_so tests/api/exit_program_system 2>&1)\""
same "help" "$(preload tests/api/exit_program_system 2>&1 | grep -cE '^  (help|idle_bytes|record|stats)=')" 4

# A program with raised privileges takes no options: here the wrong one would end it.
export KILN_OPTIONS=$profile:stat=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp tests/api/exit_program "$folder/program"
"$folder/program" > /dev/null 2>&1
same "its options are read" $? 2
if [ "$(id -u)" = 0 ]; then
    chown 1:1 "$folder/program" && chmod 6755 "$folder/program"
    same "set-user-id: its options are not read" "$("$folder/program" 2>&1)" "all went well"
else
    echo "not root: that a set-user-id program takes no options was not tested"
fi

# Recording: one process, one file.
export KILN_OPTIONS=$profile:record=$folder/trace
tests/api/fork_program 3 > "$folder/output"
same "a recorded program's output" "$(cat "$folder/output")" "well 3, stuck 0, badly 0"
same "a trace begins with the width" "$(head -n 1 "$folder/trace")" "width $bits"
same "a trace has one start" "$(grep -c ^mallocinit "$folder/trace")" 1
check "a trace has steps" grep -qE '^(alloc|grow) ' "$folder/trace"
same "a replay goes the same way" \
    "$(tools/replay/kiln-replay "$folder/trace" | grep '^st ' | tail -n +2)" \
    "$(sed -n 's/^# st /st /p' "$folder/trace")"
cp "$folder/trace" "$folder/copy"
tests/api/exit_program > /dev/null
check "an existing file is left alone" cmp "$folder/trace" "$folder/copy"
export KILN_OPTIONS=$profile:record=$folder/none/trace
same "a file that cannot be made" "$(tests/api/exit_program 2>&1)" \
    "kiln: KILN_OPTIONS: record=$folder/none/trace: cannot create this file (No such file or directory); name one in a folder that may be written"
tests/api/exit_program > /dev/null 2>&1
same "its exit status" $? 2

finish
