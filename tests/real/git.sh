#!/bin/bash
# git.sh - git clones a generated repository, works in the clone, and collects its garbage in two
# threads. How two threads share the work decides how objects are packed, so that objects are
# compared and packs are not. Nothing is normalised.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

real_name=git
real_needs='/usr/bin/git=git'
real_process='(.*/)?git|git-[a-z-]+'

git_settings() {
    export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0
    export GIT_AUTHOR_NAME=Test GIT_AUTHOR_EMAIL=test@localhost GIT_COMMITTER_NAME=Test
    export GIT_COMMITTER_EMAIL=test@localhost GIT_AUTHOR_DATE='1800000000 +0000'
    export GIT_COMMITTER_DATE='1800000000 +0000'
}

real_prepare() {
    git_settings
    git init -q --bare -b main source.git
    perl "$real_dir/generate.pl" git 700 | git -C source.git fast-import --quiet
}

real_run() {
    git_settings
    on_heap git clone -q "file://$real_inputs/source.git" clone || return 1
    cd clone || return 1
    on_heap git log --stat --graph | sha256sum || return 1
    on_heap git log -p --follow -- folder03/file003.txt | sha256sum || return 1
    on_heap git blame HEAD -- folder03/file003.txt | sha256sum || return 1
    on_heap git grep -c 'zul.*mo' main || return 1
    sed -i 's/ka/KA/' folder0*/*.txt
    on_heap git commit -q -a -m change || return 1
    on_heap git rev-parse HEAD || return 1
    on_heap git -c gc.pruneExpire=now -c pack.threads=2 gc -q --aggressive || return 1
    on_heap git fsck --full --strict || return 1
    on_heap git cat-file --batch-all-objects --batch --unordered --buffer | sha256sum >/dev/null ||
        return 1
    on_heap git rev-list --objects --all | sha256sum
}

real_main "$@"
