#!/bin/sh
# Every sub-command of media-relay-certs and every error of it, in a temporary folder.
set -u
LC_ALL=C
export LC_ALL

source=$(cd "${srcdir:-.}" && pwd)
program=$source/certs/media-relay-certs
failures=0
checks=0
command -v openssl >/dev/null || { echo "openssl is not installed" && exit 77; }

top=$(mktemp -d "${TMPDIR:-/tmp}/test_certs.XXXXXX") || exit 1
trap 'rm -rf "$top"' EXIT
trap 'exit 130' INT TERM
cd "$top" || exit 1
out=$top/out

# The openssl command of these tests writes down the umask that it runs under.
mkdir bin
cat >bin/openssl <<END
#!/bin/sh
umask >>"$top/umasks"
exec $(command -v openssl) "\$@"
END
chmod +x bin/openssl
PATH=$top/bin:$PATH
# The program is started with umask 000, everything else here runs under this one.
umask 027

fail() {
    failures=$((failures + 1))
    printf 'FAILED: %s\n' "$*"
}

# check WHAT COMMAND...: the command must succeed.
check() {
    what=$1
    shift
    checks=$((checks + 1))
    "$@" >"$out.check" 2>&1 || { fail "$what" && sed 's/^/    /' "$out.check"; }
}

# expect STATUS TEXT ARGUMENT...: runs the program; TEXT must stand in what it says.
expect() {
    status=$1
    text=$2
    shift 2
    checks=$((checks + 1))
    (umask 000 && exec "$program" "$@") >"$out" 2>&1 </dev/null
    got=$?
    if [ $got -ne "$status" ] || ! grep -qF -- "$text" "$out"; then
        fail "media-relay-certs $*: exit $got instead of $status, or no \"$text\" in:"
        sed 's/^/    /' "$out"
    fi
}

mode_is() {
    [ "$(stat -c %a "$2")" = "$1" ]
}

shows() {
    file=$1
    shift
    openssl x509 -in "$file" -noout -text >"$out.text" || return 1
    for line in "$@"; do
        grep -qF -- "$line" "$out.text" || { echo "no \"$line\"" && cat "$out.text" && return 1; }
    done
}

# ends_in FILE DAYS: the certificate ends that many days from now, give or take an hour.
ends_in() {
    openssl x509 -in "$1" -noout -checkend $(($2 * 86400 - 3600)) &&
        ! openssl x509 -in "$1" -noout -checkend $(($2 * 86400 + 3600))
}

verifies() {
    openssl verify -x509_strict -purpose "$1" -CAfile "$ca/ca.crt" -crl_check -CRLfile "$ca/ca.crl" "$2"
}

fails() {
    ! "$@"
}

snapshot() {
    (cd "$ca" && find . -type f ! -name 'openssl.cnf' -exec cksum {} + | sort)
}

# ---------------------------------------------------------------- before there is a CA
expect 0 'Usage: media-relay-certs' --help
expect 2 'a command is needed'
expect 2 'unknown command "sign"' sign
expect 2 'unknown option --force' --force init
expect 2 '-d needs a value' init -d
expect 2 '-d needs the name of a folder' -d '' init
expect 1 'the folder nowhere is not there' -d nowhere list
mkdir empty
for command in list verify crl 'issue dmz.example --role dmz' 'revoke dmz.example'; do
    # shellcheck disable=SC2086
    expect 1 'there is no CA in empty (ca.crt is missing)' -d empty $command
done
check 'an empty folder stays empty' [ -z "$(ls -A empty)" ]

mkdir few
for tool in sh sed date mktemp rm rmdir mkdir cat tr; do
    ln -s "$(command -v $tool)" few/$tool
done
without_openssl() {
    PATH=$top/few "$program" -d missing init 2>&1 | grep -F 'the openssl command is not installed'
}
check 'a clear error without openssl' without_openssl

# ---------------------------------------------------------------- init; the folder's name is no plain word
# shellcheck disable=SC2016
ca='a ca; $(touch hacked) #1'
for days in 0 -1 1.5 x 36501 999999 01 '' '1 2'; do
    expect 2 '--days' -d "$ca" init --days "$days"
done
expect 2 'init takes no name' -d "$ca" init dmz.example
expect 2 'init takes no --role' -d "$ca" init --role dmz
check 'nothing made so far' [ ! -e "$ca" ]
expect 0 'made a CA for 3650 days' -d "$ca" init
check 'mode of the folder' mode_is 700 "$ca"
check 'mode of the CA key' mode_is 600 "$ca/ca.key"
check 'mode of the CA certificate' mode_is 644 "$ca/ca.crt"
check 'mode of the CRL' mode_is 644 "$ca/ca.crl"
check 'the CA certificate' shows "$ca/ca.crt" 'CA:TRUE, pathlen:0' 'Certificate Sign, CRL Sign' \
    'NIST CURVE: P-256'
