# tools/lib/program.sh - programs of the tools, built when they are older than their sources.
# Sourced after tools/lib/kiln.sh.

# kiln_program TARGET SOURCE... sets KILN_PROGRAM to the path of the program that //TARGET builds
# (//tools/replay:kiln-replay), up to date with its sources, files or folders of the checkout.
kiln_program() {
    local target=$1 log=$KILN_OUT/build.log built
    shift
    KILN_PROGRAM=$KILN_OUT/bin/${target##*:}
    ! kiln_program_fresh "$@" || return 0
    kiln_need build
    mkdir -p "${KILN_PROGRAM%/*}"
    exec 8>"$KILN_OUT/build.lock"
    flock 8 # of two calls at once, the second finds it done
    if ! kiln_program_fresh "$@"; then
        kiln_say "building ${target##*:}"
        : >"$KILN_PROGRAM.stamp.new" # its time is from before the sources are read
        kiln_watch "$log" kiln_bazel build --config=release --noshow_progress "$target" 8>&- || {
            cat "$log" >&2
            kiln_die "${target##*:} cannot be built; what Bazel said is above and in $log"
        }
        built=${target#//}
        built=$(kiln_bazel info --config=release bazel-bin 2>/dev/null 8>&-)/${built/://}
        cp -f "$built" "$KILN_PROGRAM.new"
        mv -f "$KILN_PROGRAM.new" "$KILN_PROGRAM" # at once: it may be running
        mv -f "$KILN_PROGRAM.stamp.new" "$KILN_PROGRAM.stamp"
        [[ -z ${CI:-} ]] || kiln_bazel shutdown 8>&-
    fi
    exec 8>&-
}

# Starting Bazel to ask would take seconds.
kiln_program_fresh() {
    [[ -f $KILN_PROGRAM && -f $KILN_PROGRAM.stamp ]] &&
        [[ -z $(cd "$KILN_ROOT" && find "$@" tools/toolchain tools/kiln.bzl tools/BUILD WORKSPACE \
            .bazelrc -newer "$KILN_PROGRAM.stamp" -print -quit) ]]
}
