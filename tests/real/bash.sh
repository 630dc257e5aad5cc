#!/bin/bash
# bash.sh - bash works on arrays, strings, subshells and pipes. Nothing is normalised.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

real_name=bash
real_needs='/bin/bash=bash'
real_process='(.*/)?bash'

real_prepare() {
    perl "$real_dir/generate.pl" words 300000 >words
    cat >workload.sh <<'BASH'
set -u
declare -A count=()
declare -a lines=()
mapfile -t lines <"$1"
for line in "${lines[@]}"; do
    read -ra words <<<"$line"
    for word in "${words[@]:1:5}"; do count[$word]=$((${count[$word]:-0} + 1)); done
done
for word in "${!count[@]}"; do printf '%s %d\n' "$word" "${count[$word]}"; done | sort
text=
for ((i = 0; i < 40000; i++)); do
    text+=${lines[i % ${#lines[@]}]:0:9}
    ((${#text} < 4000)) || text=${text//mo/zul}
    ((${#text} < 5000)) || text=${text:2500}
done
printf '%s\n' "${text^^}"
for ((i = 0; i < 30000; i++)); do
    [[ ${lines[i % ${#lines[@]}]} =~ ([a-z]+)\ ([a-z]+) ]] && pair[i % 100]=${BASH_REMATCH[2]}
done
printf '%s,' "${pair[@]}"
fib() { (($1 < 2)) && echo "$1" || echo $(($(fib $(($1 - 1))) + $(fib $(($1 - 2))))); }
fib 11
for i in {1..150}; do (x=$i; cat <(printf '%05d\n' "$((x * x))")); done | tail -n 3
printf -v packed '%q ' "${lines[@]:0:500}"
eval "again=($packed)"
echo "${#again[@]} ${#packed} {a..e}{1..40}" {a..e}{1..40}
BASH
}

real_run() {
    on_heap bash "$real_inputs/workload.sh" "$real_inputs/words"
}

real_main "$@"
