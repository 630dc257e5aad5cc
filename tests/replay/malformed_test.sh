#!/bin/bash
# Every malformed trace is refused with its exact message, FILE:LINE: WHAT, and status 2.
set -uo pipefail
replay=tools/replay/kiln-replay
folder=${TEST_TMPDIR:-$(mktemp -d)}
trace=$folder/t.trace
passed=0
failed=0

ok() {
    passed=$((passed + 1))
}
not() {
    failed=$((failed + 1))
    echo "FAILED $*" >&2
}

# bad TEXT LINE WHAT: the trace TEXT (with printf's escapes) is refused in LINE, for WHAT.
bad() {
    local said status=0
    printf "$1" >"$trace"
    said=$("$replay" "$trace" 2>&1 >"$folder/out") || status=$?
    if [[ $said != "$trace:$2: $3" || $status != 2 ]]; then
        not "status $status, said: $said" $'\n  expected:' "$trace:$2: $3" $'\n  from: printf' "'$1'" \
            "| $replay -"
    else
        ok
    fi
}

# good TEXT: the correct twin of a malformed trace is taken.
good() {
    local said status=0
    printf "$1" >"$trace"
    said=$("$replay" "$trace" 2>&1 >"$folder/out") || status=$?
    if [[ $said != '' || $status != 0 ]]; then
        not "status $status, said: $said; from: printf" "'$1'" "| $replay -"
    else
        ok
    fi
}

w32='width 32\n'
w64='width 64\n'
room='width 32\nset arena_used 0x20000000\nset arena_end 0x20800000\n'
width='a trace begins with its width: width 32|64'
mallocinit='mallocinit [end=ADDR] [brk=ADDR] [arch=amd64|arm64|darwin-arm64]'
reserve='reserve[*K] -> ADDR [unreserved] | fail'
map='map [heap|bits|spans] -> ok | fail | elsewhere'
sysalloc='sysalloc -> ADDR | fail'

# The width.
bad '' 1 "$width"
bad '# nothing but a comment\n' 1 "$width"
bad 'set page 8192\n' 1 "$width"
bad 'alloc 0x2000\nwidth 32\n' 1 "$width"
bad 'reserve*2 -> fail\n' 1 "$width"
bad 'width\n' 1 'something is missing: width 32|64'
bad 'width 16\n' 1 '`16` is no width: 32 or 64'
bad 'width 0x20 64\n' 1 '`64` is too much: width 32|64'
bad 'width wide\n' 1 '`wide` is not a number'
bad 'width 32\nwidth 32\n' 2 'a second width; the first is in line 1'
bad '\n\nwidth 64\n\nwidth 32\n' 5 'a second width; the first is in line 3'
good 'width 0x20\n'
good 'width 0100\n'

# Words that are no directive.
bad "${w32}reverse -> fail\n" 2 '`reverse` is no directive'
bad "${w32}ALLOC 0x2000\n" 2 '`ALLOC` is no directive'
bad "${w32}reserve-> 0x10000000\n" 2 '`reserve->` is no directive'
bad "${w32}\033[2Jalloc\n" 2 '`?[2Jalloc` is no directive'
bad "${w32}/ 0x2000\n" 2 '`/` is no directive'
bad "${w32}abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz 1\n" 2 \
    '`abcdefghijklmnopqrstuvwxyzabcdefghijklmn...` is no directive'

