#!/bin/bash
# kiln decode - writes a fuzz input as text: its settings and operations; or as C
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kiln.sh"
source "$KILN_ROOT/tools/lib/target.sh"

usage() {
    cat <<'END'
Usage: kiln decode [--c] TARGET FILE...

Writes the text form of fuzz inputs to standard output: a line a setting that is not 0, then a line
an operation. `kiln encode` makes the same bytes of it again, to the last one. fuzz/ops.h says what
the lines mean, and the head of fuzz/TARGET_fuzz.c what the settings and operations do.

  TARGET   whose input a file is: any bytes are an input of every target
  --c      as C: for each file an array of its name, with the text of each record beside it, and
           the number of its bytes as a constant

Before each of several files a comment names it. The exit status is 2 for a wrong argument.
END
}

# name_of FILE prints what the array of this file is called.
name_of() {
    local name=${1##*/}
    name=${name//[^a-zA-Z0-9_]/_}
    [[ $name == [a-zA-Z_]* ]] || name=input_$name
    echo "$name"
}

form=text target='' files=()
for arg; do
    case $arg in
    -h | --help)
        usage
        exit 0
        ;;
    --c) form=c ;;
    -?*) kiln_bad_option decode "$arg" --c --help ;;
    *) if [[ -z $target ]]; then target=$arg; else files+=("$arg"); fi ;;
    esac
done
kiln_need_target decode "$target"
[[ ${#files[@]} -gt 0 ]] || kiln_usage "which file? kiln decode $target FILE..."
for file in "${files[@]}"; do kiln_need_input '' "$file"; done

kiln_target_replay "$target" none
for file in "${files[@]}"; do
    shown=$(printf '%q' "$file") # on one line, and it ends no comment
    if [[ $form == c ]]; then
        [[ ${#files[@]} == 1 ]] || echo "// $shown"
        "$KILN_PROGRAM" --c "$(name_of "$file")" "$file"
    else
        [[ ${#files[@]} == 1 ]] || echo "# $shown"
        "$KILN_PROGRAM" --text "$file"
    fi
done
