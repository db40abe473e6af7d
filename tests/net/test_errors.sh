#!/bin/bash
# Bad input gets a clear error, and nothing is lost: relayctl, ini files, key files, root, reload.
. "$(dirname "$0")/lib.sh"

SUITE=AES_CM_128_HMAC_SHA1_80

topology
certificates "$DMZ_NAME=dmz" "$SITE_A=inner" "$SITE_B=inner"
SITES="$SITE_A, $SITE_B"
cp "$CERTS/ca.crl" "$W/live.crl"
chown "$NET_USER" "$W/live.crl"
DMZ_TUNNEL_EXTRA="crl = $W/live.crl"
dmz_config
inner_config
launch dmz

# ---------------------------------------------------------------- relayctl
code() { local status=0; "$@" >"$W/said" 2>&1 || status=$?; echo $status; }

is "relayctl: 3 where no daemon answers" "$(code ctl inner status)" 3
like "and it names the socket" "$(cat "$W/said")" "$RUN/inner.sock"
launch inner
wait_for 10 tunnel_up inner || bail "the tunnel did not come up"
is "relayctl: 0 with the tunnel up" "$(code ctl inner status)" 0
for wrong in "" "nonsense" "sa" "sa show" "sa show x" "status more" "--nonsense status" "debug loud" \
    "sa add --side external --nonsense 1" "--rate 5 status"; do
    # shellcheck disable=SC2086
    is "relayctl: 2 for '$wrong'" "$(code ctl inner $wrong)" 2
done
is "relayctl: 1 for an SA that is not there" "$(code ctl inner sa show 4711)" 1
is "relayctl: 1 to delete one that is not there" "$(code ctl inner sa delete 4711)" 1
like "and it says so" "$(cat "$W/said")" 'no SA 4711'

key=$(new_key $SUITE)
gcm_key=$(new_key AEAD_AES_128_GCM)
good=(--side external --source $CLIENT:5004 --suite $SUITE --key "$key" --ssrc 1000 --to $PHONE:6000)
id=$(sa_add inner "${good[@]}" --call-id kept | jq .id) || bail "sa add"
wait_for 3 sas_at dmz 1 || bail "the SA did not reach the dmz-relay"
kept=$(ctl_json inner sa show "$id" | jq 'del(.sa.streams)')