# Numbers.
bad "${room}alloc\n" 4 'something is missing: alloc N'
bad "${room}alloc 0x\n" 4 '`0x` is not a number'
bad "${room}alloc 0xg000\n" 4 '`0xg000` is not a number'
bad "${room}alloc 08\n" 4 '`08` is not a number'
bad "${room}alloc 12a\n" 4 '`12a` is not a number'
bad "${room}alloc -8192\n" 4 '`-8192` is not a number'
bad "${room}alloc +8192\n" 4 '`+8192` is not a number'
bad "${room}alloc 8192u\n" 4 '`8192u` is not a number'
bad "${room}alloc 1e6\n" 4 '`1e6` is not a number'
bad "${room}alloc 0x2000 0x2000\n" 4 '`0x2000` is too much: alloc N'
bad "${room}alloc 0x100000000\n" 4 '`0x100000000` does not fit the width of 32 bits'
bad "${room}alloc 4294967296\n" 4 '`4294967296` does not fit the width of 32 bits'
bad "${w64}alloc 0x10000000000000000\n" 2 '`0x10000000000000000` does not fit 64 bits'
bad "${w64}alloc 18446744073709551616\n" 2 '`18446744073709551616` does not fit 64 bits'
bad "${w64}alloc 02000000000000000000000\n" 2 '`02000000000000000000000` does not fit 64 bits'
bad "${room}grow\n" 4 'something is missing: grow NPAGES'
bad "${room}grow 1 page\n" 4 '`page` is too much: grow NPAGES'
good "${room}alloc 8192\n"
good "${room}alloc 020000\n"
good "${room}alloc 0X2000\n"

# Settings.
bad "${w32}set\n" 2 'something is missing: set KEY VALUE'
bad "${w32}set page\n" 2 'something is missing: set KEY VALUE'
bad "${w32}set page 0x2000 0x2000\n" 2 '`0x2000` is too much: set KEY VALUE'
bad "${w32}set pages 1\n" 2 '`pages` cannot be set'
bad "${w32}set page 0x3000\n" 2 'page is a power of two'
bad "${w32}set page 0\n" 2 'page is a power of two'
bad "${w32}set phys 0x1001\n" 2 'phys is a power of two'
bad "${w32}set strand 1\nset block 0x30000000\nset race 1\nalloc 0x2000\n" 3 'block is a power of two'
bad "${w32}set block 0x1000\n" 2 'block is at least page'
bad "${w32}set phys 0x20000000\n" 2 'block is at least phys'
bad "${w32}set maxmem 0x100000000\n" 2 '`0x100000000` does not fit the width of 32 bits'
bad "${w64}set maxmem 0xffffffffffffffff\n" 2 'maxmem is below 2^62'
bad "${w64}set follow kiln\nset maxmem 0x3fffffffffffffff\n" 3 \
    'follow kiln remembers every page of the tables, and maxmem makes them too large'
bad "${w32}set page 0x1000\nset page 0x2000\n" 3 'page is set already, in line 2'
bad "${w32}set follow go18\n" 2 '`go18` cannot be followed: seed, go19 or kiln'
bad "${w32}set tables bits\n" 2 '`bits` are no tables: spans or bits+spans'
bad "${w32}set race 2\n" 2 'race is 0 or 1, not `2`'
bad "${w32}set reserved yes\n" 2 '`yes` is not a number'
bad "${w32}set init_map 0x2\n" 2 'init_map is 0 or 1, not `0x2`'
bad "${room}alloc 0x2000\nset race 1\n" 5 'set comes before the first step and its answers'
bad "${w32}set follow kiln\nset arena_start 0x1000\n" 3 \
    'such an arena cannot be: arena_start is page aligned'
bad "${w32}set arena_end 0x20000000\nmallocinit\n  reserve -> 0x10000000\n" 2 \
    'arena_end is what mallocinit, the first step, finds out'
good "${w32}set page 0x1000\nset phys 0x10000\nset follow kiln\nset tables spans\n"

# mallocinit.
bad "${w32}mallocinit now\n" 2 "\`now\` is too much: $mallocinit"
bad "${w32}mallocinit end=0x1000 end=0x2000\n" 2 '`end=0x2000` comes twice'
bad "${w32}mallocinit end=\n" 2 '`` is not a number'
bad "${w32}mallocinit arch=x86\n" 2 '`x86` is no arch: amd64, arm64 or darwin-arm64'
bad "${w32}mallocinit arch=amd64 end=1 brk=1 brk=1\n" 2 "\`brk=1\` is too much: $mallocinit"
bad "${room}alloc 0x2000\nmallocinit\n" 5 'mallocinit can only be the first step'
bad "${w32}mallocinit\nreserve -> 0x8000000\nmallocinit\n" 4 'mallocinit can only be the first step'

