#!/bin/bash
# kiln mutants - plants small bugs, one at a time, and shows which tests find them
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kiln.sh"
source "$KILN_ROOT/tools/lib/cbmc.sh"

KILLERS=(unit contract seeds fuzz search proof api)
USUAL=(unit contract seeds fuzz search api) # a proof takes minutes, and a mutant has up to fourteen
MUTANTS=$KILN_ROOT/tests/mutants
TABLE=$MUTANTS/TABLE.md

usage() {
    cat <<'END'
Usage: kiln mutants [NAME...] [--by=KILLER,...] [--update]

Each patch in tests/mutants makes one small wrong edit of the arena, or of a layer beside it. Builds
each in a copy of the sources, two at a time, and shows which killers find it. The sources as they
are go through the same killers first, and must survive.

  NAME      only these mutants; all if none is given
  --by      only these killers; all but proof if it is not given
  --update  writes the verdicts into tests/mutants/TABLE.md

Killers:
  unit      the unit tests of what the patch touches, and the traces with their transcripts
  contract  the tests of the contract between the heap and its operating system
  seeds     the corpus, each input once
  fuzz      10 s of libFuzzer, from the inputs that were written by hand
  search    the exhaustive search of small machines
  proof     the proofs (kiln prove) that involve what the patch changes; of those that differ in the
            hardware page or the width alone, only the one of 4 KiB and 32 bits, and, first, those
            that the patch names (Proof: NAME); the one that kills is tried on the sources, too
  api       of the Linux backend: libkiln.so, that is the malloc family, address-space limits,
            recorded runs, real programs

A mutant must be killed by two killers at least, or its patch must say why it is not. What the table
says of the killers that ran must be true, but that fuzz may kill more. Ends with "N passed, N
failed"; the exit status is 0 when none failed, 1 otherwise, 2 for a wrong argument.
END
}

names=() by=() update=0 given=''
while [[ $# -gt 0 ]]; do
    case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    --update) update=1 ;;
    --by=*) given=${1#*=} ;;
    --by)
        [[ $# -gt 1 ]] || kiln_usage "--by needs a value: --by=$(IFS=, && echo "${KILLERS[*]}")"
        given=$2
        shift
        ;;
    -*) kiln_bad_option mutants "${1%%=*}" --by --update --help ;;
    *) [[ -n $1 && " ${names[*]} " == *" $1 "* ]] || names+=("$1") ;;
    esac
    if [[ ${1%%=*} == --by || -n $given ]]; then
        [[ -n $given ]] || kiln_usage "--by= names no killer; all are: $(IFS=, && echo "${KILLERS[*]}")"
        IFS=, read -ra by <<<"$given," # so that an empty last one is seen
    fi
    shift
done
for killer in "${by[@]}"; do
    [[ -n $killer ]] || kiln_usage "--by=$given names an empty killer; all are: $(IFS=, && echo "${KILLERS[*]}")"
    [[ " ${KILLERS[*]} " == *" $killer "* ]] || kiln_usage "there is no killer '$killer';" \
        "the nearest is '$(kiln_nearest "$killer" "${KILLERS[@]}")' (kiln mutants --help lists all)"
