#!/bin/bash
# kiln encode - makes fuzz inputs of their text form
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kiln.sh"
source "$KILN_ROOT/tools/lib/target.sh"

usage() {
    cat <<'END'
Usage: kiln encode TARGET TEXT OUT
       kiln encode TARGET TEXT... FOLDER

Makes the bytes of a fuzz input of what `kiln decode` writes, or you do: into the file OUT, or each
text into a file of FOLDER, called as the text is, without a .txt at its end.

  TARGET   whose settings and operations the text names
  TEXT     a file; - is standard input. `set NAME VALUE` lines first, then an operation a line:
           `malloc slot=3 size=10 arg=0x40`; what is not named is 0, # starts a comment
  OUT      a file; - is standard output

fuzz/ops.h has all lines that there are; fuzz/seeds/TARGET has examples. The exit status is 2 for a
wrong argument, or a text that is none: FILE:LINE: WHAT on standard error.
END
}

target='' files=()
for arg; do
    case $arg in
    -h | --help)
        usage
        exit 0
        ;;
    -?*) kiln_bad_option encode "$arg" --help ;;
    *) if [[ -z $target ]]; then target=$arg; else files+=("$arg"); fi ;;
    esac
done
kiln_need_target encode "$target"
[[ ${#files[@]} -ge 2 ]] || kiln_usage "which text, and where to? kiln encode $target TEXT... OUT"
out=${files[-1]}
unset 'files[-1]'
[[ ${#files[@]} == 1 || -d $out ]] || kiln_usage "several texts go into a folder, and '$out' is none"
for file in "${files[@]}"; do
    [[ $file == - ]] || kiln_need_input '' "$file"
    [[ $file != - || ! -d $out ]] || kiln_usage "standard input has no name: name a file in '$out'"
    [[ $out == - || ! $file -ef $out ]] || kiln_usage "'$out' is the text itself; name another file"
done
[[ $out != - || ! -t 1 ]] || kiln_usage "bytes do not go to a terminal: name a file"

kiln_target_replay "$target" none
for file in "${files[@]}"; do
    to=$out
    if [[ -d $out ]]; then
        to=${file##*/}
        to=$out/${to%.txt}
        [[ ! $file -ef $to ]] || kiln_usage "'$to' is the text itself; name another folder"
    fi
    [[ $file != - ]] || file=/dev/stdin
    [[ $to != - ]] || to=/dev/stdout
    "$KILN_PROGRAM" --bytes "$file" "$to"
done
