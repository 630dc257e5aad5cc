#!/bin/bash
# tests/watch/watch_test.sh TOOL [some] - what a tool says of blocks of a heap that it watches.
#
# Each case of watch_program runs under the tool: what it must report, it reports, with the words
# below; of what is right, it says nothing. The negative control is the same program without the
# watcher: what was reported is not seen then, and two right programs are accused. So it is the
# watcher that the tool learns from. With `some` the cases are those below: valgrind takes a second each.
set -uo pipefail

tool=$1
extent=${2-all}
some=" write_past_20 write_past_64 a_place_used_again read_after_free read_after_a_reset use_what_calloc_cleared \
use_what_a_realloc_kept a_block_is_lost a_block_is_not_lost "
folder=$(dirname "${BASH_SOURCE[0]}")
out=${TEST_TMPDIR:-$(mktemp -d)}
passed=0 failed=0 ended=0

# CASE asan msan tsan valgrind hwasan; a word, - for silence, or . where it cannot be. What a tool says for a word is below.
cases='
write_past_20                               poison -      -    write  tag
write_past_64                               poison -      -    write  tag
write_past_4096                             poison -      -    write  tag
read_past_100000                            poison uninit -    read   tag
write_before                                poison -      -    write  tag
write_past_aligned                          poison -      -    write  tag
read_what_a_realloc_cut                     poison uninit -    read   tag
every_byte_of_every_size                    -      -      -    -      -
read_after_free                             poison uninit -    read   tag
write_after_free_large                      poison -      -    write  tag
read_what_a_realloc_left                    poison uninit -    read   tag
read_after_a_reset                          poison uninit -    read   tag
write_after_a_reset_large                   poison -      -    write  tag
a_heap_that_is_reset                        -      -      -    -      -
a_stale_address_frees_nothing               -      -      -    -      -
a_place_used_again                          -      -      -    -      -
use_what_nobody_wrote                       -      uninit -    uninit -
use_what_is_no_block                        wild   wild   -    wild   wild
use_what_an_earlier_owner_wrote             -      uninit -    uninit -
use_what_a_realloc_added                    -      uninit -    uninit -
use_what_was_not_written_before_a_realloc   -      uninit -    uninit -
use_what_a_realloc_added_in_its_old_place   -      uninit -    uninit -
use_what_the_heap_answers                   -      -      -    -      -
use_what_a_realloc_kept                     -      -      -    -      -
use_what_calloc_cleared                     -      -      -    -      -
two_writers                                 -      -      race -      -
a_place_goes_to_another_thread              -      -      -    -      -
a_place_orders_nothing                      -      -      race -      -
a_lock_that_was_freed_orders_nothing        -      -      race -      -
a_new_block_goes_to_another_thread          -      -      race -      -
two_writers_with_a_lock                     -      -      -    -      -
records_order_themselves                    -      -      -    -      -
a_resize_beside_a_writer                    -      -      race -      -
read_a_record                               record -      -    -      -
write_a_record                              record -      -    -      -
read_the_page_map                           record -      -    -      -
read_which_pages_are_mapped                 record -      -    -      -
the_records_of_a_heap_that_is_gone          -      -      -    -      -
write_the_struct_of_a_heap                  record -      -    -      -
a_struct_that_was_a_heap                    -      -      -    -      -
a_block_is_lost                             lost   -      -    lost   -
the_first_block_is_lost                     lost   -      -    -      -
a_block_is_not_lost                         -      -      -    -      -
a_block_is_lost_with_another                lost2  -      -    -      -
a_block_in_a_freed_one                      lost   -      -    -      -
a_block_in_a_freed_system_block             lost   -      -    -      -
a_block_in_a_system_block                   -      -      -    -      -
a_block_in_another_heaps_block              -      -      -    -      -
a_block_on_a_threads_stack                  -      -      -    -      -
system_block_in_a_live_one                  -      -      -    -      -
system_block_in_a_freed_one                 leak   -      -    -      -
system_block_in_a_lost_one                  lost   -      -    -      -
a_block_and_a_system_block_are_lost         both   -      -    -      leak
two_heaps                                   -      -      -    -      -
heaps_one_after_another                     -      -      -    -      -
fork_beside_threads                         -      -      -    -      -
resize_what_the_program_poisoned            -      -      -    -      -
a_heap_that_is_gone                         -      -      -    -      .
'

