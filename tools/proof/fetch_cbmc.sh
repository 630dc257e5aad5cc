#!/bin/bash
# tools/proof/fetch_cbmc.sh FOLDER - unpacks cbmc into FOLDER, which is made whole or not at all.
#
# CBMC 6 is in Debian 13 and not in Debian 12. Its packages come from the mirror that this machine is
# set up with, over a source list of their own, signed by Debian's keyring; nothing is installed, and
# apt's own lists are left alone. FOLDER/run/TOOL starts a tool by the loader and the libraries that
# were unpacked with it.
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kiln.sh"

RELEASE=trixie
PACKAGES=(cbmc minisat libc6 libstdc++6 libgcc-s1)
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

[[ $# == 1 ]] || kiln_usage "fetch_cbmc.sh takes one folder, but was given $#"
folder=$1
for tool in apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || kiln_die "this system has no $tool; cbmc is fetched from Debian $RELEASE with it"
done
[[ $(dpkg --print-architecture) == amd64 ]] || kiln_die "cbmc is fetched for amd64, and this machine is $(dpkg --print-architecture)"
[[ -r $KEYRING ]] || kiln_die "$KEYRING is not there, and nothing unsigned is taken: apt-get install debian-archive-keyring"

# What apt itself reads, of either form of source list: the main part of a release, as opposed to
# its updates and security updates, which lie elsewhere.
mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
    awk '$3 == "main" && $2 ~ /^[a-z]+$/ { print $1; exit }')
[[ -n $mirror ]] || kiln_die "apt has no mirror of Debian (component main) in /etc/apt/sources.list or" \
    "/etc/apt/sources.list.d; add one"

# Below /var/tmp, because apt fetches as the user _apt, who cannot enter every checkout.
scratch=$(mktemp -d /var/tmp/kiln-cbmc.XXXXXX)
trap 'rm -rf "$scratch" "$folder.new.$$"' EXIT
chmod 755 "$scratch"
mkdir -p "$scratch"/{lists/partial,cache/archives/partial,debs}
: >"$scratch/status"
echo "deb [signed-by=$KEYRING arch=amd64] $mirror $RELEASE main" >"$scratch/sources.list"
[[ $(id -u) != 0 ]] || ! id _apt >/dev/null 2>&1 || chown -R _apt "$scratch"/{lists,cache,debs}

options=(-q -o "Dir::Etc::SourceList=$scratch/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State=$scratch" -o "Dir::State::Lists=$scratch/lists" -o "Dir::State::status=$scratch/status"
    -o "Dir::Cache=$scratch/cache" -o APT::Architecture=amd64 -o APT::Architectures=amd64
    -o Acquire::Languages=none -o Acquire::Retries=3 -o Acquire::http::Timeout=60
    -o APT::Update::Error-Mode=any)
apt-get "${options[@]}" update ||
    kiln_die "apt cannot read Debian $RELEASE at $mirror; what it said is above. Is there a network," \
        "and does this mirror have that release?"
(cd "$scratch/debs" && apt-get "${options[@]}" download "${PACKAGES[@]}") ||
    kiln_die "apt cannot fetch ${PACKAGES[*]} from $mirror; what it said is above"

new=$folder.new.$$
rm -rf "$new"
mkdir -p "$new/run"
for package in "$scratch"/debs/*.deb; do dpkg-deb -x "$package" "$new"; done
for tool in cbmc goto-cc goto-instrument; do
    cat >"$new/run/$tool" <<'RUN'
#!/bin/bash
root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
exec "$root/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" \
    --library-path "$root/usr/lib/x86_64-linux-gnu:$root/usr/lib" "$root/usr/bin/${0##*/}" "$@"
RUN
    chmod 755 "$new/run/$tool"
done
"$new/run/cbmc" --version >/dev/null || kiln_die "cbmc was unpacked into $new and does not start"
mv -T "$new" "$folder"