# Answers: their form.
ask="${room}alloc 0x1000000\n"
bad "${ask}reserve\n" 5 "something is missing: $reserve"
bad "${ask}reserve 0x50000000 now\n" 5 "\`0x50000000\` stands where -> belongs: $reserve"
bad "${ask}reserve -> \n" 5 "something is missing: $reserve"
bad "${ask}reserve -> 0x50000000 held\n" 5 "\`held\` is too much: $reserve"
bad "${ask}reserve -> fail unreserved\n" 5 "\`unreserved\` is too much: $reserve"
bad "${ask}reserve -> failed\n" 5 '`failed` is not a number'
bad "${ask}reserve -> 0\n" 5 '0 is no address; a refusal is written: fail'
bad "${ask}reserve -> 0x50000800\n" 5 '0x50000800 is not a multiple of phys, 0x1000'
bad "${ask}reserve -> 0x500000000\n" 5 '`0x500000000` does not fit the width of 32 bits'
bad "${ask}reserve* -> fail\n" 5 '`` is not a number'
bad "${ask}reserve*0 -> fail\n" 5 'an answer is repeated at least once'
bad "${ask}reserve*x -> fail\n" 5 '`x` is not a number'
bad "${ask}reserve *1 -> fail\n" 5 "\`*1\` stands where -> belongs: $reserve"
bad "${ask}map*2 -> ok\n" 5 'only reserve can be repeated, not `map`'
bad "${ask}sysalloc*2 -> fail\n" 5 'only reserve can be repeated, not `sysalloc`'
bad "${ask}reserve -> 0x50000000\nmap -> maybe\n" 6 "\`maybe\` is no answer: $map"
bad "${ask}reserve -> 0x50000000\nmap meta -> ok\n" 6 "\`meta\` stands where -> belongs: $map"
bad "${ask}reserve -> 0x50000000\nmap heap bits ok\n" 6 "\`bits\` stands where -> belongs: $map"
bad "${ask}reserve -> 0x50000000\nmap heap ->\n" 6 "something is missing: $map"
bad "${ask}reserve -> 0x50000000\nmap -> ok ok\n" 6 "\`ok\` is too much: $map"
bad "${ask}sysalloc -> 0x1000 unreserved\n" 5 "\`unreserved\` is too much: $sysalloc"
bad "${ask}sysalloc <- 0x1000\n" 5 "\`<-\` stands where -> belongs: $sysalloc"

# Answers: whether they were asked for.
asked='the arena asks for a reserve (hint=0x20800000 len=0x10000000)'
bad "$ask" 4 "$asked: there is no answer"
bad "${ask}alloc 0x2000\n" 4 "$asked: there is no answer"
bad "${ask}sysalloc -> fail\n" 5 "$asked: this answers a sysalloc"
bad "${ask}map -> ok\nreserve -> fail\n" 5 "$asked: this answers a map"
bad "${ask}reserve -> fail\nreserve -> fail\n" 6 'nobody asked for this answer to a reserve'
bad "${ask}reserve*3 -> fail\n" 5 'nobody asked for this answer to a reserve'
bad "${room}alloc 0x2000\nsysalloc -> fail\n" 5 'nobody asked for this answer to a sysalloc'
bad "${room}alloc 0x2000\nmap heap -> ok\nmap heap -> ok\n" 6 'nobody asked for this answer to a map'
bad "${room}reserve -> fail\nalloc 0x2000\n" 4 'nobody asked for this answer to a reserve'
bad "${w32}set follow go19\n${room#*\\n}alloc 0x1000000\nreserve -> fail\nalloc 0x2000\n" 5 \
    'the arena asks for a sysalloc (len=0x1002000): there is no answer'
