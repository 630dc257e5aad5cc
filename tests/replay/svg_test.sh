#!/bin/bash
# The drawing of every trace is well-formed, complete, and says what happened.
set -uo pipefail
replay=tools/replay/kiln-replay
traces=tests/replay/traces
folder=${TEST_TMPDIR:-$(mktemp -d)}
passed=0
failed=0

check() { # check WHAT STATUS
    if [[ $2 == 0 ]]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $1" >&2
    fi
}

# well_formed FILE: one root element, tags that nest, attributes quoted once, no stray & or <.
# It knows the XML that a drawing is made of, no more; xmllint knows the rest where it is installed.
well_formed() {
    tr '\n' ' ' <"$1" | awk '
        function wrong(what) { print FILENAME "not well-formed: " what; bad = 1; exit 1 }
        {
            text = $0
            while (match(text, /<[^>]*>/)) {
                before = substr(text, 1, RSTART - 1)
                tag = substr(text, RSTART + 1, RLENGTH - 2)
                text = substr(text, RSTART + RLENGTH)
                if (before ~ /[<>]/) wrong("stray < or > in: " before)
                gsub(/&(lt|gt|amp|apos|quot);/, "", before)
                if (before ~ /&/) wrong("stray & in: " before)
                if (depth == 0 && before ~ /[^ ]/) wrong("text outside: " before)
                if (tag ~ /^\//) {
                    if (depth == 0 || open[depth] != substr(tag, 2)) wrong("closes nothing: " tag)
                    depth--
                    continue
                }
                name = tag
                sub(/[ \/].*/, "", name)
                if (depth == 0 && roots++ > 0) wrong("a second root: " tag)
                rest = substr(tag, length(name) + 1)
                closed = sub(/\/$/, "", rest)
                split("", seen)
                while (match(rest, /^ +[a-zA-Z:-]+=\047[^\047<&]*\047/)) {
                    pair = substr(rest, 1, RLENGTH)
                    rest = substr(rest, RLENGTH + 1)
                    key = pair
                    sub(/=.*/, "", key)
                    if (seen[key]++) wrong("twice" key " in: " tag)
                }
                if (rest ~ /[^ ]/) wrong("attributes of: " tag)
                if (!closed) open[++depth] = name
            }
            if (text ~ /[^ ]/) wrong("text at the end: " text)
        }
        END {
            if (!bad && (depth != 0 || roots != 1)) { print "not well-formed: depth " depth; exit 1 }
            exit bad
        }'
}

draw() { # draw TRACE OUT
    "$replay" --svg "$1" >"$2" && well_formed "$2" &&
        { [[ -z $(type -P xmllint) ]] || xmllint --noout "$2"; } &&
        ! grep -Eq "='-?(nan|inf)|(width|height)='-" "$2"
}

for trace in "$traces"/*.trace; do
    draw "$trace" "$folder/o.svg"
    check "the drawing of $trace" $?
done

# The checker checks.
good="<svg a='1'><g><path d='M0'/></g><text>1 &lt; 2</text></svg>"
echo "$good" >"$folder/x.svg"
well_formed "$folder/x.svg"
check "a well-formed file is taken" $?
for from_to in "</g>||" "</svg>||" "&lt;|&" "a='1'|a='1' a='2'" "d='M0'|d=M0" "</text>|</g>" "<svg|x<svg"; do
    echo "${good/"${from_to%%|*}"/"$(cut -d'|' -f2 <<<"$from_to")"}" >"$folder/x.svg"
    ! well_formed "$folder/x.svg" >/dev/null
    check "broken by $from_to and not seen: $(cat "$folder/x.svg")" $?
done

has() { # has TRACE PATTERN...: the drawing has each of these
    local trace=$traces/$1.trace pattern
    shift
    "$replay" --svg "$trace" >"$folder/o.svg"
    for pattern; do
        grep -Eq "$pattern" "$folder/o.svg"
        check "the drawing of $trace has no /$pattern/" $?
    done
}
has switch-down-20259 "class='held" "class='current" "class='heap" '>0x10000000<' '>0x70800000<' \
    '>switch<' 'follow go19, 32-bit' "class='used'"
has reject-strand-then-small "class='rejected" "class='heap small" '>reject-strand/small<' "class='raised'"
has kiln-kept-lowest-first "class='kept" 'kept remainder'
has kiln-race-exactly-once "class='race" 'race detector told'
has map-fail-is-fatal "class='bad'[^>]*>throw: out of memory while mapping<" "class='badcolumn'"
has kiln-mallocinit-64 "class='layout" '>0xc000000000<' '>0xc420100000<'

# Into a file, with the transcript on standard output.
"$replay" --svg "$folder/f.svg" "$traces/bump.trace" | cmp - "$traces/bump.expected" && well_formed "$folder/f.svg"
check "a drawing into a file" $?

# Names are escaped; a trace without a step has a drawing; one with too many is drawn in part.
cp "$traces/bump.trace" "$folder/<a>&'b'.trace"
draw "$folder/<a>&'b'.trace" "$folder/o.svg" && grep -q "&lt;a&gt;&amp;'b'.trace" "$folder/o.svg"
check "a name with < and &" $?
echo 'width 64' >"$folder/none.trace"
draw "$folder/none.trace" "$folder/o.svg"
check "no steps at all" $?
{
    printf 'width 64\nset arena_end 0x7ffffff000\n'
    for ((i = 0; i < 2100; i++)); do echo 'alloc 0x10000'; done
} >"$folder/many.trace"
draw "$folder/many.trace" "$folder/o.svg" && grep -q 'only its first 2000 steps are drawn' "$folder/o.svg"
check "more steps than are drawn" $?

# A broken trace has no drawing, and the status says so.
said=$(printf 'width 32\nalloc\n' | "$replay" --svg - 2>/dev/null)
[[ $? == 2 && $said == '' ]]
check "a broken trace" $?

echo "$passed passed, $failed failed"
[[ $failed == 0 && $passed -gt 60 ]]
