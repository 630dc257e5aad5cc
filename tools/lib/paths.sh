# tools/lib/paths.sh - where things are. Sourced by tools/bazel and tools/lib/kiln.sh.
#
#   KILN_ROOT  the checkout, without symbolic links
#   KILN_OUT   everything that is built or logged. The ignored folder .kiln of the checkout, or a
#              folder of the user's below /var/tmp when the checkout cannot be written, or when its
#              path has a space or a colon: Bazel 4 and LD_PRELOAD take neither.

kiln_paths() {
    local sum
    KILN_ROOT=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
    KILN_OUT=$KILN_ROOT/.kiln
    if [[ $KILN_ROOT != *[[:space:]:]* ]] && mkdir -p "$KILN_OUT" 2>/dev/null && [[ -w $KILN_OUT ]]; then
        return
    fi
    sum=$(cksum <<<"$KILN_ROOT")
    KILN_OUT=/var/tmp/kiln-$UID-${sum%% *}
    mkdir -p -m 700 "$KILN_OUT"
    if [[ ! -O $KILN_OUT || -L $KILN_OUT ]]; then
        echo "kiln: $KILN_OUT belongs to somebody else; move the checkout to a path without spaces" >&2
        exit 2
    fi
}

kiln_paths
export KILN_ROOT KILN_OUT
