#!/bin/bash
# kiln fuzz - fuzzes the arena, the heap, what they stand on or what they say, or replays one input
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kiln.sh"
source "$KILN_ROOT/tools/lib/target.sh"

usage() {
    cat <<'END'
Usage: kiln fuzz TARGET [--engine=ENGINE] [--sanitizer=SANITIZER] [--seconds=N] [--seed=N]
                        [--corpus-dir=FOLDER]
       kiln fuzz TARGET --replay FILE [--sanitizer=SANITIZER]
       kiln fuzz TARGET --speed [--sanitizer=SANITIZER] [--seed=N]

Installs what is missing, builds the target, and fuzzes it until the time is over or something
breaks. Shows how it goes, and for each finding the input and the command that replays it.

  TARGET        arena: the arena on a fake operating system that answers as the input wants
                canary: has a planted bug for each sanitizer, which must be found in 30 s
                checkpoint: marks, restores and drops of a heap's memory, between its calls
                heap: malloc, free, realloc, calloc, aligned_alloc and misuse on such a system,
                of a plain heap or a hardened one, as the input wants
                heap_threads: a heap that two to four threads use, in an order that the input says
                options: KILN_OPTIONS and what else says what a heap is like, and the messages
                about mistakes in it
                os: the systems themselves, Linux and the simulated ones, against their contract
                page_heap: whole pages below the heap, and its size classes
                publish: what a heap tells who watches it, event by event
                report: reports about a heap, stacks and code whose records are ruined
  --engine      libfuzzer (if not given) or afl
  --sanitizer   asan (if not given), msan, ubsan or none
  --seconds     how long to fuzz; 60 if not given
  --seed        of the engine, a number from 1; drawn, and printed, if not given
  --corpus-dir  inputs to start from, besides corpus/TARGET and what earlier runs found
  --replay      runs this one input and prints its operations and the arena's trace
                (spec of the trace: kiln replay --help)
  --speed       fuzzes nothing, but shows how many inputs of 64 operations, made from the seed
                (1 if not given), libFuzzer's build of the target takes in a second of CPU time

What is found stays in .kiln/fuzz/TARGET-SANITIZER-ENGINE; that folder may be deleted at any time.
The exit status is 0 without findings, 1 with, 2 for a wrong argument.
END
}

options=(--engine --sanitizer --seconds --seed --corpus-dir --replay --speed --help)
target='' engine=libfuzzer sanitizer=asan seconds=60 seed='' corpus_dir='' replay='' speed=''
while [[ $# -gt 0 ]]; do
    option=${1%%=*}
    value=${1#*=}
    case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    --speed)
        speed=1
        option=''
        ;;
    --engine=* | --sanitizer=* | --seconds=* | --seed=* | --corpus-dir=* | --replay=*) ;;
    --engine | --sanitizer | --seconds | --seed | --corpus-dir | --replay)
        [[ $# -gt 1 ]] || kiln_usage "$1 needs a value: $1=VALUE"
        value=$2
        shift
        ;;
    -*) kiln_bad_option fuzz "$option" "${options[@]}" ;;
    *)
        [[ -z $target ]] || kiln_usage "one target at a time: '$target' or '$1'"
        target=$1
        option=''
        ;;
    esac
    shift
    case $option in
    --engine) engine=$value ;;
    --sanitizer) sanitizer=$value ;;
    --seconds) seconds=$value ;;
    --seed) seed=$value ;;
    --corpus-dir) corpus_dir=$value ;;
    --replay) replay=$value ;;
    esac
done

kiln_need_target fuzz "$target"
[[ $engine == libfuzzer || $engine == afl ]] ||
    kiln_usage "there is no engine '$engine'; libfuzzer or afl"
kiln_need_sanitizer "$sanitizer"
[[ $seconds =~ ^[1-9][0-9]{0,6}$ ]] || kiln_usage "--seconds is 1 to 9999999, not '$seconds'"
[[ -z $seed || $seed =~ ^[1-9][0-9]{0,8}$ ]] || kiln_usage "--seed is 1 to 999999999, not '$seed'"
[[ -z $corpus_dir || -d $corpus_dir ]] || kiln_usage "--corpus-dir: '$corpus_dir' is no folder"
[[ -z $speed || $engine == libfuzzer ]] || kiln_usage "--speed is of libfuzzer alone"
[[ -z $speed || ($target != options && $target != canary) ]] ||
    kiln_usage "--speed is of operations, and $target has none"
[[ -z $replay ]] || kiln_need_input --replay "$replay"

if [[ -n $replay ]]; then
    kiln_target_replay "$target" "$sanitizer"
    "$KILN_PROGRAM" --trace "$replay" || exit 1
    exit 0
fi

config=$sanitizer-$engine
[[ $sanitizer != none ]] || config=$engine
work=$KILN_OUT/fuzz/$target-$sanitizer-$engine
kiln_target_build "$config" "$work/${target}_fuzz" "${target}_fuzz_bin" "${target}_fuzz_dict"
cp -f "$KILN_TARGET_BIN/${target}_fuzz.dict" "$work/dict"
chmod u+w "$work/dict"
if [[ -n $speed ]]; then
    "$KILN_ROOT/fuzz/engines/speed.py" "$work/${target}_fuzz" "$KILN_ROOT/corpus/$target" "${seed:-1}"
    exit
fi
again="./kiln fuzz $target"
[[ $sanitizer == asan ]] || again+=" --sanitizer=$sanitizer"
status=0
"$KILN_ROOT/fuzz/engines/launch.sh" --binary="$work/${target}_fuzz" --dict="$work/dict" \
    --corpus="$KILN_ROOT/corpus/$target" ${corpus_dir:+"--corpus=$corpus_dir"} \
    --seconds="$seconds" ${seed:+"--seed=$seed"} --work="$work" --again="$again --replay" || status=$?
[[ $status != 3 ]] || kiln_die "the engine failed; no result"
exit "$status"
