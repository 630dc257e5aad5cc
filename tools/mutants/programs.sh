# tools/mutants/programs.sh - what the killers of `kiln mutants` run, and how it is compiled: by
# clang directly, object by object, since a mutant changes one file. Sourced by worker.sh in the tree.
#
# An object of the unmutated tree is made once and serves every mutant whose patch it does not see,
# neither as its source nor by an include. A program that sees nothing of a patch is not run.

arena=(allocator/arena/*.c allocator/os/record.c)
base=(allocator/base/{check,lock}.c)
fake=(allocator/os/{fake,fake_policy,model,ranges}.c)
heap=(allocator/heap/*.c)
stop=(allocator/os/stop_linux.c)
play=(tools/replay/{player,trace,transcript}.c)
world=("${heap[@]}" "${arena[@]}" "${base[@]}" "${fake[@]}" "${stop[@]}"
    allocator/os/{check,fault,linux,fake_window_linux}.c)
backends=("${base[@]}" "${fake[@]}" tests/contract/os_backends.c fuzz/os_probe.c
    allocator/os/{check,fault,linux,fake_window_linux}.c)
arena_target=("${arena[@]}" "${base[@]}" "${fake[@]}"
    fuzz/{arena_fuzz,arena_model,ops,target}.c)
heap_target=("${heap[@]}" "${arena[@]}" "${base[@]}" "${fake[@]}" allocator/harden/*.c
    allocator/os/fake_window_linux.c
    fuzz/{contents,heap_fuzz,heap_machine,heap_model,heap_subject,harden_model,harden_plant,ops,target}.c)
os_target=("${base[@]}" "${fake[@]}" allocator/os/{check,fault,linux,fake_window_linux}.c
    fuzz/{os_fuzz,os_call,os_pages,os_probe,os_sleeper,os_world,ops,target}.c)
rewind=(allocator/os/{rewind,rewind_mark,written_linux}.c)
library=("${heap[@]}" "${arena[@]}" "${base[@]}" "${stop[@]}" "${rewind[@]}"
    allocator/os/{linux,model,ranges,scatter}.c
    allocator/harden/*.c allocator/api/*.c)

# sources_of PROGRAM sets sources, flavour (see flags_of) and links.
sources_of() {
    flavour=plain
    links=(-pthread)
    case $1 in
    bin/arena_test | bin/arena_kiln_test | bin/arena_seed_test | bin/arena_tables_test)
        sources=("tests/unit/${1#bin/}.c" "${arena[@]}" "${base[@]}" "${stop[@]}")
        ;;
    bin/os_ranges_test) sources=(tests/unit/os_ranges_test.c allocator/os/ranges.c) ;;
    bin/os_fake_place_test | bin/os_fake_test)
        sources=("tests/unit/${1#bin/}.c" "${base[@]}" "${fake[@]}")
        ;;
    bin/guard_test | bin/guard_refused_test)
        sources=("tests/unit/${1#bin/}.c" allocator/harden/guard*.c "${base[@]}" "${fake[@]}" "${stop[@]}"
            allocator/os/{check,fault,linux,fake_window_linux}.c)
        ;;
    bin/os_fault_test)
        sources=(tests/unit/os_fault_test.c "${base[@]}" "${fake[@]}" allocator/os/fault.c)
        ;;
    bin/os_check_test)
        sources=(tests/unit/os_check_test.c "${base[@]}" "${fake[@]}" allocator/os/check.c)
        ;;
    bin/os_linux_test) sources=(tests/unit/os_linux_test.c "${base[@]}" allocator/os/linux.c) ;;
    bin/lone_test) sources=(tests/unit/lone_test.c allocator/api/lone.c "${base[@]}" "${stop[@]}") ;;
    bin/os_rewind_test | bin/os_rewind_written_test)
        sources=("tests/unit/${1#bin/}.c" "${world[@]}" "${rewind[@]}" allocator/harden/*.c)
        ;;
    bin/record_test)
        sources=(tests/replay/record_test.c "${arena[@]}" "${base[@]}" "${fake[@]}" "${stop[@]}"
            "${play[@]}" allocator/os/{fault,linux}.c)
        ;;
    bin/heap_test | bin/page_heap_test | bin/heap_random_test | bin/heap_oom_test)
        sources=("tests/unit/${1#bin/}.c" "${world[@]}")
        ;;
    bin/os_contract_test | bin/os_rules_test) sources=("tests/contract/${1#bin/}.c" "${backends[@]}") ;;
    bin/arena_replay) sources=("${arena_target[@]}" fuzz/standalone_main.c) ;;
    bin/heap_replay) sources=("${heap_target[@]}" fuzz/standalone_main.c) ;;
    bin/os_replay) sources=("${os_target[@]}" fuzz/standalone_main.c) ;;
    bin/arena_fuzz)
        flavour=fuzz
        links+=(-fsanitize=fuzzer)
        sources=("${arena_target[@]}")
        ;;
    bin/heap_fuzz)
        flavour=fuzz
        links+=(-fsanitize=fuzzer)
        sources=("${heap_target[@]}")
        ;;
    bin/os_fuzz)
        flavour=fuzz
        links+=(-fsanitize=fuzzer)
        sources=("${os_target[@]}")
        ;;
    bin/arena_search)
        flavour=search
        sources=(tests/search/*.c "${arena[@]}" "${base[@]}" "${stop[@]}")
        ;;
    tools/replay/kiln-replay)
        sources=(tools/replay/*.c "${arena[@]}" "${base[@]}" "${stop[@]}")
        ;;
    allocator/api/libkiln.so)
        flavour=library
        links+=(-shared -Wl,-soname,libkiln.so -Wl,-Bsymbolic -Wl,-z,nodelete -Wl,-z,now)
        sources=("${library[@]}")
        ;;
    tests/api/malloc_test)
        flavour=library
        sources=(tests/api/malloc_test.c "${library[@]}")
        ;;
    tests/api/fork_program | tests/api/limit_program | tests/api/mappings_program)
        flavour=library
        sources=("$1.c" "${library[@]}")
        ;;
    tests/api/exit_program_system)
        flavour=library
        sources=(tests/api/exit_program.c)
        ;;
    tests/replay/grow_program)
        flavour=library
        sources=(tests/replay/grow_program.c)
        ;;
    *) kiln_die "tools/mutants: there is no program $1" ;;
    esac
}

# flags_of FLAVOUR sets flags. `plain` is how tests are built, `library` how libkiln.so is, with the
# assertions off; `fuzz` is for libFuzzer, `search` for speed. Warnings are off: a mutant may leave a parameter unused.
flags_of() {
    flags=(-std=c11 -g -w -I.)
    case $1 in
    plain) flags+=(-O1) ;;
    fuzz) flags+=(-O1 -fsanitize=fuzzer-no-link -fsanitize-coverage-ignorelist=tools/toolchain/oracles.txt) ;;
    search) flags+=(-O2) ;;
    library)
        flags+=(-O2 -DNDEBUG -fPIC -fvisibility=hidden -fexceptions -fno-builtin
            -ftls-model=initial-exec)
        ;;
    esac
}

# sees FLAVOUR SOURCE: is the source, or what it includes, what the patch changes?
declare -A seen_by=() # FLAVOUR/SOURCE.d, with _ for /
if [[ -n $mutated ]]; then
    while IFS= read -r file; do seen_by[${file#"$objects/"}]=1; done \
        < <(grep -lwFr --include='*.d' -e "$mutated" "$objects")
fi
sees() {
    [[ -n ${seen_by[$1/${2//\//_}.d]-} ]]
}

# program_sees PROGRAM: does any of its sources?
program_sees() {
    local source
    local -a sources links
    local flavour
    sources_of "$1"
    for source in "${sources[@]}"; do
        ! sees "$flavour" "$source" || return 0
    done
    return 1
}

# objects_of SOURCE... sets made to their object files, compiling what is not there.
objects_of() {
    local source folder todo=()
    local -a flags
    made=()
    flags_of "$flavour"
    for source; do
        folder=$objects/$flavour
        ! sees "$flavour" "$source" || folder=$tree/objects/$flavour
        made+=("$folder/${source//\//_}.o")
        [[ -f ${made[-1]} ]] || todo+=("$source" "${made[-1]}")
    done
    [[ ${#todo[@]} -gt 0 ]] || return 0
    mkdir -p "$objects/$flavour" "$tree/objects/$flavour"
    printf '%s\0' "${todo[@]}" | xargs -0 -n 2 -P "$jobs" bash -c \
        'object=${!#}; set -- "${@:1:$#-1}"
        exec clang-19 -MMD -MF "${object%.o}.d" -o "$object" -c "$@"' compile "${flags[@]}" \
        2>>"$tree/compiler.log" || return 1
}

# build PROGRAM... in the tree; 1 when one does not compile, which is in compiler.log.
build() {
    local program flavour
    local -a sources links flags made
    for program; do
        [[ ! -f $program ]] || continue
        sources_of "$program"
        objects_of "${sources[@]}" || return 1
        mkdir -p "${program%/*}"
        clang-19 "${made[@]}" "${links[@]}" -o "$program" 2>>"$tree/compiler.log" || return 1
    done
}
