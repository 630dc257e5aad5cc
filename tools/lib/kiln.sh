# tools/lib/kiln.sh - what the commands of `kiln` share.
#
# `kiln NAME ARGS...` runs tools/cmd/NAME.sh with ARGS in the caller's folder. A command starts with
#
#   #!/bin/bash
#   # kiln NAME - one line, shown by `kiln help`
#   source "$(dirname "${BASH_SOURCE[0]}")/../lib/kiln.sh"
#
# answers --help on standard output with status 0, and a wrong argument with kiln_usage.

set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/paths.sh"

kiln_say() {
    echo "kiln: $*" >&2
}

# kiln_usage TEXT ends the command over a wrong argument: TEXT names it and the remedy.
kiln_usage() {
    kiln_say "$@"
    exit 2
}

# kiln_die TEXT ends the command over something else that went wrong.
kiln_die() {
    kiln_say "$@"
    exit 1
}

# kiln_distance A B prints how many letters must be changed, added or removed to turn A into B.
kiln_distance() {
    local a=$1 b=$2 i j left best cost
    local -a row=() next=()
    for ((j = 0; j <= ${#b}; j++)); do row[j]=$j; done
    for ((i = 1; i <= ${#a}; i++)); do
        next=("$i")
        for ((j = 1; j <= ${#b}; j++)); do
            cost=1
            [[ ${a:i-1:1} != "${b:j-1:1}" ]] || cost=0
            best=$((row[j - 1] + cost))
            left=$((next[j - 1] + 1))
            ((left >= best)) || best=$left
            ((row[j] + 1 >= best)) || best=$((row[j] + 1))
            next[j]=$best
        done
        row=("${next[@]}")
    done
    echo "${row[${#b}]}"
}

# kiln_nearest WORD CHOICE... prints the choice that is spelt most like WORD.
kiln_nearest() {
    local word=$1 choice distance best='' best_distance=1000
    shift
    for choice; do
        distance=$(kiln_distance "$word" "$choice")
        if ((distance < best_distance)); then
            best=$choice
            best_distance=$distance
        fi
    done
    echo "$best"
}

# kiln_bad_option COMMAND OPTION KNOWN... ends the command over an option that it does not have.
kiln_bad_option() {
    local command=$1 option=$2
    shift 2
    kiln_usage "kiln $command has no option '$option'; the nearest is '$(kiln_nearest "$option" "$@")'" \
        "(kiln $command --help lists all)"
}

# kiln_bazel ARGS... runs Bazel in the checkout, wherever the caller is.
kiln_bazel() (
    cd "$KILN_ROOT"
    exec tools/bazel "$@"
)

# kiln_watch LOG COMMAND... runs the command with its output in LOG. On a terminal the last line of
# LOG is shown meanwhile, on one line that is wiped at the end. Gives the command's status.
kiln_watch() {
    local log=$1 pid status=0 line
    shift
    set -m # a process group of its own, to be ended as a whole
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    set +m
    trap 'kill -- "-$pid" 2>/dev/null; wait "$pid"; exit 130' INT TERM
    if [[ -t 2 ]]; then
        while kill -0 "$pid" 2>/dev/null; do
            line=$(tail -n 1 "$log" | tr -d '\033\r')
            printf '\r\033[K  %.*s' "$((${COLUMNS:-80} - 4))" "$line" >&2
            sleep 0.5
        done
        printf '\r\033[K' >&2
    fi
    wait "$pid" || status=$?
    trap - INT TERM
    return "$status"
}

# kiln_packages SET... prints the Debian packages of those sets, each once.
kiln_packages() {
    local set
    for set; do sed 's/#.*//; s/[[:space:]]//g; /^$/d' "$KILN_ROOT/tools/packages/$set.txt"; done |
        sort -u
}

# kiln_missing SET... prints the packages of those sets that are not installed.
kiln_missing() {
    local wanted
    wanted=$(kiln_packages "$@")
    # shellcheck disable=SC2086 # one word a package
    comm -23 <(echo "$wanted") <(dpkg-query -W -f='${db:Status-Status} ${Package}\n' $wanted \
        2>/dev/null | sed -n 's/^installed //p' | sort -u)
}

# kiln_ask_root REMEDY sets `as_root`, the words before a command that needs root.
kiln_ask_root() {
    as_root=()
    [[ $(id -u) != 0 ]] || return 0
    as_root=(sudo)
    command -v sudo >/dev/null ||
        kiln_die "not root, and there is no sudo. As root: $1"
    sudo -n true 2>/dev/null || { [[ -t 0 && -t 2 ]] && sudo -v; } ||
        kiln_die "not root, and sudo does not let this user in. As root: $1"
}

# kiln_need SET... installs what is missing of those sets (tools/packages/SET.txt) and says so first.
kiln_need() {
    local missing log=$KILN_OUT/apt.log remedy
    local -a packages as_root
    command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
        kiln_die "this system has no apt-get; Kiln sets itself up on Debian 12 and what is made from it"
    missing=$(kiln_missing "$@")
    [[ -n $missing ]] || return 0
    mapfile -t packages <<<"$missing"
    remedy="apt-get update && apt-get install --no-install-recommends ${packages[*]}"

    kiln_say "installing ${#packages[@]} packages with apt: ${packages[*]}"
    kiln_ask_root "$remedy"
    kiln_watch "$log" "${as_root[@]}" bash "$KILN_ROOT/tools/lib/apt_install.sh" "${packages[@]}" || {
        tail -n 15 "$log" >&2
        kiln_die "apt failed (all it said is in $log). Mend that, or as root: $remedy"
    }
}
