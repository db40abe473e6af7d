#!/bin/bash
# "./quickstart demo" passes, without root, and fails with a plain verdict when either daemon is
# stopped in the middle and when one key is changed.
. "$(dirname "$0")/lib.sh"

SOURCE=$(cd "$(dirname "$0")/../.." && pwd)

# What the demo needs, where the unprivileged user can read it.
tree=$W/tree
mkdir -p "$tree/certs" "$tree/common/base" "$W/tmp"
cp "$SOURCE/quickstart" "$tree"
cp "$NET_CERTS" "$tree/certs/media-relay-certs"
cp "$SOURCE/common/base/verdict.h" "$tree/common/base"
for program in dmz-relay/dmz-relay inner-relay/inner-relay common/daemon/relayctl tests/tools/toneck; do
    mkdir -p "$tree/build/${program%/*}"
    cp "$NET_BUILD/$program" "$tree/build/$program"
done
chown "$NET_USER:$NET_GROUP" "$W/tmp"

# All at once, each on a loopback of its own.
demo() {
    local name=$1 breaks=$2 starter=$3
    space "$name"
    $starter "$name" "$name" env TMPDIR="$W/tmp" HOME="$W/tmp" QUICKSTART_BUILD="$tree/build" \
        QUICKSTART_BREAK="$breaks" QUICKSTART_SECONDS=4 bash "$tree/quickstart" demo
}
demo good "" start_user
demo good-root "" start
demo dmz dmz start_user
demo inner inner start_user
demo key key start_user

last() { tail -n 1 "$W/$1.out"; }

for name in good good-root; do
    status=0
    finish_of $name 60 || status=$?
    is "$name: the demo succeeds" $status 0
    like "$name: and says so" "$(last $name)" '^DEMO PASSED'
    like "$name: it shows the counters" "$(cat "$W/$name.out")" 'LISTENER .*RECEIVED'
    is "$name: 4 s decoded each way" "$(grep -oE '[0-9.]+ s of audio decoded.*' "$W/$name.out" | sort | uniq -c | xargs)" \
        '2 4.00 s of audio decoded of the 4 s sent, 0 of 200 packets lost'
    is "$name: the WAV files are there" \
        "$(grep -oE '/[^ ]*\.wav' "$W/$name.out" | xargs ls 2>/dev/null | wc -l)" 2
done
for name in dmz inner key; do
    status=0
    finish_of $name 60 || status=$?
    is "$name broken: the demo fails" $status 1
    like "$name broken: and says so" "$(last $name)" '^DEMO FAILED'
done
like "dmz-relay stopped: named" "$(cat "$W/dmz.out")" 'the dmz-relay did not live to the end'
like "inner-relay stopped: named" "$(cat "$W/inner.out")" 'the inner-relay did not live to the end'
like "key changed: auth-fail is the reason" "$(cat "$W/key.out")" 'by the dmz-relay 2[0-9]*: auth-fail'
is "key changed: the other direction still works" "$(grep -c ': good$' "$W/key.out")" 1
is "only WAV files are left behind" "$(find "$W/tmp" -type f ! -name '*.wav' | wc -l)" 0
is "no process is left behind" "$(for s in good good-root dmz inner key; do ip netns pids "$PFX-$s"; done | wc -l)" 0
done_testing
