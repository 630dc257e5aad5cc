#!/bin/bash
# gcc.sh - gcc compiles C files of this project: the arena's. Object files are compared as they
# are; the folder's name is mapped away by gcc itself.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# A bazel test sees links to the checkout; the compiler needs the files with all their headers.
top=$(dirname "$(readlink -f "$real_dir/lib.sh")")/../..

real_name=gcc
real_needs='/usr/bin/gcc=gcc'
real_process='(.*/)?(gcc|cc1|as|ld|collect2)'
real_sources=$(cd "$top" && ls sanitizer/*.h allocator/{base,os}/*.h allocator/arena/*.[ch])

real_prepare() {
    tar -c -C "$top" $real_sources | tar -x
}

real_run() {
    local file level
    ln -s "$real_inputs" src
    for file in src/allocator/arena/*.c; do
        for level in 0 2; do
            on_heap gcc -std=c11 -Wall -g -O$level -ffile-prefix-map="$PWD"=. -I src -S "$file" \
                -o assembly.s || return 1
            on_heap gcc -std=c11 -Wall -g -O$level -ffile-prefix-map="$PWD"=. -I src -c "$file" \
                -o "$(basename "$file")-$level.o" || return 1
            sha256sum assembly.s
        done
    done
    on_heap gcc -r -o all.o ./*-2.o || return 1
    sha256sum -- *.o
}

real_main "$@"
