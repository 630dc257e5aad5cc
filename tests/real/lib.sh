# lib.sh - what the tests of real programs share; sourced by tests/real/PROGRAM.sh.
#
# A script says what it runs in a few variables and functions, then calls `real_main "$@"`:
#   real_name        its name in tables and messages
#   real_needs       files that must be there, each as PATH=PACKAGE
#   real_process     pattern (whole string, ERE) of argv[0] of the processes under test
#   real_prepare     fills the current folder with inputs; the same bytes every time. Run once; kept
#   real_run         one run in an empty current folder; inputs are in $real_inputs. Puts
#                    `on_heap` before each program under test. Its stdout is what is compared
#   real_normalise   filter from that stdout to what must be equal; default: nothing is changed
#
# Commands:
#   (none)                    run on the system's malloc and on $KILN_LIB, compare; what tests do
#   prepare                   make the inputs
#   run HEAP FOLDER SIZE      one run in FOLDER (made new); HEAP is `system` or a library's path;
#                             SIZE is `test` or `bench`. Leaves out, err and, from some, peak_kib
#   result FOLDER             the normalised output of that run
#   evidence FOLDER LIBRARY   fails unless the processes under test called LIBRARY's malloc; for a
#                             run that was made with REAL_EVIDENCE=1
#
# A run that takes longer than REAL_LIMIT_S, or 300 s, has failed.
#
# Exit codes: 0 good, 1 a run failed or differed, 2 something is missing or misused.

set -u -o pipefail

real_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
real_script=$real_dir/$(basename "$0")
real_limit_s=${REAL_LIMIT_S:-300}

real_error() {
    printf '%s: %s\n' "${real_name:-real}" "$1" >&2
    exit "$2"
}

real_normalise() {
    cat
}

# on_heap runs a program under test. Only it sees the preloaded library, not the script around it.
# heap_exec turns the (sub)shell that calls it into that program: a server started with
# `heap_exec SERVER &` is $! itself.
heap_exec() {
    export LD_PRELOAD=$real_preload
    [ -z "${REAL_EVIDENCE:-}" ] ||
        export LD_DEBUG=files,libs,bindings LD_DEBUG_OUTPUT=$real_folder/ld/log
    exec "$@"
}

on_heap() {
    (heap_exec "$@")
}

# What a run sees does not depend on who calls it.
real_environment() {
    local name
    for name in $(compgen -e); do
        case $name in
        PATH | PWD | REAL_EVIDENCE | KILN_LIB | KILN_OPTIONS) ;;
        *) unset "$name" 2>/dev/null || true ;;
        esac
    done
    export PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C TZ=UTC
}

real_check_needs() {
    local need
    for need in $real_needs; do
        [ -e "${need%%=*}" ] ||
            real_error "${need%%=*} is missing; install it: apt-get install ${need#*=}" 2
    done
}