# bad FIELD TEXT ARGUMENT...: of a request that is good but for the arguments given; OPTION= leaves
# one out. It must be refused, and the message must name the field.
bad() {
    local field=$1 text=$2 i args=() status said name word
    shift 2
    declare -A over=()
    for ((i = 1; i <= $#; i += 2)); do over[${!i}]=1; done
    for ((i = 0; i < ${#good[@]}; i += 2)); do
        [ -n "${over[${good[i]}]-}" ] || args+=("${good[i]}" "${good[i + 1]}")
    done
    while [ $# -gt 0 ]; do
        [ -z "$2" ] || args+=("$1" "$2")
        shift 2
    done
    status=$(code ctl inner sa add "${args[@]}")
    said=$(cat "$W/said")
    word=${field//_/[-_]}
    if { [ "$status" = 1 ] || [ "$status" = 2 ]; } && grep -qE "(^|[^a-z])$word([^a-z]|$)" <<<"$said"; then
        ok "sa add, $text: $(sed "s|${args[*]: -1}|...|" <<<"$said" | head -n 1 | cut -c 1-110)"
    else
        not_ok "sa add, $text"
        say "status $status, wanted the field $field: $said"
    fi
}
n=--source
fresh=$CLIENT:5020
bad key "a key too short" $n $fresh --key "$(openssl rand -base64 29)"
bad key "a key too long" $n $fresh --key "$(openssl rand -base64 31)"
bad key "the key of another suite" $n $fresh --suite AEAD_AES_256_GCM
bad key "a key that is not base64" $n $fresh --key "####$key"
bad key "a key of zeros" $n $fresh --key "$(head -c 30 /dev/zero | openssl base64)"
bad key "no key" $n $fresh --key ""
bad suite "an unknown suite" $n $fresh --suite AES_CM_128_NULL_AUTH
bad suite "no suite" $n $fresh --suite ""
bad side "an unknown side" $n $fresh --side outer
bad source "port 0 in source" $n $CLIENT:0
bad source "a source that is no address" $n somewhere:5004
bad source "no source" $n ""
bad source "an external source in the internal network" $n $PHONE:5004 --source-policy strict
bad source "no source where it is strict" $n "" --hint $CLIENT --source-policy strict
bad source_policy "an unknown source policy" $n $fresh --source-policy loose
bad hint "a hint that is no address" $n $fresh --hint phone.example
bad hint "a multicast hint" $n $fresh --hint 224.0.0.1
bad source "a multicast source" $n 224.0.0.9:5004
bad source "the same side, source, SSRC and key" --call-id again
bad to "port 0 in to" $n $fresh --to $PHONE:0
bad to "loopback" $n $fresh --to 127.0.0.1:6000
bad to "loopback in an IPv6 form" $n $fresh --to "[::ffff:127.0.0.1]:6000"
bad to "a multicast address" $n $fresh --to 224.0.0.1:6000
bad to "0.0.0.0" $n $fresh --to 0.0.0.0:6000
bad to "a target that is not internal" $n $fresh --to 198.51.100.11:6000
bad to "the relay itself" $n $fresh --to $INNER_RTP:$INNER_PORT
bad to "the relay itself, in an IPv6 form" $n $fresh --to "[::ffff:$INNER_RTP]:6000"
bad to "no to" $n $fresh --to ""
bad to_rtcp "RTCP to a target that may not be sent to" $n $fresh --to-rtcp 127.0.0.1:6001
bad to "a private target outside" --side internal $n $PHONE:5004 --to 192.168.1.1:6000
bad to "an internal target for an internal sender" --side internal $n $PHONE:5004 --to 10.9.1.21:6000
bad ssrc "an SSRC of 33 bits" $n $fresh --ssrc 0x100000000
bad ssrc "an SSRC twice" $n $fresh --ssrc 5,5
bad ssrc "nine SSRCs" $n $fresh --ssrc 1,2,3,4,5,6,7,8,9
bad rate "a rate of 0" $n $fresh --rate 0
bad listener "an unknown listener" $n $fresh --listener nowhere
bad to_listener "an unknown listener behind" $n $fresh --to-listener nowhere
bad dmz "an unknown dmz" $n $fresh --dmz nowhere
bad reverse "a reverse SA that is not there" $n $fresh --reverse 4711
is "the SA that was there is untouched" "$(ctl_json inner sa show "$id" | jq 'del(.sa.streams)')" "$kept"
is "and no other is there" "$(status_of inner .sas) $(status_of dmz .sas)" "1 1"
is "the dmz-relay takes no SA" "$(code ctl dmz sa add "${good[@]}")" 1
like "and says who does" "$(cat "$W/said")" 'inner-relay'
is "nor does it delete one" "$(code ctl dmz sa delete "$id")" 1

# Three ways to bring a key, and the same key in none of the answers.
umask 077
echo "$gcm_key" >"$W/key-file"
umask 022
second=$(sa_add inner --side external --source $fresh --suite AEAD_AES_128_GCM \
    --key-file "$W/key-file" --ssrc 2000 --to $PHONE:6002 | jq .id)
check "a key from a file" test "$second" -gt 0
third=$(sa_add inner --side external --source $CLIENT:5040 --suite $SUITE --key-file - --ssrc 0xdeadbeef \
    --to $PHONE:6004 <<<"$key" | jq .id)
check "a key from standard input" test "$third" -gt 0
is "an SSRC in hexadecimal" "$(ctl_json inner sa show "$third" | jq '.sa.ssrc[0]')" $((0xdeadbeef))
check "they reach the dmz-relay" wait_for 3 sas_at dmz 3
check "sa delete" ctl inner sa delete "$second"
check "it leaves the dmz-relay too" wait_for 3 sas_at dmz 2
for answer in "sa list" "sa show $id" "stats" "status"; do
    # shellcheck disable=SC2086
    ctl inner $answer >>"$W/answers.log" 2>&1
    # shellcheck disable=SC2086
    ctl_json inner $answer >>"$W/answers.log" 2>&1
    # shellcheck disable=SC2086
    ctl dmz ${answer/show $id/list} >>"$W/answers.log" 2>&1
done
is "the control socket is for its owner and group" "$(stat -c %a "$RUN/inner.sock")" 660
is "another user may not use it" "$(code setpriv --reuid=12345 --regid=12345 --clear-groups \
    "$NET_CTL" -s "$RUN/inner.sock" status)" 3

# ---------------------------------------------------------------- ini files
# broken DAEMON TEXT SED-EXPRESSION REGEX...: the file with this change is refused with status 2.
broken() {
    local name=$1 text=$2 change=$3 status want
    shift 3
    sed "$change" "$W/$name.ini" >"$W/broken.ini"
    status=$(code as_user "${PROGRAM[$name]}" -c "$W/broken.ini" -t)
    for want; do
        if [ "$status" != 2 ] || ! grep -qE -- "$want" "$W/said"; then
            not_ok "$name.ini, $text"
            say "status $status, wanted 2 and '$want': $(cat "$W/said")"
            return
        fi
    done
    ok "$name.ini, $text: $(head -n 1 "$W/said" | sed 's/^.*broken.ini/broken.ini/' | cut -c 1-110)"
}
line() { grep -n "$2" "$W/$1.ini" | head -n 1 | cut -d: -f1; }
for name in dmz inner; do
    is "$name: -t accepts a good file" "$(code as_user "${PROGRAM[$name]}" -c "$W/$name.ini" -t)" 0
    is "$name: -T prints values" "$(code as_user "${PROGRAM[$name]}" -c "$W/$name.ini" -T)" 0
    cp "$W/said" "$W/printed.ini"
    is "$name: which are a good file themselves" "$(code as_user "${PROGRAM[$name]}" -c "$W/printed.ini" -t)" 0
    is "$name: and print the same again" \
        "$(as_user "${PROGRAM[$name]}" -c "$W/printed.ini" -T 2>&1 | cmp - "$W/printed.ini" 2>&1)" ""
    broken $name "an unknown key" "s/^target = .*/colour = red/" "broken.ini:$(line $name '^target'):" colour
    broken $name "an unknown section" 's/^\[log\]/[logs]/' "broken.ini:$(line $name '^\[log\]'):" logs
    broken $name "a value out of range" "s/^rtp-port = .*/rtp-port = 70000/" \
        "broken.ini:$(line $name '^rtp-port'):" rtp-port '65534'
    broken $name "a wrong value" "s/^level = .*/level = loud/" "broken.ini:$(line $name '^level'):" level debug
    broken $name "a key twice" "s/^target = .*/level = info/" level twice
    broken $name "a line too long" "s/^target = .*/target = $(printf '%0250d' 0)/" \
        "broken.ini:$(line $name '^target'):" octets
    broken $name "a missing key" '/^certificate = /d' certificate missing
    broken $name "no listener" '/^\[listener/,/^rtp-port/d' listener
    broken $name "a certificate that is not there" "s|^certificate = .*|certificate = $W/none.crt|" none.crt
    broken $name "a key that does not match" "s|^key = .*|key = $CERTS/$SITE_B.key|" 'does not belong'
    broken $name "a CA that is none" "s|^ca = .*|ca = $CERTS/$SITE_B.crt|" "$SITE_B.crt"
done
broken dmz "a certificate for the other role" \
    "s|^certificate = .*|certificate = $CERTS/$SITE_B.crt|; s|^key = .*|key = $CERTS/$SITE_B.key|" serverAuth
broken inner "no internal network" '/^internal = /d' internal missing
broken inner "keyless, and sources are learned" '$a [srtp]\ndmz-keys = keyless' source-policy \
    'source-policy = strict would be right'
broken inner "keyless, and SSRCs are learned" \
    '$a [srtp]\ndmz-keys = keyless\n[learning]\nsource-policy = strict' \
    "broken.ini:.*ssrc-policy" 'ssrc-policy = strict would be right'
broken inner "direct-to, and it is everywhere" '$a [site b.example]\ndirect-to = 0.0.0.0/0' \
    'broken.ini:.*direct-to: .*everywhere' "the other site's NAT would be right"
sed '/^carrier = /d; /^raw-socket/d; s/^\[dmz .*/&\ncarrier = raw/' "$W/inner.ini" >"$W/raw.ini"
is "inner.ini, carrier = raw without a raw socket: it is taken" "$(code as_user "$NET_SBIN/inner-relay" -c "$W/raw.ini" -t)" 0
like "and there is a warning" "$(cat "$W/said")" 'inner-relay: warning: .*carrier: there is no raw socket'
is "a file that is not there" "$(code as_user "$NET_SBIN/dmz-relay" -c "$W/none.ini" -t)" 2
is "an unknown option" "$(code as_user "$NET_SBIN/dmz-relay" --nonsense)" 2
is "-V" "$(code as_user "$NET_SBIN/inner-relay" -V)" 0
is "-h" "$(code as_user "$NET_SBIN/inner-relay" -h)" 0

# ---------------------------------------------------------------- keys, root, addresses in use
cp "$CERTS/$SITE_B.key" "$W/open.key"
chown "$NET_USER" "$W/open.key"
for mode in 640 604 660; do
    chmod $mode "$W/open.key"
    broken inner "a private key of mode $mode" "s|^key = .*|key = $W/open.key|" open.key "0$mode"
done
sed "s/inner\.\(sock\|state\)/root.\1/" "$W/raw.ini" >"$W/root.ini"
is "root is refused" "$(code in_ns lan timeout 5 "$NET_SBIN/inner-relay" -c "$W/root.ini" -f)" 1
like "and told what would be right" "$(cat "$W/said")" 'allow-root'
like "a start has the warning that -t has" "$(cat "$W/said")" '\[warning\].*carrier: there is no raw socket'
sed "s/dmz\.sock/dmz2.sock/" "$W/dmz.ini" >"$W/dmz2.ini"
is "an address that is in use" "$(code in_ns dmz setpriv --reuid="$NET_USER" --clear-groups \
    timeout 5 "$NET_SBIN/dmz-relay" -c "$W/dmz2.ini" -f)" 1
like "is named" "$(cat "$W/said")" "$DMZ_RTP|$DMZ_TUNNEL"

# ---------------------------------------------------------------- reload
cp "$W/inner.ini" "$W/inner.good"
is "reload of an unchanged file" "$(code ctl inner reload)" 0
sed -i 's/^level = .*/level = loud/' "$W/inner.ini"
is "reload of a broken file is refused" "$(code ctl inner reload)" 1
like "with file, line and key" "$(cat "$W/said")" "inner.ini:$(line inner '^level'):.*level"
lines=$(wc -l <"$W/inner.log")
kill -HUP "${PID[inner]}"
told() { tail -n +$((lines + 1)) "$W/inner.log" | grep -q "old values stay.*inner.ini:.*level"; }
check "SIGHUP with a broken file is told in the log" wait_for 3 told
check "the tunnel stays up" tunnel_up inner
is "the SAs stay" "$(status_of inner .sas)" 2
is "the level stays" "$(ctl_json inner debug | jq -r .level)" debug
sed 's/^level = .*/level = info/; s/^internal = .*/internal = 10.9.0.0\/16/; s/^rtp-port = 41000/rtp-port = 41002/' \
    "$W/inner.good" >"$W/inner.ini"
printf '\n[forward late]\nlisten = 127.0.0.1:5099\n' >>"$W/inner.ini"
is "reload of new values" "$(code ctl_json inner reload)" 0
is "what has changed" "$(jq -r '.changed | map(select(test("level|internal"))) | length' "$W/said")" 2
is "what needs a restart" "$(jq -r '.restart_needed | map(select(test("rtp-port"))) | length > 0' "$W/said")" true
is "a new [forward] needs one, too" "$(jq -r '.restart_needed | map(select(test("forward late. listen"))) | length' "$W/said")" 1
refuse "and does not listen before" in_ns inside bash -c ": </dev/tcp/127.0.0.1/5099"
is "the new level is in force" "$(ctl_json inner debug | jq -r .level)" info
is "the new networks are in force" "$(code ctl inner sa add --side external --source "[$CLIENT6]:5004" \
    --suite $SUITE --key "$key" --ssrc 7 --to "[$PHONE6]:6000")" 1
printf '\n[learning]\nsource-policy = strict\nssrc-policy = strict\n' |
    cat "$W/inner.good" - >"$W/inner.ini"
is "reload of other policies" "$(code ctl inner reload)" 0
bad ssrc "no SSRC, with ssrc-policy = strict" $n $fresh --ssrc ""
bad source "an external source in the internal network, with source-policy = strict" $n $PHONE:5004
cp "$W/inner.good" "$W/inner.ini"
kill -HUP "${PID[inner]}"
level_back() { [ "$(ctl_json inner debug | jq -r .level)" = debug ]; }
check "SIGHUP with the old file brings them back" wait_for 3 level_back
check "the tunnel was up all the time" \
    equals 1 status_of inner '.tunnels[0].connects'

say "a CRL with the site's certificate on it"
certs revoke $SITE_A || bail "media-relay-certs revoke"
cp "$CERTS/ca.crl" "$W/live.crl"
is "reload with the new CRL" "$(code ctl dmz reload)" 0
check "the revoked peer is dropped" wait_for 3 tunnel_not_up dmz
revoked() { grep -qi 'revoked' "$W/dmz.log"; }
check "the log says why" wait_for 3 revoked
refused_again() { [ "$(status_of inner '.tunnels[0].last_error')" != null ] && tunnel_not_up inner; }
check "and it does not come back" wait_for 5 refused_again
is "relayctl: 4 with the tunnel down" "$(code ctl inner status)" 4
printf 'not a CRL\n' >"$W/live.crl"
is "a CRL that is none is refused" "$(code ctl dmz reload)" 1
like "by its name" "$(cat "$W/said")" live.crl
done_testing
