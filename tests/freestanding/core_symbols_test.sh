#!/bin/bash
# tests/freestanding/core_symbols_test.sh ARCHIVE... - the core calls nothing but itself.
#
# Of the objects in the archives: each undefined symbol is defined in one of them, or is kiln_stop
# (which the embedder provides), or one of the functions that compilers call by themselves. None
# keeps thread-local state. The last archive is the negative control: it must be found to break
# both rules.
set -u

defined=$(mktemp)
trap 'rm -f "$defined"' EXIT
allowed='^(kiln_stop|memcpy|memmove|memset|memcmp|_GLOBAL_OFFSET_TABLE_|__stack_chk_fail)$'
# arithmetic that a processor lacks, from the compiler's own library: __udivdi3, __ctzdi2, ...
allowed+='|^__[a-z]+[sdt]i[234]$'

for archive; do nm "$archive"; done | awk 'NF == 3 && $2 ~ /[A-Z]/ { print $3 }' | sort -u >"$defined"

# foreign ARCHIVE prints what it needs from elsewhere.
foreign() {
    nm -u "$1" | awk '$1 == "U" || $1 == "w" { print $2 }' | sort -u | comm -23 - "$defined" |
        grep -vE "$allowed"
}

# thread_local_symbols ARCHIVE prints its symbols of thread-local storage.
thread_local_symbols() {
    readelf -sW "$1" | awk '$4 == "TLS" { print $8 }' | sort -u
}

failed=0
looked_at=0
for archive in "${@:1:$#-1}"; do
    [[ $archive == *.a ]] || continue
    [[ -f $archive ]] || { echo "there is no $archive"; failed=1; continue; }
    looked_at=$((looked_at + 1))
    calls=$(foreign "$archive")
    tls=$(thread_local_symbols "$archive")
    [[ -z $calls ]] || { echo "$archive needs from elsewhere:" $calls; failed=1; }
    [[ -z $tls ]] || { echo "$archive keeps thread-local:" $tls; failed=1; }
done
control=${!#}
[[ $(foreign "$control") == *strlen* ]] || { echo "the call of strlen in $control was not found"; failed=1; }
[[ $(thread_local_symbols "$control") == *planted_tls* ]] || { echo "the thread-local in $control was not found"; failed=1; }
((looked_at > 0)) || { echo "there was no archive to look at"; failed=1; }
echo "$looked_at archives of the core looked at"
exit "$failed"
