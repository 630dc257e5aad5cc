#!/bin/bash
# Reports: what they say, to people and to tools; where they go; how the process ends; and that they
# come also from signal handlers, with locks held, from threads at once, and out of faults.
source tests/api/lib.sh
program=tests/report/report_program
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# report OPTIONS WHAT: standard error of the program goes to $folder/said, its status to $status.
# The seed is the same each time: which of a hardened heap's blocks are guarded is drawn by it.
report()
{
    { KILN_OPTIONS=seed=1:$KILN_OPTIONS:$1 timeout 300 "$program" "$2" > "$folder/output" 2> "$folder/said"; } 2> /dev/null
    status=$?
}

# says FORM WANT...: what was said, taken apart by check_report.py
says()
{
    check "$status: $*" python3 tests/report/check_report.py "$@" < "$folder/said"
}

command -v llvm-symbolizer > /dev/null || command -v llvm-symbolizer-19 > /dev/null || {
    echo "report_test: there is no llvm-symbolizer; ./kiln test installs it" >&2
    exit 1
}

# Negative controls of the checker: what it must refuse.
report report=json double-free
says json kind=double-free
check "another kind is refused" bash -c "! python3 tests/report/check_report.py json kind=bad-free < '$folder/said'"
sed 's/"version":1/"version":"1"/' "$folder/said" > "$folder/wrong"
check "a version that is no number is refused" bash -c "! python3 tests/report/check_report.py json < '$folder/wrong'"
sed 's/"note":null,//' "$folder/said" > "$folder/wrong"
check "a member that is missing is refused" bash -c "! python3 tests/report/check_report.py json < '$folder/wrong'"
report report=text double-free
check "a text without the name that tools look for is refused" \
    bash -c "! python3 tests/report/check_report.py text type=Heap-double-free < '$folder/said'"

# Every kind, as JSON and as text, with its stacks.
stack=use_block,make_kind,main
for kind in double-free interior-free foreign-free size-mismatch alignment-mismatch alloc-dealloc-mismatch \
    heap-buffer-overflow heap-buffer-underflow heap-use-after-free use-after-restore wild-access memory-leak \
    allocation-size-too-big calloc-overflow invalid-allocation-alignment out-of-memory heap-corruption; do
    report report=json "$kind"
    same "$kind ends by SIGABRT" $status 134
    says json kind=$kind stack="$stack*" thread=0 input=12345 seed=0xfedcba9876543210 halts=True \
        "replay=./kiln run -- \"a\\b\" "$'\x01\xef\xbf\xbd\xc3\xa9'
    [[ $kind != memory-leak ]] || continue
    report report=text "$kind"
    says text tool=Kiln stack0="$stack*" summary="$kind *"
done
report report=json memory-leak
says json leaks=2/74/True,1/37/False leak_stack="get_block,make_kind,main*"
report report=text memory-leak
says text tool=Kiln error="Kiln: detected memory leaks" stack0="get_block,make_kind,main*" stacks=1 \
    leaks="Direct 74 2,Indirect 37 1" summary="111 byte(s) leaked in 3 allocation(s)."
report report=json of_an_input
says json kind=double-free input=18446744073709551615 replay="./fuzz_me inputs/7"
report report=text of_an_input
check "the text's input" grep -qx 'INPUT: 18446744073709551615' "$folder/said"
check "the text's replay" grep -qx 'REPLAY: ./fuzz_me inputs/7' "$folder/said"
report report=json heap-use-after-free
says json access=write access_bytes=4 state=freed bytes=37 slot_bytes=48 offset=3 alloc_thread=0 free_thread=0 \
    alloc_stack="get_block,make_kind,main*" free_stack="put_block,make_kind,main*"
report report=json heap-buffer-underflow
says json offset=-8 state=live free_stack=None alloc_stack="get_block,make_kind,main*"

