#!/bin/bash
# tools/check/lint.sh [FOLDER] - clang-tidy finds nothing, with the checks of .clang-tidy.
#
# In a shell script no pipe ends in `grep -q`: it leaves at the first match, the writer dies of
# SIGPIPE if it has more to say, and with pipefail a match becomes a "no" now and then.
#
# A file is looked at again only when it, a header it includes, .clang-tidy or clang-tidy changed.
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kiln.sh"
source "$KILN_ROOT/tools/lib/sources.sh"
[[ ${1:-} != --* ]] || shift
how=$(clang-tidy-19 --version; cat "$KILN_ROOT/.clang-tidy" "$KILN_ROOT/tools/check/lint.sh")
cd "${1:-$KILN_ROOT}"

clean=$KILN_OUT/lint # an empty file for each clean source, named by the hash of all it depends on
mkdir -p "$clean"

lint_one() {
    local file=$1 hash said checks=
    local -a flags=(-I. -Wall -Wextra -Wundef -Wshadow -Wconversion)
    case $file in
    *.cc) flags+=(-std=c++17) ;;
    *) flags+=(-std=c11) ;;
    esac
    case $file in # they count small things, and walk trees that they made
    tests/* | fuzz/*) checks=-bugprone-implicit-widening-of-multiplication-result,-misc-no-recursion ;;
    esac
    case $file in # compiled as its first proof has it; a constant of the table chooses in expressions;
    # sources are included for their static functions; what a proof assumes the linter does not know
    tests/proof/*.c)
        mapfile -t -O "${#flags[@]}" flags < <(echo -Wno-shadow; awk -v harness="${file##*/}" '
            $0 ~ "^[^#].* " harness " " { while (match($0, /-D[A-Za-z_0-9=]*/)) {
                print substr($0, RSTART, RLENGTH); $0 = substr($0, RSTART + RLENGTH) } exit }' tests/proof/proofs.txt)
        checks+=,-misc-redundant-expression,-clang-analyzer-optin.core.EnumCastOutOfRange
        checks+=,-bugprone-suspicious-include,-bugprone-reserved-identifier,-clang-analyzer-core.BitwiseShift
        ;;
    esac
    hash=$({
        echo "$how"
        clang-19 "${flags[@]}" -MM "$file" | sed 's/^[^:]*://; s/\\$//' | xargs cat
    } | sha256sum)
    hash=$clean/${hash%% *}
    if [[ -e $hash ]]; then
        echo "passed $file"
    elif said=$(clang-tidy-19 --quiet --config-file="$KILN_ROOT/.clang-tidy" --checks="$checks" \
        "$file" -- "${flags[@]}" 2>&1); then
        : >"$hash"
        echo "passed $file"
    else
        # without the "note:" blocks, which retell how the analyzer got there
        awk '/: (error|warning): / { shown = 1 } /: note: / { shown = 0 } shown' <<<"$said"
        echo "failed $file"
    fi
}

export -f lint_one
export clean how
results=$(kiln_sources -name '*.c*' | xargs -0 -r -P "$(nproc)" -I FILE bash -c 'lint_one "$1"' lint FILE)
passed=$(grep -c '^passed ' <<<"$results" || true)
failed=$(grep -c '^failed ' <<<"$results" || true)
while IFS= read -r -d '' file; do
    if awk '/^[ \t]*#/ { next }
        /[^|]\|[ \t]*grep -[a-zA-Z]*q/ || (piped && /^[ \t]*grep -[a-zA-Z]*q/) { print FILENAME ":" FNR ":" $0; bad = 1 }
        { piped = /[^|]\|[ \t]*$/ }
        END { exit bad }' "$file"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "mend $file: grep -q ... <<<\"\$(...)\" reads all that is said"
    fi
done < <(find . -name '.?*' -prune -o -type f -name '*.sh' -printf '%P\0' | sort -z)
awk 'NF && !/^passed /' <<<"$results"
echo "$passed passed, $failed failed"
((failed == 0))
