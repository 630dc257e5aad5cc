#!/bin/bash
# kiln run - runs a program on Kiln
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kiln.sh"
source "$KILN_ROOT/tools/lib/program.sh"

usage() {
    cat <<'END'
Usage: kiln run [--profile=P] [--guard=G] [--record FILE] [--] PROGRAM ARGS...
       kiln run --race-demo

Runs PROGRAM with every malloc, free, new and delete in it, and in the programs it starts, served
by Kiln (libkiln.so in LD_PRELOAD). Installs compiler and build tool and builds libkiln.so first,
if that has not been done.

  --profile=P     what Kiln sees: fast (wrong frees), hardened (also damage to blocks and to freed
                  ones; the default), fuzz (the same, repeatable, with the stacks of malloc and free)
  --guard=G       which blocks end at a page that faults, so that a read or write beyond them, or
                  after they were freed, is seen at once: none, some, all; low: all begin at one.
                  With all or low the profile is fuzz, unless it is named
  --record FILE   writes what the operating system answered and what the arena did to FILE;
                  `kiln replay FILE` replays it. An old FILE is replaced. The first process that
                  allocates is recorded: name PROGRAM itself, not env or a script that starts it.
  --race-demo     runs no PROGRAM, but an example: a data race on a heap that the race detector of
                  Go watches, and its report. Installs the detector. The exit status is 0 when it
                  found the race, 1 otherwise.

PROGRAM is a 64-bit program that uses its C library as a shared library. The exit status is that
of PROGRAM; 127 if there is no such program, 126 if it cannot be executed, 2 for a wrong option.
The environment's KILN_OPTIONS is passed on, in front of what these options say; KILN_OPTIONS=help=1
lists all of them.
END
}

# race_demo builds the example with the detector's runtime, runs it, and ends the command.
race_demo() {
    local status=0
    kiln_need race
    kiln_program //tests/race:race_demo allocator sanitizer tests/race
    # Not the caller's GORACE, which may send the report elsewhere or change the status.
    GORACE='exitcode=66' "$KILN_PROGRAM" "$KILN_ROOT/tests/race/race_demo.c" || status=$?
    [[ $status == 66 ]] || # what the detector ends a process with that had a race
        kiln_die "the example should have ended with status 66, and ended with $status"
    exit 0
}

# one_of OPTION VALUE WORD... ends the command unless the value is one of the words.
one_of() {
    local option=$1 value=$2 word
    shift 2
    for word; do
        [[ $word != "$value" ]] || return 0
    done
    kiln_usage "$option is one of $*, not '$value'; the nearest is '$(kiln_nearest "$value" "$@")'"
}

record=''
profile=''
guard=''
while [[ $# -gt 0 ]]; do
    case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    --record)
        [[ $# -gt 1 && $2 != -- ]] || kiln_usage "--record needs a file: kiln run --record FILE -- PROGRAM"
        record=$2
        shift
        ;;
    --record=*) record=${1#--record=} ;;
    --profile=*)
        profile=${1#--profile=}
        one_of --profile "$profile" fast hardened fuzz
        ;;
    --guard=*)
        guard=${1#--guard=}
        one_of --guard "$guard" none some all low
        ;;
    --profile | --guard) kiln_usage "$1 needs a value: kiln run $1=VALUE -- PROGRAM" ;;
    --race-demo)
        [[ -z $record$profile$guard && $# == 1 ]] || kiln_usage "--race-demo runs an example of its own: kiln run --race-demo"
        race_demo
        ;;
    --)
        shift
        break
        ;;
    -*) kiln_bad_option run "$1" --profile= --guard= --record --race-demo --help ;;
    *) break ;;
    esac
    shift
done
[[ $# -gt 0 ]] || kiln_usage "no program to run: kiln run -- PROGRAM ARGS..."

program=$(type -P -- "$1") || {
    if [[ $1 == */* && -e $1 ]]; then
        kiln_say "'$1' is not an executable file"
        exit 126
    fi
    kiln_say "there is no program '$1'; looked in ${PATH:-an empty PATH}"
    exit 127
}

[[ $guard != all && $guard != low || -n $profile ]] || profile=fuzz
for setting in ${profile:+"profile=$profile"} ${guard:+"guard=$guard"}; do
    export KILN_OPTIONS=${KILN_OPTIONS:+$KILN_OPTIONS:}$setting
done

if [[ -n $record ]]; then
    [[ $record == /* ]] || record=$PWD/$record
    [[ $record != *:* ]] || kiln_usage "a record's path cannot have a colon: '$record'"
    [[ ! -d $record ]] || kiln_usage "'$record' is a folder; --record takes a file"
    [[ ! -L $record && ( -f $record || ! -e $record ) ]] ||
        kiln_usage "'$record' is there and no plain file (a link or a device); --record replaces only plain files"
    [[ -d ${record%/*}/ && -w ${record%/*}/ ]] ||
        kiln_usage "the record '$record' cannot be written: ${record%/*} is no folder, or not yours to write"
    rm -f -- "$record"
    export KILN_OPTIONS=${KILN_OPTIONS:+$KILN_OPTIONS:}record=$record
fi

kiln_library

unset KILN_ROOT KILN_OUT
export LD_PRELOAD=$KILN_LIBRARY${LD_PRELOAD:+:$LD_PRELOAD}
name=$1
shift
exec -a "$name" -- "$program" "$@"