# What ClusterFuzz makes of them, under the name it knows.
as=report_as=AddressSanitizer
report $as heap-buffer-overflow
says text type=Heap-buffer-overflow access="WRITE 4" state=$stack region="2 bytes after 37" allocated=T0 stacks=2 tool=AddressSanitizer
report $as heap-buffer-underflow
says text type=Heap-buffer-overflow access="WRITE 4" state=$stack region="8 bytes before 37"
report $as heap-use-after-free
says text type=Heap-use-after-free access="WRITE 4" state=$stack region="3 bytes inside of 37" freed=T0 stacks=3 \
    stack1="put_block,make_kind,main*" stack2="get_block,make_kind,main*"
report $as double-free
says text type=Heap-double-free access=None state=$stack
report $as interior-free
says text type=Invalid-free access=None state=$stack summary="bad-free *"
report $as foreign-free
says text type=Invalid-free state=$stack
report $as alloc-dealloc-mismatch
says text type="Alloc-dealloc-mismatch (another family vs free)" state=$stack
report $as wild-access
says text type="UNKNOWN UNKNOWN" state=$stack
report $as memory-leak
says text type=Direct-leak error="LeakSanitizer: detected memory leaks" tool=AddressSanitizer state="get_block,make_kind,main"
for kind in out-of-memory allocation-size-too-big calloc-overflow; do
    report $as $kind
    says text type=Out-of-memory state=$stack
done

# Tokens, as libFuzzer reads them; no symbols, module and offset.
report dedup_token_length=3 heap-buffer-overflow
says text token=use_block--make_kind--main
report symbolize=0:report=json heap-buffer-overflow
says json stack="?,?*"
report symbolize=0:$as heap-buffer-overflow
says text state="report_program,report_program,*"
same "an offset is what a symbolizer takes" \
    "$(sed -n 's/^    #0 .*(\(.*\)+\(0x[0-9a-f]*\))$/\1 \2/p' "$folder/said" | head -n 1 | xargs llvm-symbolizer-19 -f -e 2> /dev/null | head -n 1)" use_block
report external_symbolizer_path=/bin/false:report=json heap-buffer-overflow
says json stack="?,?*"
printf '#!/bin/sh\nexec sleep 100\n' > "$folder/sleeper" && chmod +x "$folder/sleeper"
started=$SECONDS
report "external_symbolizer_path=$folder/sleeper:report=json" heap-buffer-overflow
says json stack="?,?*"
check "a symbolizer that sleeps is left after ten seconds" test $((SECONDS - started)) -lt 30

# How the process ends, and where a report goes.
report exitcode=23 double-free
same "exit code" $status 23
report exitcode=23:abort_on_error=1 double-free
same "exit code, and abort wanted" $status 134
report report=both double-free
same "both forms" "$(grep -cE '^(SUMMARY: Kiln: double-free|\{"schema":"kiln-report")' "$folder/said")" 2
report "report=both:log_path=$folder/log" double-free
same "nothing on standard error" "$(cat "$folder/said")" ""
check "the text's file" grep -q '^SUMMARY: Kiln: double-free' "$folder"/log.[0-9]*[0-9]
check "the JSON's file" bash -c "python3 tests/report/check_report.py json kind=double-free < '$folder'/log.*.json"
report "log_path=$folder/none/log" double-free
check "a file that cannot be made: standard error" grep -q '^SUMMARY: Kiln: double-free' "$folder/said"
report log_path=stdout double-free
check "standard output" grep -q '^SUMMARY: Kiln: double-free' "$folder/output"
report halt_on_error=0 go_on
same "going on: exit status" $status 0
same "going on: reports" "$(grep -c '^SUMMARY: ' "$folder/said")" 3
same "going on: said at the end" "$(cat "$folder/output")" "went on"
same "going on: it does not say that it aborts" "$(grep -c ABORTING "$folder/said")" 0
report '' refusals
same "refusals are answers" "$status $(cat "$folder/output")$(cat "$folder/said")" "0 went on"
report allocator_may_return_null=0:halt_on_error=0 refusals
same "refusals are reports" "$(sed -n 's/^SUMMARY: Kiln: \([a-z-]*\) .*/\1/p' "$folder/said" | xargs)" \
    "calloc-overflow allocation-size-too-big invalid-allocation-alignment"