# What each word is, as a pattern; the second must be found too: where the block came from.
declare -A words=(
    [poison]='ERROR: AddressSanitizer: use-after-poison'
    [record]='ERROR: AddressSanitizer: use-after-poison'
    [uninit]='(WARNING: MemorySanitizer: use-of-uninitialized-value|Conditional jump or move depends on uninitialised value)'
    [tag]='ERROR: HWAddressSanitizer: tag-mismatch'
    [wild]='(tag-mismatch|use-after-poison|use-of-uninitialized-value|Invalid read of size 1)'
    [race]='WARNING: ThreadSanitizer: data race'
    [leak]='ERROR: LeakSanitizer: detected memory leaks$'
    [lost]='(Direct leak of 1234 byte\(s\) in 1 object|1,234 bytes in 1 blocks are definitely lost)'
    [lost2]='Indirect leak of 77 byte\(s\) in 1 object'
    [both]='Direct leak of 77 byte\(s\) in 1 object'
    [write]='Invalid write of size 1'
    [read]='Invalid read of size 1'
    [reads]='Invalid read of size'
)
kiln_leaks='LeakSanitizer: detected memory leaks, of blocks of Kiln heaps'
declare -A origins=(
    [lost2]="$kiln_leaks .*Direct leak .*Indirect leak of 77 .*#0 0x[0-9a-f]+ in take .*lose_two"
    [both]="$kiln_leaks .*Direct leak of 1234 .*detected memory leaks  *Direct leak of 77 .*malloc"
    [wild]=' in use |: use '
    [record]='is located in the records of a Kiln heap'
    [asan_lost]="$kiln_leaks .*Direct leak of 1234 .*#0 0x[0-9a-f]+ in take .*(take_one|keep_in)"
    [asan]='byte Kiln block \[.*allocated by thread .* here:.*#0 0x[0-9a-f]+ in (take|resize|write_past_aligned)'
    [msan]='(was created by|Memory was marked as uninitialized).*in (take|resize|give|kiln_heap_reset)'
    [tsan]='Location is heap block of size 64 .* allocated by'
    [hwasan]='byte Kiln block \[.*allocated by thread .* here:.*#0 0x[0-9a-f]+ in (take|resize|write_past_aligned)'
    [valgrind]='(after|inside|before|alloc.d|stack|heap|lost).*(take|resize|give|write_past_aligned)'
)
declare -A allocated=(
    [msan]='marked as uninitialized.* in take '
    [tsan]=${origins[tsan]}
    [hwasan]=${origins[hwasan]}
)
export ASAN_OPTIONS=abort_on_error=0:detect_leaks=1 TSAN_OPTIONS=report_thread_leaks=0:die_after_fork=0

verdict() { # verdict STATUS WHAT
    if [[ $1 == 0 ]]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED  $2 (the program ended with $ended)"
        tail -n 30 "$out/said"
    fi
}

# run PROGRAM CASE [EVENT] - what it says goes to $out/said, its status to $ended; 124 is
# five minutes over: it hangs. A thread that gives a lock back keeps valgrind's own one, unless it is
# told to be fair, and so has the first one back before those who wait.
run() {
    local -a front=()
    [[ $tool != valgrind ]] ||
        front=(valgrind -q --fair-sched=yes --error-exitcode=1 --track-origins=yes)
    [[ $tool$2 != valgrinda_block_is_*lost ]] || front+=(--leak-check=full)
    timeout -k 1 300 "${front[@]}" "$folder/$1" "${@:2}" >"$out/said" 2>&1
    ended=$?
    return "$ended"
}

reports='Sanitizer|==[0-9]+==|uninitialised'
while read -r name asan msan tsan valgrind hwasan; do
    [[ -n $name ]] || continue
    [[ $extent == all || $some == *" $name "* ]] || continue
    case $tool in
    asan) word=$asan ;;
    msan) word=$msan ;;
    tsan) word=$tsan ;;
    hwasan) word=$hwasan ;;
    valgrind) word=$valgrind ;;
    none) word=- ;;
    esac
    wrong=$asan$msan$tsan$valgrind
    [[ $word != . ]] || continue
    if [[ $word == - ]]; then
        # What another tool is for may go wrong in any way here.
        [[ $tool != none || $wrong == ---- ]] || continue
        run watch_program "$name"
        status=$?
        ! grep -qE "$reports" "$out/said" || status=1
        verdict "$status" "$name: $tool says nothing"
    else
        run watch_program "$name"
        status=$?
        grep -qE "${words[$word]}" "$out/said" && [[ $status != 0 ]]
        verdict $? "$name: $tool reports: ${words[$word]}"
        [[ $word == leak ]] || {
            origin=${origins[$word]:-${origins[${tool}_$word]:-${origins[$tool]}}}
            grep -qE "$origin" <<<"$(tr '\n' ' ' <"$out/said")"
            verdict $? "$name: $tool says where the block came from: $origin"
        }
        # A race is one wherever it is, and these are about what the heap must not hide; a leak is
        # one for LeakSanitizer where it cannot see the heap at all.
        [[ $word != race && $word != leak && $word != both ]] || continue
        run watch_program_none "$name"
        grep -q '^done$' "$out/said" && ! grep -qE "${words[$word]}" "$out/said"
        verdict $? "$name: without the watcher, $tool does not"
    fi
