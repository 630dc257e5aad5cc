#!/bin/bash
# tools/mutants/worker.sh TREE OBJECTS MUTATED OUT PROOFS KILLER... - runs the killers on one tree.
#
#   TREE     a copy of the checkout in which MUTATED, a file, differs; everything is built in it.
#            MUTATED is empty for the correct twin, which makes OBJECTS, the objects that others use
#   OUT      gets a line a killer: KILLER killed|lives|blind|error WHAT. `blind`: nothing that this
#            killer runs sees the file, or it is not asked about it
#   PROOFS   names of proofs that are tried before all others
#
# Each program has a time limit, a limit on memory, and a session that is ended with it.
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kiln.sh"

tree=$1 objects=$2 mutated=$3 out=$4 first_proofs=$5
shift 5
jobs=1
[[ -n $mutated ]] || jobs=$(nproc)
session=''
# Whatever ends this script, by the same signal to all or one after the other, ends the session.
trap 'trap "" INT TERM; [[ -z $session ]] || pkill -KILL -s "$session" || true' EXIT
trap 'exit 130' INT TERM
export TMPDIR=$tree/tmp LC_ALL=C KILN_OPTIONS=profile=fast
mkdir -p "$TMPDIR"
cd "$tree"
source "$KILN_ROOT/tools/mutants/programs.sh"

MEMORY_KIB=$((4 << 20)) # writable memory: a heap may reserve more address space than there is

# limited SECONDS COMMAND... runs it with its output in tree/said. Nothing of it is left afterwards.
# KILN_MUTANTS_SECONDS_MAX lets the test of this tool wait less long for what never ends.
limited() {
    local status=0 seconds=$1
    [[ $seconds -le ${KILN_MUTANTS_SECONDS_MAX:-$seconds} ]] || seconds=$KILN_MUTANTS_SECONDS_MAX
    shift
    (
        ulimit -c 0
        ulimit -d "$MEMORY_KIB"
        exec setsid timeout -k 5 "$seconds" "$@"
    ) >"$tree/said" 2>&1 </dev/null &
    session=$!
    { wait "$session" || status=$?; } 2>/dev/null
    pkill -KILL -s "$session" || true
    session=''
    return "$status"
}

# why STATUS PROGRAM prints in a few words what killed it.
why() {
    local line
    line=$(grep -a -m 1 -oE 'broken rule: .*|[a-z_]+\.c:[0-9]+: .*|FAILED .*|counterexample.*|ERROR: .*' "$tree/said" || true)
    [[ -n $line ]] || line=$(tail -n 1 "$tree/said" | tr -cd '[:print:]')
    case $1 in
    124 | 137) line="no end. $line" ;;
    esac
    printf '%s: %.110s' "${2##*/}" "$line"
}

# verdict KILLER killed|lives|blind|error WHAT
verdict() {
    echo "$*" >>"$out"
}

# run_all KILLER SECONDS PROGRAM... runs those that see the patch, until one is not content.
run_all() {
    local killer=$1 seconds=$2 program status seen=0
    shift 2
    for program; do
        [[ -z $mutated ]] || program_sees "$program" || continue
        seen=1
        build "$program" || {
            verdict "$killer" error "does not compile: $(grep -m 1 -E 'error: |undefined|multiple' "$tree/compiler.log")"
            return
        }
        status=0
        limited "$seconds" "$program" || status=$?
        if [[ $status != 0 ]]; then
            verdict "$killer" killed "$(why $status "$program")"
            return
        fi
    done
    if [[ $seen == 1 ]]; then verdict "$killer" lives; else verdict "$killer" blind; fi
}

# also KILLER SECONDS WHAT COMMAND... is one more run of a killer that has not killed yet.
also() {
    local killer=$1 seconds=$2 what=$3 status=0
    shift 3
    limited "$seconds" "$@" || status=$?
    [[ $status != 0 ]] || return 0
    verdict "$killer" killed "$(why $status "$what")"
    return 1
}

