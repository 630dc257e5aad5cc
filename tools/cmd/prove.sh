#!/bin/bash
# kiln prove - proves the allocator's C with a model checker, and shows that the proofs say something
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kiln.sh"
source "$KILN_ROOT/tools/lib/cbmc.sh"

usage() {
    cat <<'END_OF_USAGE'
Usage: kiln prove [--quick] [--first] [--proofs] [--reach] [--cover] [--planted] [NAME...]
       kiln prove --list
       kiln prove --trace [--law=TEXT] NAME

Runs the proofs of tests/proof/proofs.txt with CBMC, two at a time, and ends with a table and the
line "N passed, N failed". The first call fetches CBMC from Debian 13; nothing of it is installed.

  NAME        only the proof of that name; where there is none, those whose name begins so
  --quick     only the proofs that tests/proof/proofs.txt calls quick
  --first     ends a proof with the first law that it refutes, which is sooner than with all
  --proofs    the proofs: each must have exactly the result that the table expects
  --reach     no proof holds because its assumptions leave nothing: an input comes to the end of each,
              and to the places on the way that its harness names
  --cover     coverage: each line of a harness and of the functions that it proves is reached by one
              of its proofs (named or not), or tests/proof/unreached.txt says why not
  --planted   negative controls: each bug of tests/proof/planted is refuted by the proof it names
  --list      prints the proofs, runs nothing
  --trace     prints a counterexample of one proof, which is to be refuted, as a trace for
              `kiln replay`
  --law=TEXT  ... to that law of it, or one of those, which has TEXT in its name

Without --proofs, --reach, --cover and --planted: all four, or with --quick the proofs alone. The logs are
in the folder prove of Kiln's output folder (.kiln in the checkout). The exit status is 0 when all
passed, 1 when not, 2 for a wrong argument or table.
END_OF_USAGE
}

JOBS=2
MEMORY_KIB=$((8 << 20))
SECONDS_MAX=1200
TABLE=tests/proof/proofs.txt
FLAGS=(--c11 -I . --drop-unused-functions --verbosity 8)
ENTRY=harness           # the function that is proved
SLICE=(--slice-formula) # what no assertion depends on is left out

quick=0
first=0
list=0
trace=0
law=''
parts=()
wanted=()
for arg; do
    case $arg in
    -h | --help)
        usage
        exit 0
        ;;
    --quick) quick=1 ;;
    --first) first=1 ;;
    --list) list=1 ;;
    --trace) trace=1 ;;
    --law=?*) law=${arg#*=} ;;
    --law | --law=) kiln_usage "--law needs a part of a law's name: --law=TEXT" ;;
    --proofs | --reach | --cover | --planted) parts+=("${arg#--}") ;;
    -*) kiln_bad_option prove "$arg" --quick --first --proofs --reach --cover --planted --list --trace --law= --help ;;
    '') kiln_usage "an empty NAME matches nothing; leave it out to run every proof" ;;
    *) wanted+=("$arg") ;;
    esac
