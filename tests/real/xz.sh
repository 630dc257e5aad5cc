#!/bin/bash
# xz.sh - xz packs and unpacks a file in two threads. Nothing is normalised.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

real_name=xz
real_needs='/usr/bin/xz=xz-utils'
real_process='(.*/)?xz'

real_prepare() {
    perl "$real_dir/generate.pl" words 24000000 >words
}

real_run() {
    on_heap xz -T2 -2 --block-size=2MiB --check=sha256 -k -c "$real_inputs/words" >words.xz || return 1
    sha256sum words.xz
    on_heap xz -T2 -d -c words.xz >words || return 1
    cmp words "$real_inputs/words" || return 1
    on_heap xz -l -v --robot words.xz
}

real_main "$@"
