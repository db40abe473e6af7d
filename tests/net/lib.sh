# Library of the network tests: assertions and processes here; lib/topology.sh has namespaces and
# firewalls, lib/link.sh slow cables and strict firewalls, lib/daemons.sh the daemons, lib/media.sh
# senders and receivers.
#
#   198.51.100.0/24 |    fwx     | 203.0.113.0/24     192.0.2.0/24 |    fwi    | 10.9.0.0/24       10.9.1.0/24
#   inet .10 .66 ---| 2 UDP only |--------- dmz .10 .10 -----------| 1 TCP only |------ inside .10 .1 -------- lan .20
#
# The dmz-relay runs in "dmz", the inner-relay in "inside", senders and receivers in
# "inet" and "lan". IPv6 is beside it: 2001:db8:100:: (inet), 2001:db8:2:: (dmz),
# 2001:db8:9:1:: (lan). The names of the namespaces carry the test's process id.
#
# Environment, set by tests/net/run: NET_SBIN, NET_CTL, NET_CERTS, NET_PRIME (what make install put
# into place), NET_TOOLS (tests/tools of the build), NET_WORK (a folder of this test),
# NET_USER (the unprivileged user that runs the daemons).
#
# shellcheck shell=bash disable=SC2034

set -u -o pipefail
export LC_ALL=C
umask 022
: "${NET_SBIN:?run this by tests/net/run}" "${NET_CTL:?}" "${NET_CERTS:?}" "${NET_PRIME:?}" "${NET_TOOLS:?}" "${NET_WORK:?}"
NET_USER=${NET_USER:-nobody}
NET_GROUP=$(id -gn "$NET_USER")

W=$NET_WORK
PFX=mr$$
SPACES=() # namespaces that exist
PIDS=()   # processes that we started and did not see end
TESTS=0
FAILED=0
DMZ_TCP=4600

CLIENT=198.51.100.10
STRANGER=198.51.100.66
CLIENT6=2001:db8:100::10
STRANGER6=2001:db8:100::66
PHONE=10.9.1.20
PHONE6=2001:db8:9:1::20
DMZ_RTP=203.0.113.10
DMZ_RTP6=2001:db8:2::10
DMZ_TUNNEL=192.0.2.10
INNER_RTP=10.9.1.1
INNER_RTP6=2001:db8:9:1::1
DMZ_PORT=40000
INNER_PORT=41000

DMZ_NAME=dmz.example
SITE_A="site-a.example"
SITE_B="site-b.example"

# ---------------------------------------------------------------- results

say() { echo "# $*"; }

# ok TEXT / not_ok TEXT: one result.
ok() {
    TESTS=$((TESTS + 1))
    echo "ok $TESTS - $*"
}
not_ok() {
    TESTS=$((TESTS + 1))
    FAILED=$((FAILED + 1))
    echo "not ok $TESTS - $*"
}

# check TEXT COMMAND...: the command has to succeed; what it says is shown when it does not.
# It runs in this shell, not in a substitution: "wait" knows the shell's own children only.
check() {
    local text=$1
    shift
    if "$@" >"$W/check.out" 2>&1; then
        ok "$text"
    else
        not_ok "$text"
        say "failed: $*"
        sed -n '1,20s/^/#   /p' "$W/check.out"
        return 1
    fi
}

# refuse TEXT COMMAND...: the command has to fail.
refuse() {
    local text=$1
    shift
    if "$@" >"$W/check.out" 2>&1; then
        not_ok "$text"
        say "succeeded, but must not: $*"
        sed -n '1,20s/^/#   /p' "$W/check.out"
        return 1
    fi
    ok "$text"
}

# is TEXT GOT WANTED
is() {
    if [ "$2" = "$3" ]; then
        ok "$1"
    else
        not_ok "$1"
        say "got '$2', wanted '$3'"
        return 1
    fi
}

# like TEXT GOT REGEX
like() {
    if grep -qE -- "$3" <<<"$2"; then
        ok "$1"
    else
        not_ok "$1"
        say "got '$2', which does not match '$3'"
        return 1
    fi
}