check 'lifetime of the CA' ends_in "$ca/ca.crt" 3650
before=$(snapshot)
expect 1 'ca.key exists and is not overwritten' -d "$ca" init
check 'init twice changes nothing' [ "$before" = "$(snapshot)" ]
expect 0 'made a CA for 20 days' -d short init --days 20
check 'lifetime of the other CA' ends_in short/ca.crt 20
check 'two CAs have two names' [ "$(openssl x509 -in short/ca.crt -noout -subject)" != \
    "$(openssl x509 -in "$ca/ca.crt" -noout -subject)" ]

# ---------------------------------------------------------------- issue: names, roles, days
long=$(printf 'a%.0s' $(seq 63))
for name in '*.example' '*'; do
    expect 2 'is a wildcard' -d "$ca" issue "$name" --role dmz
done
# shellcheck disable=SC2016
for name in 'a b' '../x' 'a/b' 'dmz_1' 'dmz.example,DNS:other' 'a;b' 'a$b' 'dmz.éxample' '.example' \
    'example.' 'a..b' 'a-.example' 'a.-b' 'a-' '10.0.0.1' '7' "a
b"; do
    expect 2 'is not a DNS name' -d "$ca" issue "$name" --role dmz
done
expect 2 'unknown option -x' -d "$ca" issue -x --role dmz
expect 2 'is one word too many' -d "$ca" issue dmz.example other.example --role dmz
expect 2 'a part of the name is too long: 64' -d "$ca" issue "a$long.example" --role dmz
expect 2 'the name is too long: 257' -d "$ca" issue "$long.$long.$long.$long.x" --role dmz
expect 2 'a name is needed' -d "$ca" issue --role dmz
expect 2 'name of the CA' -d "$ca" issue ca --role dmz
expect 2 'issue needs --role dmz or --role inner' -d "$ca" issue dmz.example
expect 2 '--role outer: a relay is dmz or inner' -d "$ca" issue dmz.example --role outer
expect 2 '--role needs a value' -d "$ca" issue dmz.example --role
for days in 0 -5 3651 1e3 ten '' 00; do
    expect 2 '--days' -d "$ca" issue dmz.example --role dmz --days "$days"
done
expect 1 'the CA itself ends before 30 days' -d short issue dmz.example --role dmz --days 30
check 'no error left anything' [ "$before" = "$(snapshot)" ]

expect 0 '(dmz, serverAuth)' -d "$ca" issue DMZ.Example --role dmz
expect 0 '(inner, clientAuth)' issue hq.example --role=inner --days=90 --dir="$ca"
expect 0 'for 1 days' -d "$ca" issue "$long.$long.$long.example" --role inner --days 1
check 'mode of the key' mode_is 600 "$ca/dmz.example.key"
check 'mode of the certificate' mode_is 644 "$ca/dmz.example.crt"
check 'dmz certificate' shows "$ca/dmz.example.crt" 'DNS:dmz.example' 'CA:FALSE' \
    'TLS Web Server Authentication' 'Digital Signature' 'NIST CURVE: P-256' 'ecdsa-with-SHA256'
check 'inner certificate' shows "$ca/hq.example.crt" 'DNS:hq.example' 'CA:FALSE' \
    'TLS Web Client Authentication' 'NIST CURVE: P-256'
check 'only one role: dmz' fails shows "$ca/dmz.example.crt" 'TLS Web Client'
check 'only one role: inner' fails shows "$ca/hq.example.crt" 'TLS Web Server'
check 'default lifetime' ends_in "$ca/dmz.example.crt" 365
check 'chosen lifetime' ends_in "$ca/hq.example.crt" 90
check 'dmz is a server' verifies sslserver "$ca/dmz.example.crt"
check 'dmz is no client' fails verifies sslclient "$ca/dmz.example.crt"
check 'inner is a client' verifies sslclient "$ca/hq.example.crt"
check 'inner is no server' fails verifies sslserver "$ca/hq.example.crt"
check 'the key belongs to the certificate' [ "$(openssl pkey -in "$ca/hq.example.key" -pubout)" = \
    "$(openssl x509 -in "$ca/hq.example.crt" -noout -pubkey)" ]

before=$(snapshot)
expect 1 'dmz.example.key exists and is not overwritten' -d "$ca" issue dmz.example --role dmz
mv "$ca/dmz.example.key" moved
expect 1 'dmz.example.crt exists and is not overwritten' -d "$ca" issue dmz.example --role dmz
mv moved "$ca/dmz.example.key"
ln -s nowhere "$ca/link.example.key"
expect 1 'link.example.key exists and is not overwritten' -d "$ca" issue link.example --role dmz
rm "$ca/link.example.key"
mkdir "$ca/.lock"
expect 1 'another media-relay-certs works in' -d "$ca" issue new.example --role dmz
rmdir "$ca/.lock"
check 'what exists is as it was' [ "$before" = "$(snapshot)" ]

