# Certificates, daemons and what relayctl says of them; sourced by lib.sh.
#
# shellcheck shell=bash disable=SC2034

# ---------------------------------------------------------------- certificates

CERTS=$W/certs
certs() { "$NET_CERTS" --dir "$CERTS" "$@" >>"$W/certs.log" 2>&1; }

# certificates NAME=ROLE...: a CA in $CERTS and a certificate per relay, owned by the user. All tests of a run have
# copies of the same ones.
certificates() {
    made_once "certs-$(tr ' =' '-+' <<<"$*")" make_certificates "$@"
    cp -r "$MADE" "$CERTS" && chown -R "$NET_USER:$NET_GROUP" "$CERTS" || bail "no certificates"
}
make_certificates() {
    local folder=$1 pair
    shift
    "$NET_CERTS" --dir "$folder" init || return 1
    for pair; do "$NET_CERTS" --dir "$folder" issue "${pair%%=*}" --role "${pair#*=}" || return 1; done
}
# made_once NAME COMMAND...: MADE is a file or folder that all tests of a run share; the first one to need it has the
# command make it, whose first argument is its path.
made_once() {
    local name=$1 command=$2
    shift 2
    MADE=${W%/*}/shared/$name
    [ ! -e "$MADE" ] || return 0
    mkdir -p "${MADE%/*}"
    (
        flock 9
        [ -e "$MADE" ] || { "$command" "$MADE.new" "$@" >"$W/made.log" 2>&1 && mv "$MADE.new" "$MADE"; }
    ) 9>"$MADE.lock" || bail "$command: $(tail -n 3 "$W/made.log")"
}

# ---------------------------------------------------------------- daemons

# Settings that a test may change before it calls the config functions.
LOG_LEVEL=debug
DMZ_EXTRA=
INNER_EXTRA=

# Every daemon is known by a short name: dmz, inner, inner2. Its files: NAME.ini, NAME.sock, NAME.log.
RUN=$W/run
mkdir -p "$RUN" && chown "$NET_USER:$NET_GROUP" "$RUN"
declare -A PROGRAM=() SPACE_OF=()

dmz_config() {
    PROGRAM[dmz]=$NET_SBIN/dmz-relay
    SPACE_OF[dmz]=dmz
    cat >"$W/dmz.ini" <<END
[listener main]
address = $DMZ_RTP
rtp-port = $DMZ_PORT
[listener six]
address = $DMZ_RTP6
rtp-port = $DMZ_PORT
[tunnel]
listen = $DMZ_TUNNEL:$DMZ_TCP
sites = ${SITES:-$SITE_A}
certificate = $CERTS/$DMZ_NAME.crt
key = $CERTS/$DMZ_NAME.key
ca = $CERTS/ca.crt
${DMZ_TUNNEL_EXTRA-}
[networks]
external = 198.51.100.0/24, 2001:db8:100::/64
[control]
socket = $RUN/dmz.sock
[log]
target = stderr
level = $LOG_LEVEL
$DMZ_EXTRA
END
}

# inner_config [NAME SPACE SITE LAN-ADDRESS LAN-ADDRESS6]
inner_config() {
    local name=${1:-inner} space=${2:-inside} site=${3:-$SITE_A} lan=${4:-$INNER_RTP}
    local lan6=${5-$INNER_RTP6}
    PROGRAM[$name]=$NET_SBIN/inner-relay
    SPACE_OF[$name]=$space
    {
        cat <<END
[dmz main]
address = $DMZ_TUNNEL:$DMZ_TCP
name = $DMZ_NAME
[listener main]
address = $lan
rtp-port = $INNER_PORT
END
        [ -z "$lan6" ] || cat <<END
[listener six]
address = $lan6
rtp-port = $INNER_PORT
END
        cat <<END
[tunnel]
certificate = $CERTS/$site.crt
key = $CERTS/$site.key
ca = $CERTS/ca.crt
${INNER_TUNNEL_EXTRA-}
[networks]
internal = 10.9.0.0/16, 2001:db8:9::/48
external = 198.51.100.0/24, 2001:db8:100::/64
[state]
file = $RUN/$name.state
interval = 1s
[control]
socket = $RUN/$name.sock
[log]
target = stderr
level = $LOG_LEVEL
$INNER_EXTRA
END
    } >"$W/$name.ini"
}

# ctl NAME ARGUMENT...: relayctl against a daemon.
ctl() {
    local name=$1
    shift
    "$NET_CTL" -s "$RUN/$name.sock" "$@"
}
ctl_json() {
    local name=$1
    shift
    "$NET_CTL" -s "$RUN/$name.sock" --json "$@"
}

answers() { [ -S "$RUN/$1.sock" ] && ctl "$1" --json status >/dev/null 2>&1 || [ $? = 4 ]; }

# set_workers FILE PROGRAM: NET_WORKERS=2 gives every daemon of a test two media threads; with 2/1 the
# dmz-relays have two, the inner-relays one.
set_workers() {
    local count=${NET_WORKERS-1}
    case $2 in
    *dmz-relay) count=${count%/*} ;;
    *) count=${count#*/} ;;
    esac
    [ "$count" != 1 ] || return 0
    sed -i '/^workers = /d' "$1"
    grep -qx '\[daemon\]' "$1" || echo '[daemon]' >>"$1"
    sed -i "/^\[daemon\]$/a workers = $count" "$1"
}