# A path that LD_PRELOAD can carry. Whether the library really is loaded, the evidence tells.
real_check_library() {
    case $1 in
    *[[:space:]:]*) real_error "LD_PRELOAD cannot carry a path with a space or a colon: $1" 2 ;;
    /*) ;;
    *) real_error "the library's path must be absolute: $1" 2 ;;
    esac
    [ -e "$1" ] || real_error "no such library: $1; build it, or set KILN_LIB" 2
}

# The folder for inputs and runs: short, for sockets lie below it, and this user's alone.
real_cache_folder() {
    local folder=/tmp/kiln-real-$UID
    mkdir -m 700 "$folder" 2>/dev/null
    [ -d "$folder" ] && [ ! -L "$folder" ] && [ -O "$folder" ] ||
        real_error "$folder belongs to someone else; remove it" 2
    printf '%s\n' "$folder"
}

# real_prepare_once sets real_inputs. A changed script or generator makes new inputs.
real_prepare_once() {
    local cache key scratch old
    cache=$(real_cache_folder) || exit 2
    key=$(cat "$real_script" "$real_dir/generate.pl" "$real_dir/lib.sh" | sha256sum | cut -c1-16)
    real_inputs=$cache/inputs-$real_name-$key
    [ -d "$real_inputs" ] && return 0
    for old in "$cache/inputs-$real_name-"*; do rm -rf "$old"; done
    scratch=$(mktemp -d "$cache/making-$real_name.XXXXXX") || exit 2
    (cd "$scratch" && set -e && real_prepare) || {
        rm -rf "$scratch"
        real_error "the inputs could not be made" 2
    }
    mv -T "$scratch" "$real_inputs" 2>/dev/null || rm -rf "$scratch"
    [ -d "$real_inputs" ] || real_error "the inputs could not be kept in $cache" 2
}

real_run_once() {
    local heap=$1
    real_folder=$2
    real_size=$3
    case $heap in
    system) real_preload=${real_system_preload:-} ;;
    *)
        real_check_library "$heap"
        real_preload=$heap
        ;;
    esac
    [ -d "$real_inputs" ] || real_error "no inputs; run: $0 prepare" 2
    rm -rf "$real_folder"
    mkdir -p "$real_folder/cwd" "$real_folder/ld" "$real_folder/tmp" || exit 2
    export HOME=$real_folder/tmp TMPDIR=$real_folder/tmp
    cd "$real_folder/cwd" || exit 2
    real_run >"$real_folder/out" 2>"$real_folder/err"
}

real_defines_malloc() {
    local symbols
    symbols=$(nm -D --defined-only "$(command -v -- "$1")") || real_error "nm cannot read $1" 1
    grep -qE ' malloc(@|$)' <<<"$symbols"
}

# real_evidence reads the dynamic linker's own record of a run. Every process under test must have
# mapped the library and bound malloc to it or not at all; one at least must have bound it. A
# program at a fixed address takes malloc's address to be in itself, a stub that calls the library:
# such a binding is another malloc only where the program defines one.
real_evidence() {
    local folder=$1 library=$2 log program other seen=0 bound=0
    for log in "$folder"/ld/log.*; do
        [ -e "$log" ] || break
        program=$(sed -nE "s:^.*initialize program\: (($real_process))\$:\1:p" "$log" | head -n 1)
        [ -n "$program" ] || continue
        seen=$((seen + 1))
        grep -qF "file=$library [0];  generating link map" "$log" ||
            real_error "$library was not loaded: $(head -n 3 "$folder/err" | tr '\n' ' ')" 1
        other=$(sed -n "s/^.* to \(.*\) \[0\]: normal symbol \`malloc'.*/\1/p" "$log" | sort -u)
        [ -n "$other" ] || continue
        other=$(grep -vxF -e "$library" <<<"$other")
        [ "$other" != "$program" ] || real_defines_malloc "$program" || other=
        [ -z "$other" ] || real_error "a process under test called another malloc: $log" 1
        # One that was killed as it started may have called none yet.
        grep -qF "file $program [0] to $library [0]: normal symbol \`malloc'" "$log" || continue
        bound=$((bound + 1))
    done
    [ "$bound" -gt 0 ] || real_error "no process under test called malloc of $library" 1
    printf '%d processes under test, %d called malloc of %s\n' "$seen" "$bound" \
        "$(basename "$library")"
}

real_report_failure() {
    printf '%s: %s\n' "$real_name" "$2"
    tail -n 15 "$1/err"
    printf 'kept: %s\nagain: KILN_LIB=%s %s\n' "$1" "$KILN_LIB" "$real_script"
    exit 1
}

# real_side SIDE HEAP makes one of the two runs of a test.
real_side() {
    local status=0 began=$SECONDS
    timeout -k 10 "$real_limit_s" bash "$real_script" run "$2" "$work/$1" test &
    running=$!
    wait $running || status=$?
    seconds[$1]=$((SECONDS - began))
    [ $status -eq 0 ] || real_report_failure "$work/$1" "exit $status of the run on $1"
}

# A bazel test is started in its runfiles, where the library is.
real_test() {
    local work running=
    local -A seconds=()
    KILN_LIB=${KILN_LIB:-$PWD/allocator/api/libkiln.so}
    export KILN_LIB
    real_check_library "$KILN_LIB"
    work=$(mktemp -d "$(real_cache_folder)/$real_name.XXXXXX") || exit 2
    trap 'kill $running 2>/dev/null; wait; rm -rf "$work"; exit 130' INT TERM
    real_side system system
    REAL_EVIDENCE=1 real_side kiln "$KILN_LIB"
    (real_evidence "$work/kiln" "$KILN_LIB") || real_report_failure "$work/kiln" "not on Kiln"
    real_compare "$work"
    printf '%s: the same %d lines on both heaps (%d s and %d s)\n' "$real_name" \
        "$(wc -l <"$work/system.result")" "${seconds[system]}" "${seconds[kiln]}"
    rm -rf "$work"
}

real_compare() {
    local work=$1 side
    for side in system kiln; do
        real_normalise <"$work/$side/out" >"$work/$side.result" ||
            real_report_failure "$work/$side" "its output could not be read"
        [ -s "$work/$side.result" ] || real_report_failure "$work/$side" "no output"
    done
    cmp -s "$work/system.result" "$work/kiln.result" && return 0
    diff "$work/system.result" "$work/kiln.result" | cut -c1-200 | head -n 30
    real_report_failure "$work/kiln" "the output differs; system's is <, Kiln's is >"
}

real_usage() {
    sed -n '/^# Commands:/,/^# Exit codes/s/^# \{0,1\}//p' "$real_dir/lib.sh" >&2
    exit 2
}

real_main() {
    real_environment
    real_check_needs
    case ${1:-test}/$# in
    test/[01])
        real_prepare_once
        real_test
        ;;
    prepare/1) real_prepare_once ;;
    run/4)
        real_prepare_once
        real_run_once "$2" "$3" "$4"
        ;;
    result/2) real_normalise <"$2/out" ;;
    evidence/3) real_evidence "$2" "$3" ;;
    *) real_usage ;;
    esac
}
