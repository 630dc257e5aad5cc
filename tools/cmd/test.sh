#!/bin/bash
# kiln test - builds and runs every test, in every way Kiln is built
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kiln.sh"
source "$(dirname "${BASH_SOURCE[0]}")/../lib/bits32.sh"

# The phases, in order: NAME KIND WHAT. `bazel` runs every test with --config=NAME, `fuzz` those of
# //fuzz only, `heap` those of programs on the process's heap. `check` runs the script WHAT, which ends
# with a line "N passed, N failed". `bazel-all` and `check-all` are for --all only.
PHASES='
default    bazel  clang-19, 64 bits, assertions on
release    bazel  as programs run on it; with the real programs
profile-fast heap as release, with profile=fast; with the real programs, without the tests of Python
profile-fuzz heap the same with profile=fuzz
i386       bazel  clang-19, 32 bits
gcc        bazel  gcc-12, 64 bits
gcc-i386   bazel  gcc-12, 32 bits
asan       bazel  AddressSanitizer
ubsan      bazel  UndefinedBehaviorSanitizer
msan       bazel  MemorySanitizer
tsan       bazel  ThreadSanitizer
hwasan     bazel  HWAddressSanitizer, by aliases: the heap for programs that embed one
asan-libfuzzer  fuzz  each fuzz target built so, its corpus replayed
msan-libfuzzer  fuzz  the same
ubsan-libfuzzer fuzz  the same
asan-afl        fuzz  the same
msan-afl        fuzz  the same
ubsan-afl       fuzz  the same
asan-i386  bazel-all  AddressSanitizer, 32 bits
valgrind   bazel-all  memcheck looks at what default builds
format     check  tools/check/format.sh
lint       check  tools/check/lint.sh
layers     check  tools/check/layers.sh
cli        check  tests/cli/cli_test.sh
checks     check  tests/cli/checks_test.sh
oracles    check  tests/fuzz/planted_test.sh
faults     check  tests/fuzz/faults_test.sh
search     check  tests/search/planted_test.sh
stress     check  tests/stress/planted_test.sh
aarch64    check  tests/unit/aarch64_test.sh
fuzz       check  tests/fuzz/command_test.sh
inputs     check  tests/fuzz/inputs_test.sh
shrink     check  tests/fuzz/shrink_test.sh
sim        check  tests/fuzz/sim_test.sh
mutants    check  tests/mutants/mutants_test.sh
prove      check  tools/proof/test.sh
cover      check  tools/proof/cover.sh
readme     check  tests/cli/readme_test.sh
full       check-all tests/stress/full_test.sh
faults-full check-all tests/fuzz/faults_full_test.sh
guard-all  check-all tests/real/guard_test.sh
newcomer   check-all tests/newcomer/newcomer_test.sh
'
# Python's own tests wait for each other by the clock: once, in the phase release, is enough of that,
# and of what real programs are tried with, which control_test is of.
HEAP_TESTS=(//tests/api/... //tests/death/... //tests/real/... //tests/report/...
    -//tests/real:python3_test -//tests/real:control_test)
QUICK=(default format lint layers)
# A check that has not ended by then hangs: three times what the longest takes on a slow machine.
CHECK_LIMIT_S=1200
NOT_EMULATED='attr(tags, "no-emulator", tests(//...))'

phase_names() {
    awk 'NF { print $1 }' <<<"$PHASES"
}

usage() {
    cat <<'END'
Usage: kiln test [--all | --quick] [PHASE...] [FILTER...]
       kiln test --matrix [--update | --check]

Installs what is missing, then builds and runs the tests, phase by phase, and ends with a table and
the line "N passed, N failed". The exit status is 0 only when none failed, 1 otherwise, 2 for a
wrong argument.

  PHASE     only this phase (see below)
  FILTER    only tests whose Bazel label contains this word, or is it; in the phases default and
            release unless others are named
  --quick   only the phases that a change must pass before anything else
  --all     also AddressSanitizer at 32 bits and valgrind, the newcomer's test, which sets Kiln up on a
            minimal Debian in a folder, the searches and stresses at full length, the real programs with
            all blocks guarded, and the commands of README.md that take minutes
  --matrix  runs nothing: shows which sanitizer looked at which tests when its phase was last run whole,
            and which tests are left out, and why (tests/left_out.txt)
  --update  writes how many each looks at, which are left out, and why, into DESIGN.md
  --check   whether that is what DESIGN.md has

Phases:
END
    awk 'NF { name = $1; $1 = ""; sub(/^ [a-z]+-all /, "(with --all) "); sub(/^ (bazel|fuzz|heap|check) /, "");
              printf "  %-15s %s\n", name, $0 }' <<<"$PHASES"
}