# set_carrier FILE PROGRAM: NET_CARRIER=unordered is the carrier of every inner-relay of a test; NET_RAW=yes has
# all daemons read it early (with RAW_CAPS); raw means that, too. NET_MAX_AGE=1s: packets wait so long, where a test
# counts all of them and is not about time: the machine may stop any process for longer than the default.
set_carrier() {
    [ -z "${NET_MAX_AGE-}" ] || sed -i "/^\[tunnel\]\$/a max-age = $NET_MAX_AGE" "$1"
    [ -z "${NET_RAW-}" ] || sed -i "/^raw-socket = /d; /^\[tunnel\]\$/a raw-socket = $NET_RAW" "$1"
    case $2 in
    *inner-relay)
        [ -z "${NET_CARRIER-}" ] || sed -i "/^carrier = /d; /^\[dmz /a carrier = $NET_CARRIER" "$1"
        ;;
    esac
}

# set_patience FILE: media waits for the tunnel for a second, and not for 60 ms: on a machine that is busy with
# other things a daemon may sleep for longer, and that is nothing a test should judge. Those that do set NET_MAX_AGE.
set_patience() { sed -i "/^\[tunnel\]/,/^\[/{/^max-age = /d}; /^\[tunnel\]\$/a max-age = ${NET_MAX_AGE-1s}" "$1"; }

# connections_of LIVES: TCP connections of so many tunnels one after another: with more threads than one
# (NET_WORKERS), or another carrier (NET_CARRIER; auto has it with NET_RAW), there is one for each of them, too; two
# with both and auto.
connections_of() {
    local a=${NET_WORKERS-1} b
    b=${a#*/} a=${a%/*}
    [ "$a" -ge "$b" ] || a=$b
    case ${NET_CARRIER-stream}${NET_RAW-} in
    stream* | auto) [ "$a" != 1 ] || a=0 ;;
    auto*) [ "$a" = 1 ] || a=$((2 * a)) ;;
    esac
    echo $(($1 * (1 + a)))
}

# launch NAME: starts it and waits until it answers at its control socket.
launch() {
    local name=$1
    set_workers "$W/$name.ini" "${PROGRAM[$name]}"
    set_carrier "$W/$name.ini" "${PROGRAM[$name]}"
    set_patience "$W/$name.ini"
    start_user "$name" "${SPACE_OF[$name]}" "${PROGRAM[$name]}" -c "$W/$name.ini" -f
    wait_for 10 up_or_gone "$name"
    answers "$name" || bail "$name did not start"
}
up_or_gone() { answers "$1" || gone "${PID[$1]}"; }

