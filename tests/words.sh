# The words of the shell tests in make check; each of them sets $top, a folder of its own.
# shellcheck shell=sh disable=SC2154
checks=0
failures=0

fail() {
    failures=$((failures + 1))
    printf 'FAILED: %s\n' "$*"
    [ ! -f "$top/out" ] || tail -n 20 "$top/out"
}
# ends CODE COMMAND...: it must end with this exit code.
ends() {
    checks=$((checks + 1))
    wanted=$1
    shift
    "$@" >"$top/out" 2>&1
    code=$?
    [ $code = "$wanted" ] || fail "$* ended with $code, not $wanted"
}
# says TEXT [FILE]: the last command must have said so.
says() {
    checks=$((checks + 1))
    grep -qF -- "$1" "$top/${2:-out}" || fail "not said: $1"
}
# holds WHAT COMMAND...: the condition must hold within 10 s.
holds() {
    checks=$((checks + 1))
    what=$1
    shift
    rounds=0
    until "$@"; do
        rounds=$((rounds + 1))
        [ $rounds -lt 200 ] || { fail "$what" && return; }
        sleep 0.05
    done
}
