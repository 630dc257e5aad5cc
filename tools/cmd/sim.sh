#!/bin/bash
# kiln sim - simulates: drawn machines, heaps and operations, judged in full, by the million
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kiln.sh"
source "$KILN_ROOT/tools/lib/target.sh"

usage() {
    cat <<'END'
Usage: kiln sim [TARGET] [--seed=S] [--steps=N] [--seconds=N] [--sanitizer=SANITIZER]
       kiln sim TARGET --seed=S --round=R [--sanitizer=SANITIZER]

Draws inputs of a fuzz target from the seed, and runs them on the target's oracle one after another.
For every 64 rounds a swarm is drawn and printed: the machine and the heap (the target's settings:
width, page size, profile, policies, what the system refuses), which operations there are and how
often, how many slots, which sizes. A round is up to 500 operations. The same seed and number of
steps do the same, and end with the same hash of all that happened.

  TARGET       arena (machines of 12 to 64 bits) or heap (malloc and so on, plain and hardened, with
               misuse); if not given, one after the other
  --seed       a number from 0; drawn, and printed, if not given
  --steps      how many operations, of each target; 1000000 if not given
  --seconds    ends after so long, with fewer operations, or as many as there is time for without
               --steps
  --round      only this one
  --sanitizer  none (if not given), asan, msan or ubsan

When something breaks, the round that did is drawn again, shrunk as by `kiln shrink`, and printed
with its steps, and with the command that does it again. It stays in .kiln/fuzz/sim. The exit status
is 0 when nothing broke, 1 when something did, 2 for a wrong argument.
END
}

simulated=(arena heap)
target='' seed='' steps='' seconds='' round='' sanitizer=none
while [[ $# -gt 0 ]]; do
    option=${1%%=*}
    value=${1#*=}
    case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    --seed=* | --steps=* | --seconds=* | --round=* | --sanitizer=*) ;;
    --seed | --steps | --seconds | --round | --sanitizer)
        [[ $# -gt 1 ]] || kiln_usage "$1 needs a value: $1=VALUE"
        value=$2
        shift
        ;;
    -*) kiln_bad_option sim "$option" --seed --steps --seconds --round --sanitizer --help ;;
    *)
        [[ -z $target ]] || kiln_usage "one target at a time, or both without a name: '$target' or '$1'"
        target=$1
        [[ " ${simulated[*]} " == *" $target "* ]] ||
            kiln_usage "'$target' is not simulated; the nearest is '$(kiln_nearest "$target" "${simulated[@]}")'"
        option=''
        ;;
    esac
    shift
    case $option in
    --seed) seed=$value ;;
    --steps) steps=$value ;;
    --seconds) seconds=$value ;;
    --round) round=$value ;;
    --sanitizer) sanitizer=$value ;;
    esac
done
[[ -z $seed || $seed =~ ^(0|[1-9][0-9]{0,17})$ ]] || kiln_usage "--seed is 0 to 999999999999999999, not '$seed'"
[[ -z $steps || $steps =~ ^[1-9][0-9]{0,14}$ ]] || kiln_usage "--steps is 1 to 999999999999999, not '$steps'"
[[ -z $seconds || $seconds =~ ^[1-9][0-9]{0,6}$ ]] || kiln_usage "--seconds is 1 to 9999999, not '$seconds'"
[[ -z $round || $round =~ ^(0|[1-9][0-9]{0,17})$ ]] || kiln_usage "--round is a number from 0, not '$round'"
[[ -z $round || (-n $target && -n $seed) ]] || kiln_usage "--round is of one target and seed: kiln sim TARGET --seed=S --round=R"
[[ -z $round || (-z $steps && -z $seconds) ]] || kiln_usage "--round is one round: without --steps and --seconds"
kiln_need_sanitizer "$sanitizer"

seed=${seed:-$((RANDOM * 32768 + RANDOM))}
if [[ -z $steps ]]; then
    steps=1000000
    [[ -z $seconds ]] || steps=999999999999999
fi
[[ -z $target ]] || simulated=("$target")
options=" --sanitizer=$sanitizer"
echo "seed $seed"
mkdir -p "$KILN_OUT/fuzz/sim"
found=0
for target in "${simulated[@]}"; do
    status=0
    kiln_target_tool "$target" "$sanitizer"
    "$KILN_PROGRAM" --sim "$seed" "$steps" "${seconds:-0}" "${round:-all}" \
        "$KILN_OUT/fuzz/sim/$target-$seed-$sanitizer" "$options" || status=$?
    [[ $status -lt 2 ]] || exit "$status"
    ((found |= status)) || true
done
exit "$found"