done <<<"$cases"

# What is right, and what a tool that is not told takes for wrong.
while read -r name for_tool word; do
    [[ $for_tool == "$tool" ]] || continue
    run watch_program_none "$name"
    grep -qE "${words[$word]}" "$out/said"
    verdict $? "$name: without the watcher, $tool reports falsely: ${words[$word]}"
done <<'END'
a_place_goes_to_another_thread tsan race
system_block_in_a_live_one asan leak
system_block_in_a_live_one hwasan leak
END

# What events are for: where the watcher is not told of it, the tool misses what it reported above,
# or accuses what is right.
while read -r name event for_tool word; do
    [[ $for_tool == "$tool" ]] || continue
    # A block whose free nobody was told of is lost.
    ASAN_OPTIONS=$ASAN_OPTIONS$([[ $event != free ]] || echo :detect_leaks=0) \
        run watch_program "$name" "$event"
    if [[ $word == *:elsewhere ]]; then
        word=${word%:elsewhere}
        grep -qE "${words[$word]}" "$out/said" &&
            ! grep -qE "${allocated[$tool]}" <<<"$(tr '\n' ' ' <"$out/said")"
        verdict $? "$name: not told of $event, $tool does not say where the block came from"
    elif [[ $word == - ]]; then
        grep -q '^done$' "$out/said" && ! grep -qE "$reports" "$out/said"
        verdict $? "$name: not told of $event, $tool sees nothing"
    else
        grep -qE "${words[$word]}" "$out/said"
        verdict $? "$name: not told of $event, $tool reports falsely: ${words[$word]}"
    fi
done <<'END'
write_past_20                  grow   asan     -
a_place_used_again             alloc  asan     poison
read_after_free                free   asan     -
read_after_a_reset             free   asan     -
a_heap_that_is_gone            retire asan     poison
the_first_block_is_lost        own    asan     -
write_the_struct_of_a_heap     own    asan     -
read_a_record                  records asan    -
read_the_page_map              records asan    -
read_which_pages_are_mapped    records asan    -
the_records_of_a_heap_that_is_gone release asan record
a_resize_beside_a_writer       copy   tsan     -
read_after_free                free   msan     -
read_after_a_reset             free   msan     -
use_what_calloc_cleared        zeroed msan     uninit
use_what_an_earlier_owner_wrote alloc msan     uninit:elsewhere
use_what_is_no_block           grow   msan     -
a_heap_that_is_gone            retire msan     uninit
a_place_goes_to_another_thread alloc  tsan     race
a_lock_that_was_freed_orders_nothing free tsan -
two_writers                    grow   tsan     race:elsewhere
system_block_in_a_live_one     grow   hwasan   leak
write_past_20                  alloc  hwasan   -
a_place_used_again             given  hwasan   tag
read_after_free                free   hwasan   -
read_after_a_reset             free   hwasan   -
read_after_free                own    hwasan   tag:elsewhere
write_past_20                  grow   valgrind -
a_place_used_again             alloc  valgrind write
read_after_free                free   valgrind -
read_after_a_reset             free   valgrind -
use_what_calloc_cleared        zeroed valgrind uninit
use_what_a_realloc_kept        copy   valgrind reads
END

# What LeakSanitizer's options and status are, those of the search for Kiln's blocks are.
leaks_with() { # leaks_with OPTIONS STATUS - of a lost block and of a lost block of malloc
    local name status=0
    for name in the_first_block_is_lost system_block_in_a_freed_one; do
        ASAN_OPTIONS=$ASAN_OPTIONS$1 run watch_program "$name"
        [[ $ended == "$2" ]] || status=1
        if [[ $1 == *detect_leaks=[0n]* ]]; then
            ! grep -qE "$reports" "$out/said" || status=1
        else
            grep -q 'Direct leak of 1234 byte' "$out/said" || status=1
        fi
    done
    verdict "$status" "ASAN_OPTIONS=$1: both end with $2"
}
if [[ $tool == asan ]]; then
    leaks_with '' 1
    leaks_with :exitcode=7 7
    leaks_with :exitcode=0 0
    leaks_with :detect_leaks=0 0
    leaks_with ':detect_leaks=no,exitcode=3' 0
    run watch_program system_block_in_a_lost_one
    ! grep -q '77 byte' "$out/said"
    verdict $? "system_block_in_a_lost_one: the block of malloc is none"
