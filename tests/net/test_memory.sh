#!/bin/bash
# What the daemons have of keys in their memory. With dmz-keys = verify-only nothing that could
# decrypt a call ever gets into the dmz-relay, which drops forged packets all the same; with full
# the keys are there, and gone with their SA. The inner-relay forgets all keys of SAs that ended.
# shellcheck disable=SC2046,SC2054,SC2086
. "$(dirname "$0")/lib.sh"

CM_SUITES="AES_CM_128_HMAC_SHA1_80 AES_CM_128_HMAC_SHA1_32 AES_256_CM_HMAC_SHA1_80"
PER_SUITE=6
SILENT=30
FORGED=25
LOG_LEVEL=info

# ---------------------------------------------------------------- calls

declare -A ID=() KEY=() SUITE=() SIDE=() SSRC=() PORT=()
CALLS=() # all that ever were
next=1000

# call NAME SIDE SUITE: an SA with a random key.
call() {
    local name=$1 side=$2 suite=$3 from=$CLIENT to=$PHONE reply
    next=$((next + 4))
    [ "$side" = external ] || from=$PHONE to=$CLIENT
    KEY[$name]=$(new_key "$suite") SUITE[$name]=$suite SIDE[$name]=$side
    SSRC[$name]=$((next + 100000)) PORT[$name]=$((next + 9000))
    CALLS+=("$name")
    reply=$(sa_add inner --side "$side" --source "$from:${PORT[$name]}" --suite "$suite" \
        --key "${KEY[$name]}" --ssrc "${SSRC[$name]}" --to "$to:$((next + 20000))") ||
        bail "sa add: $reply"
    ID[$name]=$(jq -r .id <<<"$reply")
}
# media NAME ARGUMENT...: arguments of rtpsend for this call.
media() {
    local name=$1 space=inet from=$CLIENT to=$DMZ_RTP:$DMZ_PORT
    shift
    [ "${SIDE[$name]}" = external ] || space=lan from=$PHONE to=$INNER_RTP:$INNER_PORT
    send "$name" $space --from "$from:${PORT[$name]}" --to "$to" --suite "${SUITE[$name]}" \
        --key "${KEY[$name]}" --ssrc "${SSRC[$name]}" "$@"
}
delete() {
    local name
    for name; do
        ctl inner sa delete "${ID[$name]}" >"$W/check.out" 2>&1 || bail "sa delete: $(cat "$W/check.out")"
        unset "ID[$name]"
    done
}
# those WORD: the calls that live and whose name begins so.
those() {
    local name
    for name in "${CALLS[@]}"; do
        [ -z "${ID[$name]-}" ] || case $name in "$1"*) echo "$name" ;; esac
    done
}

# ---------------------------------------------------------------- needles

# needles WHAT NAME...: what follows from the keys of these calls, for the next search. WHAT is
# everything, authentication, decryption (all but authentication) or masters.
needles() {
    local what=$1 filter name
    case $what in
    everything) filter=(-e .) ;;
    authentication) filter=(-E -e '^[^ ]*\.rtc?p-auth\.') ;;
    decryption) filter=(-vE -e '^[^ ]*\.rtc?p-auth\.') ;;
    masters) filter=(-E -e '^[^ ]*\.master-(key|salt)\.') ;;
    esac
    shift
    for name; do echo "$name ${SUITE[$name]} ${KEY[$name]}"; done |
        "$NET_TOOLS/keyneedles" | grep "${filter[@]}" >"$W/needles" || bail "no needles for $what of $*"
}

# search DAEMON: looks for the needles, FOUND of TOTAL are there. The process stands still
# meanwhile: nothing can move from where it was not yet looked for to where it was.
search() {
    local pid=${PID[$1]} status=0
    kill -STOP "$pid"
    "$NET_TOOLS/memsearch" "$pid" <"$W/needles" >"$W/found" 2>&1 || status=$?
    kill -CONT "$pid"
    [ $status -lt 2 ] || bail "memsearch: $(cat "$W/found")"
    read -r FOUND _ TOTAL _ < <(tail -n 1 "$W/found")
}
# none TEXT DAEMON: not one of the needles is there.
none() {
    search "$2"
    is "$1: $FOUND of $TOTAL" "$FOUND" 0 || sed -n '1,10s/^/#   /p' "$W/found"
}
has_none() { search "$1" && [ "$FOUND" = 0 ]; }
has_all() { search "$1" && [ "$FOUND" = "$(wc -l <"$W/needles")" ]; }
# all TEXT DAEMON: each of them.
all() {
    search "$2"
    is "$1: $FOUND of $TOTAL" "$FOUND" "$(wc -l <"$W/needles")"
}

