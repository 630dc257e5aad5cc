# tests/api/lib.sh - what the bash tests of the API share. They run from the runfiles' root.
failed=0
passed=0
kiln_so=$PWD/allocator/api/libkiln.so
# The profile that a phase of `kiln test` tries; else the one that programs have.
export KILN_OPTIONS=${KILN_OPTIONS:-}

# check WHAT COMMAND...: the command must exit with 0; what it prints is shown where it does not.
check()
{
    local what=$1 output
    shift
    if output=$("$@" 2>&1); then
        passed=$((passed + 1))
    else
        echo "FAILED $what (exit status $?): $*"
        sed 's/^/    /' <<< "$output"
        failed=$((failed + 1))
    fi
}

# same WHAT GOT WANTED
same()
{
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
    else
        echo "FAILED $1: got"
        sed 's/^/    /' <<< "$2"
        echo "  where this is right:"
        sed 's/^/    /' <<< "$3"
        failed=$((failed + 1))
    fi
}

# preload COMMAND...: on Kiln
preload()
{
    LD_PRELOAD=$kiln_so "$@"
}

# The bits of the library under test: programs of the other width cannot preload it.
kiln_bits()
{
    case $(od -An -tu1 -j4 -N1 "$kiln_so") in
    *2) echo 64 ;;
    *) echo 32 ;;
    esac
}

finish()
{
    echo "$passed passed, $failed failed"
    exit $((failed != 0))
}
