#!/bin/bash
# launch.sh - runs a fuzz target on its engine, shows how it goes and what it found.
#
#   launch.sh --binary=FILE --corpus=FOLDER [--corpus=FOLDER...] [--dict=FILE] [--seconds=60]
#             [--seed=N] [--work=FOLDER] [--again=TEXT]
#
# The engine is the one that FILE was linked with. WORK holds everything that is written and may be
# deleted at any time:
#   queue/     inputs that reached something new; the next run starts from them too
#   findings/  inputs that broke something
#   engine.log what the engine said
# AGAIN is the command that replays a finding; the finding's path is added to it.
# The exit status is 0 without findings, 1 with, 2 for a wrong argument, 3 when the engine failed.
set -euo pipefail

binary='' dict='' seconds=60 seed='' work='' again=''
corpora=()
for arg; do
    case $arg in
    --binary=*) binary=${arg#*=} ;;
    --corpus=*) corpora+=("${arg#*=}") ;;
    --dict=*) dict=${arg#*=} ;;
    --seconds=*) seconds=${arg#*=} ;;
    --seed=*) seed=${arg#*=} ;;
    --work=*) work=${arg#*=} ;;
    --again=*) again=${arg#*=} ;;
    *)
        echo "launch.sh: no such argument: $arg (see the head of $0)" >&2
        exit 2
        ;;
    esac
done
[[ -f $binary ]] || { echo "launch.sh: --binary=$binary is no file" >&2; exit 2; }
[[ $seconds =~ ^[1-9][0-9]{0,6}$ ]] || { echo "launch.sh: --seconds=$seconds: want 1 to 9999999" >&2; exit 2; }
[[ -z $seed || $seed =~ ^[1-9][0-9]{0,8}$ ]] || { echo "launch.sh: --seed=$seed: want 1 to 999999999" >&2; exit 2; }
binary=$(realpath "$binary")
seed=${seed:-$((RANDOM * 32768 + RANDOM + 1))}
work=${work:-${TMPDIR:-/tmp}/kiln-fuzz.$$}
again=${again:-$binary}
if grep -qa '##SIG_AFL_PERSISTENT##' "$binary"; then
    engine=afl
elif grep -qa 'Running with entropic' "$binary"; then
    engine=libfuzzer
else
    echo "launch.sh: $binary has no engine; build it with a config such as asan-libfuzzer or asan-afl" >&2
    exit 2
fi

mkdir -p "$work/queue" "$work/findings"
work=$(realpath "$work")
log=$work/engine.log

# --- the engines ---------------------------------------------------------------------------------

# All inputs to start from, in one folder: the corpora and what earlier runs found.
rm -rf "$work/start"
mkdir "$work/start"
for folder in "${corpora[@]}" "$work/queue"; do
    [[ -d $folder ]] || { echo "launch.sh: --corpus=$folder is no folder" >&2; exit 2; }
    find -L "$folder" -maxdepth 1 -type f -size +0 -not -name '.*' -exec cp -n -t "$work/start" {} +
done
[[ -n $(find "$work/start" -type f -print -quit) ]] || printf 'kiln' >"$work/start/kiln"

start_libfuzzer() {
    # Not the sanitizers' own signal handlers: kiln_stop has said all there is to say.
    exec "$binary" -max_total_time="$seconds" -seed="$seed" -max_len=4096 -timeout=25 \
        -rss_limit_mb=2560 -print_final_stats=1 -reload=0 -detect_leaks=0 \
        "-artifact_prefix=$work/findings/" ${dict:+"-dict=$dict"} "$work/queue" "$work/start"
}