# builds KILLER PROGRAM... builds them; 1, with a verdict, when they see nothing or do not compile.
builds() {
    local killer=$1 program seen=0
    shift
    for program; do
        [[ -n $mutated ]] || seen=1
        [[ $seen == 1 ]] || ! program_sees "$program" || seen=1
    done
    if [[ $seen == 0 ]]; then
        verdict "$killer" blind
        return 1
    fi
    build "$@" || {
        verdict "$killer" error "does not compile: $(grep -m 1 -E 'error: |undefined|multiple' "$tree/compiler.log")"
        return 1
    }
}

# --- the killers -----------------------------------------------------------------------------------

# Unit tests, and the traces with their transcripts.
kill_unit() {
    local trace
    if [[ -z $mutated ]] || program_sees tools/replay/kiln-replay; then
        builds unit tools/replay/kiln-replay || return 0
        # shellcheck disable=SC2016 # the inner bash expands
        also unit 60 "traces" bash -c 'for trace in tests/replay/traces/*.trace; do
            tools/replay/kiln-replay "$trace" >"$TMPDIR/transcript" 2>&1
            cmp -s "$TMPDIR/transcript" "${trace%.trace}.expected" || {
                echo "FAILED ${trace##*/}"
                exit 1
            }
        done' || return 0
    fi
    run_all unit 60 bin/{arena_test,arena_kiln_test,arena_seed_test,arena_tables_test} \
        bin/{os_ranges_test,os_fake_place_test,os_fake_test,guard_test,guard_refused_test} \
        bin/{lone_test,os_check_test,os_fault_test,os_linux_test,os_rewind_test,os_rewind_written_test,record_test} \
        bin/{heap_test,heap_oom_test,heap_random_test,page_heap_test}
}

kill_contract() {
    run_all contract 120 bin/{os_rules_test,os_contract_test}
}

# A build of libkiln.so: the malloc family, its limits, and real programs, whose output is compared
# with what they say on the system's heap. Asked about the Linux backend alone: the others cannot see
# that one, and see more of the arena in less time.
kill_api() {
    local program
    if [[ -n $mutated && $mutated != allocator/os/linux* ]]; then
        verdict api blind
        return
    fi
    builds api allocator/api/libkiln.so tools/replay/kiln-replay \
        tests/api/{malloc_test,fork_program,limit_program,mappings_program,exit_program_system} \
        tests/replay/grow_program || return 0
    also api 120 malloc_test tests/api/malloc_test || return 0
    also api 60 exit_program env LD_PRELOAD="$tree/allocator/api/libkiln.so" \
        tests/api/exit_program_system || return 0
    also api 30 fork_program tests/api/fork_program 30 || return 0
    also api 60 mappings_program tests/api/mappings_program || return 0
    # shellcheck disable=SC2016
    also api 60 limit_program bash -c 'ulimit -v 524288; exec tests/api/limit_program 300 5000' || return 0
    also api 120 run_test bash tests/replay/run_test.sh || return 0
    for program in bash perl clang; do
        also api 120 "$program" bash "$KILN_ROOT/tools/mutants/smoke.sh" "$program" \
            "$tree/allocator/api/libkiln.so" || return 0
    done
    verdict api lives
}

# The corpus, each input once.
kill_seeds() {
    local target seen=0
    for target in arena heap os; do
        [[ -z $mutated ]] || program_sees bin/${target}_replay || continue
        seen=1
        builds seeds bin/${target}_replay || return 0
        also seeds 60 "$target" bin/${target}_replay "corpus/$target" || return 0
    done
    if [[ $seen == 1 ]]; then verdict seeds lives; else verdict seeds blind; fi
}