fi

# code PROGRAM FUNCTION prints the function's instructions, without addresses.
code() {
    objdump -d --no-show-raw-insn --disassemble="$2" "$folder/$1" |
        sed -nE 's/^ +[0-9a-f]+:\t([a-z][^#<]*).*/\1/p' | sed -E 's/[0-9a-f]{4,}//g'
}

# A program has the calls of its own tool, and of no other. valgrind's requests are four rotations of
# a register, the last of them by 51 bits.
if [[ $tool == valgrind ]]; then
    for program in watch_program watch_program_none; do
        nm "$folder/$program" >"$out/said"
        ! grep -E '__(asan|lsan|msan|tsan|hwasan)_|Annotate' "$out/said"
        verdict $? "$program: no call of a sanitizer that it is not built with"
    done
    objdump -d "$folder/watch_program" >"$out/said"
    grep -qE 'rol +\$0x33,' "$out/said"
    verdict $? "watch_program: valgrind's requests are there"
    objdump -d "$folder/watch_program_none" >"$out/said"
    ! grep -E 'rol +\$0x33,' "$out/said"
    verdict $? "watch_program_none: none of valgrind's requests is"
    for function in kiln_heap_malloc kiln_thread_cache_refill; do
        code watch_program_none "$function" >"$out/said"
        [[ $(wc -l <"$out/said") -gt 10 ]] && ! grep -E 'call +\*' "$out/said"
        verdict $? "$function: nobody is told on the way through a cache"
    done
    for function in kiln_watch kiln_watch_os; do
        code watch_program_none "$function" >"$out/said"
        [[ -s $out/said ]] && ! grep -E 'call|^j|^rol' "$out/said"
        verdict $? "$function: without a tool it answers and does nothing"
        code watch_program "$function" >"$out/said"
        grep -qE 'call|^j|^rol' "$out/said"
        verdict $? "$function: with one it would be seen"
    done
    code watch_program told_alloc >"$out/said"
    grep -qE 'rol +\$0x33,' "$out/said"
    verdict $? "told_alloc: an instruction of the watcher's would be seen"
fi

# The malloc family is the tool's: Kiln's heap for embedders brings none of it. (What LLVM's runtimes
# define themselves, free_sized is not of.)
family='free_sized|free_aligned_sized|kiln_malloc'
[[ $tool != valgrind ]] || family+='|malloc|free|calloc|realloc|reallocarray|aligned_alloc|memalign|posix_memalign|malloc_usable_size|_Zn[wa]m|_Zd[la]Pv'
exported() { # exported PATTERN PROGRAM
    nm "$folder/$2" >"$out/said" && grep -E " [TtWVi] ($1)\$" "$out/said"
}
! exported "$family" watch_program
verdict $? "watch_program: no symbol of the malloc family is Kiln's"
exported kiln_heap_malloc watch_program >/dev/null
verdict $? "watch_program: a symbol that is Kiln's would be seen"

# The heap's own work is not the tool's to judge: it calls nothing that the tool's runtime replaces.
if [[ $tool == asan || $tool == tsan || $tool == hwasan ]]; then
    objdump -d "$folder/watch_program" --disassemble=kiln_span_open >"$out/said"
    grep -q 'call.*<kiln_own_memset>' "$out/said" && ! grep -E 'call.*<(__interceptor_|___interceptor_)?mem' "$out/said"
    verdict $? "kiln_span_open: clears a record by itself"
fi

# The worked example: hidden by the program's own pool, shown by Kiln's.
if [[ $tool == asan || $tool == valgrind || $tool == hwasan ]]; then
    run parser_example own && grep -q '^timeout 7$' "$out/said" && ! grep -qE "$reports" "$out/said"
    verdict $? "parser_example own: $tool does not see the use after free"
    run parser_example kiln
    grep -qE "(use-after-poison|tag-mismatch|Invalid read of size).*(freed by|free'd).*pool_empty.*(allocated by|alloc'd).*parse" \
        <<<"$(tr '\n' ' ' <"$out/said")"
    verdict $? "parser_example kiln: $tool reports it, with who freed and who allocated the node"
fi

echo "$passed passed, $failed failed"
((failed == 0))
