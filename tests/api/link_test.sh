#!/bin/bash
# libkiln.a and libkiln.so replace malloc in programs that a user links.
source tests/api/lib.sh
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
width=-m$(kiln_bits)
archive=allocator/api/libkiln.a

# In a program that is not on Kiln, a double free gets no report of Kiln's.
cat > "$folder/program.c" << 'END'
#include <pthread.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static void *work(void *text) { free(text); return malloc(10000); }
int main(int argc, char **argv)
{
    pthread_t thread;
    void *block, *volatile twice;
    (void)argv;
    pthread_create(&thread, NULL, work, strdup("text"));
    pthread_join(thread, &block);
    free(block);
    if (fork() == 0) { free(malloc(100000)); _exit(0); }
    wait(NULL);
    puts("all went well");
    fflush(stdout);
    if (argc > 1) { twice = malloc(8); free(twice); free(twice); }
    return 0;
}
END
try()
{
    local what=$1
    shift
    check "$what: it links" gcc $width -O1 -w "$folder/program.c" "$@" -pthread -o "$folder/program"
    same "$what: it runs" "$("$folder/program")" "all went well"
    same "$what: it is on Kiln" "$("$folder/program" twice 2>&1 | grep -c '^SUMMARY: Kiln: double-free')" 1
}
try "libkiln.a" $archive
try "libkiln.a, -static" -static $archive
try "libkiln.a, static-pie" -static-pie -fPIE $archive
try "libkiln.so" -Lallocator/api -lkiln -Wl,-rpath,"$PWD/allocator/api"
same "not on Kiln" "$(gcc $width -O1 -w "$folder/program.c" -pthread -o "$folder/program" &&
    "$folder/program" twice 2>&1 | grep -c Kiln)" 0

# A program's own malloc wrapper, made of the C library's second names.
cat > "$folder/wrapper.c" << 'END'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
void *__libc_malloc(size_t);
void __libc_free(void *);
static int calls;
void *malloc(size_t n) { calls++; return __libc_malloc(n); }
void free(void *p) { __libc_free(p); }
int main(void)
{
    char *text = strdup("text");
    text = realloc(text, 100000);
    free(text);
    free(calloc(3, 3));
    puts(calls > 0 ? "all went well" : "the wrapper was not called");
    return 0;
}
END
check "a wrapper: it links" gcc $width -w -fno-builtin "$folder/wrapper.c" -o "$folder/wrapper"
same "a wrapper: it runs, preloaded" "$(preload "$folder/wrapper")" "all went well"

# C++, where the C++ library is linked in statically and dynamically.
cat > "$folder/program.cc" << 'END'
#include <iostream>
#include <new>
#include <string>
#include <vector>
int main(int argc, char **)
{
    std::vector<std::string> words(1000, std::string(100, 'x'));
    void *volatile none = ::operator new((size_t)-1 / 2 + 1, std::nothrow);
    try { none = ::operator new((size_t)-1 / 2 + 1); }
    catch (const std::bad_alloc &) { std::cout << (none ? "?" : "all went well") << std::endl; }
    if (argc > 1) { int *volatile twice = new int; delete twice; delete twice; }
}
END
for link in -shared-libgcc -static-libstdc++ -static; do
    check "C++ $link: it links" g++ $width -w "$folder/program.cc" $link $archive -o "$folder/program"
    same "C++ $link: it runs" "$("$folder/program")" "all went well"
    same "C++ $link: it is on Kiln" "$("$folder/program" twice 2>&1 | grep -c '^    operator delete was given a block')" 1
done

finish