# libFuzzer, from what was written by hand: what fuzzing found before is not in it. A seed of its
# own, so that a verdict is the same the next time.
kill_fuzz() {
    local target seen=0
    for target in arena os heap; do
        [[ -z $mutated ]] || program_sees bin/${target}_fuzz || continue
        seen=1
        builds fuzz bin/${target}_fuzz || return 0
        mkdir -p "$tree/fuzz-start-$target" "$tree/fuzz-queue-$target"
        cp corpus/$target/seed_* "$tree/fuzz-start-$target/"
        also fuzz $((FUZZ_SECONDS + 60)) $target bin/${target}_fuzz -seed=1 \
            "-max_total_time=$FUZZ_SECONDS" -max_len=4096 -timeout=25 -rss_limit_mb=2560 -reload=0 \
            -detect_leaks=0 -dict=corpus/$target.dict "-artifact_prefix=$tree/tmp/" \
            "$tree/fuzz-queue-$target" "$tree/fuzz-start-$target" || return 0
    done
    if [[ $seen == 1 ]]; then verdict fuzz lives; else verdict fuzz blind; fi
}

# Every placement that the contract allows, on small machines.
kill_search() {
    local follow
    builds search bin/arena_search || return 0
    for follow in kiln go19 seed; do
        also search 300 "$follow" bin/arena_search "--follow=$follow" --walks=100 || return 0
    done
    verdict search lives
}

# proofs prints the names of the proofs that involve the mutated file, the quick ones first. Of those
# that differ in the hardware page or the width alone, the one of 4 KiB and 32 bits stands for all,
# but for those that the patch names.
proofs() {
    local line files flags needs
    tr ' ' '\n' <<<"$first_proofs"
    while IFS= read -r line; do
        files=$(grep -oE '[a-z0-9_/]+\.c' <<<"$line" | sed '/\//!s|^|tests/proof/|')
        flags=$(grep -oE -e '-D[^ "]+' <<<"$line" || true)
        # shellcheck disable=SC2086 # several words, or none
        needs=$(clang-19 -std=c11 -w -I. -MM $flags $files)
        ! grep -qwF -e "$mutated" <<<"$needs" || echo "${line%% *}"
    done < <(sed -E '/^ *(#|$)/d; /^[a-z0-9_]*_((16|64)k|64(_[a-z0-9]+)?)(_[a-z]+)? /d' tests/proof/proofs.txt |
        awk '$2 == "quick" { print; next } { rest = rest $0 "\n" } END { printf "%s", rest }')
}

# holds NAME: does the proof come out as expected for the sources as they are? Asked once a run.
holds() {
    [[ ! -e $objects/holds.$1 ]] || return 0
    limited 1200 bash "$KILN_ROOT/tools/cmd/prove.sh" --proofs "$1" || return 1
    mkdir -p "$objects"
    : >"$objects/holds.$1"
}

# The proofs, each alone: the first that does not come out as expected ends it, if it does for the
# sources as they are.
kill_proof() {
    local name status seen=0 what
    if [[ -z $mutated ]]; then
        verdict proof lives
        return
    fi
    mkdir -p .kiln
    [[ -e .kiln/cbmc-trixie ]] || ln -s "$KILN_OUT/cbmc-trixie" .kiln/cbmc-trixie
    while read -r name; do
        [[ -n $name ]] || continue
        seen=1
        status=0
        limited 600 bash tools/cmd/prove.sh --proofs --first "$name" || status=$?
        if [[ $status == 1 ]] && grep -qaE 'FAILURE|^refuted: |proved, although|this is proved' said; then
            what=$(grep -a -m 1 -oE ': [^:]*: FAILURE|refuted: .*|proved, although.*|this is proved.*' said | cut -c1-90)
            if holds "$name"; then
                verdict proof killed "$name: $what"
            else
                verdict proof error "$name does not come out as expected for the sources as they are: $(tail -n 1 said)"
            fi
            return
        fi
        if [[ $status != 0 && $status != 124 && $status != 137 ]]; then # no answer in time kills nothing
            verdict proof error "$name: status $status: $(tail -n 1 said)"
            return
        fi
    done < <(proofs)
    if [[ $seen == 1 ]]; then verdict proof lives; else verdict proof blind; fi
}

FUZZ_SECONDS=${KILN_MUTANTS_FUZZ_SECONDS:-10}
: >"$out"
for killer; do "kill_$killer"; done
