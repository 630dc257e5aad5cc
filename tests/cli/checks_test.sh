#!/bin/bash
# tests/cli/checks_test.sh - the negative controls of `kiln test`: each check finds what is planted,
# and says nothing of its correct twin; a failing, broken or missing test is counted as failed.
source "$(dirname "${BASH_SOURCE[0]}")/expect.sh"

# plant FOLDER FILE TEXT makes a tree with one file in it.
plant() {
    mkdir -p "$scratch/$1/$(dirname "$2")"
    printf '%s\n' "$3" >"$scratch/$1/$2"
}
check() {
    bash "$KILN_ROOT/tools/check/$1.sh" "$scratch/$2"
}

plant right allocator/base/right.c $'#include <stdint.h>\n\nint right(int a);\n\nint right(int a)\n{\n    return a;\n}'
expect_run "format passes what is right" 0 '1 passed, 0 failed' check format right
expect_run "lint passes what is right" 0 '1 passed, 0 failed' check lint right
expect_run "lint passes it again from its memory" 0 '1 passed, 0 failed' check lint right
expect_run "layers pass what is right" 0 '1 passed, 0 failed' check layers right

plant format a.c 'int  a;'
expect_run "format finds two spaces" 1 'a\.c:1.*0 passed, 1 failed' check format format

plant lint a.c $'int twice(int *p);\n\nint twice(int *p)\n{\n    if (p) return 1;\n    return *p;\n}'
expect_run "lint finds a null dereference" 1 'a\.c:6.*NullDereference.*0 passed, 1 failed' check lint lint
plant lint_long a.c "$(
    printf 'int a(int n);\n\nint a(int n)\n{\n'
    for i in {1..70}; do echo '    n += n;'; done
    printf '    return n;\n}\n'
)"
expect_run "lint finds a function of more than 70 lines" 1 'readability-function-size' check lint lint_long

quiet='grep -q'
plant lint_pipe a.sh $'set -o pipefail\nyes | '"$quiet y"
expect_run "lint finds a pipe into grep -q" 1 'a\.sh:2:yes.*0 passed, 1 failed' check lint lint_pipe
plant lint_said a.sh "# yes | $quiet y"$'\ngrep -q y <<<"$(echo y)"\ngrep y a || grep -q y b'
expect_run "lint passes grep -q without a pipe" 0 '1 passed, 0 failed' check lint lint_said

plant up allocator/os/a.c '#include "allocator/arena/arena.h"'
expect_run "layers find an include that goes up" 1 'os is below arena.*0 passed, 1 failed' check layers up
plant watcher allocator/os/a.c '#include "sanitizer/publish.h"'
expect_run "layers find a watcher below the arena" 1 'os cannot include sanitizer/publish.h' check layers watcher
plant asan allocator/heap/a.c '#include "sanitizer/asan.h"'
expect_run "layers find a watcher by name" 1 'heap cannot include sanitizer/asan.h' check layers asan
plant libc allocator/heap/a.c '#include <stdlib.h>'
expect_run "layers find the C library in the core" 1 'heap is freestanding' check layers libc
plant linux allocator/os/linux.c '#include <sys/mman.h>'
expect_run "layers let os/linux.c have it" 0 '1 passed, 0 failed' check layers linux
plant tests allocator/api/a.c '#include "tests/kiln_test.h"'
expect_run "layers find a test in the allocator" 1 'cannot include tests/kiln_test.h' check layers tests
plant long fuzz/a.c "$(yes '' | head -n 600; echo 'int a;')"
expect_run "layers find a file of 600 lines" 1 '600 lines' check layers long
mkdir "$scratch/empty"
for name in format lint layers; do
    expect_run "$name without files has passed nothing" 0 '^0 passed, 0 failed$' check $name empty
done

# `kiln test` itself, in a checkout of its own that has one test.
twin="$scratch/a checkout"
mkdir -p "$twin/t"
for entry in .bazelrc .bazelversion .bazelignore .clang-format .clang-tidy WORKSPACE kiln tools; do
    cp -r "$KILN_ROOT/$entry" "$twin/"
done
rm -rf "$twin/tools/replay"
cat >"$twin/t/BUILD" <<'END'
load("//tools:kiln.bzl", "kiln_sh_test")

