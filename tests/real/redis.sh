#!/bin/bash
# redis.sh - redis-server under redis-benchmark and under a script of commands, over a socket.
#
# Compared are the server's replies to the script and the digest of the whole data set, also after
# it was written by a forked child and read again. redis-benchmark's own lines are times.
#
# Debian's redis-server is linked with jemalloc. Here the system's malloc is the C library's, so
# that library goes in front of jemalloc for the other half of the comparison.
#
# The program is in the package redis-tools, under another name: the package redis-server would add
# a service to this machine.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

real_name=redis
real_needs='/usr/bin/redis-check-rdb=redis-tools /usr/bin/redis-benchmark=redis-tools'
real_process='./redis-server'
real_system_preload=/lib/x86_64-linux-gnu/libc.so.6

real_prepare() {
    perl "$real_dir/generate.pl" redis 40000 >commands
}

redis_command() {
    redis-cli -s socket "$@"
}

redis_start() {
    local tries=0
    ln -s /usr/bin/redis-check-rdb redis-server
    heap_exec ./redis-server --port 0 --unixsocket socket --save '' --appendonly no --daemonize no \
        --activerehashing no --hz 10 --enable-debug-command yes >log 2>&1 &
    server=$!
    trap 'kill -9 $server 2>/dev/null' EXIT
    until [ "$(redis_command PING 2>/dev/null)" = PONG ]; do
        tries=$((tries + 1))
        if [ $tries -gt 100 ] || ! kill -0 $server 2>/dev/null; then
            cat log >&2
            return 1
        fi
        sleep 0.1
    done
}

redis_load() {
    redis-benchmark -s socket --dbnum 1 -n 100000 -r 60000 -c 20 -P 8 -d 100 -q \
        -t set,get,incr,lpush,rpush,lpop,sadd,hset,zadd,spop,mset,lrange_100 >benchmark.txt || return 1
    redis_command --raw <"$real_inputs/commands" | sha256sum || return 1
}

real_run() {
    redis_start || return 1
    redis_load || return 1
    redis_command DBSIZE
    for key in $(redis_command --raw --scan | sort); do echo "DEBUG DIGEST-VALUE $key"; done |
        redis_command --raw | sha256sum || return 1
    redis_command BGSAVE >/dev/null
    while grep -q '^rdb_bgsave_in_progress:1' <<<"$(redis_command INFO persistence)"; do sleep 0.05; done
    redis_command INFO persistence | tr -d '\r' | grep '^rdb_last_bgsave_status'
    redis-check-rdb dump.rdb >check.txt || return 1
    redis_command DEBUG RELOAD
    redis_command DBSIZE
    redis_command FLUSHALL ASYNC
    sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB$/\1/p' /proc/$server/status >"$real_folder/peak_kib"
    redis_command SHUTDOWN NOSAVE
    wait $server
}

real_main "$@"
