#!/bin/bash
# Every misuse is reported with its exact words and ends the program; its correct twin (the same
# program, given an argument) is not touched. Addresses and process ids are replaced.
set -u
folder=tests/death
failed=0
export KILN_OPTIONS=

fail()
{
    echo "FAILED $*"
    failed=$((failed + 1))
}

# expect PROGRAM FIRST-LINE SECOND-LINE KIND
expect()
{
    local output status wanted
    output=$("$folder/$1" 2>&1)
    status=$?
    output=$(sed -E 's/^==[0-9]+==/==PID==/; s/0x[0-9a-f]+/ADDRESS/g' <<< "$output")
    wanted="==PID==ERROR: Kiln: $4 on ADDRESS ($2)
    $3
SUMMARY: Kiln: $4"
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

expect double_free 'a block of 64 bytes' "free $again" double-free
expect double_free_large 'in pages that no block uses now' "free $again" double-free
expect double_free_other_thread 'a block of 64 bytes' "free $again" double-free
expect realloc_after_free 'a block of 64 bytes' "realloc $again" double-free
expect usable_size_after_free 'a block of 64 bytes' "malloc_usable_size $again" double-free
expect interior_free '8 bytes inside a block of 64 bytes' "free $inside" interior-free
expect interior_free_large '8192 bytes inside a block of 1007616 bytes' "free $inside" interior-free
expect foreign_free_stack 'not a block of this heap' "free $never" foreign-free
expect foreign_free_number 'not a block of this heap' "free $never" foreign-free
expect wrong_size_free 'a block of 112 bytes, freed as one of 200' \
    'free_sized was told a size that does not fit the block: pass the size that was asked for.' \
    size-mismatch
expect wrong_alignment_free 'a block of 112 bytes, freed as one of 100 aligned to 1048576' \
    'free_aligned_sized was told an alignment that does not fit the block: pass the alignment that was asked for.' \
    alignment-mismatch

[ $failed = 0 ] && echo "every misuse was reported, no correct twin was"
exit $((failed != 0))