done
[[ $list == 0 || ($trace == 0 && $first == 0 && -z $law && ${#parts[@]} == 0) ]] ||
    kiln_usage "--list runs nothing: leave out --trace, --law, --first, --proofs, --reach, --cover and --planted"
[[ $trace == 0 || (${#parts[@]} == 0 && $quick == 0 && $first == 0) ]] ||
    kiln_usage "--trace prints one trace: leave out --quick, --first, --proofs, --reach, --cover and --planted"
if [[ ${#parts[@]} == 0 ]]; then
    parts=(proofs)
    [[ $quick == 1 ]] || parts+=(reach cover planted)
fi
has_part() {
    [[ " ${parts[*]} " == *" $1 "* ]]
}

# --- the table -------------------------------------------------------------------------------------

cd "$KILN_ROOT"
names=()
declare -A speed expect harness flags sources
read_table() {
    local line line_number=0
    local -a fields
    while IFS= read -r line || [[ -n $line ]]; do
        line_number=$((line_number + 1))
        [[ $line != \#* && $line == *[![:space:]]* ]] || continue
        mapfile -t fields < <(xargs printf '%s\n' <<<"$line" 2>/dev/null)
        [[ ${#fields[@]} -ge 5 && (${fields[1]} == quick || ${fields[1]} == full) &&
            (${fields[2]} == proved || ${fields[2]} == refuted:?*) && -f tests/proof/${fields[3]} &&
            -z ${speed[${fields[0]}]-} ]] ||
            kiln_usage "$TABLE:$line_number: not a line NAME quick|full proved|refuted:TEXT HARNESS.c \"FLAGS\" SOURCE...," \
                "or a name that was there before, or a harness that is not in tests/proof"
        names+=("${fields[0]}")
        speed[${fields[0]}]=${fields[1]}
        expect[${fields[0]}]=${fields[2]}
        harness[${fields[0]}]=${fields[3]}
        flags[${fields[0]}]=${fields[4]}
        sources[${fields[0]}]=${fields[*]:5}
    done <"$TABLE"
    [[ ${#names[@]} -gt 0 ]] || kiln_usage "$TABLE has no proof"
}
read_table

chosen=()
for name in "${names[@]}"; do
    [[ $quick == 0 || ${speed[$name]} == quick ]] || continue
    [[ ${#wanted[@]} -gt 0 ]] || chosen+=("$name")
    for word in "${wanted[@]}"; do
        if [[ $name == "$word" || -z ${speed[$word]-} && $name == "$word"* ]]; then
            chosen+=("$name")
            break
        fi
    done
done
for word in "${wanted[@]}"; do
    [[ $'\n'$(printf '%s\n' "${names[@]}") == *$'\n'"$word"* ]] ||
        kiln_usage "no proof has a name that begins with '$word'; the nearest is" \
            "'$(kiln_nearest "$word" "${names[@]}")' (kiln prove --list lists all)"
done
[[ ${#chosen[@]} -gt 0 ]] || kiln_usage "none of the proofs that were named is quick"
if [[ $list == 1 ]]; then
    for name in "${chosen[@]}"; do
        printf '%-32s %-5s %-24s %s\n' "$name" "${speed[$name]}" "${harness[$name]}" "${expect[$name]}"
    done
    exit 0
fi

if [[ $trace == 1 ]]; then
    [[ ${#chosen[@]} == 1 && ${expect[${chosen[0]}]} == refuted:* ]] ||
        kiln_usage "--trace takes the name of one proof that is to be refuted, but was given '${wanted[*]}'"
elif [[ -n $law ]]; then
    kiln_usage "--law=$law says which counterexample --trace prints, and there is no --trace"
fi

# --- running ---------------------------------------------------------------------------------------

out=$KILN_OUT/prove
mkdir -p "$out"
exec 9>"$KILN_OUT/prove.lock"
flock -n 9 || {
    kiln_say "waiting for another kiln prove in this checkout"
    flock 9
}
kiln_need proof
kiln_cbmc
results=$(mktemp -d "$out/run.XXXXXX")
mkdir "$results/groups" "$results/tmp"
# Each cbmc is in a process group of its own, with the solver that it starts.
end_all() {
    local group
    kill $(jobs -p) 2>/dev/null || true
    for group in "$results"/groups/*; do kill -- "-${group##*/}" 2>/dev/null || true; done
    rm -rf "$results"
}
trap end_all EXIT
trap 'exit 130' INT TERM

# model NAME FOLDER LOG [FLAG...] runs cbmc on a proof with the sources of FOLDER.
model() {
    local name=$1 folder=$2 log=$3
    shift 3
    # shellcheck disable=SC2086 # several words each
    (cd "$folder" && : >"$results/groups/$BASHPID" && ulimit -v "$MEMORY_KIB" &&
        TMPDIR=$results/tmp exec nice timeout -k 10 "$SECONDS_MAX" "$KILN_CBMC" \
        "${FLAGS[@]}" --function "$ENTRY" "${SLICE[@]}" "$@" ${flags[$name]} "tests/proof/${harness[$name]}" ${sources[$name]}) \
        >"$log" 2>&1 9>&- </dev/null
}

# laws_of LOG TEXT sets `laws` to the options that ask for the laws with TEXT alone, of those that
# --show-properties listed.
laws_of() {
    mapfile -t laws < <(awk -v text="$2" '/^Property / { id = substr($2, 1, length($2) - 1); at = NR }
        NR == at + 2 && index($0, text) { print "--property"; print id }' "$1")
}

# refuted_lines LOG prints what was refuted.
refuted_lines() {
    grep -E '^\[.*: FAILURE$' "$1" || true
}

# no_answer LOG STATUS prints how cbmc ended without one, and the remedy where it cannot run at all.
no_answer() {
    echo "cbmc ended with status $2: $(grep -iE 'error|bad_alloc|no property' "$1" | tail -n 1 | grep . || tail -n 1 "$1")"
    [[ $2 != 126 && $2 != 127 ]] || echo "it cannot run: delete ${KILN_CBMC%/run/*}, and it is fetched again"
}

# judge LOG STATUS EXPECT prints the number of properties, and why the result is not what was
# expected, if it is not.
judge() {
    local log=$1 status=$2 expected=$3 count refuted
    count=$(sed -n 's/^\*\* [0-9]* of \([0-9]*\) failed.*/\1/p' "$log")
    refuted=$(refuted_lines "$log")
    echo "${count:-0}"
    if [[ $status == 124 || $status == 137 ]]; then
        echo "no answer in $SECONDS_MAX s, or killed"
    elif [[ $status != 0 && $status != 10 || ${count:-0} == 0 ]]; then
        no_answer "$log" "$status"
    elif [[ $expected == proved ]]; then
        [[ -z $refuted ]] || printf 'refuted:\n%s\n' "$refuted"
    elif [[ -z $refuted ]]; then
        echo "proved, although '${expected#refuted:}' was to be refuted"
    elif grep -qvF -e "${expected#refuted:}" <<<"$refuted"; then
        printf "more than '%s' is refuted:\n%s\n" "${expected#refuted:}" "$refuted"
    elif grep -E '^\[.*: SUCCESS$' "$log" | grep -F -e "${expected#refuted:}" >"$log.proved"; then
        printf "of '%s' this is proved, and all was to be refuted:\n%s\n" "${expected#refuted:}" "$(<"$log.proved")"
    fi
    rm -f "$log.proved"
}

if [[ $trace == 1 ]]; then
    laws=()
    if [[ -n $law ]]; then
        model "${chosen[0]}" "$KILN_ROOT" "$out/${chosen[0]}.laws" --show-properties || true
        laws_of "$out/${chosen[0]}.laws" "$law"
        [[ ${#laws[@]} -gt 0 ]] || kiln_usage "no law of ${chosen[0]} has '$law' in its name; its laws are in $out/${chosen[0]}.laws"
    fi
    SLICE=() # the trace shows it
    model "${chosen[0]}" "$KILN_ROOT" "$out/${chosen[0]}.json" "${laws[@]}" --json-ui --trace --stop-on-fail --verbosity 4 || status=$?
    [[ ${status:-0} == 0 || $status == 10 ]] || kiln_die "$(no_answer "$out/${chosen[0]}.json" "$status")"
    python3 tools/proof/trace.py "${chosen[0]}" <"$out/${chosen[0]}.json"
    exit
fi

# Each part of the work is a function named job_PART that is given ITEM and writes to $results/ID:
# the number of properties or lines, and then nothing, or what is wrong.
job_proofs() {
    local status=0
    local -a more=()
    [[ $first == 0 || ${expect[$1]} != proved ]] || more=(--stop-on-fail)
    model "$1" "$KILN_ROOT" "$out/$1.log" "${more[@]}" || status=$?
    if [[ ${#more[@]} -gt 0 && $status == 10 ]]; then
        printf '1\nrefuted: %s\n' "$(sed -n '/^Violated property:/{n;n;s/^ *//p}' "$out/$1.log")"
        return
    fi
    judge "$out/$1.log" "$status" "${expect[$1]}"
}

# built_in_solver NAME: where an answer, and no proof, is looked for, cbmc's own is the better one.
built_in_solver() {
    flags[$1]=${flags[$1]//--external-sat-solver tools\/proof\/cadical.sh/}
}

# job_reach NAME: each law named "reached: " is one that an input is to break.
job_reach() {
    local status=0 log=$out/$1.reach ENTRY=reach
    local -a laws=() places=(tests/proof/reach.c -DREACH)
    built_in_solver "$1"
    model "$1" "$KILN_ROOT" "$log" "${places[@]}" --show-properties || true
    laws_of "$log" 'reached: '
    if [[ ${#laws[@]} == 0 ]]; then
        echo 0
        echo "no place was found in $1: $(tail -n 1 "$log")"
        return
    fi
    model "$1" "$KILN_ROOT" "$log" "${places[@]}" "${laws[@]}" || status=$?
    judge "$log" "$status" 'refuted:reached: '
    sed -n 's/^\[.*\(reached: .*\): SUCCESS$/no input gets there: \1/p' "$log"
}

# reached LOG... prints "FILE:LINE FUNCTION 0|1" for each line that cbmc looked for, or could.
reached() {
    awk '/^\[.*coverage.*\(lines .*\): (SATISFIED|FAILED)$/ || /^  block [0-9]+ \(lines .*\)$/ {
        hit = / SATISFIED$/
        sub(/.*\(lines /, ""); sub(/\)(: [A-Z]*)?$/, "")
        n = split($0, places, ";")
        for (i = 1; i <= n; i++) {
            split(places[i], part, ":")
            sub(/^\.\//, "", part[1])
            m = split(part[3], spans, ",")
            for (j = 1; j <= m; j++) {
                split(spans[j], ends, "-")
                last = ends[2] == "" ? ends[1] : ends[2]
                for (line = ends[1] + 0; line <= last + 0; line++) {
                    at = part[1] ":" line " " part[2]
                    seen[at] = seen[at] || hit
                }
            }
        }
    }
    END { for (at in seen) print at, seen[at] + 0 }' "$@"
}

# cover_faults HARNESS LOG... prints each line that no log reaches, but not those of which
# tests/proof/unreached.txt says why that is right, as "never FILE:LINE FUNCTION TEXT"; then what it
# says of this harness and of no such line, as "useless ENTRY". What harnesses share is for all of
# them, and each uses a part.
cover_faults() {
    local harness=$1
    shift
    reached "$@" | sort -V | awk -v harness="$harness" '
        function text_of(file, line,    text, count) {
            if (!(file in read)) {
                while ((getline text <file) > 0) lines[file, ++count] = text
                close(file)
                read[file] = 1
            }
            text = lines[file, line]
            sub(/^ */, "", text)
            return text
        }
        FILENAME != "-" {
            split($0, part, "|")
            if (part[1] == harness) { entry[++entries] = $0; of[entries] = part[2]; with[entries] = part[3] }
            next
        }
        $3 == 0 && $1 !~ /^tests\/proof\/[^\/]*\.h:/ {
            split($1, place, ":")
            text = text_of(place[1], place[2])
            for (i = 1; i <= entries; i++)
                if (of[i] == $2 && (with[i] == "" || index(text, with[i]))) { used[i] = 1; next }
            print "never", $1, $2, text
        }
        END { for (i = 1; i <= entries; i++) if (!used[i]) print "useless", entry[i] }' tests/proof/unreached.txt -
}

# job_cover HARNESS lists the lines that any of its proofs has, then runs those that have one that
# was not reached yet, one by one, those that were asked for first. The built-in solver keeps what it
# learned from line to line, so it is the better one here. -DCOVER lets a harness take few of its
# states: what is reached from them is reached.
job_cover() {
    local name missing status=0
    local -a logs=() cover=(-DCOVER --cover location --no-standard-checks)
    for name in "${names[@]}"; do
        [[ ${harness[$name]} == "$1" ]] || continue
        built_in_solver "$name"
        model "$name" "$KILN_ROOT" "$out/$name.places" "${cover[@]}" --show-properties || status=$?
        logs+=("$out/$name.places")
    done
    if [[ $status != 0 ]]; then
        echo 0
        echo "cbmc did not list the lines of a proof: $(tail -qn 1 "${logs[@]}" | sort -u | tail -n 1)"
        return
    fi
    missing=$(cover_faults "$1" "${logs[@]}" | grep '^never ') || true
    for name in "${chosen[@]}" "${names[@]}"; do
        [[ ${harness[$name]} == "$1" && " ${logs[*]} " != *" $out/$name.cover "* ]] || continue
        grep -qxFf <(cut -d ' ' -f 2,3 <<<"$missing") <(reached "$out/$name.places" | cut -d ' ' -f 1,2) || continue
        status=0
        model "$name" "$KILN_ROOT" "$out/$name.cover" "${cover[@]}" || status=$?
        if [[ $status != 0 ]]; then
            echo 0
            echo "cbmc found no coverage for $name (status $status): $(tail -n 1 "$out/$name.cover")"
            return
        fi
        logs+=("$out/$name.cover")
        missing=$(cover_faults "$1" "${logs[@]}" | grep '^never ') || true
    done
    reached "${logs[@]}" | grep -c ' 1$' || true
    cover_faults "$1" "${logs[@]}" | sed -E 's/^never ([^ ]+ [^ ]+) /\1 is never reached: /
        s/^useless /tests\/proof\/unreached.txt excuses nothing any more, delete it: /'
}

# job_planted PATCH
job_planted() {
    local patch=$1 name text status=0 tree=$results/tree.$BASHPID
    local -a laws=()
    name=$(sed -n 's/^proof: //p' "tests/proof/planted/$patch.patch")
    text=$(sed -n 's/^refutes: //p' "tests/proof/planted/$patch.patch")
    [[ -n $name && -n $text && -n ${speed[$name]-} ]] || {
        echo 0
        echo "tests/proof/planted/$patch.patch needs the lines 'proof: NAME' (of $TABLE) and 'refutes: TEXT'"
        return
    }
    mkdir -p "$tree/tests" "$tree/tools"
    cp -r allocator sanitizer "$tree/"
    cp -r tools/proof "$tree/tools/"
    cp -r tests/proof tests/*.h "$tree/tests/"
    cp -r tools/replay "$tree/tools/"
    if ! patch --quiet --fuzz=0 -p1 -d "$tree" <"tests/proof/planted/$patch.patch" >"$out/planted-$patch.log"; then
        echo 0
        echo "does not fit the sources any more: plant it anew"
        return
    fi
    # Only the law that it names is asked for: an answer about each other one would cost as much.
    model "$name" "$tree" "$out/planted-$patch.log" --show-properties || true
    laws_of "$out/planted-$patch.log" "$text"
    if [[ ${#laws[@]} == 0 ]]; then
        echo 0
        echo "$name has no law with '$text': $(tail -n 1 "$out/planted-$patch.log")"
        return
    fi
    model "$name" "$tree" "$out/planted-$patch.log" "${laws[@]}" || status=$?
    rm -rf "$tree"
    judge "$out/planted-$patch.log" "$status" proved | sed -n 1p
    [[ $status == 10 ]] || echo "$name does not refute '$text' (status $status)"
}

# names_of PART ITEM prints the names with which a job can be had again, alone.
names_of() {
    case $1 in
    cover) for name in "${chosen[@]}"; do [[ ${harness[$name]} != "$2" ]] || echo "$name"; done | xargs ;;
    planted) sed -n 's/^proof: //p' "tests/proof/planted/$2.patch" ;;
    *) echo "$2" ;;
    esac
}

passed=0
failed=0
table=''
# finish ID PART ITEM reports what a job left.
finish() {
    local id=$1 part=$2 item=$3 count seconds wrong verdict=passed
    count=$(sed -n 1p "$results/$id")
    wrong=$(sed 1d "$results/$id")
    seconds=$(cat "$results/$id.seconds")
    if [[ -n $wrong || ${count:-0} == 0 ]]; then
        verdict=FAILED
        failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
    printf '[%d/%d] %-7s %-32s %-7s %6d %5d s\n' $((passed + failed)) "$total" "$part" "$item" "$verdict" "${count:-0}" "$seconds"
    if [[ $verdict == FAILED ]]; then
        echo "${wrong:-nothing was looked at}"
        echo "again alone: ./kiln prove --$part $(names_of "$part" "$item"); logs: $out"
    fi
    table+=$(printf '%-8s %-32s %-7s %10d %8d' "$part" "$item" "$verdict" "${count:-0}" "$seconds")$'\n'
}

jobs_all=()
if has_part proofs; then for name in "${chosen[@]}"; do jobs_all+=("proofs $name"); done; fi
if has_part reach; then for name in "${chosen[@]}"; do jobs_all+=("reach $name"); done; fi
if has_part cover; then
    mapfile -t harnesses < <(for name in "${chosen[@]}"; do echo "${harness[$name]}"; done | sort -u)
    for name in "${harnesses[@]}"; do jobs_all+=("cover $name"); done
fi
if has_part planted; then
    for patch in tests/proof/planted/*.patch; do
        name=$(sed -n 's/^proof: //p' "$patch")
        [[ " ${chosen[*]} " != *" $name "* && -n ${speed[$name]-} ]] || {
            patch=${patch##*/}
            jobs_all+=("planted ${patch%.patch}")
        }
    done
fi
total=${#jobs_all[@]}
[[ $total -gt 0 ]] || kiln_usage "no planted bug names one of these proofs"

# The longest first, as the last run of each had it, or else longest.txt, so that none is left to one
# core at the end.
seconds_of=$out/seconds
touch "$seconds_of"
mapfile -t jobs_all < <(printf '%s\n' "${jobs_all[@]}" |
    awk 'FILENAME != "-" { last[$1 " " $2] = $3; next } { print last[$0] + 0, $0 }' tests/proof/longest.txt "$seconds_of" - |
    sort -s -k 1,1nr | cut -d ' ' -f 2-)

started=$SECONDS
running=0
declare -A pending
collect() {
    local id pid
    for id in "${!pending[@]}"; do
        [[ -e $results/$id.seconds ]] || continue
        # shellcheck disable=SC2086 # two words
        finish "$id" ${jobs_all[id]}
        unset "pending[$id]"
        running=$((running - 1))
    done
}
for id in "${!jobs_all[@]}"; do
    while ((running >= JOBS)); do
        wait -n || true
        collect
    done
    read -r part item <<<"${jobs_all[id]}"
    (
        trap - EXIT
        begun=$SECONDS
        "job_$part" "$item" >"$results/$id" 2>"$results/$id.err" || echo "$(cat "$results/$id.err")" >>"$results/$id"
        echo $((SECONDS - begun)) >"$results/$id.new"
        mv "$results/$id.new" "$results/$id.seconds"
    ) &
    pending[$id]=1
    running=$((running + 1))
done
while ((running > 0)); do
    wait -n || true
    collect
done

{
    cat "$seconds_of"
    awk '{ print $1, $2, $5 }' <<<"$table"
} | awk 'NF == 3 { last[$1 " " $2] = $3 } END { for (job in last) print job, last[job] }' >"$seconds_of.new"
mv "$seconds_of.new" "$seconds_of"
printf '\n%-8s %-32s %-7s %10s %8s\n%s' part name result properties seconds "$table"
printf '%-8s %-32s %-7s %10s %8d\n' all '' '' '' $((SECONDS - started))
echo "$passed passed, $failed failed"
((failed == 0))
