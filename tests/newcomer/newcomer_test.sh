#!/bin/bash
# tests/newcomer/newcomer_test.sh [--all] [README] - a stranger on a fresh machine.
#
# Makes a minimal Debian 12 in a folder, copies the checkout's files in, and types the first
# `./kiln run` and the first `./kiln test` of README.md there as root, with nothing installed by
# hand. Packages come from where this machine's apt gets them. All of it lives in a mount and a
# process namespace of its own, so that nothing is left behind, however it ends.
#
# Needs root (or sudo), debootstrap, and 4 GB below .kiln.
source "$(dirname "${BASH_SOURCE[0]}")/../cli/expect.sh"
source "$KILN_ROOT/tests/cli/readme.sh"
source "$KILN_ROOT/tools/lib/paths.sh"
suite=bookworm

give_up() {
    expect_not "$@"
    expect_done
}

# sources prints apt's lines for this machine's Debian mirrors.
sources() {
    apt-get indextargets --format '$(ORIGIN) $(CODENAME) deb $(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' | awk -v suite=$suite '
        $1 == "Debian" && index($2, suite) == 1 { print $3, $4, $5, $6 }' | sort -u
}

# furnish ROOM makes the Debian and copies the checkout in.
furnish() {
    local room=$1 mirror
    mirror=$(sources | awk -v suite=$suite '$3 == suite && $4 == "main" { print $2; exit }')
    debootstrap --variant=minbase "$suite" "$room" "$mirror" || return 1
    sources >"$room/etc/apt/sources.list"
    apt-config dump | grep -E '^Acquire::[^ ]*Proxy' >"$room/etc/apt/apt.conf.d/00proxy"
    cp -L /etc/resolv.conf /etc/hosts "$room/etc/"
    mkdir -p "$room/root/kiln"
    if git -C "$KILN_ROOT" rev-parse >/dev/null 2>&1; then
        git -C "$KILN_ROOT" ls-files -z
    else
        (cd "$KILN_ROOT" && find . -path ./.kiln -prune -o -type f -print0)
    fi | (cd "$KILN_ROOT" && xargs -0 cp --parents -P -t "$room/root/kiln") || return 1
    cp "$readme" "$room/root/kiln/README.md"
    mount -t proc proc "$room/proc" && mount --rbind /dev "$room/dev"
}

# type_in ROOM COMMAND runs the command as the newcomer's shell would.
type_in() {
    chroot "$1" env -i HOME=/root TERM=dumb PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
        bash -c "cd /root/kiln && $2" </dev/null 2>&1
}

# timed WHAT COMMAND... runs it, prints its output and its time, and gives its status.
timed() {
    local what=$1 started=$SECONDS status=0
    shift
    echo "== $what"
    "$@" || status=$?
    echo "== $what: status $status, $((SECONDS - started)) s"
    return $status
}

# stay ROOM is what happens in the namespaces.
stay() {
    local room=$1 command status
    timed "a minimal Debian" furnish "$room" || give_up "no minimal Debian could be made; what debootstrap said is above"
    for command in run test; do
        command=$(readme_commands "$readme" | grep -m 1 -E "^\./kiln $command( |\$)") ||
            give_up "README.md has no command ./kiln $command"
        status=0
        timed "$command" type_in "$room" "$command" || status=$?
        if [[ $status == "$(readme_status "$command")" ]]; then expect_ok; else expect_not "$command: status $status"; fi
    done
    expect_done
}

[[ ${1:-} != --all ]] || shift
if [[ ${1:-} == --stay ]]; then
    readme=$3
    stay "$2"
fi
readme=$(readlink -f "${1:-$KILN_ROOT/README.md}")
[[ -f $readme ]] || give_up "there is no $readme"
[[ -n $(sources) ]] || give_up "apt on this machine knows no mirror of Debian $suite; apt-get update"
as_root=()
if [[ $(id -u) != 0 ]]; then
    as_root=(sudo -n)
    sudo -n true || give_up "the newcomer's test needs root, or sudo without a password"
fi

room=$(mktemp -d "$KILN_OUT/newcomer.XXXXXX")
chmod 755 "$room" # it becomes a / that every user of that Debian must get through
trap 'rm -rf "$scratch"; "${as_root[@]}" rm -rf --one-file-system "$room"' EXIT
"${as_root[@]}" unshare --mount --pid --fork --kill-child bash "${BASH_SOURCE[0]}" --stay "$room" "$readme"