# tunnel_up NAME: every tunnel of it is up and its SAs are in step.
tunnel_up() {
    ctl_json "$1" status | jq -e '.tunnels | length > 0 and all(.state == "up")' >/dev/null
}
tunnel_not_up() { ! tunnel_up "$1"; }
synced() {
    ctl_json inner status |
        jq -e '.tunnels | length > 0 and all(.state == "up" and .sync == "synced")' >/dev/null
}

# The pair as most tests want it.
pair_up() {
    topology
    certificates "$DMZ_NAME=dmz" "$SITE_A=inner"
    dmz_config
    inner_config
    launch dmz
    launch inner
    wait_for 10 tunnel_up inner || bail "the tunnel did not come up"
    wait_for 10 tunnel_up dmz || bail "the tunnel did not come up at the dmz-relay"
}

# status_of NAME JQ-FILTER, stats_of NAME JQ-FILTER
status_of() { ctl_json "$1" status | jq -r "$2"; }
stats_of() { ctl_json "$1" stats | jq -r "$2"; }

# verdict NAME WORD [PLACE-REGEX]: the sum of a counter over the places of a daemon.
verdict() {
    ctl_json "$1" stats | jq --arg w "$2" --arg p "${3:-.}" \
        '[.places[] | select(.place | test($p)) | .verdicts[$w] // 0] | add // 0'
}
# verdicts NAME [PLACE-REGEX]: all that are not zero, as "word=number word=number".
verdicts() {
    ctl_json "$1" stats | jq -r --arg p "${2:-.}" \
        '[.places[] | select(.place | test($p)) | .verdicts | to_entries[] | select(.value > 0)]
         | group_by(.key) | map("\(.[0].key)=\(map(.value) | add)") | join(" ")'
}
# at_least NUMBER COMMAND...: the number that the command prints has come up to it.
at_least() {
    local want=$1 got
    shift
    got=$("$@") && [ "$got" -ge "$want" ]
}
equals() {
    local want=$1
    shift
    [ "$("$@")" = "$want" ]
}

# ---------------------------------------------------------------- what moved

# counters: all verdicts of all daemons that run, a line each: "dmz/rtp/accepted 20". The place is rtp
# or rtcp for "listener main", NAME-rtp for "listener NAME", and tunnel for any tunnel.
counters() {
    local name
    for name in "${!PROGRAM[@]}"; do
        [ -n "${PID[$name]-}" ] || continue
        echo "\"$name\"" && ctl_json "$name" stats
    done | jq -n -r '
        [foreach inputs as $i (null; if $i | type == "string" then $i else . end;
            . as $d | if $i | type == "object" then
                $i.places[] | (.place | sub("^listener main "; "") | sub("^listener "; "")
                    | sub("^tunnel.*"; "tunnel") | gsub(" "; "-")) as $p
                | .verdicts | to_entries[] | {key: "\($d)/\($p)/\(.key)", value}
            else empty end)]
        | group_by(.key)[] | "\(.[0].key) \(map(.value) | add)"' | sort
}
# moved: what differs from the counters in moved.before, as "dmz/rtp/accepted=20 ...", in order.
moved() {
    counters >"$W/moved.now"
    join -a 2 -e 0 -o 0,1.2,2.2 "$W/moved.before" "$W/moved.now" |
        awk '$2 != $3 { printf "%s%s=%d", n++ ? " " : "", $1, $3 - $2 }'
}
has_moved() { MOVED=$(moved) && [ "$MOVED" = "$1" ]; }
# moves TEXT WANTED -- COMMAND...: while the command runs the counters of all daemons move by what is
# wanted, in any order, and no other counter moves. So "dmz/rtp/no-sa=20" says that the dmz-relay
# dropped 20 packets, all for that reason, and that nothing entered the tunnel.
moves() {
    local text=$1 wanted
    wanted=$(tr ' ' '\n' <<<"$2" | sort | paste -sd ' ')
    shift 3
    counters >"$W/moved.before"
    "$@" || bail "$text: $*"
    wait_for 5 has_moved "$wanted"
    is "$text: ${wanted:-nothing}" "$MOVED" "$wanted"
}