export AFL_LD_HARD_FAIL=1
report '' refusals
same "as libdislocator's hard fail" "$status $(sed -n 's/^SUMMARY: Kiln: \([a-z-]*\) .*/\1/p' "$folder/said")" "134 calloc-overflow"
unset AFL_LD_HARD_FAIL
report '' limited
same "no limit" "$status $(cat "$folder/output")" "0 no limit"
AFL_LD_LIMIT_MB=50 report '' limited
same "libdislocator's limit" "$status $(cat "$folder/output")" "0 limited"
AFL_LD_LIMIT_MB=much report '' refusals
same "a wrong limit" "$status $(cat "$folder/said")" '2 kiln: AFL_LD_LIMIT_MB is a number of megabytes above 0, not "much"'

# Options that the program brings: they hold, the environment's are read after them.
program=tests/report/preset_program
report '' ''
same "kiln_default_options: exit code" $status 21
says json kind=double-free
report exitcode=22:report=text ''
same "KILN_OPTIONS after kiln_default_options" "$status $(grep -c '^SUMMARY: Kiln: double-free' "$folder/said")" "22 1"
program=tests/report/preset_wrong_program
report '' ''
same "a wrong option of kiln_default_options" "$status $(head -n 1 "$folder/said" | sed "s|;.*||")" '2 kiln: kiln_default_options() has no option "exitcod"'
program=tests/report/report_program

# Records that a wild write has changed are not used, whatever the profile.
for profile in fast hardened fuzz; do
    report profile=$profile ruined_record
    same "a ruined record, $profile" "$status $(grep -c '^SUMMARY: Kiln: heap-corruption' "$folder/said")" "134 1"
    report profile=$profile:report=json ruined_record
    says json kind=heap-corruption stack="use_heap_after,ruined_record,main*"
    report profile=$profile:halt_on_error=0 ruined_record
    same "nobody goes on with a ruined record, $profile" "$status $(cat "$folder/output")" "134 "
    report profile=$profile sound_record
    same "a sound record, $profile" "$status $(cat "$folder/output")$(cat "$folder/said")" "0 went on"
done

# Situations.
report '' in_handler
same "in a signal handler, on its own stack of 8 KiB" "$status $(grep -c '^SUMMARY: Kiln: double-free' "$folder/said")" "134 1"
check "the stack goes on below the handler" grep -q 'in report_in_handler' "$folder/said"
report '' with_locks
same "with every lock of the heap held" "$status $(grep -c '^SUMMARY: Kiln: heap-use-after-free' "$folder/said")" "134 1"
report halt_on_error=0:report=json from_threads
same "four threads, one after another" "$status $(cat "$folder/output") $(grep -c '^{.*}$' "$folder/said") $(wc -l < "$folder/said")" "0 went on 4 4"
report '' from_threads
same "of threads at once, one ends the process" "$status $(grep -c '^SUMMARY: ' "$folder/said")" "134 1"
report '' in_child
same "in the child of a fork" "$status $(grep -c '^SUMMARY: Kiln: double-free' "$folder/said")" "0 1"
report '' that_faults
check "a fault in a report ends it, with what was said" grep -q 'in report_that_faults' "$folder/said"
same "a fault in a report" "$status $(tail -n 1 "$folder/said")" "134 kiln: the report met a second error, and ends here"