# bail TEXT: nothing further makes sense.
bail() {
    not_ok "$*"
    show_logs
    exit 1
}

# wait_for SECONDS COMMAND...: polls until the command succeeds. The seconds are what it takes at most on a
# machine that has time; on one that is busy with other things nothing has failed before four times as many.
# within SECONDS COMMAND...: the same where the time itself is what is promised.
wait_for() { within $((4 * $1)) "${@:2}"; }
within() {
    local end=$((${EPOCHREALTIME/./} + $1 * 1000000)) pause=0.005
    shift
    until "$@" >/dev/null 2>&1; do
        [ "${EPOCHREALTIME/./}" -lt "$end" ] || return 1
        read -rt $pause -u "$NEVER" _ || :
        # Most of what is waited for is there in a moment.
        case $pause in
        0.005) pause=0.01 ;;
        0.01) pause=0.02 ;;
        *) pause=0.05 ;;
        esac
    done
}

now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }

show_logs() {
    local log
    for log in "$W"/*.log; do
        [ -s "$log" ] || continue
        say "last lines of ${log##*/}:"
        tail -n 15 "$log" | sed 's/^/#   /'
    done
}

# ---------------------------------------------------------------- processes

# A pipe that never has anything to read: "read -t" on it is a pause without a process.
mkfifo "$W/never" && exec {NEVER}<>"$W/never" && rm -f "$W/never"

# in_ns SPACE COMMAND...: as root, in a namespace.
in_ns() {
    local space=$1
    shift
    nsenter "--net=/run/netns/$PFX-$space" -- "$@"
}

# as_user COMMAND...: as the unprivileged user, with nothing left of root.
as_user() {
    setpriv "--reuid=$NET_USER" "--regid=$NET_GROUP" --clear-groups --no-new-privs \
        --inh-caps=-all --bounding-set=-all -- "$@"
}

# start NAME SPACE COMMAND...: in the background; its process id is in PID[NAME],
# its output in NAME.out and NAME.log (standard error). Standard input is the file INPUT, or nothing.
INPUT=/dev/null
declare -A PID=()
start() {
    local name=$1 space=$2
    shift 2
    nsenter "--net=/run/netns/$PFX-$space" -- "$@" >"$W/$name.out" 2>>"$W/$name.log" <"$INPUT" &
    PID[$name]=$!
    PIDS+=($!)
}
# The same as the unprivileged user.
start_user() {
    local name=$1 space=$2
    shift 2
    start "$name" "$space" setpriv "--reuid=$NET_USER" "--regid=$NET_GROUP" --clear-groups \
        --no-new-privs "${NET_CAPS[@]}" -- "$@"
}
# What is left of root to those, and to the daemons: nothing; or CAP_NET_RAW, as the unit file says it.
NO_CAPS=(--inh-caps=-all --bounding-set=-all)
RAW_CAPS=(--inh-caps=-all,+net_raw --ambient-caps=-all,+net_raw --bounding-set=-all,+net_raw)
NET_CAPS=("${NO_CAPS[@]}")
if [ "${NET_CARRIER-}" = raw ] || [ "${NET_CARRIER-}${NET_RAW-}" = autoyes ]; then
    NET_RAW=${NET_RAW-yes}
    NET_CAPS=("${RAW_CAPS[@]}")
fi

