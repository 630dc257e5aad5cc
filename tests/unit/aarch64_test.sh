#!/bin/bash
# tests/unit/aarch64_test.sh - the model of tags on AArch64, where HWASan has them in an address's top
# byte: compiled for that machine and run by qemu-aarch64. Ends with the line "N passed, N failed".
source "$(dirname "${BASH_SOURCE[0]}")/../cli/expect.sh"
# shellcheck source=tools/lib/kiln.sh
(source "$KILN_ROOT/tools/lib/kiln.sh" && kiln_need aarch64) || exit 1
cd "$KILN_ROOT" || exit 1

# build FROM NAME compiles FROM's tag_test, with what it includes.
build() {
    clang-19 --target=aarch64-linux-gnu -fuse-ld=lld -static -std=gnu11 -O1 -Wall -Wextra -Werror \
        "-I$1" -I. -o "$scratch/$2" "$1/tests/unit/tag_test.c"
}
expect_run "tag_test is built for AArch64" 0 '^$' build . tag_test
expect_run "what is built is of AArch64" 0 'AArch64' readelf -h "$scratch/tag_test"
expect_run "tags of the top byte go in and out" 0 '^[1-9][0-9]* passed, 0 failed$' \
    timeout 60 qemu-aarch64 "$scratch/tag_test"

# The control: a tag that is read a bit too low.
mkdir -p "$scratch/twin/allocator" "$scratch/twin/tests/unit"
cp -r allocator/base "$scratch/twin/allocator/"
cp tests/unit/tag_test.c "$scratch/twin/tests/unit/"
cp tests/kiln_test.h "$scratch/twin/tests/"
sed -i 's/>> tags\.shift/>> (tags.shift - 1)/' "$scratch/twin/allocator/base/tag.h"
expect_run "a wrong shift is planted" 1 'tags\.shift - 1' diff allocator/base/tag.h "$scratch/twin/allocator/base/tag.h"
expect_run "which builds" 0 '^$' build "$scratch/twin" planted_test
expect_run "and is seen" 1 'FAILED test_a_tag_goes_in_and_out' timeout 60 qemu-aarch64 "$scratch/planted_test"
expect_done
