#!/bin/bash
# Worlds that lack something: address space, system calls, mappings, /proc.
source tests/api/lib.sh
bits=$(kiln_bits)

# least BYTES sets what half a GiB of address space must give in blocks of so many bytes, and 128 MiB:
# both in MiB. A hardened heap has a byte behind each block, so that one of 16 takes a slot of 32, and
# fuzz 16 bytes of notes besides.
least()
{
    case $KILN_OPTIONS:$1 in
    profile=fast:*) half=300 eighth=32 ;;
    profile=fuzz:16) half=120 eighth=20 ;;
    profile=fuzz:64) half=250 eighth=32 ;;
    *:16) half=150 eighth=32 ;;
    *) half=300 eighth=32 ;;
    esac
}

# ulimit -v 512M. bash and python3 are what real use looks like.
limited()
{
    (ulimit -v 524288 && "$@")
}
for bytes in 16 64 5000 40000 200000 1048576 16777216; do
    least $bytes
    check "half a GiB of address space in $bytes" limited tests/api/limit_program $half $bytes
    check "128 MiB of address space in $bytes" \
        bash -c "ulimit -v 131072 && tests/api/limit_program $eighth $bytes"
done
check "the program notices less" bash -c '! (ulimit -v 524288 && tests/api/limit_program 520 64)'
if [ "$bits" = 64 ]; then
    check "one block of 1.5 GiB in 8 GiB of address space" \
        bash -c 'ulimit -v 8388608 && tests/api/limit_program 1500 1572864000'
    same "bash in half a GiB" "$(limited preload bash -c 'x=$(seq 100000); echo ${#x}')" 588894
    if [ -x /usr/bin/python3 ]; then
        same "python3 in half a GiB" "$(PYTHONMALLOC=malloc limited preload /usr/bin/python3 -c '
import threading
def work(): print(sum(len(str(i)) for i in list(range(100000))), flush=True)
t = [threading.Thread(target=work) for i in range(3)]
[x.start() for x in t]; [x.join() for x in t]
try: bytearray(600 << 20)
except MemoryError: print("no memory")')" $'488890\n488890\n488890\nno memory'
    fi
fi

# A seccomp filter with these seven calls, besides what a program without a heap makes.
seven=mmap,munmap,mremap,mprotect,madvise,getrandom,futex
closed=tests/api/closed_program
check "the filter fits a program without Kiln" \
    tests/api/seccomp_run mprotect,getrandom "${closed}_system" none
if [ "$KILN_OPTIONS" != profile=fuzz ]; then # which asks where stacks end
    check "seven system calls suffice" tests/api/seccomp_run $seven $closed heap
    check "seven system calls suffice with threads" tests/api/seccomp_run $seven,threads $closed threads
fi
bash -c "tests/api/seccomp_run '${seven#mmap,}' $closed heap; exit \$?" 2> /dev/null
same "the filter kills for another call (SIGSYS)" $? 159
KILN_OPTIONS=profile=hardened bash -c "tests/api/seccomp_run $seven $closed heap; exit \$?" 2> /dev/null
same "so it does for the handler of a profile that is named" $? 159
check "handle_segv=0 says no to that" env KILN_OPTIONS=profile=hardened:handle_segv=0 \
    tests/api/seccomp_run $seven $closed heap

# No /proc, no files at all: the program is alone in an empty folder.
alone=$(mktemp -d)
trap 'rm -rf "$alone"' EXIT
cp $closed "$alone/program"
in_chroot()
{
    if [ "$(id -u)" = 0 ]; then
        /usr/sbin/chroot "$alone" /program "$1"
    else
        unshare --user --map-root-user /usr/sbin/chroot "$alone" /program "$1"
    fi
}
same "alone in an empty folder" "$(in_chroot threads 2>&1)" "all went well"

# vm.max_map_count: 200,000 blocks with holes between them stay in a handful of mappings.
check "the number of mappings" tests/api/mappings_program
check "too many mappings are noticed" bash -c '! tests/api/mappings_program control'

finish
