#!/bin/bash
# tools/lib/apt_install.sh PACKAGE... - run as root by kiln_need.
#
# A package of a server (redis-server) would start it. Debian asks /usr/sbin/policy-rc.d first; for
# the time of the installation that says no.
set -eu

exec 9>/run/lock/kiln-apt.lock
flock 9 # two calls of kiln may need something at once

policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
options=(-q -y -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3)
apt-get "${options[@]}" update
apt-get "${options[@]}" install --no-install-recommends "$@"