# Those that the table of --matrix is of: what looks at more than a compiler does.
matrix_phases() {
    awk 'NF && $2 ~ /^(bazel|fuzz)/ && $1 !~ /^(default|release|i386|gcc|gcc-i386)$/ {
        print $1 ($2 == "fuzz" ? ":fuzz" : "") }' <<<"$PHASES"
}

# show_matrix MODE: see tools/lib/matrix.py.
show_matrix() {
    local tests
    local -a rows
    kiln_need build fuzz
    tests=$(kiln_bazel query --noshow_progress --output=xml 'tests(//...)' 2>"$KILN_OUT/query.log") || {
        cat "$KILN_OUT/query.log"
        kiln_die "Bazel cannot list the tests; what it said is above"
    }
    mapfile -t rows < <(matrix_phases)
    python3 "$KILN_ROOT/tools/lib/matrix.py" "$1" "$KILN_ROOT" "$KILN_OUT/test" "${rows[@]}" <<<"$tests"
}

extent=usual
matrix='' matrix_mode=''
phases=()
filters=()
for arg; do
    case $arg in
    -h | --help)
        usage
        exit 0
        ;;
    --all | --quick)
        [[ $extent == usual || $extent == "${arg#--}" ]] || kiln_usage "--all and --quick exclude each other"
        extent=${arg#--}
        ;;
    --matrix) matrix=${matrix:-print} ;;
    --update | --check)
        [[ -z $matrix_mode ]] || kiln_usage "--update and --check exclude each other, and each is given once"
        matrix=${arg#--} matrix_mode=$arg
        ;;
    -*) kiln_bad_option test "$arg" --all --quick --matrix --update --check --help ;;
    '') kiln_usage "an empty FILTER matches nothing; leave it out to run every test" ;;
    *) if grep -qxF -e "$arg" <<<"$(phase_names)"; then phases+=("$arg"); else filters+=("$arg"); fi ;;
    esac
done

