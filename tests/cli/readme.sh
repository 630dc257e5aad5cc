# tests/cli/readme.sh - the commands of README.md. Sourced.
#
# How to write README.md for the tests that use this:
#   - a block that starts with ```sh holds commands, one a line, typed in the checkout; a line that
#     ends with a backslash goes on in the next. Other blocks are only shown.
#   - a command within a line is one in backquotes that starts with ./kiln. FILE in it stands for a
#     file of the reader's (the same one all over README.md), PROGRAM for any program.
#   - a command ends with status 0. One that is meant to end otherwise says so after it:
#     ./kiln run -- .kiln/example/double_free   # status 134
#   - one that takes minutes is marked `# minutes`; of those within a line, fuzz, bench, prove and mutants do.

# readme_commands README prints the commands, one a line, in their order.
readme_commands() {
    awk '
    /^```/ { inside = inside ? 0 : $0 == "```sh" ? 1 : 2; next }
    inside == 1 && !/^[ \t]*(#|$)/ {
        if (sub(/\\$/, "")) { held = held $0; next }
        print held $0; held = ""
    }
    !inside {
        while (match($0, /`\.\/kiln [^`]*`/)) {
            command = substr($0, RSTART + 1, RLENGTH - 2)
            $0 = substr($0, RSTART + RLENGTH)
            print command (command ~ /^\.\/kiln (fuzz|bench|prove|mutants)/ ? "   # minutes" : "")
        }
    }' "$1"
}

# readme_status COMMAND prints the exit status that README.md promises for it.
readme_status() {
    if [[ $1 =~ '# status '([0-9]+) ]]; then echo "${BASH_REMATCH[1]}"; else echo 0; fi
}
