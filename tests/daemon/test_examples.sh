#!/bin/sh
# The ini files of examples/, and those that docs/replace-rtpengine.md shows: -t takes each of them, and
# the two of a tunnel fit together. Only the folders are other ones here: /etc/media-relay and
# /run/media-relay are not for a test.
set -u
LC_ALL=C
export LC_ALL

source=$(cd "${srcdir:-.}" && pwd)
build=$PWD
command -v openssl >/dev/null || { echo "openssl is not installed" && exit 77; }

top=$(mktemp -d "${TMPDIR:-/tmp}/test_examples.XXXXXX") || exit 1
trap 'rm -rf "$top"' EXIT
trap 'exit 130' INT TERM
. "$source/tests/words.sh"

certs() { "$source/certs/media-relay-certs" -d "$top/certs" "$@" >"$top/out" 2>&1; }

# value FILE KEY: of the first line that has the key.
value() { sed -n "s/^$2 = //p" "$1" | head -n 1; }
# certified FILE: the name in its certificate.
certified() { value "$1" certificate | sed 's,.*/,,; s,\.crt$,,'; }

check_file() {
    file=$1 program=$2 role=$3
    checks=$((checks + 1))
    name=$(certified "$file")
    [ -e "$top/certs/$name.crt" ] || certs issue "$name" --role "$role" ||
        fail "no certificate for $name: $(cat "$top/out")"
    sed "s,/etc/media-relay,$top,; s,/run/media-relay,$top/run," "$file" >"$top/ini"
    "$build/$program/$program" -t -c "$top/ini" >"$top/out" 2>&1 ||
        fail "$program -t refuses ${file#"$source/"}: $(cat "$top/out")"
}

# fits INNER DMZ: the address, the name and the site of the one are those of the other.
fits() {
    [ "$(value "$1" address)" = "$(value "$2" listen)" ] &&
        [ "$(value "$1" name)" = "$(certified "$2")" ] &&
        value "$2" sites | tr -s ', ' '\n' | grep -qx "$(certified "$1")"
}
check_tunnel() {
    checks=$((checks + 1))
    for other in "${1%/*}"/dmz-relay*.ini; do
        ! fits "$1" "$other" || return 0
    done
    fail "no dmz-relay in ${1%/*} that fits ${1#"$source/"} (address, name, sites)"
}

# shown PROGRAM: the ini file of that program in the page, which is indented.
shown() {
    sed -n "/^.\/etc\/media-relay\/$1.ini/,/^[^ ]/ s/^    //p" "$source/docs/replace-rtpengine.md"
}

certs init || fail "no certificates: $(cat "$top/out")"
for file in "$source"/examples/dmz-relay.ini "$source"/examples/*/dmz-relay*.ini; do
    check_file "$file" dmz-relay dmz
done
for file in "$source"/examples/inner-relay.ini "$source"/examples/*/inner-relay*.ini; do
    check_file "$file" inner-relay inner
    check_tunnel "$file"
done

mkdir "$top/page" || exit 1
shown dmz-relay >"$top/page/dmz-relay.ini"
shown inner-relay >"$top/page/inner-relay.ini"
check_file "$top/page/dmz-relay.ini" dmz-relay dmz
check_file "$top/page/inner-relay.ini" inner-relay inner
check_tunnel "$top/page/inner-relay.ini"

# Where calls are commanded by a proxy its BYE may be lost: silence has to end them.
for file in $(grep -l '^ng = ' "$source"/examples/*/inner-relay*.ini) "$top/page/inner-relay.ini"; do
    checks=$((checks + 1))
    [ "$(value "$file" media-timeout)" = 5min ] || fail "no media-timeout of 5min in ${file#"$source/"}"
done

echo "$checks checks, $failures failed"
[ $failures = 0 ]