if [[ -n $matrix ]]; then
    [[ " $* " == *' --matrix '* ]] || kiln_usage "$matrix_mode is an option of --matrix: kiln test --matrix $matrix_mode"
    [[ $extent == usual && $((${#phases[@]} + ${#filters[@]})) == 0 ]] ||
        kiln_usage "--matrix runs no test: it takes --update or --check, and no phase, filter or other option"
    show_matrix "$matrix"
    exit
fi

if [[ ${#phases[@]} -gt 0 ]]; then
    :
elif [[ ${#filters[@]} -gt 0 ]]; then
    phases=(default release)
elif [[ $extent == quick ]]; then
    phases=("${QUICK[@]}")
elif [[ $extent == all ]]; then
    mapfile -t phases < <(phase_names)
else
    mapfile -t phases < <(awk 'NF && $2 !~ /-all$/ { print $1 }' <<<"$PHASES")
fi

logs=$KILN_OUT/test
mkdir -p "$logs"
exec 9>"$KILN_OUT/test.lock"
flock -n 9 || {
    kiln_say "waiting for another kiln test in this checkout"
    flock 9
}
started=$SECONDS
sets=(build test fuzz race bench)
[[ " ${phases[*]} " != *' release '* && " ${phases[*]} " != *' profile-'* ]] || sets+=(real)
[[ " ${phases[*]} " != *' newcomer '* ]] || sets+=(newcomer)
kiln_need "${sets[@]}"
emulated=0
case " ${phases[*]} " in
*i386' '* | *' stress '*)
    kiln_need_bits32
    [[ $(kiln_bits32_by) == kernel ]] || emulated=1
    ;;
esac

# The labels that the filters mean, or everything.
targets=(//...)
if [[ ${#filters[@]} -gt 0 ]]; then
    known=$(kiln_bazel query --noshow_progress 'tests(//...)' 2>"$logs/query.log" 9>&-) || {
        cat "$logs/query.log"
        kiln_die "Bazel cannot list the tests; what it said is above"
    }
    targets=()
    for filter in "${filters[@]}"; do
        mapfile -t found < <(if [[ $filter == //* ]]; then grep -xF -e "$filter" <<<"$known"; else grep -F -e "$filter" <<<"$known"; fi)
        [[ ${#found[@]} -gt 0 ]] || kiln_usage "'$filter' is no phase and no test's label has it; the nearest are" \
            "the phase '$(kiln_nearest "$filter" $(phase_names))' and the test '$(kiln_nearest "$filter" ${known//*:/})'"
        targets+=("${found[@]}")
    done
fi

# verdicts EVENTS prints "STATUS LABEL" for each test in a file of Bazel's build events.
verdicts() {
    sed -n -e '/^{"id":{"testSummary":/s/.*"label":"\([^"]*\)".*"overallStatus":"\([A-Z_]*\)".*/\2 \1/p' \
        -e '/"success":true/d' -e 's/^{"id":{"targetCompleted":{"label":"\([^"]*\)".*/FAILED_TO_BUILD \1/p' "$1" |
        sort -u
}

# bazel_phase NAME LOG TARGET... sets passed and failed, and prints what a failure needs.
bazel_phase() {
    local name=$1 log=$2 events=$logs/$1$part.events status=0 verdict label failures=''
    local -a config=()
    shift 2
    [[ $name == default ]] || config=("--config=$name")
    if [[ $emulated == 1 && $name == *i386 && $name != asan* ]]; then
        config+=(--config=emulated)
        echo "not run, for this kernel hands 32-bit programs to qemu-i386, which has not what they ask for:"
        kiln_bazel query --noshow_progress "$NOT_EMULATED" 2>/dev/null 9>&- | sed 's/^/  /'
    fi
    : >"$events"
    kiln_watch "$log" kiln_bazel test --keep_going --noshow_progress --color=no \
        --curses=no "${config[@]}" "--build_event_json_file=$events" -- "$@" 9>&- || status=$?
    while read -r verdict label; do
        if [[ $verdict == PASSED ]]; then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
            failures+="$verdict $label; again alone: ./kiln test $name $label"$'\n'
        fi
    done < <(verdicts "$events")
    # 4: no test is meant for this config, by its tags; else the tree as a whole could not be built.
    [[ $status == 0 || $status == 4 || $failed -gt 0 ]] || failed=1
    if [[ $failed -gt 0 ]]; then
        awk '!/^(INFO|Loading|Analyzing): /' "$log"
        printf '%s' "$failures"
    fi
}

# check_phase NAME LOG SCRIPT sets passed and failed.
check_phase() {
    local name=$1 log=$2 status=0 closing limit_s
    local -a arguments=()
    [[ $extent != all ]] || arguments=(--all)
    limit_s=$CHECK_LIMIT_S
    [[ $extent != all ]] || limit_s=$((24 * 3600))
    kiln_watch "$log" timeout -k 10 "$limit_s" bash "$KILN_ROOT/$3" "${arguments[@]}" 9>&- || status=$?
    closing=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1 || true)
    read -r passed _ failed _ <<<"${closing:-0 passed, 0 failed}"
    [[ $status == 0 || $failed -gt 0 ]] || failed=1
    if [[ $failed -gt 0 ]]; then
        cat "$log"
        [[ $status != 124 ]] || echo "it did not end within $limit_s s: what it said before it hung is above"
        echo "again alone: ./kiln test $name"
    fi
}

# What a filter leaves over is no result of a whole phase.
part=''
[[ ${#filters[@]} == 0 ]] || part=.part
summary=''
passed_all=0
failed_all=0
for i in "${!phases[@]}"; do
    name=${phases[i]}
    phase_started=$SECONDS
    passed=0
    failed=0
    read -r kind what <<<"$(awk -v name="$name" '$1 == name { $1 = ""; print }' <<<"$PHASES")"
    printf '[%d/%d] %-15s ' $((i + 1)) ${#phases[@]} "$name"
    [[ ! -t 1 ]] || echo
    kind=${kind%-all}
    case $kind in
    bazel | fuzz | heap)
        within=("${targets[@]}")
        [[ $kind != fuzz || ${#filters[@]} -gt 0 ]] || within=(//fuzz/...)
        [[ $kind != heap || ${#filters[@]} -gt 0 ]] || within=("${HEAP_TESTS[@]}")
        bazel_phase "$name" "$logs/$name.log" "${within[@]}" >"$logs/$name.shown"
        ;;
    *) check_phase "$name" "$logs/$name.log" "$what" >"$logs/$name.shown" ;;
    esac
    if ((passed + failed == 0)) && [[ ${#filters[@]} == 0 ]]; then
        failed=1
        echo "$name ran nothing, which is a failure; its log is $logs/$name.log" >>"$logs/$name.shown"
    fi
    printf '%d passed, %d failed, %d s\n' "$passed" "$failed" $((SECONDS - phase_started))
    cat "$logs/$name.shown"
    summary+=$(printf '%-15s %7d %7d %8d' "$name" "$passed" "$failed" $((SECONDS - phase_started)))$'\n'
    passed_all=$((passed_all + passed))
    failed_all=$((failed_all + failed))
done
if ((passed_all + failed_all == 0)); then
    failed_all=1
    echo "no phase has a test for: ${filters[*]}"
fi

[[ -z ${CI:-} ]] || kiln_bazel shutdown
printf '\n%-15s %7s %7s %8s\n%s' phase passed failed seconds "$summary"
[[ $emulated == 0 ]] || echo "what needs a kernel that runs 32-bit programs was left out, as said in i386, gcc-i386 and stress"
printf '%-15s %7d %7d %8d\n' all "$passed_all" "$failed_all" $((SECONDS - started))
echo "$passed_all passed, $failed_all failed"
((failed_all == 0))
