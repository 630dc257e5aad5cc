#!/bin/bash
# tools/lib/bits32_register.sh - run as root by kiln_need_bits32: the kernel hands ELF files of 32
# bits for the i386 to qemu-i386. See Documentation/admin-guide/binfmt-misc.rst of Linux.
#
# F opens the interpreter now, so that it serves in a chroot, too.
set -eu
binfmt=/proc/sys/fs/binfmt_misc
[[ -e $binfmt/register ]] || mount -t binfmt_misc none "$binfmt"

# The ELF header's first 20 bytes: 32 bits, little-endian, version 1, any system; EXEC or DYN; i386.
magic='\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x03\x00'
mask='\xff\xff\xff\xff\xff\xfe\xfe\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
printf ':kiln-i386:M::%s:%s:/usr/bin/qemu-i386:F' "$magic" "$mask" >"$binfmt/register"
