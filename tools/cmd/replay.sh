#!/bin/bash
# kiln replay - replays a trace of the arena, prints its transcript or draws it
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kiln.sh"
source "$KILN_ROOT/tools/lib/program.sh"

case ${1:-} in
-h | --help)
    cat <<'END'
Usage: kiln replay TRACE...              prints the transcript of each trace; - is standard input
       kiln replay --svg TRACE           draws the address space over the steps, to standard output
       kiln replay --svg OUT.svg TRACE   the same into a file; the transcript is printed

A trace makes an arena take steps and gives the answers of its operating system. `kiln run
--record FILE` writes one. One directive a line; # starts a comment; numbers are C literals.

  width 32|64                  first: the address width of the simulated machine
  set KEY VALUE                before the first step; KEY is one of
      page phys block strand maxmem arena_start arena_used arena_alloc arena_end
      reserved race init_map   0 or 1
      follow                   seed (if not set), go19 or kiln
      tables                   spans or bits+spans (if not set); Kiln's own heap has spans only
  alloc N                      step: the growth routine is asked for N bytes
  grow NPAGES                  step: its caller, which asks for at least 1 MiB
  mallocinit [end=ADDR] [brk=ADDR] [arch=amd64|arm64|darwin-arm64]
                               first step: the start-up reservation
  reserve[*K] -> ADDR [unreserved] | fail         answer, to K reserves in a row
  map [heap|bits|spans] -> ok | fail | elsewhere  answer; ok where it is left out
  sysalloc -> ADDR | fail                         answer to the small fallback

The exit status is 0 when all was replayed, 1 when an arena of kiln broke a law (seed and go19
may: that is what they are kept for), 2 when a trace or an argument is wrong: FILE:LINE: WHAT on
standard error.
END
    exit 0
    ;;
esac

kiln_program //tools/replay:kiln-replay tools/replay allocator sanitizer
exec "$KILN_PROGRAM" "$@"