# ---------------------------------------------------------------- list, verify
expect 0 'dmz.example                      dmz    valid' -d "$ca" list
expect 0 'hq.example                       inner  valid' -d "$ca" list
expect 2 'list takes no name' -d "$ca" list dmz.example
expect 2 'list takes no --days' -d "$ca" list --days 3
expect 0 'ca: good, ' -d "$ca" verify
expect 0 'ca.crl: good, ' -d "$ca" verify
expect 0 'dmz.example: good, dmz, 36' -d "$ca" verify
expect 0 'hq.example: good, inner, ' -d "$ca" verify HQ.example
expect 1 'none.example: BAD: there is no none.example.crt' -d "$ca" verify none.example
expect 2 'is a wildcard' -d "$ca" verify '*'
chmod 640 "$ca/hq.example.key"
expect 1 'hq.example: BAD: the mode of hq.example.key is 640' -d "$ca" verify
chmod 600 "$ca/hq.example.key"
cp "$ca/hq.example.key" keep
cat "$ca/dmz.example.key" >"$ca/hq.example.key"
expect 1 'BAD: hq.example.key does not belong to it' -d "$ca" verify hq.example
cat keep >"$ca/hq.example.key"
cp "$ca/hq.example.crt" "$ca/alias.example.crt"
expect 1 'alias.example: BAD: its DNS name is not alias.example' -d "$ca" verify alias.example
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout other.key \
    -subj /CN=x -addext subjectAltName=DNS:alias.example -addext extendedKeyUsage=clientAuth \
    -out "$ca/alias.example.crt" 2>/dev/null
expect 1 'alias.example: BAD: ' -d "$ca" verify alias.example
expect 1 'alias.example.crt is not from this CA' -d "$ca" revoke alias.example
openssl req -x509 -key other.key -subj /CN=x -addext subjectAltName=DNS:alias.example \
    -out "$ca/alias.example.crt" 2>/dev/null
expect 1 'BAD: it lacks the extended key usage' -d "$ca" verify alias.example
echo garbage >"$ca/alias.example.crt"
expect 1 'BAD: alias.example.crt holds no certificate' -d "$ca" verify alias.example
rm "$ca/alias.example.crt"
mv "$ca/hq.example.key" keep
expect 0 'hq.example: good' -d "$ca" verify hq.example
mv keep "$ca/hq.example.key"
chmod 604 "$ca/ca.key"
expect 1 'ca: BAD: the mode of ca.key is 604' -d "$ca" verify
chmod 600 "$ca/ca.key"
mv "$ca/ca.crl" keep
expect 1 'ca.crl: BAD: it is missing' -d "$ca" verify
cp short/ca.crl "$ca/ca.crl"
expect 1 'ca.crl: BAD: it is missing or not signed by ca.crt' -d "$ca" verify
mv keep "$ca/ca.crl"

# ---------------------------------------------------------------- revoke, crl
expect 1 'there is no certificate' -d "$ca" revoke none.example
expect 2 'a name is needed' -d "$ca" revoke
expect 2 'revoke takes no --role' -d "$ca" revoke hq.example --role inner
expect 0 'revoked hq.example' -d "$ca" revoke hq.example
check 'a revoked certificate' fails verifies sslclient "$ca/hq.example.crt"
check 'one that is not' verifies sslserver "$ca/dmz.example.crt"
expect 1 'hq.example: BAD: certificate revoked' -d "$ca" verify
expect 0 'dmz.example: good' -d "$ca" verify dmz.example
expect 0 'hq.example                       inner  revoked' -d "$ca" list
expect 1 'is revoked already' -d "$ca" revoke hq.example
for days in 0 366 x; do
    expect 2 '--days' -d "$ca" crl --days "$days"
done
expect 2 'crl takes no --role' -d "$ca" crl --role dmz
expect 0 'made a revocation list for 7 days' -d "$ca" crl --days 7
check 'the list still names it' fails verifies sslclient "$ca/hq.example.crt"
check 'lifetime of the list' [ "$(date -d "$(openssl crl -in "$ca/ca.crl" -noout -nextupdate |
    sed 's/.*=//')" +%s)" -le $(($(date +%s) + 7 * 86400)) ]
check 'mode of the list' mode_is 644 "$ca/ca.crl"
mkdir "$ca/old" && mv "$ca"/hq.example.* "$ca/old"
expect 0 'hq.example' -d "$ca" issue hq.example --role inner
check 'the new one is good' verifies sslclient "$ca/hq.example.crt"
check 'the old one is not' fails verifies sslclient "$ca/old/hq.example.crt"
expect 0 'ca.crl: good, ' -d "$ca" verify
expect 0 'made a revocation list for 1 days' -d "$ca" crl --days 1
expect 0 'ca.crl: good, ' -d "$ca" verify

# ---------------------------------------------------------------- at the end
check 'every run of openssl was under umask 077' [ "$(sort -u umasks | tr '\n' ' ')" = '0027 0077 ' ]
check 'no temporary folder is left' [ -z "$(find . -name '.work*' -o -name .lock)" ]
check 'no name was run as a command' [ -z "$(find . -name hacked)" ]

echo "$checks checks, $failures failed"
[ $failures -eq 0 ]