done
[[ ${#by[@]} -gt 0 ]] || by=("${USUAL[@]}")

all=("$MUTANTS"/*.patch)
all=("${all[@]##*/}")
all=("${all[@]%.patch}")
for name in "${names[@]}"; do
    [[ -n $name && $name != */* && -f $MUTANTS/$name.patch ]] || kiln_usage "there is no mutant '$name';" \
        "the nearest is '$(kiln_nearest "$name" "${all[@]}")' (tests/mutants holds all)"
done
[[ ${#names[@]} -gt 0 ]] || names=("${all[@]}")

# --- the patches -----------------------------------------------------------------------------------

# head_of NAME prints the patch's first paragraph on one line: what is wrong.
head_of() {
    awk '!NF || /^--- / { exit } { printf "%s%s", sep, $0; sep = " " }' "$MUTANTS/$1.patch"
}

# reason_of NAME prints on one line why fewer than two killers kill it, if the patch says so.
reason_of() {
    awk '/^--- / || (on && !NF) { exit } sub(/^Reason: /, "") { on = 1 }
         on { printf "%s%s", sep, $0; sep = " " }' "$MUTANTS/$1.patch"
}

# proofs_of NAME prints the names of proofs that the patch asks for.
proofs_of() {
    [[ ! -f $MUTANTS/$1.patch ]] || sed -n 's/^Proof: //p' "$MUTANTS/$1.patch" | xargs
}

# file_of NAME prints the one file that the patch changes.
file_of() {
    sed -n 's|^+++ b/||p' "$MUTANTS/$1.patch"
}

for name in "${names[@]}"; do
    for proof in $(proofs_of "$name"); do
        grep -q "^$proof" "$KILN_ROOT/tests/proof/proofs.txt" || {
            kiln_say "tests/mutants/$name.patch: there is no proof '$proof'; 'kiln prove --list' has all names"
            exit 1
        }
    done
done
kiln_need build fuzz
[[ " ${by[*]} " != *" proof "* ]] || kiln_cbmc # workers at once would all fetch it
mkdir -p "$KILN_OUT"
work=$(mktemp -d "$KILN_OUT/mutants.XXXXXX")
declare -A running=() # process ids of workers
end_all() {
    local pid
    trap '' INT TERM
    for pid in "${!running[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$work"
}
trap end_all EXIT
trap 'exit 130' INT TERM

# What mutants are made from: others may work in the checkout meanwhile.
mkdir "$work/tree"
cp -a -t "$work/tree" "$KILN_ROOT"/{allocator,corpus,fuzz,sanitizer,tests,tools}

# plant NAME makes $work/NAME, whose files are links to those of $work/tree but for the mutated one.
plant() {
    local file
    file=$(file_of "$1")
    cp -al "$work/tree" "$work/$1"
    [[ -n $file && $file != *$'\n'* && -f $work/$1/$file ]] || {
        echo "tests/mutants/$1.patch: changes no file, or several, or one that is not there"
        return 1
    }
    cp --remove-destination "$work/tree/$file" "$work/$1/$file"
    (cd "$work/$1" && patch -p1 --quiet --fuzz=0 --no-backup-if-mismatch -r - <"$MUTANTS/$1.patch") \
        >"$work/$1.patching" 2>&1 || {
        echo "tests/mutants/$1.patch does not fit $file any more: make the edit anew"
        return 1
    }
}

bad=0
for name in "${names[@]}"; do
    plant "$name" || bad=1
    [[ -n $(head_of "$name") ]] || {
        echo "tests/mutants/$name.patch: no sentence at its head says what is wrong"
        bad=1
    }
    rm -rf "${work:?}/$name"
done
[[ $bad == 0 ]] || kiln_die "the patches above are wrong; no mutant was tried"

# --- the runs --------------------------------------------------------------------------------------

# start NAME [MUTATED] starts a worker on $work/NAME.
start() {
    bash "$KILN_ROOT/tools/mutants/worker.sh" "$work/$1" "$work/objects" "${2-}" "$work/$1.verdicts" \
        "$(proofs_of "$1")" "${by[@]}" >"$work/$1.log" 2>&1 &
    running[$!]=$1
}

# finish waits for one worker and shows its verdicts.
finish() {
    local pid status=0 name
    wait -n -p pid "${!running[@]}" || status=$?
    name=${running[$pid]}
    unset "running[$pid]"
    if [[ $status != 0 ]]; then
        cat "$work/$name.log" >&2
        kiln_die "the worker on $name failed"
    fi
    awk -v name="$name" '{ killer = $1; said = $2; $1 = $2 = ""
        printf "%-36s %-9s %s%s\n", name, killer, said, $0 }' "$work/$name.verdicts"
    rm -rf "${work:?}/$name"
}

cp -al "$work/tree" "$work/correct"
start correct
finish
! grep -vqE '^[a-z]+ lives$' "$work/correct.verdicts" ||
    kiln_die "the sources as they are do not survive: mend that first (./kiln test)"
for name in "${names[@]}"; do
    ((${#running[@]} < 2)) || finish
    plant "$name"
    start "$name" "$(file_of "$name")"
done
while [[ ${#running[@]} -gt 0 ]]; do finish; done

# --- the table -------------------------------------------------------------------------------------

# The table in the repository, as NAME KILLER VERDICT a line.
old=$work/old
: >"$old"
[[ ! -f $TABLE ]] || awk -F' *\\| *' '$2 == "mutant" { for (i = 3; i < NF - 1; i++) killer[i] = $i; next }
    /^\|[ -]*-\|/ || !/^\| / { next }
    { for (i = 3; i < NF - 1; i++) print $2, killer[i], $i }' "$TABLE" >"$old"

# was NAME KILLER prints what the table says; is NAME KILLER what was seen just now, or else that.
was() {
    awk -v name="$1" -v killer="$2" '$1 == name && $2 == killer { print $3 }' "$old"
}
is() {
    local seen=''
    [[ ! -f $work/$1.verdicts ]] ||
        seen=$(awk -v killer="$2" '$1 == killer { print $2 == "blind" ? "-" : $2 }' "$work/$1.verdicts")
    [[ -n $seen ]] || seen=$(was "$1" "$2")
    echo "${seen:-?}"
}

passed=1 failed=0 # the correct twin has passed
complain() {
    echo "FAILED $*"
    wrong=1
}

# judge NAME: is it killed often enough, and does the table say so?
judge() {
    local name=$1 killer kills=0 said reason wrong=0
    for killer in "${KILLERS[@]}"; do
        said=$(is "$name" "$killer")
        [[ $said != killed ]] || kills=$((kills + 1))
        [[ $said != error ]] || complain "$name: $(grep "^$killer error" "$work/$name.verdicts")"
    done
    reason=$(reason_of "$name")
    ((kills >= 2)) || [[ -n $reason ]] ||
        complain "$name: killed by $kills; strengthen a test, or say why in tests/mutants/$name.patch (Reason: ...)"
    ((kills < 2)) || [[ -z $reason ]] ||
        complain "$name: killed by $kills, so its patch needs no reason why it is not"
    if [[ $update == 0 ]]; then
        for killer in "${by[@]}"; do
            said=$(is "$name" "$killer")
            [[ $(was "$name" "$killer") != "$said" ]] || continue
            # A machine that is faster than the table's comes further in 10 s.
            if [[ "$killer $(was "$name" "$killer") $said" == 'fuzz lives killed' ]]; then
                echo "note: $name: fuzz came as far as to kill it here, which tests/mutants/TABLE.md does not promise"
                continue
            fi
            complain "$name: by $killer: $said, but tests/mutants/TABLE.md says" \
                "'$(was "$name" "$killer")' (./kiln mutants $name --update)"
        done
        grep -qF "| $(head_of "$name") |" "$TABLE" 2>/dev/null ||
            complain "$name: tests/mutants/TABLE.md has another sentence (./kiln mutants $name --update)"
    fi
    if [[ $wrong == 0 ]]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}
for name in "${names[@]}"; do judge "$name"; done

# Rows without a patch.
while read -r name; do
    if [[ $update == 0 && ! -f $MUTANTS/$name.patch ]]; then
        complain "$name: is in tests/mutants/TABLE.md but there is no such patch (--update removes it)"
        failed=$((failed + 1))
    fi
done < <(cut -d' ' -f1 "$old" | sort -u)

# table prints TABLE.md anew.
table() {
    local name killer row reason
    cat <<'END'
# Mutants

Written by `./kiln mutants --update`; `./kiln mutants --help` says what the killers are. Each mutant is one wrong edit, the patch
of that name in this folder. A dash: nothing that this killer runs has the file that is changed, or it is not asked
about it. A question mark: not tried yet (the proofs of all mutants take hours).

END
    row="| mutant |$(printf ' %s |' "${KILLERS[@]}") what is wrong |"
    echo "$row"
    sed 's/[^|]/-/g' <<<"$row" | sed -E 's/-+/---/g'
    for name in "${all[@]}"; do
        row="| $name |"
        for killer in "${KILLERS[@]}"; do row+=" $(is "$name" "$killer") |"; done
        echo "$row $(head_of "$name") |"
    done
    printf '\n## Killed by fewer than two\n\n'
    for name in "${all[@]}"; do
        reason=$(reason_of "$name")
        [[ -z $reason ]] || printf '* `%s`: %s\n' "$name" "$reason"
    done
}
if [[ $update == 1 ]]; then
    table >"$work/table"
    mv "$work/table" "$TABLE"
fi

echo "$passed passed, $failed failed"
((failed == 0))
