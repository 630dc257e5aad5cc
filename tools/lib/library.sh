# tools/lib/library.sh - libkiln.so as programs run on it, built when it is older than its sources.
# Sourced after tools/lib/kiln.sh.

KILN_LIBRARY=$KILN_OUT/lib/libkiln.so
KILN_LIBRARY_SOURCES=(allocator sanitizer tools/toolchain tools/kiln.bzl tools/BUILD WORKSPACE .bazelrc)

# kiln_library_fresh is true when no source is newer than the build. Starting Bazel to ask would
# take seconds, and this stands in front of every program.
kiln_library_fresh() {
    [[ -f $KILN_LIBRARY && -f $KILN_LIBRARY.stamp ]] &&
        [[ -z $(cd "$KILN_ROOT" && find "${KILN_LIBRARY_SOURCES[@]}" -newer "$KILN_LIBRARY.stamp" -print -quit) ]]
}

# kiln_library_build brings $KILN_LIBRARY up to date.
kiln_library_build() {
    local log=$KILN_OUT/build.log built
    mkdir -p "${KILN_LIBRARY%/*}"
    exec 8>"$KILN_OUT/build.lock"
    flock 8 # of two calls at once, the second finds it done
    if ! kiln_library_fresh; then
        kiln_say "building libkiln.so"
        : >"$KILN_LIBRARY.stamp.new" # its time is from before the sources are read
        kiln_watch "$log" kiln_bazel build --config=release --noshow_progress \
            //allocator/api:libkiln.so 8>&- || {
            cat "$log" >&2
            kiln_die "libkiln.so cannot be built; what Bazel said is above and in $log"
        }
        built=$(kiln_bazel info --config=release bazel-bin 2>/dev/null 8>&-)
        cp -f "$built/allocator/api/libkiln.so" "$KILN_LIBRARY.new"
        mv -f "$KILN_LIBRARY.new" "$KILN_LIBRARY" # at once: programs may be starting on it
        mv -f "$KILN_LIBRARY.stamp.new" "$KILN_LIBRARY.stamp"
        [[ -z ${CI:-} ]] || kiln_bazel shutdown 8>&-
    fi
    exec 8>&-
}
