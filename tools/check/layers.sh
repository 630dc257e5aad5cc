#!/bin/bash
# tools/check/layers.sh [FOLDER] - includes go down the layers, the core needs no C library, and
# files are short.
#
#   base < os < arena < heap < harden < api; sanitizer/publish.h from arena up; nothing includes tests or
#   fuzz. All but api and what is named *linux* includes of the system only what the compiler brings,
#   and string.h for the four functions that compilers call by themselves.
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kiln.sh"
source "$KILN_ROOT/tools/lib/sources.sh"
[[ ${1:-} != --* ]] || shift
cd "${1:-$KILN_ROOT}"

mapfile -d '' files < <(kiln_sources)
awk -v lines_max=599 '
BEGIN {
    rank["base"] = 1; rank["os"] = 2; rank["arena"] = 3; rank["heap"] = 4; rank["harden"] = 5
    rank["api"] = 6
    split("limits string stdalign stdatomic stdbool stddef stdint stdnoreturn", names)
    for (i in names) freestanding["<" names[i] ".h>"] = 1
}
function broken(what) { print FILENAME ":" FNR ": " what; bad[FILENAME] = 1 }
FNR == 1 {
    files++
    split(FILENAME, path, "/")
    layer = path[1] == "allocator" ? path[2] : ""
    core = layer != "" && layer != "api" && FILENAME !~ /linux/
    if (layer != "" && !(layer in rank)) broken("allocator/" layer " is no layer: base os arena heap harden api")
}
FNR == lines_max + 1 { broken("the file has " lines_max + 1 " lines or more; cut it by the nouns it owns") }
/^[ \t]*#[ \t]*include/ && layer != "" {
    sub(/^[ \t]*#[ \t]*include[ \t]*/, ""); name = $1
    if (name ~ /^</) {
        if (core && !(name in freestanding)) broken(layer " is freestanding; it cannot include " name)
        next
    }
    gsub(/"/, "", name)
    split(name, to, "/")
    if (to[1] == "allocator" && rank[to[2]] > rank[layer]) broken(layer " is below " to[2] "; it cannot include " name)
    else if (to[1] == "sanitizer" && (rank[layer] < rank["arena"] || name != "sanitizer/publish.h"))
        broken(layer " cannot include " name)
    else if (to[1] != "allocator" && to[1] != "sanitizer") broken("the allocator cannot include " name)
}
END {
    for (file in bad) failed++
    print files - failed + 0 " passed, " failed + 0 " failed"
    exit failed > 0
}' /dev/null "${files[@]}"
