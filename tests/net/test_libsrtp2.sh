#!/bin/bash
# test_suites.sh with the other engine, at both relays: a copy of each packet is decrypted, its inner
# SSRC compared, and the original goes on, octet for octet.
ENGINE=libsrtp2
KEYS=full
. "$(dirname "$0")/test_suites.sh"