# ---------------------------------------------------------------- the process itself

of_process() { awk -v name="$2:" '$1 == name { print $2 }' "/proc/${PID[$1]}/status"; }
# One that may lock as much as it likes, as the units allow it.
launch_locked() {
    local locker=(setpriv "--reuid=$NET_USER" "--regid=$NET_GROUP" --clear-groups --no-new-privs
        --inh-caps=-all,+ipc_lock --ambient-caps=-all,+ipc_lock --bounding-set=-all,+ipc_lock --)
    start "$1" "${SPACE_OF[$1]}" "${locker[@]}" "${PROGRAM[$1]}" -c "$W/$1.ini" -f
    wait_for 10 answers "$1" || bail "$1 did not start"
}
check_process() {
    local pid=${PID[$1]}
    refuse "$1: another process of its user reads none of its memory" as_user head -c 1 "/proc/$pid/mem"
    like "$1: it writes no core file" "$(grep '^Max core' "/proc/$pid/limits")" ' 0 +0 +bytes'
}

# ---------------------------------------------------------------- verify-only, the default

grep -q __asan <"$NET_SBIN/dmz-relay" && {
    ok "# SKIP AddressSanitizer's memory cannot be searched"
    done_testing
}
pair_up
is "with a limit the daemons start, and say it" \
    "$(status_of dmz .memory_locked) $(status_of inner .memory_locked)" "false false"
is "the keys' own memory is locked all the same" \
    "$(status_of dmz .keys_locked) $(status_of inner .keys_locked)" "true true"
is "in the log, too" "$(cat "$W/dmz.log" "$W/inner.log" | grep -c 'warning.*memory is not locked')" 2
check "as the kernel says" test "$(of_process dmz VmLck)" -gt 200
check_process dmz
check_process inner
is "the inner-relay gives out keys for verification only" "$(status_of inner .dmz_keys)" verify-only

for suite in $CM_SUITES; do
    for i in $(seq $PER_SUITE); do call "media-$suite-$i" external "$suite"; done
    for i in $(seq $SILENT); do call "silent-$suite-$i" external "$suite"; done
    for i in 1 2; do call "forged-$suite-$i" external "$suite"; done
    call "brief-$suite" external "$suite"
    call "inside-$suite" internal "$suite"