kiln_sh_test(
    name = "planted_test",
    srcs = ["planted_test.sh"],
)
END
planted() {
    printf '#!/bin/bash\n%s\n' "$1" >"$twin/t/planted_test.sh"
    chmod +x "$twin/t/planted_test.sh"
}
# Its table of tools and tests: a test with a tag has a reason, a reason a test, and DESIGN.md both.
reason='//t:* no-tsan is planted'
begin='<!-- made by ./kiln test --matrix --update -->' end='<!-- end -->'
mkdir -p "$twin/tests"
printf '%s\n' "$begin" "$end" >"$twin/DESIGN.md"
echo '//* hwasan is not of a heap for embedders' >"$twin/tests/left_out.txt"
planted 'exit 0'
expect_run "a table that DESIGN.md has not" 1 "is not that of the tests" "$twin/kiln" test --matrix --check
expect_run "the table goes into DESIGN.md" 0 '^$' "$twin/kiln" test --matrix --update
expect_run "the table is in DESIGN.md" 0 '\| tsan \|.* 1 \|' cat "$twin/DESIGN.md"
expect_run "and is found right there" 0 '^$' "$twin/kiln" test --matrix --check
sed -i 's/| tsan |/| tsam |/' "$twin/DESIGN.md"
expect_run "a phase by another name is not" 1 "is not that of the tests" "$twin/kiln" test --matrix --check
expect_run "a test that was not run" 0 '\| tsan \|.* 1 not run \|' "$twin/kiln" test --matrix
sed -i 's|^)$|    tags = ["no-tsan"],\n)|' "$twin/t/BUILD"
expect_run "a test left out without a reason" 1 'no line for //t:planted_test.*no-tsan' "$twin/kiln" test --matrix
echo "$reason" >>"$twin/tests/left_out.txt"
expect_run "and with one" 0 'tsan: `t:planted_test` \(is planted\)' "$twin/kiln" test --matrix
sed -i '/no-tsan/d' "$twin/t/BUILD"
expect_run "a reason without a test" 1 "no test is left out by '//t:\* no-tsan'" "$twin/kiln" test --matrix
sed -i '/no-tsan/d' "$twin/tests/left_out.txt"
expect_run "a phase whose test passes" 0 '1 passed, 0 failed' "$twin/kiln" test ubsan
expect_run "is in the table" 0 '\| ubsan \|.* 1 passed \|' "$twin/kiln" test --matrix
planted 'exit 1'
expect_run "a phase whose test fails" 1 '0 passed, 1 failed' "$twin/kiln" test ubsan
expect_run "is in the table, too" 0 '\| ubsan \|.* 1 failed \|' "$twin/kiln" test --matrix

planted 'exit 0'
expect_run "kiln test passes a test that passes" 0 'default +1 passed, 0 failed.*'$'\n''1 passed, 0 failed$' \
    "$twin/kiln" test default
expect_run "kiln test takes a filter" 0 $'\n''2 passed, 0 failed$' "$twin/kiln" test planted
expect_run "kiln test takes a label" 0 $'\n''1 passed, 0 failed$' "$twin/kiln" test gcc //t:planted_test
expect_run "kiln test names a filter that matches nothing" 2 "'plantd'.*'planted_test'" "$twin/kiln" test plantd
planted 'echo "seed 17"; exit 1'
expect_run "kiln test fails over a failing test, shows its words and how to replay it" 1 \
    'seed 17.*FAILED //t:planted_test; again alone: ./kiln test default //t:planted_test.*'$'\n''0 passed, 1 failed$' \
    "$twin/kiln" test default
echo 'kiln_test(' >>"$twin/t/BUILD"
expect_run "kiln test fails over a build that is broken" 1 $'\n''0 passed, 1 failed$' "$twin/kiln" test default
rm -r "$twin/t"
expect_run "kiln test fails over a phase without tests" 1 'ran nothing.*'$'\n''0 passed, 1 failed$' \
    "$twin/kiln" test default

# Each sanitizer's phase finds its own kind of bug, and passes the programs with the others' bugs.
mkdir -p "$twin/t" "$twin/tests"
cp "$KILN_ROOT/tests/kiln_test.h" "$twin/tests/"
cat >"$twin/tests/BUILD" <<'END'
load("//tools:kiln.bzl", "kiln_library")

kiln_library(
    name = "kiln_test",
    testonly = True,
    hdrs = ["kiln_test.h"],
)
END
cat >"$twin/t/BUILD" <<'END'
load("//tools:kiln.bzl", "kiln_test")

[
    kiln_test(
        name = kind + "_test",
        srcs = [kind + ".c"],
    )
    for kind in ["asan", "msan", "tsan", "ubsan"]
]
END
cat >"$twin/t/asan.c" <<'END'
#include <stdlib.h>

int main(void)
{
    volatile char *block = malloc(8);
    (void)block[8];
    free((void *)block);
    return 0;
}
END
cat >"$twin/t/msan.c" <<'END'
#include <stdlib.h>

int main(void)
{
    volatile int *block = malloc(sizeof *block);
    int status = *block == 42 ? 0 : *block == 43 ? 0 : EXIT_SUCCESS;
    free((void *)block);
    return status;
}
END
cat >"$twin/t/tsan.c" <<'END'
#include <pthread.h>
#include <stddef.h>

static volatile int shared;

static void *count(void *unused)
{
    for (int i = 0; i < 1000; i++) shared = shared + 1;
    return unused;
}

int main(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, count, NULL) != 0) return 1;
    count(NULL);
    pthread_join(thread, NULL);
    return 0;
}
END
cat >"$twin/t/ubsan.c" <<'END'
#include <limits.h>

int main(void)
{
    volatile int n = INT_MAX;
    n = n + 1;
    return 0;
}
END
expect_run "without a sanitizer the four planted bugs pass" 0 $'\n''4 passed, 0 failed$' "$twin/kiln" test default
for kind in asan msan tsan ubsan; do
    expect_run "the phase $kind finds its planted bug, and only that" 1 \
        "FAILED //t:${kind}_test; again.*"$'\n''3 passed, 1 failed$' "$twin/kiln" test $kind
done
(cd "$twin" && tools/bazel shutdown) >/dev/null 2>&1
# Its outputs are not below it, for the path has a space.
rm -rf "$(bash -c 'source "$0/tools/lib/paths.sh"; echo "$KILN_OUT"' "$twin")"

expect_done
