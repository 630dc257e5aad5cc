# tools/lib/sources.sh - the C and C++ files of the tree in the current folder.

# kiln_sources [FIND-TEST...] prints them, each ended by a zero byte.
kiln_sources() {
    find . -name '.?*' -prune -o -type f \( -name '*.c' -o -name '*.h' -o -name '*.cc' \) "$@" \
        -printf '%P\0' | sort -z
}