# Faults: of the heap, of the program, and who handles them.
report handle_segv=1 wild
same "a wild access" "$status $(sed -n 's/^SUMMARY: Kiln: \(.*\) [^ ]* in \(.*\)/\1 \2/p' "$folder/said")" "134 wild-access touch"
report handle_segv=1:$as wild
says text type="UNKNOWN WRITE" state=touch,wild_access,main
report handle_segv=1:report=json wild
says json access=write stack="touch,wild_access,main*" call=None
report handle_segv=1 sysv_signals
same "handlers of the old kind are the program's" "$status $(cat "$folder/output" "$folder/said")" "0 went on"
report handle_segv=0 wild
same "not handled" "$status $(cat "$folder/said")" "139 "
report handle_segv=1 wild_beside_a_handler
same "a wild access, and a handler of the program" "$status $(grep -c '^SUMMARY: Kiln: wild-access' "$folder/said")" "134 1"
report handle_segv=1 null_with_a_handler
same "another fault is the program's" "$status $(cat "$folder/output" "$folder/said")" "0 the program's handler ran"
report handle_segv=1 null
same "without a handler, the default" "$status $(cat "$folder/said")" "139 "
report handle_segv=1 sent_signal
same "a signal that was sent" "$status $(cat "$folder/said")" "139 "
report handle_segv=1 ignored_sent_signal
same "one that is ignored" "$status $(cat "$folder/output" "$folder/said")" "0 went on"

# Without a profile's name the heap is hardened. A static program may be under a filter that kills for
# a handler: there faults are handled once the program handles something.
export KILN_OPTIONS=
report '' overflow
same "by default an overflow is seen" "$status $(sed -n 's/^SUMMARY: Kiln: \([a-z-]*\) .*/\1/p' "$folder/said")" "134 heap-buffer-overflow"
report profile=fast overflow
same "profile=fast sees none" "$status $(cat "$folder/output" "$folder/said")" "0 went on"
report guard_every=1 overflow_of_pages
same "by default a fault is one" "$status $(sed -n 's/^SUMMARY: Kiln: \([a-z-]*\) .*/\1/p' "$folder/said")" "134 heap-buffer-overflow"
report guard_every=1:handle_segv=0 overflow_of_pages
same "handle_segv=0 leaves it as it is" "$status $(cat "$folder/said")" "139 "
program=tests/report/report_static_program
report guard_every=1 overflow_of_pages
same "static: no handler is set that nobody asked for" "$status $(cat "$folder/said")" "139 "
report guard_every=1 overflow_of_pages_beside_a_handler
same "static: beside one of the program's" "$status $(sed -n 's/^SUMMARY: Kiln: \([a-z-]*\) .*/\1/p' "$folder/said")" "134 heap-buffer-overflow"
for named in profile=hardened guard=some handle_segv=1; do
    report guard_every=1:$named overflow_of_pages
    same "static: where $named is said" "$status $(sed -n 's/^SUMMARY: Kiln: \([a-z-]*\) .*/\1/p' "$folder/said")" "134 heap-buffer-overflow"
done
program=tests/report/report_program
if [ "$(id -u)" = 0 ]; then
    cp $program "$folder/raised" && chown 1:1 "$folder/raised" && chmod 6755 "$folder/raised"
    program=$folder/raised
    report profile=fast overflow
    same "raised privileges: no option takes checks away" "$status $(grep -c '^SUMMARY: Kiln: heap-buffer-overflow' "$folder/said")" "134 1"
else
    echo "not root: what a set-user-id program's heap is was not tested"
fi
program=tests/report/report_program

# What is the program's stays so, whatever is handled.
for options in '' profile=fast:handle_segv=1 profile=hardened guard_every=1:guard=some profile=fuzz profile=fuzz:guard=low; do
    report "$options" protected
    same "blocks that the program protects: $options" "$status $(cat "$folder/output" "$folder/said")" "0 went on"
    report "$options" null_after_vfork
    same "its handler after a vfork: $options" "$status $(cat "$folder/output" "$folder/said")" "0 went on"
done

finish