done
count=${#CALLS[@]}
check "$count calls are at the dmz-relay" wait_for 5 sas_at dmz "$count"

for name in $(those media) $(those inside); do media "$name" --count 0 --rate 50 --rtcp-every 5; done
mapfile -t brief < <(those brief)
# Calls that come and go: their keys are looked for as well.
for name in "${brief[@]}"; do
    media "$name" --count 50 --rate 200 --rtcp-every 10
    finish_of "$name" 10 || bail "rtpsend: $(cat "$W/$name.log")"
done
before=$(verdict dmz auth-fail)
for name in $(those forged); do
    media "$name" --count $FORGED --rate 200 --rtcp-every 5 --forge
done
for name in $(those forged); do finish_of "$name" 10; done
forged=$(($(those forged | wc -l) * (FORGED + FORGED / 5)))
check "each of $forged forged packets is dropped outside" \
    wait_for 3 equals $((before + forged)) verdict dmz auth-fail
is "none of them came inside" "$(verdict inner auth-fail)" 0
accepted=$(verdict dmz accepted '^listener')
check "while media goes on" wait_for 5 at_least $((accepted + 200)) verdict dmz accepted '^listener'
delete "${brief[@]}"
wait_for 3 sas_at dmz "$((count - 3))" || bail "the brief calls did not end at the dmz-relay"

needles decryption "${CALLS[@]}"
none "dmz-relay: what decrypts, of all calls" dmz
needles everything $(those inside)
none "dmz-relay: anything of senders inside" dmz
needles authentication $(those media) $(those silent) $(those forged)
all "dmz-relay: the authentication keys of living calls (so the search works)" dmz
needles everything "${brief[@]}"
none "dmz-relay: anything of calls that ended" dmz
needles masters $(those media) $(those inside)
all "inner-relay: the master keys of living calls" inner

say "a fresh dmz-relay gets all of them at once"
stop dmz KILL
launch_locked dmz
wait_for 10 sas_at dmz "$((count - 3))" || bail "no resync"
check "media goes on" wait_for 5 at_least 200 verdict dmz accepted '^listener'
needles decryption "${CALLS[@]}"
none "dmz-relay after a resync: what decrypts" dmz
needles authentication $(those media)
all "dmz-relay after a resync: the authentication keys" dmz

say "a new key in the middle of a call"
name=media-AES_CM_128_HMAC_SHA1_80-1
stop $name TERM
SUITE[before]=${SUITE[$name]} KEY[before]=${KEY[$name]} # what the old key was; no call of its own
CALLS+=(before)
KEY[$name]=$(new_key "${SUITE[$name]}")
check "the call has a new key" ctl inner sa rekey "${ID[$name]}" --suite "${SUITE[$name]}" \
    --key "${KEY[$name]}"
media $name --count 0 --rate 50 --rtcp-every 5 --seq 40000
needles masters before
all "inner-relay: the old master key, for packets that are on their way" inner
needles authentication $name
wait_for 3 has_all dmz || not_ok "the new authentication keys did not come"
needles authentication before
all "dmz-relay: the old authentication keys" dmz
# 5 s, and a little for who takes them away.
needles everything before
check "inner-relay: nothing of the old key after a while" wait_for 8 has_none inner
check "dmz-relay: nothing of the old key after a while" wait_for 3 has_none dmz
needles decryption $name
none "dmz-relay: what decrypts, of the new key" dmz

for name in $(those media) $(those inside); do stop "$name" TERM; done
delete $(those '')
check "all calls have ended" wait_for 5 sas_at dmz 0
needles everything "${CALLS[@]}"
none "dmz-relay after all calls: anything" dmz
none "inner-relay after all calls: anything" inner

# ---------------------------------------------------------------- full

is "without a limit all memory of the dmz-relay is locked" "$(status_of dmz .memory_locked)" true
say "locked: $(of_process dmz VmLck) KiB, resident: $(of_process dmz VmRSS) KiB"
check "that is all that it has" test "$(of_process dmz VmLck)" -gt "$(of_process dmz RssAnon)"
check "and it takes no more of it than it uses" test "$(of_process dmz VmRSS)" -lt 40000

say "dmz-keys = full"
stop inner || bail "the inner-relay did not stop"
INNER_EXTRA=$'[srtp]\ndmz-keys = full'
inner_config
launch_locked inner
wait_for 10 tunnel_up inner || bail "the tunnel did not come up"
is "without a limit all memory of the inner-relay is locked" "$(status_of inner .memory_locked)" true
for suite in $SUITES; do
    call "full-$suite" external "$suite"
    call "hidden-$suite" internal "$suite"
done
wait_for 3 sas_at dmz 10 || bail "the SAs did not reach the dmz-relay"
for name in $(those full) $(those hidden); do
    media "$name" --count 50 --rate 100 --rtcp-every 5
done
for name in $(those full) $(those hidden); do finish_of "$name" 10 || bail "rtpsend: $(cat "$W/$name.log")"; done
full=$(those full)
needles masters $full
all "dmz-relay: the master keys of living calls" dmz
needles everything $(those hidden)
none "dmz-relay: anything of senders inside" dmz
delete $(those '')
check "all calls have ended" wait_for 5 sas_at dmz 0
needles everything "${CALLS[@]}"
none "dmz-relay after all calls: anything" dmz
none "inner-relay after all calls: anything" inner

# What media does not overwrite.
for suite in $SUITES; do
    call "last-$suite" external "$suite"
    wait_for 3 sas_at dmz 1 || bail "the SA did not reach the dmz-relay"
    delete "last-$suite"
    wait_for 3 sas_at dmz 0 || bail "the SA did not end at the dmz-relay"
    needles everything "last-$suite"
    none "dmz-relay, at once: anything of $suite" dmz
    none "inner-relay, at once: anything of $suite" inner
done

done_testing
