#!/bin/bash
# kiln to-test - writes a regression test in C of a fuzz input
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kiln.sh"
source "$KILN_ROOT/tools/lib/target.sh"

usage() {
    cat <<'END'
Usage: kiln to-test TARGET FILE [--name=NAME] [--out=FOLDER]

Writes NAME_test.c, a test that runs the input through the target's oracle, with its settings and
operations beside the bytes, and prints where it belongs and what to add to which BUILD file. The
test fails as long as the input breaks something, and passes from then on. Shrink the input first:
kiln shrink TARGET FILE.

  TARGET   whose input FILE is
  --name   what the test is called; TARGET and the file's name if not given
  --out    where the test is written; tests/fuzz of this checkout if not given. A test that is there
           is not overwritten

The exit status is 2 for a wrong argument.
END
}

target='' file='' name='' out=$KILN_ROOT/tests/fuzz
while [[ $# -gt 0 ]]; do
    option=${1%%=*}
    value=${1#*=}
    case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    --name=* | --out=*) ;;
    --name | --out)
        [[ $# -gt 1 ]] || kiln_usage "$1 needs a value: $1=VALUE"
        value=$2
        shift
        ;;
    -*) kiln_bad_option to-test "$option" --name --out --help ;;
    *)
        option=''
        if [[ -z $target ]]; then
            target=$1
        else
            [[ -z $file ]] || kiln_usage "one file at a time: '$file' or '$1'"
            file=$1
        fi
        ;;
    esac
    shift
    case $option in
    --name) name=$value ;;
    --out) out=$value ;;
    esac
done
kiln_need_target to-test "$target"
[[ -n $file ]] || kiln_usage "which file? kiln to-test $target FILE"
kiln_need_input '' "$file"
[[ -d $out ]] || kiln_usage "--out: there is no folder '$out'"
if [[ -z $name ]]; then
    name=${file##*/}
    name=${target}_${name//[^a-zA-Z0-9]/_}
fi
[[ $name =~ ^[a-z][a-zA-Z0-9_]*$ ]] ||
    kiln_usage "--name: '$name' is no name of a test: a small letter, then letters, digits and _"
test=$out/${name}_test.c
[[ ! -e $test ]] || kiln_usage "'$test' is there already: --name=NAME chooses another"

kiln_target_replay "$target" none
broke=$("$KILN_PROGRAM" "$file" 2>&1 | sed -n 's/.*: broken rule: //p' | head -n 1) || true
array=$("$KILN_PROGRAM" --c input "$file")
{
    echo "/* ${name}_test.c - an input of the fuzz target $target on its oracle."
    echo " *"
    if [[ -n $broke ]]; then
        echo " * It broke the rule"
        echo " *   ${broke//\*\//* /}"
    else
        echo " * It breaks nothing today, without a sanitizer."
    fi
    cat <<END
 * The oracle stops the program when a law does not hold. What settings and operations mean say
 * fuzz/${target}_fuzz.c and fuzz/ops.h. */
#include "fuzz/target.h"
#include "tests/kiln_test.h"

/* Lines stay one a record. */
/* clang-format off */
$(sed 1d <<<"$array")
/* clang-format on */

static void test_the_input_breaks_no_law(void)
{
    kiln_fuzz_one(input, input_bytes);
}

int main(int argc, char **argv)
{
    static const kiln_test_t tests[] = {KILN_TEST(test_the_input_breaks_no_law)};
    return kiln_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
END
} >"$test"

says="it passes today, without a sanitizer"
[[ -z $broke ]] || says="it fails today: $broke"
cat <<END
wrote   $test
        $says
It belongs into tests/fuzz, and this into tests/fuzz/BUILD:

kiln_test(
    name = "${name}_test",
    srcs = ["${name}_test.c"],
    deps = ["//fuzz:${target}_fuzz_target"],
)

Then: ./kiln test default ${name}_test
As corpus/$target/regress_${name#"${target}_"} the input itself is replayed under every sanitizer, too.
END
