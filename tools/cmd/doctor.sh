#!/bin/bash
# kiln doctor - what is there, what is missing, and which limits of this machine matter
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kiln.sh"
source "$KILN_ROOT/tools/lib/bits32.sh"
source "$KILN_ROOT/tools/lib/program.sh"

case ${1:-} in
'') ;;
-h | --help)
    cat <<'END'
Usage: kiln doctor

Looks, changes nothing, and says what to do about what is wrong. The exit status is 0 when
`kiln run` and `kiln test` can work here, with packages still to be installed or not; 1 otherwise.
END
    exit 0
    ;;
-*) kiln_bad_option doctor "$1" --help ;;
*) kiln_usage "kiln doctor takes no arguments, but was given '$1'" ;;
esac

ill=0
row() {
    printf '  %-22s %s\n' "$1" "$2"
}
wrong() {
    printf '  %-22s %s\n' "$1" "WRONG: $2"
    ill=1
}
# value FILE prints its first line, or a question mark.
value() {
    local line='?'
    [[ ! -r $1 ]] || read -r line <"$1" || true
    echo "$line"
}

echo "machine"
row system "$(. /etc/os-release 2>/dev/null && echo "${PRETTY_NAME:-unknown}" || echo unknown), Linux $(uname -r)"
if [[ $(uname -m) == x86_64 ]]; then row processor "x86_64, $(nproc) cores"; else wrong processor "$(uname -m); Kiln is built for x86_64"; fi
memory_kib=$(awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo 2>/dev/null || true)
if [[ -z $memory_kib ]]; then
    wrong /proc "not mounted; Bazel and the sanitizers need it: mount -t proc proc /proc"
elif ((memory_kib < 2 * 1024 * 1024)); then
    wrong memory "$((memory_kib / 1024)) MiB are free; Bazel and the sanitizers need 2048"
else
    row memory "$((memory_kib / 1024)) MiB free"
fi
bits32=0
kiln_bits32_run || bits32=$?
case $bits32 in
0) row "32-bit programs" "run by the $(kiln_bits32_by)" ;;
1) row "32-bit programs" "not run by this kernel; kiln test has it hand them to qemu-i386" ;;
*) row "32-bit programs" "to be seen when g++-multilib is installed" ;;
esac
disk_kib=$(df -Pk "$KILN_OUT" | awk 'NR == 2 { print $4 }')
if ((disk_kib < 2 * 1024 * 1024)); then
    wrong disk "$((disk_kib / 1024)) MiB are free in $KILN_OUT; a build with its tests needs 2048"
else
    row disk "$((disk_kib / 1024)) MiB free in $KILN_OUT"
fi

echo "limits"
limit_kib=$(ulimit -v)
if [[ $limit_kib == unlimited ]]; then
    row "ulimit -v" "unlimited: the heap reserves its address space at once"
else
    row "ulimit -v" "$limit_kib KiB: the heap grows by blocks; Bazel and the sanitizers do not run so"
fi
row vm.max_map_count "$(value /proc/sys/vm/max_map_count) (Kiln is content with the default, 65530)"
overcommit=$(value /proc/sys/vm/overcommit_memory)
case $overcommit in
2) row vm.overcommit_memory "2: every commit counts; the sanitizers do not start so" ;;
*) row vm.overcommit_memory "$overcommit" ;;
esac
row vm.mmap_rnd_bits "$(value /proc/sys/vm/mmap_rnd_bits)"
row kernel.core_pattern "$(value /proc/sys/kernel/core_pattern)"

echo "packages"
if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    wrong apt "there is no apt-get; Kiln sets itself up on Debian 12"
else
    may_install=1
    [[ $(id -u) == 0 ]] || sudo -n true 2>/dev/null || may_install=0
    for list in "$KILN_ROOT"/tools/packages/*.txt; do
        set=$(basename "$list" .txt)
        missing=$(kiln_missing "$set")
        if [[ -z $missing ]]; then
            row "$set" "all there"
        elif [[ $may_install == 1 ]]; then
            row "$set" "to be installed when needed: $(tr '\n' ' ' <<<"$missing")"
        else
            wrong "$set" "missing, and this user can install nothing without a password: $(tr '\n' ' ' <<<"$missing")"
        fi
    done
    dpkg-query -W -f='${db:Status-Status} ${Package} ${Version}\n' bazel-bootstrap clang-19 gcc-12 afl++ 2>/dev/null |
        while read -r status package version; do [[ $status != installed ]] || row "$package" "$version"; done
fi

echo "kiln"
row checkout "$KILN_ROOT"
row outputs "$KILN_OUT"
if kiln_fresh "$KILN_LIBRARY" allocator sanitizer; then
    row libkiln.so "up to date"
else
    row libkiln.so "not built, or older than its sources; kiln run builds it"
fi

echo
if [[ $ill == 0 ]]; then echo "Kiln can work here."; else echo "Kiln cannot work here until what is WRONG is mended."; fi
exit "$ill"
