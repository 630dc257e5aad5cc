# tools/lib/bits32.sh - who runs 32-bit programs here. Sourced after kiln.sh.
#
# The kernels of some virtual machines run none, however they were configured. There qemu-i386 does,
# for what asks nothing of the kernel that it has not: limits of address space, ptrace, seccomp,
# mincore, a core's silent end. Tests that do are tagged "no-emulator".

KILN_BINFMT=/proc/sys/fs/binfmt_misc

# kiln_bits32_by prints "emulator" where 32-bit programs are handed to qemu-i386, else "kernel".
kiln_bits32_by() {
    if grep -qs '^interpreter .*/qemu-i386' "$KILN_BINFMT"/*; then echo emulator; else echo kernel; fi
}

# kiln_bits32_run: 0 when a 32-bit program runs, 1 when it does not, 2 when gcc makes none.
kiln_bits32_run() {
    local probe status=0
    probe=$(mktemp "$KILN_OUT/bits32.XXXXXX")
    if echo 'int main(void) { return 0; }' | gcc -m32 -x c -o "$probe" - 2>/dev/null; then
        (exec "$probe") 2>/dev/null || status=1
    else
        status=2
    fi
    rm "$probe"
    return "$status"
}

# kiln_need_bits32 sees to it that 32-bit programs run. What it changes lasts until the next boot.
kiln_need_bits32() {
    local register=$KILN_ROOT/tools/lib/bits32_register.sh
    local status=0
    local -a as_root
    kiln_bits32_run || status=$?
    [[ $status != 0 ]] || return 0
    [[ $status == 1 ]] || kiln_die "gcc -m32 makes no program: is the package g++-multilib whole?"
    kiln_say "this kernel runs no 32-bit programs; it is told to hand them to qemu-i386 until the next boot"
    kiln_need emulator
    kiln_ask_root "bash $register"
    "${as_root[@]}" bash "$register" ||
        kiln_die "this kernel takes no interpreter for 32-bit programs: leave out i386, gcc-i386 and stress here"
    kiln_bits32_run || kiln_die "32-bit programs do not run, not even by qemu-i386"
}
