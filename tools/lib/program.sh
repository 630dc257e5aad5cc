# tools/lib/program.sh - what Bazel builds for the commands to use: libkiln.so and the tools'
# programs, each built again only when it is older than its sources. Starting Bazel to ask would
# take seconds, and this stands in front of every program. Sourced after tools/lib/kiln.sh.

KILN_LIBRARY=$KILN_OUT/lib/libkiln.so # as programs run on it; up to date after kiln_library

# What decides how everything is built, besides a target's own sources.
kiln_build_files=(tools/toolchain tools/kiln.bzl tools/BUILD WORKSPACE .bazelrc)

# kiln_fresh FILE SOURCE... is true when no source (file or folder of the checkout) is newer than
# the build of FILE. A folder is newer when a file was added to it or removed.
kiln_fresh() {
    local file=$1
    shift
    [[ -f $file && -f $file.stamp ]] &&
        [[ -z $(cd "$KILN_ROOT" && find "$@" "${kiln_build_files[@]}" -newer "$file.stamp" -print -quit) ]]
}

# kiln_build FILE TARGET SOURCE... makes FILE the release build of //TARGET, if it is not.
kiln_build() {
    local file=$1 target=$2 log=$KILN_OUT/build.log built
    shift 2
    ! kiln_fresh "$file" "$@" || return 0
    kiln_need build
    mkdir -p "${file%/*}"
    exec 8>"$KILN_OUT/build.lock"
    flock 8 # of two calls at once, the second finds it done
    if ! kiln_fresh "$file" "$@"; then
        kiln_say "building ${target##*:}"
        : >"$file.stamp.new" # its time is from before the sources are read
        kiln_watch "$log" kiln_bazel build --config=release --noshow_progress "$target" 8>&- || {
            cat "$log" >&2
            kiln_die "${target##*:} cannot be built; what Bazel said is above and in $log"
        }
        built=${target#//}
        cp -f "$(kiln_bazel info --config=release bazel-bin 2>/dev/null 8>&-)/${built/://}" "$file.new"
        mv -f "$file.new" "$file" # at once: programs may be starting on it
        mv -f "$file.stamp.new" "$file.stamp"
    fi
    exec 8>&-
}

# kiln_library brings $KILN_LIBRARY up to date.
kiln_library() {
    kiln_build "$KILN_LIBRARY" //allocator/api:libkiln.so allocator sanitizer
}

# kiln_program TARGET SOURCE... sets KILN_PROGRAM to the path of the program that //TARGET builds
# (//tools/replay:kiln-replay), up to date with its sources.
kiln_program() {
    KILN_PROGRAM=$KILN_OUT/bin/${1##*:}
    kiln_build "$KILN_PROGRAM" "$@"
}