bad "${w32}set follow go19\n${room#*\\n}alloc 0x1000000\nreserve -> fail\nreserve -> fail\n" 7 \
    'the arena asks for a sysalloc (len=0x1002000): this answers a reserve'
bad "${w32}alloc 0xfffe0000\nreserve -> 0x10000000\n" 3 \
    'this reserve is of no bytes: it can only fail'
good "${ask}reserve -> 0x50000000\nmap heap -> ok\nmap bits -> ok\nmap spans -> ok\n"
good "${ask}reserve -> 0x50000000\nmap spans -> ok\n"

# Characters.
bad "${room}alloc 0x20\0000\n" 4 'a NUL byte; a trace is text'
bad "${room}# a comment with \0000\nalloc 0x2000\n" 4 'a NUL byte; a trace is text'
bad "${room}alloc\r0x2000\n" 4 'a carriage return that does not end the line'
bad "${room}alloc 0x2000 ; alloc 0x2000\n" 4 '`;` is too much: alloc N'
long=$(head -c 600 /dev/zero | tr '\0' 1)
bad "${room}alloc $long\n" 4 'more than 512 characters in a directive'
bad "${room}alloc 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n" 4 '`1` is too much: alloc N'
huge=$(head -c 200000 /dev/zero | tr '\0' z)
bad "${room}# $huge\nalloc z\n" 5 '`z` is not a number'

# What follows a throw is not run, but still read.
throw="${room}alloc 0x2000\nmap -> fail\n"
good "${throw}alloc 0x2000\nreserve -> fail\n"
bad "${throw}alloc 0x2000\nreserve -> fail\nallocate 1\n" 8 '`allocate` is no directive'

# Files and arguments.
refused() { # refused WHAT ARGUMENT...
    local said what=$1 status=0
    shift
    said=$("$replay" "$@" 2>&1 </dev/null) || status=$?
    if [[ $said != "$what" || $status != 2 ]]; then
        not "status $status, said: $said" $'\n  expected:' "$what" $'\n  from:' "$replay $*"
    else
        ok
    fi
}
refused "kiln replay: cannot read $folder/none: No such file or directory" "$folder/none"
refused "$folder:1: Is a directory" "$folder"
refused '/dev/zero:1: a NUL byte; a trace is text' /dev/zero # which has no end
refused 'kiln replay: which trace?; kiln replay --help shows how'
refused 'kiln replay: which trace?; kiln replay --help shows how' --svg
refused 'kiln replay: there is no option --quick; kiln replay --help shows how' --quick "$trace"
refused 'kiln replay: one trace at a time is drawn, not also b; kiln replay --help shows how' --svg a b
printf "${room}alloc 0x2000\n" >"$trace"
said=$("$replay" --svg "$folder/none/out.svg" "$trace" 2>&1 >/dev/null)
[[ $? == 2 && $said == "kiln replay: cannot write $folder/none/out.svg: No such file or directory" ]] &&
    ok || not "a drawing that cannot be written: $said"

# A broken trace among good ones: the others are played, and the status is 2.
printf "${w32}alloc 1 1\n" >"$folder/bad.trace"
said=$("$replay" "$trace" "$folder/bad.trace" "$trace" 2>/dev/null)
[[ $? == 2 && $(grep -c '^== ' <<<"$said") == 3 && $(grep -c 'via=bump' <<<"$said") == 2 ]] && ok ||
    not "a broken trace between two good ones: $said"

# Nothing is lost in silence when the transcript cannot be written.
said=$("$replay" "$trace" 2>&1 >/dev/full)
[[ $? == 2 && $said == 'kiln replay: cannot write the transcript: No space left on device' ]] && ok ||
    not "a full disk: $said"

echo "$passed passed, $failed failed"
[[ $failed == 0 && $passed -gt 100 ]]
