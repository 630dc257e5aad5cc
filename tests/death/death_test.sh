#!/bin/bash
# Every misuse is reported with its exact words and ends the program; its correct twin (the same
# program, given an argument) is not touched. Addresses and process ids are replaced, and frames but
# the first are left out: that one must be the program's, although Kiln is linked into it.
set -u
folder=tests/death
failed=0
export KILN_OPTIONS

fail()
{
    echo "FAILED $*"
    failed=$((failed + 1))
}

# expect PROGRAM FIRST-LINE REMEDY ABOUT KIND FUNCTION: ABOUT is what is said about the address, after
# it; FUNCTION is where the misuse is.
expect()
{
    local output status wanted
    output=$("$folder/$1" 2>&1)
    status=$?
    output=$(sed -E 's/^==[0-9]+==/==PID==/; s/0x[0-9a-f]+/ADDRESS/g; /^    #([1-9]|[0-9]{2,}) /d
        s/^(    #0 ADDRESS in [a-z_]+) .*/\1/; s/^(SUMMARY: .* )[^ ]*( in [a-z_]+)$/\1PLACE\2/' <<< "$output")
    wanted="=================================================================
==PID==ERROR: Kiln: $2
    $3
    #0 ADDRESS in $6

ADDRESS $4
SUMMARY: Kiln: $5 PLACE in $6
==PID==ABORTING"
    [ "$output" = "$wanted" ] || fail "$1: it said:
$output
where this is right:
$wanted"
    [ $status = 134 ] || fail "$1: exit status $status, not 134 (SIGABRT)"
    output=$("$folder/$1" correct 2>&1)
    status=$?
    [ "$status$output" = 0 ] || fail "$1 correct: exit status $status, output: $output"
}

again='was given a block that had been freed before: free a block once, and do not use it afterwards.'
inside='was given an address inside a block: pass the address that the allocation returned.'
never='was given an address that malloc never returned: look for memory of the stack, a global, or another allocator.'
twice='attempting double-free on ADDRESS in thread T0:'
wrong='attempting free on address which was not malloc()-ed: ADDRESS in thread T0:'

# region OFFSET BYTES
region()
{
    echo "is located $1 inside of $2-byte region [ADDRESS,ADDRESS)"
}

# What a block is, a plain heap says by its size class and a hardened one to the byte; and what a
# large block was, only a hardened one.
judge()
{
    expect double_free "$twice" "free $again" "$(region '0 bytes' 64)" double-free main
    expect double_free_large "$twice" "free $again" "$freed_large" double-free main
    expect double_free_other_thread "$twice" "free $again" "$(region '0 bytes' 64)" double-free main
    expect realloc_after_free "$twice" "realloc $again" "$(region '0 bytes' 64)" double-free main
    expect usable_size_after_free "$twice" "malloc_usable_size $again" "$(region '0 bytes' 64)" double-free main
    expect interior_free "$wrong" "free $inside" "$(region '8 bytes' 64)" interior-free main
    expect interior_free_large "$wrong" "free $inside" "$(region '8192 bytes' $large_bytes)" interior-free main
    expect foreign_free_stack "$wrong" "free $never" 'is not memory of this heap' foreign-free main
    expect foreign_free_number "$wrong" "free $never" 'is not memory of this heap' foreign-free main
    expect wrong_size_free 'size-mismatch on ADDRESS in thread T0:' \
        'free_sized was told a size that does not fit the block: pass the size that was asked for.' \
        "$(region '0 bytes' $small_bytes)
the block was freed as one of 200 bytes" size-mismatch main
    expect wrong_alignment_free 'alignment-mismatch on ADDRESS in thread T0:' \
        'free_aligned_sized was told an alignment that does not fit the block: pass the alignment that was asked for.' \
        "$(region '0 bytes' $small_bytes)
the block was freed as one of 100 bytes aligned to 1048576" alignment-mismatch main
}

small_bytes=112 large_bytes=1007616 freed_large='is in pages of the heap that no block uses now'
KILN_OPTIONS=profile=fast judge
small_bytes=100 large_bytes=1000000 freed_large=$(region '0 bytes' 1000000)
KILN_OPTIONS=seed=1 judge # the profile that programs have; which blocks are guarded is always the same

[ $failed = 0 ] && echo "every misuse was reported, no correct twin was"
exit $((failed != 0))
