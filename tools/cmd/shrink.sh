#!/bin/bash
# kiln shrink - makes a fuzz input that breaks something as small as it can be
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kiln.sh"
source "$KILN_ROOT/tools/lib/target.sh"

usage() {
    cat <<'END'
Usage: kiln shrink TARGET FILE [--out=FILE] [--sanitizer=SANITIZER] [--seconds=N]

Cuts operations out of the input and makes its settings and fields smaller, as long as it breaks
something of the same kind: the same broken rule, or the same kind in a sanitizer's SUMMARY. In the
end no operation can be left out and no setting turned to 0. Each attempt is a process of its own,
and takes 25 s at most. What sanitizers are told by ASAN_OPTIONS and the like does not matter.

  TARGET       whose input FILE is; of `options`, whose inputs are texts, bytes are cut
  --out        where the result goes, and with .txt behind it its text form; if not given, into
               .kiln/fuzz/shrunk/TARGET
  --sanitizer  asan (if not given), msan, ubsan or none: with which the input breaks something
  --seconds    ends after so long, minimal or not; 600 if not given

Prints what became of it, and the text form. The exit status is 0 when it is minimal, 1 when the
time was over before, 2 for a wrong argument, or a file that breaks nothing.
END
}

target='' file='' out='' sanitizer=asan seconds=600
while [[ $# -gt 0 ]]; do
    option=${1%%=*}
    value=${1#*=}
    case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    --out=* | --sanitizer=* | --seconds=*) ;;
    --out | --sanitizer | --seconds)
        [[ $# -gt 1 ]] || kiln_usage "$1 needs a value: $1=VALUE"
        value=$2
        shift
        ;;
    -*) kiln_bad_option shrink "$option" --out --sanitizer --seconds --help ;;
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
    --out) out=$value ;;
    --sanitizer) sanitizer=$value ;;
    --seconds) seconds=$value ;;
    esac
done
kiln_need_target shrink "$target"
[[ -n $file ]] || kiln_usage "which file? kiln shrink $target FILE"
kiln_need_input '' "$file"
kiln_need_sanitizer "$sanitizer"
[[ $seconds =~ ^[1-9][0-9]{0,6}$ ]] || kiln_usage "--seconds is 1 to 9999999, not '$seconds'"
if [[ -z $out ]]; then
    out=$KILN_OUT/fuzz/shrunk/$target/${file##*/}
    mkdir -p "${out%/*}"
fi
[[ ! -d $out ]] || kiln_usage "--out: '$out' is a folder; name a file in it"
[[ $out != */* || -d ${out%/*} ]] || kiln_usage "--out: there is no folder '${out%/*}'"
[[ ! $file -ef $out ]] || kiln_usage "--out: '$out' is the input itself; name another file"

kiln_target_tool "$target" "$sanitizer"
exec "$KILN_PROGRAM" --shrink "$file" "$out" "$seconds" " --sanitizer=$sanitizer"
