#!/bin/bash
# tests/cli/readme_test.sh [--all] [README] - every command in README.md works; see readme.sh for
# what counts as one. Those that take minutes are run with --all. `./kiln test` is not run from here,
# since it is what runs this: the newcomer's test types it.
source "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
source "$KILN_ROOT/tests/cli/readme.sh"

extent=usual
if [[ ${1:-} == --all ]]; then
    extent=all
    shift
fi
readme=${1:-$KILN_ROOT/README.md}
cd "$KILN_ROOT" || exit 1
[[ -f $readme ]] || expect_not "there is no $readme"

while IFS= read -r command; do
    if [[ $command =~ ^\./kiln\ test([[:space:]]|$) ]]; then
        echo "left to the newcomer's test: $command"
    elif [[ $command == *'# minutes'* && $extent != all ]]; then
        echo "left to --all: $command"
    else
        echo "\$ $command"
        command=${command//FILE/"'$scratch/file'"}
        expect_run "$readme" "$(readme_status "$command")" '' bash -c "${command//PROGRAM/ls}"
    fi
done < <([[ ! -f $readme ]] || readme_commands "$readme")

expect_done
