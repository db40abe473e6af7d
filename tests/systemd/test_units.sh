#!/bin/sh
# The units as they would be installed: nothing left to fill in, and systemd takes each line of them.
set -u
source=$(cd "${srcdir:-.}" && pwd)
failures=0
top=$(mktemp -d "${TMPDIR:-/tmp}/test_units.XXXXXX") || exit 1
trap 'rm -rf "$top"' EXIT

fail() {
    failures=$((failures + 1))
    printf 'FAILED: %s\n' "$*"
}

# The program may not be installed yet: another one stands in for it.
stand_in() {
    sed 's|^ExecStart=/[^ ]*|ExecStart=/bin/true|' "systemd/$1" >"$top/$1"
}

# shellcheck disable=SC2016
check_text() {
    ! grep -n '@[a-zA-Z]*@\|\${' "systemd/$1" || fail "$1 has something left to fill in"
    grep -q "^ExecStart=/.*sbin/$2 -f -c /.*/media-relay/$2.ini\$" "systemd/$1" ||
        fail "$1 does not start $2: $(grep ExecStart "systemd/$1")"
    for line in Type=notify User=media-relay 'ExecReload=/bin/kill -HUP $MAINPID' NoNewPrivileges=yes \
        ProtectSystem=strict CapabilityBoundingSet= LimitCORE=0 LimitMEMLOCK=infinity \
        RuntimeDirectoryPreserve=yes; do
        grep -qxF "$line" "systemd/$1" || fail "$1 lacks $line"
    done
    # Only who wants a raw socket has the privilege, by the drop-in of the examples.
    ! grep -v '^#' "systemd/$1" | grep -E 'CAP_|^(Ambient|CapabilityBounding).*=.' || fail "$1 has a privilege"
    grep -qxF AmbientCapabilities= "systemd/$1" || fail "$1 lacks AmbientCapabilities="
}

check_unit() {
    systemd-analyze verify --man=no "$top/$1" >"$top/log" 2>&1 || echo "verify failed" >>"$top/log"
    [ ! -s "$top/log" ] || fail "$1: $(cat "$top/log")"
    # 0 is closed, 10 is open. 20 stands for 2.0.
    systemd-analyze security --offline=true --threshold=20 "$top/$1" >"$top/log" 2>&1 ||
        fail "$1 is too open: $(tail -n 1 "$top/log")"
}

# The drop-in of the examples has one capability, and the call that gives it up, and nothing else.
check_drop_in_text() {
    grep -v '^#' "$source/examples/raw-socket.conf" >"$top/text"
    printf '%s\n' '[Service]' CapabilityBoundingSet=CAP_NET_RAW AmbientCapabilities=CAP_NET_RAW SystemCallFilter=capset |
        cmp -s - "$top/text" || fail "raw-socket.conf has something else: $(cat "$top/text")"
    for name in dmz inner; do
        grep -q "/etc/systemd/system/media-relay-$name.service.d/raw-socket.conf" "$source/man/$name-relay.ini.5" ||
            fail "$name-relay.ini(5) does not say where raw-socket.conf belongs"
    done
}
# may_raw UNIT: systemd says that it has the capability, within what it may have and from the start.
may_raw() {
    systemd-analyze security --offline=true "$top/$1" >"$top/log" 2>&1
    grep -q 'AmbientCapabilities= .* receives ambient' "$top/log" &&
        grep -q 'CapabilityBoundingSet=[^ ]*CAP_NET_[^ ]*RAW.* has elevated' "$top/log"
}
check_drop_in() {
    ! may_raw "$1" || fail "$1 has CAP_NET_RAW"
    mkdir -p "$top/$1.d"
    cp "$source/examples/raw-socket.conf" "$top/$1.d"
    may_raw "$1" || fail "$1 with raw-socket.conf has no CAP_NET_RAW: $(grep -E 'NET_|Ambient' "$top/log")"
    check_unit "$1"
}

check_drop_in_text
check_text media-relay-dmz.service dmz-relay
check_text media-relay-inner.service inner-relay
stand_in media-relay-dmz.service
stand_in media-relay-inner.service
if systemd-analyze --version >/dev/null 2>&1; then
    check_unit media-relay-dmz.service
    check_unit media-relay-inner.service
    check_drop_in media-relay-dmz.service
    check_drop_in media-relay-inner.service
else
    echo "systemd-analyze is not installed: only the text of the units was checked"
fi
if command -v systemd-sysusers >/dev/null; then
    # An empty root: the user must come to be in it.
    mkdir -p "$top/root/etc"
    systemd-sysusers --root="$top/root" "$PWD/systemd/sysusers.d/media-relay.conf" >"$top/log" 2>&1
    grep -q '^media-relay:' "$top/root/etc/passwd" || fail "sysusers: $(cat "$top/log")"
fi
[ $failures -eq 0 ]
