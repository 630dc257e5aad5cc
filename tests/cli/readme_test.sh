#!/bin/bash
# tests/cli/readme_test.sh [--all] [README] - every command in README.md works.
#
# How to write README.md for this test:
#   - a block that starts with ```sh holds commands, one a line, that are run in the checkout; a
#     line that ends with a backslash goes on in the next. Other blocks are not run.
#   - a command must end with status 0. One that is meant to end otherwise says so after it:
#     `./kiln run -- ./double_free   # status 134`.
#   - one that takes minutes is marked `# minutes` and is run only with --all.
#   - `./kiln test` is not run from here, since it is what runs this; the newcomer's test types it.
source "$(dirname "${BASH_SOURCE[0]}")/expect.sh"

extent=usual
if [[ ${1:-} == --all ]]; then
    extent=all
    shift
fi
readme=${1:-$KILN_ROOT/README.md}
cd "$KILN_ROOT" || exit 1
[[ -f $readme ]] || expect_not "there is no $readme"

while IFS= read -r line; do
    status=0
    [[ ! $line =~ '# status '([0-9]+)$ ]] || status=${BASH_REMATCH[1]}
    if [[ $line =~ ^\./kiln\ test([[:space:]].*)?$ ]]; then
        echo "left to the newcomer's test: $line"
    elif [[ $line == *'# minutes' && $extent != all ]]; then
        echo "left to --all: $line"
    else
        echo "\$ $line"
        expect_run "$readme" "$status" '' bash -c "$line"
    fi
done < <([[ ! -f $readme ]] || awk '
    /^```/ { inside = !inside && $0 == "```sh"; next }
    !inside || /^[ \t]*(#|$)/ { next }
    /\\$/ { held = held substr($0, 1, length($0) - 1); next }
    { print held $0; held = "" }' "$readme")

expect_done