# AFL++ sets an input aside without a word when it fails before fuzzing starts. It is a finding.
check_start() {
    local file
    ! timeout 120 "$binary" "$work"/start/* >"$log" 2>&1 </dev/null || return 0
    for file in "$work"/start/*; do
        timeout 25 "$binary" "$file" >>"$log" 2>&1 </dev/null ||
            cp "$file" "$work/findings/crash-$(sha1sum <"$file" | cut -c1-40)"
    done
}

start_afl() {
    export AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1
    export AFL_TRY_AFFINITY=1 AFL_BENCH_UNTIL_CRASH=1 AFL_FORKSRV_INIT_TMOUT=60000 AFL_HANG_TMOUT=5000
    # What afl-fuzz insists on, and what it would set itself.
    export ASAN_OPTIONS=abort_on_error=1:symbolize=0:detect_leaks=0:malloc_context_size=0:allocator_may_return_null=1
    export MSAN_OPTIONS=exit_code=86:abort_on_error=1:symbolize=0:malloc_context_size=0
    export UBSAN_OPTIONS=halt_on_error=1:abort_on_error=1:symbolize=0
    rm -rf "$work/afl"
    exec afl-fuzz -V "$seconds" -s "$seed" -m none ${dict:+-x "$dict"} \
        -i "$work/start" -o "$work/afl" -- "$binary"
}

# --- progress --------------------------------------------------------------------------------------

findings() {
    find "$work/findings" -maxdepth 1 -type f -newer "$work/started" | sort
}

# status sets execs, edges and corpus to what the engine last said.
status() {
    local line
    if [[ $engine == libfuzzer ]]; then
        line=$(grep -a '^#[0-9]' "$log" | tail -n 1 || true)
        [[ $line =~ ^#([0-9]+) ]] && execs=${BASH_REMATCH[1]}
        [[ $line =~ cov:\ ([0-9]+) ]] && edges=${BASH_REMATCH[1]}
        [[ $line =~ corp:\ ([0-9]+) ]] && corpus=${BASH_REMATCH[1]}
    elif [[ -d $work/afl/default/queue ]]; then
        # Without a terminal AFL++ writes its counts once a minute; the queue can be counted.
        corpus=$(find "$work/afl/default/queue" -maxdepth 1 -type f | wc -l)
        line=$(tail -n 1 "$work/afl/default/plot_data" 2>/dev/null || true)
        [[ $line == [0-9]* ]] || return 0
        execs=$(awk -F', ' '{ print $12 }' <<<"$line")
        edges=$(awk -F', ' '{ print $13 }' <<<"$line")
    fi
    return 0
}

execs=0 edges=0 corpus=0
row() {
    if ((execs == 0)); then
        printf '%6d s %6d in the queue' "$SECONDS" "$corpus"
        return
    fi
    printf '%6d s %12d inputs %8d/s %7d edges %6d in the queue' \
        "$SECONDS" "$execs" $((execs / (SECONDS > 0 ? SECONDS : 1))) "$edges" "$corpus"
}

echo "fuzzing ${binary##*/}: $engine, $seconds s, seed $seed, $(find "$work/start" -type f | wc -l) inputs to start from"
: >"$log"
touch "$work/started"
sleep 0.01 # so that a finding is newer
SECONDS=0
if [[ $engine == afl ]]; then
    export ASAN_OPTIONS=detect_leaks=0
    check_start
    [[ -z $(findings) ]] || seconds=0
fi
if [[ $seconds == 0 ]]; then
    sleep 0 &
else
    "start_$engine" >>"$log" 2>&1 </dev/null &
fi
pid=$!
# Whatever ends this script ends the engine.
trap 'kill -TERM "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true' EXIT
trap 'kill -INT "$pid" 2>/dev/null || true' INT TERM
next=10
while kill -0 "$pid" 2>/dev/null; do
    if [[ -t 1 ]]; then
        status
        printf '\r\033[K%s' "$(row)"
    elif ((SECONDS >= next)); then
        status
        echo "$(row)"
        next=$((next < 60 ? next + 10 : next + 60))
    fi
    if ((SECONDS > seconds + 90)); then
        kill -KILL "$pid" 2>/dev/null || true
    fi
    sleep 0.25
done
result=0
wait "$pid" || result=$?
trap - INT TERM
[[ ! -t 1 ]] || printf '\r\033[K'

# --- what came out ---------------------------------------------------------------------------------

status
if [[ $engine == afl ]]; then
    stats=$work/afl/default/fuzzer_stats
    if [[ -f $stats ]]; then
        execs=$(awk '$1 == "execs_done" { print $3 }' "$stats")
        edges=$(awk '$1 == "edges_found" { print $3 }' "$stats")
        corpus=$(awk '$1 == "corpus_count" { print $3 }' "$stats")
    fi
    for file in "$work"/afl/default/crashes/id* "$work"/afl/default/hangs/id*; do
        kind=crash
        [[ $file != */hangs/* ]] || kind=timeout
        [[ ! -f $file ]] || cp "$file" "$work/findings/$kind-$(sha1sum <"$file" | cut -c1-40)"
    done
    for file in "$work"/afl/default/queue/id*; do
        [[ ! -f $file || $file == *,orig:* ]] || cp -n "$file" "$work/queue/$(sha1sum <"$file" | cut -c1-40)"
    done
    rm -rf "$work/afl"
fi
rm -rf "$work/start"
row
echo

mapfile -t found < <(findings)
if [[ ${#found[@]} == 0 ]]; then
    # 130: the user ended it. AFL++ answers 0, libFuzzer 0 when the time is over.
    if ((execs == 0)) || { ((result != 0)) && ((result != 130)) && ((result != 72)); }; then
        tail -n 20 "$log" | tr -d '\033' >&2
        echo "launch.sh: $engine failed (status $result); what it said is in $log" >&2
        exit 3
    fi
    echo "no findings"
    exit 0
fi
for file in "${found[@]}"; do
    said=$("$binary" "$file" 2>&1 </dev/null | tr -d '\000' || true)
    why=$(grep -a -m 1 -E 'broken rule:|^SUMMARY: |runtime error:|==ERROR' <<<"$said" || true)
    echo "finding: $file"
    [[ $file != */timeout-* ]] || why="took longer than the engine's time limit"
    echo "  ${why:-it does not fail alone}"
    echo "  again: $again $file"
done
echo "${#found[@]} findings"
exit 1