# A zombie is gone, too: bash may take note of a child's end much later.
gone() {
    local stat
    ! kill -0 "$1" 2>/dev/null || { read -r stat <"/proc/$1/stat" && [[ ${stat##*) } == Z* ]]; }
}
# What a process that should have ended waits for.
say_where() {
    say "$1 has not ended: $(cut -d ' ' -f 2,3,14,15 "/proc/$2/stat") in $(cat "/proc/$2/wchan"), system call $(cat "/proc/$2/syscall")"
}

# finish_of NAME SECONDS: waits for its end; its exit status is the result (124: did not end).
finish_of() {
    local pid=${PID[$1]} status=0 left=() p
    if ! wait_for "$2" gone "$pid"; then
        say_where "$1" "$pid"
        return 124
    fi
    wait "$pid" 2>/dev/null || status=$?
    for p in "${PIDS[@]}"; do
        [ "$p" = "$pid" ] || left+=("$p")
    done
    PIDS=(${left[@]+"${left[@]}"})
    unset "PID[$1]"
    return $status
}

# stop NAME [SIGNAL]: ends it and gives its exit status.
stop() {
    [ -n "${PID[$1]-}" ] || return 0
    kill -s "${2:-TERM}" "${PID[$1]}" 2>/dev/null
    finish_of "$1" 10
}

cleanup() {
    local p space
    trap - EXIT INT TERM
    for p in ${PIDS[@]+"${PIDS[@]}"}; do
        kill -KILL "$p" 2>/dev/null
    done
    for p in ${PIDS[@]+"${PIDS[@]}"}; do
        wait "$p" 2>/dev/null
    done
    for space in ${SPACES[@]+"${SPACES[@]}"}; do
        # What a program of ours has started outlives it.
        for p in $(ip netns pids "$PFX-$space" 2>/dev/null); do
            kill -KILL "$p" 2>/dev/null
        done
        ip netns del "$PFX-$space" 2>/dev/null
    done
}
trap 'exit 130' INT TERM
trap 'status=$?; cleanup; exit $status' EXIT

lib=$(cd "$(dirname "${BASH_SOURCE[0]}")/lib" && pwd)
# shellcheck source=/dev/null
for part in topology link daemons media figures attack; do . "$lib/$part.sh"; done

# ---------------------------------------------------------------- the end of every test

# Every packet is under exactly one verdict or still queued.
adds_up() {
    ctl_json "$1" stats | jq -e '.places | length > 0 and
        all(.received == ([.verdicts[]] | add) + .queued)' >/dev/null
}

secrets() {
    [ -s "$W/keys" ] || return 0
    perl -MMIME::Base64 -lne 'my $hex = unpack("H*", decode_base64($_)); print for $_, $hex, uc $hex' "$W/keys"
}

no_key_shown() {
    local id name
    secrets >"$W/secrets"
    for name in "${!PROGRAM[@]}"; do
        [ -n "${PID[$name]-}" ] && answers "$name" || continue
        ctl_json "$name" sa list >"$W/shown.$name"
        for id in $(jq -r '.sas[].id' "$W/shown.$name" | head -n 20); do
            ctl "$name" sa show "$id"
            ctl_json "$name" sa show "$id"
        done >>"$W/shown.$name" 2>&1
    done
    [ -s "$W/secrets" ] || return 0
    ! grep -lFf "$W/secrets" "$W"/*.log "$W"/shown.* 2>/dev/null
}

# done_testing: what every test asserts about every daemon, then the plan.
done_testing() {
    local name status
    for name in "${!PROGRAM[@]}"; do
        [ -n "${PID[$name]-}" ] || continue
        if ! check "$name: at every place received = verdicts + queued" adds_up "$name"; then
            ctl "$name" stats | sed 's/^/#   /'
        fi
    done
    [ ! -s "$W/keys" ] || check "no key in any log or reply" no_key_shown
    for name in "${!PROGRAM[@]}"; do
        [ -z "${PID[$name]-}" ] || kill -TERM "${PID[$name]}" 2>/dev/null
    done
    for name in "${!PROGRAM[@]}"; do
        [ -n "${PID[$name]-}" ] || continue
        status=0
        finish_of "$name" 10 || status=$?
        is "$name: stopped cleanly by SIGTERM" "$status" 0
    done
    [ ${#PROGRAM[@]} = 0 ] || refuse "no sanitizer report, no assertion" grep -nE \
        'ERROR: (Address|Leak|Undefined)|runtime error:|Assertion .* failed' "$W"/*.log
    [ "$FAILED" = 0 ] || show_logs
    echo "1..$TESTS"
    [ "$FAILED" = 0 ]
    exit
}
