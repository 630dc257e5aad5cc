# tools/lib/target.sh - the fuzz targets, and programs of them. Sourced after tools/lib/kiln.sh.
source "$KILN_ROOT/tools/lib/program.sh"

KILN_TARGETS=("$KILN_ROOT"/fuzz/*_fuzz.c)
KILN_TARGETS=("${KILN_TARGETS[@]##*/}")
KILN_TARGETS=("${KILN_TARGETS[@]%_fuzz.c}")

# kiln_need_target COMMAND WORD ends the command when the word is no target.
kiln_need_target() {
    [[ -n $2 ]] || kiln_usage "which target? kiln $1 $(IFS='|' && echo "${KILN_TARGETS[*]}")"
    [[ " ${KILN_TARGETS[*]} " == *" $2 "* ]] ||
        kiln_usage "there is no target '$2'; the nearest is '$(kiln_nearest "$2" "${KILN_TARGETS[@]}")'"
}

# kiln_need_input OPTION FILE ends the command when there is no such file.
kiln_need_input() {
    [[ ! -d $2 ]] || kiln_usage "${1:+$1: }'$2' is a folder; name the files in it"
    [[ -r $2 ]] || kiln_usage "${1:+$1: }there is no file '$2', or it may not be read"
}

# kiln_need_sanitizer WORD ends the command when no target is built with it.
kiln_need_sanitizer() {
    [[ $1 == asan || $1 == msan || $1 == ubsan || $1 == none ]] ||
        kiln_usage "there is no sanitizer '$1' for fuzzing; asan, msan, ubsan or none"
}

# kiln_target_build CONFIG FILE LABEL builds //fuzz:LABEL (arena_fuzz_bin, say) and puts the program
# at FILE: a copy, because the next build would replace it while it runs. Not when FILE is newer than
# its sources; with NEEDED... after it these are built too, every time.
kiln_target_build() {
    local config_name=$1 file=$2 label=$3 log=$KILN_OUT/fuzz/build.log bin built
    local -a config=() needed
    shift 3
    needed=("${@/#///fuzz:}")
    [[ $config_name == default ]] || config=("--config=$config_name")
    [[ $# == 0 ]] && kiln_fresh "$file" allocator sanitizer fuzz && return
    kiln_need build fuzz
    mkdir -p "${file%/*}"
    : >"$file.stamp.new" # its time is from before the sources are read
    kiln_watch "$log" kiln_bazel build --noshow_progress "${config[@]}" "//fuzz:$label" "${needed[@]}" || {
        cat "$log" >&2
        kiln_die "the target cannot be built; what Bazel said is above and in $log"
    }
    bin=$(kiln_bazel info "${config[@]}" bazel-bin 2>/dev/null)
    built=$bin/fuzz/${label/%_bin/_raw_}
    cp -f "$built" "$file.new"
    chmod u+w "$file.new"
    mv -f "$file.new" "$file"
    mv -f "$file.stamp.new" "$file.stamp"
    KILN_TARGET_BIN=$bin/fuzz # where Bazel put what was NEEDED
    [[ -z ${CI:-} ]] || kiln_bazel shutdown
}

# kiln_target_replay TARGET SANITIZER sets KILN_PROGRAM to the target without an engine.
kiln_target_replay() {
    local config=$2
    [[ $2 != none ]] || config=default
    KILN_PROGRAM=$KILN_OUT/fuzz/replay-$2/$1_fuzz
    kiln_target_build "$config" "$KILN_PROGRAM" "$1_fuzz_bin"
}

# kiln_target_options sets the sanitizers' options so that a report names its kind, quickly, and ends
# the process, whatever the caller's options say otherwise.
kiln_target_options() {
    local ours=symbolize=0:print_summary=1:report_error_type=1:halt_on_error=1:log_path=stderr:exitcode=77
    ours+=:abort_on_error=1:handle_abort=0:detect_leaks=0:verbosity=0
    export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}$ours
    export MSAN_OPTIONS=${MSAN_OPTIONS:+$MSAN_OPTIONS:}$ours
    export UBSAN_OPTIONS=${UBSAN_OPTIONS:+$UBSAN_OPTIONS:}$ours
}

# kiln_target_tool TARGET SANITIZER sets KILN_PROGRAM to the target's tool (fuzz/tool_main.c).
kiln_target_tool() {
    local config=$2
    [[ $2 != none ]] || config=default
    kiln_target_options
    KILN_PROGRAM=$KILN_OUT/fuzz/tool-$2/$1_fuzz
    kiln_target_build "$config" "$KILN_PROGRAM" "$1_fuzz_tool"
}
