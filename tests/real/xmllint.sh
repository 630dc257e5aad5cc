#!/bin/bash
# xmllint.sh - xmllint parses a document of 20 MB into a tree, searches it and writes it again.
# Nothing is normalised.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

real_name=xmllint
real_needs='/usr/bin/xmllint=libxml2-utils'
real_process='(.*/)?xmllint'

real_prepare() {
    perl "$real_dir/generate.pl" xml 20000000 >catalogue.xml
}

real_run() {
    local xml=$real_inputs/catalogue.xml
    on_heap xmllint --format "$xml" >formatted || return 1
    sha256sum formatted
    on_heap xmllint --c14n "$xml" >canonical || return 1
    sha256sum canonical
    on_heap xmllint --xpath 'count(//part[size > 2500]/name)' "$xml" || return 1
    on_heap xmllint --xpath '//item[part/size < 3]/title/text()' "$xml" || return 1
    on_heap xmllint --stream --noout "$xml"
}

real_main "$@"
