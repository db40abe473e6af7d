#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "dmz-relay/settings.h"
#include "inner-relay/settings.h"
#include "tests/unit/unit.h"

#define DMZ_TUNNEL                                                                                 \
    "[tunnel]\nlisten = 192.0.2.10:7000\nsites = hq.example\ncertificate = /c\nkey = /k\nca = "    \
    "/a\n"
#define INNER_TUNNEL              "[tunnel]\ncertificate = /c\nkey = /k\nca = /a\n"
#define LISTENER                  "[listener main]\naddress = 192.0.2.10\nrtp-port = 5004\n"
#define DMZ                       "[dmz one]\naddress = dmz.example:7000\nname = dmz.example\n"
#define PEER(name, address, port) "[peer " name "]\naddress = " address "\nrtp-port = " port "\n"
#define FORWARD(name, keys)       "[forward " name "]\n" keys "\n"
#define NETWORKS                  "[networks]\ninternal = 10.0.0.0/8\n"

static const char dmz_least[] = LISTENER DMZ_TUNNEL;
static const char inner_least[] = DMZ LISTENER INNER_TUNNEL NETWORKS;

static void *parsed(const struct conf_schema *schema, const char *text)
{
    char error[512];
    void *conf;

    ck_assert_msg(conf_parse(schema, "f", text, strlen(text), &conf, error, sizeof(error)) == 0,
                  "%s", error);
    return conf;
}

static char *print(const struct conf_schema *schema, const void *conf)
{
    char *text = NULL;
    size_t length;
    FILE *file = open_memstream(&text, &length);

    conf_print(schema, conf, file);
    fclose(file);
    return text;
}

START_TEST(test_callers)
{
    struct dmz_settings *s =
        parsed(&dmz_schema, LISTENER "[tunnel]\nlisten = 192.0.2.10:7000\nsites = a, b, c\n"
                                     "certificate = /c\nkey = /k\nca = /a\n"
                                     "[site A]\ncall-from = c, B\n[site c]\ncall-from = a\n");

    ck_assert_uint_eq(dmz_callers(s, 0), 6);
    ck_assert_uint_eq(dmz_callers(s, 1), 0);
    ck_assert_uint_eq(dmz_callers(s, 2), 1);
    /* After a reload: [site] is live, and sites is not. */
    s->tunnel.sites.count = 2;
    ck_assert_uint_eq(dmz_callers(s, 0), 2);
    free(s);
}
END_TEST

START_TEST(test_dmz_defaults)
{
    struct dmz_settings *s = parsed(&dmz_schema, dmz_least);

    ck_assert_uint_eq(s->listener_count, 1);
    ck_assert_str_eq(s->listeners[0].name, "main");
    ck_assert(addr_equal(&s->listeners[0].advertise, &s->listeners[0].address));
    ck_assert_uint_eq(s->listeners[0].rtp_port, 5004);
    ck_assert_int_eq(s->listeners[0].m_line, -1);
    ck_assert_uint_eq(s->listeners[0].dscp, 46);
    ck_assert_uint_eq(s->peer_count, 0);
    ck_assert_uint_eq(s->tunnel.listen.port, 7000);
    ck_assert_uint_eq(s->tunnel.sites.count, 1);
    ck_assert_str_eq(s->tunnel.sites.name[0], "hq.example");
    ck_assert_str_eq(s->tunnel.common.certificate, "/c");
    ck_assert_str_eq(s->tunnel.common.key, "/k");
    ck_assert_str_eq(s->tunnel.common.ca, "/a");
    ck_assert_str_eq(s->tunnel.common.crl, "");
    ck_assert_uint_eq(s->tunnel.common.max_age_us, 60000);
    ck_assert_uint_eq(s->tunnel.common.dscp, 46);
    ck_assert_uint_eq(s->tunnel.stale_hold_us, 300000000);
    ck_assert_uint_eq(s->tunnel.max_handshakes, 64);
    ck_assert_uint_eq(s->networks.external.count, 0);
    ck_assert(!s->networks.test_allow_loopback);
    ck_assert_int_eq(s->srtp.engine, SRTP_ENGINE_AUTO);
    ck_assert_uint_eq(s->limits.max_sas, 20000);
    ck_assert_uint_eq(s->limits.site_quota, 20000);
    ck_assert_str_eq(s->control.socket, RUNSTATEDIR "/media-relay/dmz-relay.sock");
    ck_assert_str_eq(s->control.group, "");
    ck_assert_int_eq(s->log.target, LOG_TARGET_SYSLOG);
    ck_assert_int_eq(s->log.level, LOG_LEVEL_INFO);
    ck_assert(!s->daemon.allow_root);
    ck_assert_uint_eq(s->daemon.workers, 1);
    ck_assert_str_eq(s->daemon.pid_file, "");
    free(s);
}
END_TEST

START_TEST(test_inner_defaults)
{
    struct inner_settings *s = parsed(&inner_schema, inner_least);

    ck_assert_uint_eq(s->dmz_count, 1);
    ck_assert_str_eq(s->dmzs[0].name, "one");
    ck_assert_str_eq(s->dmzs[0].address.host, "dmz.example");
    ck_assert_uint_eq(s->dmzs[0].address.port, 7000);
    ck_assert_str_eq(s->dmzs[0].certificate_name, "dmz.example");
    ck_assert_uint_eq(s->tunnel.max_age_us, 60000);
    ck_assert_uint_eq(s->networks.internal.count, 1);
    ck_assert_int_eq(s->srtp.common.engine, SRTP_ENGINE_AUTO);
    ck_assert_int_eq(s->srtp.dmz_keys, WIRE_REPLICA_VERIFY_ONLY);
    ck_assert_uint_eq(s->limits.max_sas, 20000);
    ck_assert_int_eq(inner_source_policy(&s->learning), SOURCE_HINTED);
    ck_assert_int_eq(s->learning.ssrc, LEARNING_SSRC_LEARN);
    ck_assert_uint_eq(s->limits.sa_rate_kbit, 8000);
    ck_assert_uint_eq(s->limits.media_timeout_us, 0);
    ck_assert_uint_eq(s->signalling.ng.count, 0);
    ck_assert_uint_eq(s->signalling.ng_allow.count, 0);
    ck_assert_int_eq(s->signalling.calls.when_down, CALL_WHEN_DOWN_ACCEPT);
    ck_assert(!s->signalling.calls.relay_internal);
    ck_assert_uint_eq(s->signalling.calls.offer_timeout_us, 180000000);
    ck_assert_uint_eq(s->signalling.calls.call_max_us, 86400000000);
    ck_assert_uint_eq(inner_call_options(s).max_calls, 10000);
    ck_assert_str_eq(s->state.file, RUNSTATEDIR "/media-relay/inner-relay.state");
    ck_assert_uint_eq(s->state.max_age_us, 600000000);
    ck_assert_uint_eq(s->state.interval_us, 5000000);
    ck_assert_str_eq(s->control.socket, RUNSTATEDIR "/media-relay/inner-relay.sock");
    free(s);
}
END_TEST

/* What -T prints is the number that stands in the file; what is used is this. */
START_TEST(test_call_options)
{
    static const char text[] = DMZ LISTENER INNER_TUNNEL NETWORKS
        "[limits]\nmax-sas = 1\nmedia-timeout = 90s\n[signalling]\nng = udp:127.0.0.1:2223\n";
    struct inner_settings *s = parsed(&inner_schema, text);

    ck_assert_uint_eq(s->signalling.ng.count, 1);
    ck_assert_uint_eq(s->signalling.ng.socket[0].addr.port, 2223);
    ck_assert_uint_eq(s->signalling.calls.max_calls, 0);
    ck_assert_uint_eq(inner_call_options(s).max_calls, 1);
    ck_assert_uint_eq(inner_call_options(s).media_timeout_us, 90000000);
    s->limits.max_sas = 7;
    ck_assert_uint_eq(inner_call_options(s).max_calls, 3);
    s->signalling.calls.max_calls = 5;
    ck_assert_uint_eq(inner_call_options(s).max_calls, 5);
    free(s);
}
END_TEST

#define SIGNALLING "[signalling]\n"
#define NG_SOCKETS                                                                                 \
    "at most 4 sockets such as udp:127.0.0.1:2223, udp:[::1]:2223 or "                             \
    "unix:/run/media-relay/ng.sock, separated by commas, would be right"
#define TWO(a, b) "[listener a]\n" a "\n[listener b]\n" b "\n"

#define INNER_LEAST            DMZ LISTENER INNER_TUNNEL NETWORKS
#define KEYLESS                "[srtp]\ndmz-keys = keyless"
#define LEARNING(source, ssrc) "[learning]\nsource-policy = " source "\nssrc-policy = " ssrc "\n"
#define NO_VERIFY_ONLY(line)                                                                       \
    "f:" #line ": [srtp] srtp-engine: libsrtp2 cannot make the keys of dmz-keys = verify-only; "   \
    "srtp-engine = auto or evp, or dmz-keys = full, would be right"

#define SITE       "[site b.example]\n"
#define SPOOFING   "direct-to = 198.51.100.1\nallow-spoofing = yes\n"
#define RAW        "raw-socket = yes\n"
#define INNER_RAW  DMZ LISTENER INNER_TUNNEL RAW NETWORKS
#define HTTP_PROXY "proxy = http://proxy.example:3128\n"
#define TWO_DMZS   DMZ "[dmz two]\naddress = b.example:7000\nname = b.example\n" HTTP_PROXY
#define OF_NAT     "the addresses of the other site's NAT would be right"
#define FOR_TESTS  "for tests only, [networks] test-allow-loopback = yes would be right"

static const struct {
    const struct conf_schema *schema;
    const char *text;
    const char *error; /* NULL: it is right */
} rows[] = {
    {&dmz_schema, DMZ_TUNNEL,
     "f:6: [listener]: there are too few of these sections; at least 1 [listener NAME] would be "
     "right"},
    {&dmz_schema, LISTENER,
     "f:3: [tunnel] listen: it is missing; an IP address with a port such as 192.0.2.1:7000 or "
     "[2001:db8::1]:7000 would be right"},
    {&dmz_schema, DMZ LISTENER DMZ_TUNNEL,
     "f:1: [dmz one]: unknown section; the nearest known one is [log]"},
    {&dmz_schema, LISTENER DMZ_TUNNEL NETWORKS,
     "f:11: [networks] internal: unknown key; the nearest known one is \"external\""},
    {&dmz_schema, LISTENER DMZ_TUNNEL "max_age = 1s\n",
     "f:10: [tunnel] max_age: unknown key; the nearest known one is \"max-age\""},
    {&dmz_schema, "[listener a]\naddress = 192.0.2.1\nrtp-port = 65535\n" DMZ_TUNNEL,
     "f:3: [listener a] rtp-port: \"65535\" is out of range; a number from 1 to 65534 would be "
     "right"},
    {&dmz_schema, "[listener a]\naddress = 224.0.0.1\nrtp-port = 1\n" DMZ_TUNNEL,
     "f:2: [listener a] address: the address is multicast; one of this host's own would be right"},
    {&dmz_schema, "[listener a]\naddress = 0.0.0.0\nrtp-port = 1\n" DMZ_TUNNEL,
     "f:1: [listener a] advertise: the address is unspecified; the one that senders reach this "
     "listener "
     "at would be right"},
    {&dmz_schema,
     "[listener a]\naddress = 0.0.0.0\nadvertise = 192.0.2.1\nrtp-port = 1\n" DMZ_TUNNEL, NULL},
    {&dmz_schema, "[listener a]\naddress = 127.0.0.1\nrtp-port = 1\n" DMZ_TUNNEL, NULL},
    {&dmz_schema,
     "[listener a]\naddress = 192.0.2.1\nrtp-port = 1\nadvertise = 2001:db8::1\n" DMZ_TUNNEL,
     "f:4: [listener a] advertise: not of the family of address; an IPv4 address would be right"},
    {&dmz_schema,
     TWO("address = 192.0.2.1\nrtp-port = 5004", "address = 192.0.2.1\nrtp-port = 5005") DMZ_TUNNEL,
     "f:6: [listener b] rtp-port: the ports 5005 and 5006 meet those of [listener a], 5004 and "
     "5005; two free ones would be right"},
    {&dmz_schema,
     TWO("address = 192.0.2.1\nrtp-port = 5004", "address = 192.0.2.1\nrtp-port = 5003") DMZ_TUNNEL,
     "f:6: [listener b] rtp-port: the ports 5003 and 5004 meet those of [listener a], 5004 and "
     "5005; two free ones would be right"},
    {&dmz_schema,
     TWO("address = 0.0.0.0\nadvertise = 192.0.2.1\nrtp-port = 5004",
         "address = 192.0.2.1\nrtp-port = 5004") DMZ_TUNNEL,
     "f:7: [listener b] rtp-port: the ports 5004 and 5005 meet those of [listener a], 5004 and "
     "5005; two free ones would be right"},
    {&dmz_schema,
     TWO("address = 192.0.2.1\nrtp-port = 5004", "address = 192.0.2.1\nrtp-port = 5006") DMZ_TUNNEL,
     NULL},
    {&dmz_schema,
     TWO("address = 192.0.2.1\nrtp-port = 5004", "address = 2001:db8::1\nrtp-port = 5004")
         DMZ_TUNNEL,
     NULL},
    {&dmz_schema,
     LISTENER "[tunnel]\nlisten = 224.0.0.1:1\nsites = a\ncertificate = /c\nkey = /k\nca = /a\n",
     "f:5: [tunnel] listen: the address is multicast; one of this host's own would be right"},
    {&dmz_schema,
     LISTENER
     "[tunnel]\nlisten = 192.0.2.1:1\nsites = a.b, A.b\ncertificate = /c\nkey = /k\nca = /a\n",
     "f:6: [tunnel] sites: \"a.b, A.b\" names one thing twice; 1 to 64 DNS names such as "
     "relay.example.com, without wildcards, separated by commas, would be right"},
    {&dmz_schema, LISTENER DMZ_TUNNEL "[site hq.example]\ncall-from = branch.example\n",
     "f:11: [site hq.example] call-from: branch.example is none of [tunnel] sites; one of them "
     "would be right"},
    {&dmz_schema, LISTENER DMZ_TUNNEL "[site hq.example]\ncall-from = HQ.example\n",
     "f:11: [site hq.example] call-from: a site does not call itself; other sites would be right"},
    {&dmz_schema, LISTENER DMZ_TUNNEL "[site hq]\ncall-from =\n",
     "f:11: [site hq] call-from: [tunnel] sites has no such site; one of them would be right"},
    {&dmz_schema, LISTENER DMZ_TUNNEL "[networks]\nexternal = 127.0.0.0/8\n",
     "f:11: [networks] external: \"127.0.0.0/8\" is loopback; for tests only, test-allow-loopback "
     "= "
     "yes would be right"},
    {&dmz_schema,
     LISTENER DMZ_TUNNEL "[networks]\nexternal = 127.0.0.0/8\ntest-allow-loopback = yes\n", NULL},
    {&dmz_schema, LISTENER DMZ_TUNNEL "[networks]\nexternal = 0.0.0.0/0\n",
     "f:11: [networks] external: \"0.0.0.0/0\" is everything; the networks themselves would be "
     "right"},
    {&dmz_schema, LISTENER DMZ_TUNNEL "[networks]\nexternal = ff00::/8\n",
     "f:11: [networks] external: \"ff00::/8\" is multicast; networks of single hosts would be "
     "right"},
    {&inner_schema, DMZ LISTENER INNER_TUNNEL,
     "f:10: [networks] internal: it is missing; 1 to 32 networks such as 192.0.2.0/24 or "
     "2001:db8::/32, with no bit set behind the prefix, separated by commas, would be right"},
    {&inner_schema, LISTENER INNER_TUNNEL NETWORKS,
     "f:9: [dmz]: there are too few of these sections; at least 1 [dmz NAME] would be right"},
    {&inner_schema, DMZ LISTENER INNER_TUNNEL NETWORKS "external = 192.0.2.0/24, 10.0.0.0/8\n",
     "f:13: [networks] external: \"10.0.0.0/8\" is internal too; one of the two would be right"},
    {&inner_schema, DMZ LISTENER INNER_TUNNEL NETWORKS "external = 10.1.0.0/16\n", NULL},
    {&inner_schema,
     DMZ
     "[dmz two]\naddress = dmz2.example:7000\nname = DMZ.example\n" LISTENER INNER_TUNNEL NETWORKS,
     "f:6: [dmz two] name: the dmz-relay of [dmz one] too; another one would be right"},
    {&inner_schema,
     DMZ
     "[forwarder one]\naddress = f.example:7000\nname = f.example\n" LISTENER INNER_TUNNEL NETWORKS,
     "f:6: [forwarder one] name: there is a [dmz one], too; another name of the section would be "
     "right"},
    {&inner_schema,
     DMZ
     "[forwarder f]\naddress = f.example:7000\nname = dmz.example\n" LISTENER INNER_TUNNEL NETWORKS,
     "f:6: [forwarder f] name: the dmz-relay of [dmz one] too; another one would be right"},
    {&inner_schema,
     DMZ "[forwarder f]\naddress = f.example:7000\nname = f.example\nproxy = ftp://x\n" LISTENER
         INNER_TUNNEL NETWORKS,
     "f:7: [forwarder f] proxy: it is no URL of http; http://proxy.example.com:3128 would be "
     "right"},
    {&inner_schema,
     DMZ
     "[dmz two]\naddress = dmz.example:7000\nname = dmz2.example\n" LISTENER INNER_TUNNEL NETWORKS,
     "f:5: [dmz two] address: the address of [dmz one] too; another one would be right"},
#define PROXY(lines) DMZ lines LISTENER INNER_TUNNEL NETWORKS
    {&inner_schema, PROXY("proxy = http://10.0.0.1\n"), NULL},
    {&inner_schema, PROXY("proxy = http://me@proxy.example:80/\nproxy-password-file = /p\n"), NULL},
    {&inner_schema, PROXY("proxy = http://proxy.example:3128\nvia = http,connect\n"), NULL},
    {&inner_schema, PROXY("proxy = https://proxy.example\n"),
     "f:4: [dmz one] proxy: it is no URL of http; http://proxy.example.com:3128 would be right"},
    {&inner_schema, PROXY("proxy = http://me:secret@proxy.example\n"),
     "f:4: [dmz one] proxy: passwords have a file of their own, proxy-password-file; "
     "http://USER@proxy.example.com:3128 would be right"},
    {&inner_schema, PROXY("proxy = http://proxy.example:0\n"),
     "f:4: [dmz one] proxy: it cannot be read; http://proxy.example.com:3128 or "
     "http://USER@proxy.example.com:3128 would be right"},
    {&inner_schema, PROXY("proxy = http://me@proxy.example\n"),
     "f:4: [dmz one] proxy: there is no password for this user; proxy-password-file would be "
     "right"},
    {&inner_schema, PROXY("proxy = http://proxy.example\nproxy-password-file = /p\n"),
     "f:5: [dmz one] proxy-password-file: it has no user; proxy = http://USER@... would be right"},
    {&inner_schema, PROXY("proxy = http://proxy.example\nvia = connect, connect\n"),
     "f:5: [dmz one] via: connect, connect is no list of ways; some of connect, upgrade, http "
     "would be right, none of them twice"},
    {&dmz_schema, LISTENER DMZ_TUNNEL "[srtp]\nsrtp-engine = openssl\n",
     "f:11: [srtp] srtp-engine: \"openssl\" is wrong; one of auto, evp, libsrtp2 would be right"},
    {&dmz_schema, LISTENER DMZ_TUNNEL "[srtp]\nsrtp-engine = libsrtp2\n", NULL},
    {&dmz_schema, LISTENER DMZ_TUNNEL "[srtp]\ndmz-keys = full\n",
     "f:11: [srtp] dmz-keys: unknown key; the nearest known one is \"srtp-engine\""},
    {&inner_schema, INNER_LEAST "[srtp]\nsrtp-engine = libsrtp2\n", NO_VERIFY_ONLY(14)},
    {&inner_schema, INNER_LEAST "[srtp]\ndmz-keys = verify-only\nsrtp-engine = libsrtp2\n",
     NO_VERIFY_ONLY(15)},
    {&inner_schema, INNER_LEAST "[srtp]\ndmz-keys = full\nsrtp-engine = libsrtp2\n", NULL},
    {&inner_schema, INNER_LEAST KEYLESS "\nsrtp-engine = libsrtp2\n" LEARNING("strict", "strict"),
     NULL},
    {&inner_schema, INNER_LEAST KEYLESS "\n" LEARNING("hinted", "strict"),
     "f:16: [learning] source-policy: with [srtp] dmz-keys = keyless no source can be learned; "
     "source-policy = strict would be right"},
    {&inner_schema, INNER_LEAST KEYLESS "\n" LEARNING("strict", "learn"),
     "f:17: [learning] ssrc-policy: with [srtp] dmz-keys = keyless no SSRC can be learned; "
     "ssrc-policy = strict would be right"},
    {&inner_schema, INNER_LEAST KEYLESS "\n",
     "f:14: [learning] source-policy: with [srtp] dmz-keys = keyless no source can be learned; "
     "source-policy = strict would be right"},
    {&inner_schema, INNER_LEAST LEARNING("open", "learn"), NULL},
    {&inner_schema, INNER_LEAST LEARNING("loose", "learn"),
     "f:14: [learning] source-policy: \"loose\" is wrong; one of strict, hinted, open would be "
     "right"},
    {&inner_schema, INNER_LEAST "[srtp]\ndmz-keys = verify-only\nsrtp-engine = evp\n", NULL},
    {&dmz_schema, LISTENER DMZ_TUNNEL FORWARD("sip", "listen = [::]:5061"), NULL},
    {&dmz_schema, LISTENER DMZ_TUNNEL FORWARD("out", "to = 198.51.100.7:5060\nsite = hq.example"),
     NULL},
    {&inner_schema,
     INNER_LEAST FORWARD("sip", "to = 127.0.0.1:5061\nproxy-protocol = v2\ndmz = one")
         FORWARD("out", "listen = 127.0.0.1:5062"),
     NULL},
    {&dmz_schema, LISTENER DMZ_TUNNEL FORWARD("sip", "idle-timeout = 0s"),
     "f:10: [forward sip] listen: neither it nor to is there; listen, where connections come from, "
     "or to, where they go, would be right"},
    {&dmz_schema, LISTENER DMZ_TUNNEL FORWARD("sip", "to = 10.0.0.1:1\nlisten = 192.0.2.10:5061"),
     "f:12: [forward sip] listen: it stands beside to; listen, where connections come from, or to, "
     "where they go, would be right"},
    {&inner_schema, INNER_LEAST FORWARD("sip", "to = sip.example.com:5060"), NULL},
    {&dmz_schema, LISTENER DMZ_TUNNEL FORWARD("out", "to = sip.example.com:5060"), NULL},
    {&inner_schema, INNER_LEAST FORWARD("sip", "to = sip.example.com"),
     "f:14: [forward sip] to: \"sip.example.com\" is wrong; a name or an IP address with a port "
     "such "
     "as relay.example.com:7000, 192.0.2.1:7000 or [2001:db8::1]:7000, or nothing, would be right"},
    {&inner_schema, INNER_LEAST FORWARD("sip", "to = 0.0.0.0:5060"),
     "f:14: [forward sip] to: the address is unspecified; that of a single host would be right"},
    {&dmz_schema, LISTENER DMZ_TUNNEL FORWARD("sip", "listen = 224.0.0.1:5060"),
     "f:11: [forward sip] listen: the address is multicast; that of a single host would be right"},
    {&inner_schema, INNER_LEAST FORWARD("out", "listen = 10.0.0.1:5060\nproxy-protocol = v1"),
     "f:15: [forward out] proxy-protocol: it is for connections that are made, and this one "
     "listens; nothing would be right"},
    {&dmz_schema,
     LISTENER DMZ_TUNNEL FORWARD("a", "listen = 192.0.2.10:5061")
         FORWARD("b", "listen = 192.0.2.10:5061"),
     "f:13: [forward b] listen: 192.0.2.10:5061 is that of [forward a], too; another port would be "
     "right"},
    {&dmz_schema, LISTENER DMZ_TUNNEL FORWARD("sip", "listen = 192.0.2.10:5061\nsite = no.example"),
     "f:12: [forward sip] site: \"no.example\" is none that this file names; one of those would be "
     "right"},
    {&inner_schema,
     DMZ "[dmz two]\naddress = b.example:7000\nname = b.example\n" LISTENER INNER_TUNNEL NETWORKS
         FORWARD("sip", "to = 10.0.0.1:5060"),
     "f:16: [forward sip] dmz: there are 2 of them; the name of one would be right"},
    {&dmz_schema,
     LISTENER DMZ_TUNNEL FORWARD("sip", "listen = 192.0.2.10:5061\nproxy-protocol = v1"),
     "f:12: [forward sip] proxy-protocol: unknown key; the nearest known one is \"to\""},
    {&dmz_schema, LISTENER PEER("a", "203.0.113.20", "5004") DMZ_TUNNEL, NULL},
    {&inner_schema, INNER_LEAST PEER("a", "203.0.113.20", "5004"), NULL},
    {&dmz_schema, LISTENER PEER("a", "10.0.0.1", "5004") PEER("b", "10.0.0.1", "5006") DMZ_TUNNEL,
     NULL},
    {&dmz_schema,
     LISTENER PEER("a", "2001:db8::1", "5004") PEER("b", "10.0.0.1", "5004") DMZ_TUNNEL, NULL},
    {&dmz_schema, LISTENER PEER("a", "192.0.2.10", "5006") DMZ_TUNNEL, NULL},
    {&dmz_schema, LISTENER "[peer a]\naddress = 203.0.113.20\n" DMZ_TUNNEL,
     "f:4: [peer a] rtp-port: it is missing; a number from 1 to 65534 would be right"},
    {&dmz_schema, LISTENER PEER("a", "203.0.113.20", "65535") DMZ_TUNNEL,
     "f:6: [peer a] rtp-port: \"65535\" is out of range; a number from 1 to 65534 would be right"},
    {&dmz_schema, LISTENER PEER("self", "203.0.113.20", "5004") DMZ_TUNNEL,
     "f:4: [peer self]: the name \"self\" is the relay's own; another name would be right"},
    {&dmz_schema, LISTENER PEER("a", "224.0.0.1", "5004") DMZ_TUNNEL,
     "f:5: [peer a] address: the address is multicast; that of a single host would be right"},
    {&dmz_schema, LISTENER PEER("a", "255.255.255.255", "5004") DMZ_TUNNEL,
     "f:5: [peer a] address: the address is broadcast; that of a single host would be right"},
    {&inner_schema, PEER("a", "::", "5004") INNER_LEAST,
     "f:2: [peer a] address: the address is unspecified; that of a single host would be right"},
    {&dmz_schema, LISTENER PEER("a", "127.0.0.2", "5004") DMZ_TUNNEL,
     "f:5: [peer a] address: the address is loopback; for tests only, [networks] "
     "test-allow-loopback = yes would be right"},
    {&dmz_schema,
     LISTENER PEER("a", "127.0.0.2", "5004") DMZ_TUNNEL "[networks]\ntest-allow-loopback = yes\n",
     NULL},
    {&inner_schema, INNER_LEAST PEER("a", "10.0.0.2", "5004"),
     "f:14: [peer a] address: the address is in [networks] internal; that of a relay outside would "
     "be right"},
    {&inner_schema, INNER_LEAST PEER("a", "64:ff9b::10.0.0.2", "5004"),
     "f:14: [peer a] address: the address is in [networks] internal; that of a relay outside would "
     "be right"},
    {&dmz_schema, LISTENER PEER("a", "192.0.2.10", "5005") DMZ_TUNNEL,
     "f:5: [peer a] address: it is our own [listener main], which is a peer by itself; the address "
     "of another relay would be right"},
    {&dmz_schema,
     LISTENER "advertise = 198.51.100.10\n" PEER("a", "198.51.100.10", "5004") DMZ_TUNNEL,
     "f:6: [peer a] address: it is our own [listener main], which is a peer by itself; the address "
     "of another relay would be right"},
    {&dmz_schema,
     LISTENER PEER("a", "203.0.113.20", "5004") PEER("b", "203.0.113.20", "5005") DMZ_TUNNEL,
     "f:9: [peer b] rtp-port: the ports 5005 and 5006 meet those of [peer a], 5004 and 5005 at the "
     "same address; another address or port would be right"},
    {&inner_schema, INNER_LEAST SIGNALLING "ng = udp:127.0.0.1:2223, udp:[::1]:2223, unix:/s\n",
     NULL},
    {&inner_schema, INNER_LEAST SIGNALLING "ng = 127.0.0.1:2223\n",
     "f:14: [signalling] ng: \"127.0.0.1:2223\" is wrong; " NG_SOCKETS},
    {&inner_schema, INNER_LEAST SIGNALLING "ng = unix:s\n",
     "f:14: [signalling] ng: \"unix:s\" is wrong; " NG_SOCKETS},
    {&inner_schema, INNER_LEAST SIGNALLING "ng = unix:/\n",
     "f:14: [signalling] ng: \"unix:/\" is wrong; " NG_SOCKETS},
    {&inner_schema, INNER_LEAST SIGNALLING "ng = unix:/s, unix:/s\n",
     "f:14: [signalling] ng: \"unix:/s, unix:/s\" names one thing twice; " NG_SOCKETS},
    {&inner_schema, INNER_LEAST SIGNALLING "ng = unix:/1, unix:/2, unix:/3, unix:/4, unix:/5\n",
     "f:14: [signalling] ng: \"unix:/1, unix:/2, unix:/3, unix:/4, unix:/5\" is "
     "wrong; " NG_SOCKETS},
    {&inner_schema, INNER_LEAST SIGNALLING "ng = udp:10.0.0.5:2223\n",
     "f:14: [signalling] ng: nobody may ask at an address that is not loopback; ng-allow with the "
     "SIP proxy's address would be right"},
    {&inner_schema, INNER_LEAST SIGNALLING "ng = udp:10.0.0.5:2223\nng-allow = 10.0.0.6\n", NULL},
    {&inner_schema, INNER_LEAST SIGNALLING "ng = udp:0.0.0.0:2223\nng-allow = 10.0.0.6\n",
     "f:14: [signalling] ng: the address is unspecified; one of this host's own would be right"},
    {&inner_schema, INNER_LEAST SIGNALLING "ng-allow = ::/0\n",
     "f:14: [signalling] ng-allow: it allows everybody; the SIP proxies' addresses would be right"},
    {&inner_schema, INNER_LEAST SITE "direct-to = 198.51.100.1, 10.2.0.0/16, 2001:db8::/48\n",
     NULL},
    {&inner_schema, INNER_LEAST SITE "direct-to = 198.51.100.1, 0.0.0.0/0\n",
     "f:14: [site b.example] direct-to: \"0.0.0.0/0\" is everywhere; " OF_NAT},
    {&inner_schema, INNER_LEAST SITE "direct-to = ::/0\n",
     "f:14: [site b.example] direct-to: \"::/0\" is everywhere; " OF_NAT},
    {&inner_schema, INNER_LEAST SITE "direct-to = 0.0.0.0\n",
     "f:14: [site b.example] direct-to: \"0.0.0.0/32\" is unspecified; " OF_NAT},
    {&inner_schema, INNER_LEAST SITE "direct-to = 0.0.0.0/1\n",
     "f:14: [site b.example] direct-to: \"0.0.0.0/1\" is unspecified; " OF_NAT},
    {&inner_schema, INNER_LEAST SITE "direct-to = 224.0.0.1\n",
     "f:14: [site b.example] direct-to: \"224.0.0.1/32\" is multicast; " OF_NAT},
    {&inner_schema, INNER_LEAST SITE "direct-to = ff02::/16\n",
     "f:14: [site b.example] direct-to: \"ff02::/16\" is multicast; " OF_NAT},
    {&inner_schema, INNER_LEAST SITE "direct-to = 255.255.255.255\n",
     "f:14: [site b.example] direct-to: \"255.255.255.255/32\" is broadcast; " OF_NAT},
    {&inner_schema, INNER_LEAST SITE "direct-to = 127.0.0.1\n",
     "f:14: [site b.example] direct-to: \"127.0.0.1/32\" is loopback; " FOR_TESTS},
    {&inner_schema, INNER_LEAST SITE "direct-to = ::ffff:127.0.0.1\n",
     "f:14: [site b.example] direct-to: \"127.0.0.1/32\" is loopback; " FOR_TESTS},
    {&inner_schema, INNER_LEAST "test-allow-loopback = yes\n" SITE "direct-to = 127.0.0.1, ::1\n",
     NULL},
    {&inner_schema, INNER_LEAST SITE "allow-spoofing = yes\n",
     "f:14: [site b.example] allow-spoofing: nowhere may segments be sent; direct-to with " OF_NAT},
    {&inner_schema, INNER_LEAST SITE SPOOFING,
     "f:15: [site b.example] allow-spoofing: there is no raw socket; [tunnel] raw-socket = yes "
     "would be right"},
    {&inner_schema, INNER_RAW SITE SPOOFING, NULL},
    {&inner_schema, INNER_RAW SITE SPOOFING "[daemon]\nworkers = 2\n",
     "f:16: [site b.example] allow-spoofing: it does not work with more than one thread; [daemon] "
     "workers = 1 would be right"},
    {&inner_schema, DMZ HTTP_PROXY LISTENER INNER_TUNNEL RAW NETWORKS SITE SPOOFING,
     "f:17: [site b.example] allow-spoofing: it does not work through the HTTP proxy of [dmz one]; "
     "allow-spoofing = no would be right"},
    {&inner_schema, TWO_DMZS LISTENER INNER_TUNNEL RAW NETWORKS SITE SPOOFING, NULL},
    {&inner_schema, TWO_DMZS LISTENER INNER_TUNNEL RAW NETWORKS SITE SPOOFING "dmz = two\n",
     "f:20: [site b.example] allow-spoofing: it does not work through the HTTP proxy of [dmz two]; "
     "allow-spoofing = no would be right"},
    {&inner_schema, DMZ LISTENER INNER_TUNNEL "sites = a.example\n" NETWORKS,
     "f:11: [tunnel] sites: unknown key; the nearest known one is \"key\""},
};

START_TEST(test_rows)
{
    char error[512];
    void *conf;
    int code = conf_parse(rows[_i].schema, "f", rows[_i].text, strlen(rows[_i].text), &conf, error,
                          sizeof(error));

    ck_assert_str_eq(error, rows[_i].error ? rows[_i].error : "");
    ck_assert_int_eq(code, rows[_i].error ? ERR_CONFIG : 0);
    free(conf);
}
END_TEST

static struct inner_settings *read_inner(const char *text)
{
    char error[512] = "";
    void *conf = NULL;

    (void)conf_parse(&inner_schema, "f", text, strlen(text), &conf, error, sizeof(error));
    ck_assert_str_eq(error, "");
    return conf;
}

/* What a wide network has in it beside hosts is not where the other site is. */
START_TEST(test_direct_to)
{
    static const struct {
        const char *addr;
        bool open, loopback;
    } addrs[] = {
        {"198.51.100.1", true, true}, {"126.0.0.1", true, true},
        {"127.0.0.1", false, true},   {"::1", false, true},
        {"2001:db8::1", true, true},  {"224.0.0.1", false, false},
        {"ff02::1", false, false},    {"255.255.255.255", false, false},
        {"10.0.0.1", false, false},
    };
    struct inner_settings *s =
        read_inner(INNER_LEAST SITE "direct-to = 96.0.0.0/3, 128.0.0.0/1, 2000::/3, 8000::/1\n");
    struct inner_settings *test = read_inner(INNER_LEAST "test-allow-loopback = yes\n" SITE
                                                         "direct-to = 96.0.0.0/3, 128.0.0.0/1, "
                                                         "2000::/3, 8000::/1, ::1\n");

    for (size_t i = 0; i < sizeof(addrs) / sizeof(addrs[0]); i++) {
        struct addr addr;

        ck_assert_int_eq(addr_parse_ip(addrs[i].addr, &addr), 0);
        ck_assert_msg(inner_site_is_at(s, "B.example", &addr) == addrs[i].open, "%s",
                      addrs[i].addr);
        ck_assert_msg(inner_site_is_at(test, "b.example", &addr) == addrs[i].loopback, "%s",
                      addrs[i].addr);
        ck_assert(!inner_site_is_at(s, "c.example", &addr));
    }
    free(s);
    free(test);
}
END_TEST

#define NO_RAW(section)                                                                            \
    section " carrier: there is no raw socket, so it is unordered in place of raw, and a lost "    \
            "segment holds up those behind it; [tunnel] raw-socket = yes would be right\n"
#define DIRECT SITE "direct-to = 198.51.100.1\n"

static const struct {
    const char *text, *warnings;
} warned[] = {
    {INNER_LEAST DIRECT, ""},
    {DMZ "carrier = raw\n" LISTENER INNER_TUNNEL RAW NETWORKS, ""},
    {DMZ "carrier = unordered\n" LISTENER INNER_TUNNEL NETWORKS, ""},
    {DMZ "carrier = raw\n" LISTENER INNER_TUNNEL NETWORKS, NO_RAW("[dmz one]")},
    {DMZ "carrier = raw\n[forwarder f]\naddress = f.example:1\nname = f.example\ncarrier = "
         "raw\n" LISTENER INNER_TUNNEL NETWORKS DIRECT "[daemon]\nworkers = 2\n",
     NO_RAW("[dmz one]") NO_RAW("[forwarder f]") "[site b.example] direct-to: with more than one "
                                                 "thread no connection to it is opened; "
                                                 "[daemon] workers = 1 would be right\n"},
    {TWO_DMZS LISTENER INNER_TUNNEL NETWORKS DIRECT "dmz = one\n", ""},
    {TWO_DMZS LISTENER INNER_TUNNEL NETWORKS DIRECT "dmz = two\n",
     "[site b.example] direct-to: through the HTTP proxy of [dmz two] no connection to it is "
     "opened; nothing would be right\n"},
};

START_TEST(test_warnings)
{
    struct inner_settings *s = read_inner(warned[_i].text);
    char all[1024] = "", one[512];

    for (size_t i = 0; inner_warning(s, i, one, sizeof(one)); i++) {
        ck_assert_uint_lt(strlen(all) + strlen(one) + 1, sizeof(all));
        strcat(strcat(all, one), "\n");
    }
    ck_assert_str_eq(all, warned[_i].warnings);
    free(s);
}
END_TEST

/* Full files, in the form that -T gives. */
static const struct {
    const struct conf_schema *schema;
    const char *text;
} whole[] = {
    {&dmz_schema,
     "[listener v4]\naddress = 10.1.2.3\nadvertise = 203.0.113.10\nrtp-port = 5004\nm-line = 0\n"
     "dscp = af41\n\n[listener v6]\naddress = 2001:db8::10\nadvertise = 2001:db8::11\n"
     "rtp-port = 65534\nm-line = 15\ndscp = be\n\n[peer one]\naddress = 203.0.113.20\nrtp-port = "
     "5004\n\n[peer two]\naddress = 2001:db8::20\nrtp-port = 65534\n\n[tunnel]\nlisten = "
     "[2001:db8::10]:7000\n"
     "sites = hq.example, branch.example\ncertificate = /etc/c.pem\nkey = /etc/k.pem\n"
     "ca = /etc/ca.pem\ncrl = /etc/crl.pem\nmax-age = 100ms\ndscp = cs5\nraw-socket = "
     "yes\nstale-hold = 24h\n"
     "max-handshakes = 1024\n\n[site branch.example]\ncall-from = "
     "hq.example\n\n[networks]\nexternal = 198.51.100.0/24, 2001:db8:1::/48\n"
     "test-allow-loopback = yes\n\n[srtp]\nsrtp-engine = libsrtp2\n\n[limits]\nmax-sas = "
     "1000000\nsite-quota = 1\n\n[control]\n"
     "socket = /run/s\ngroup = relay\n\n[log]\ntarget = stderr\nlevel = debug\n\n[daemon]\n"
     "allow-root = yes\npid-file = /run/p\ncoalesce = 250us\n"
     "workers = 32\n"},
    {&inner_schema,
     "[dmz one]\naddress = [2001:db8::10]:7000\nname = dmz-1.example\nproxy =\n"
     "proxy-password-file =\nvia = connect, upgrade, http\ncarrier = stream\n\n[dmz two]\n"
     "address = dmz-2.example:7000\nname = dmz-2.example\n"
     "proxy = http://me@proxy.example:80\nproxy-password-file = /p\nvia = http\ncarrier = "
     "unordered\n\n[listener "
     "main]\naddress = 10.0.0.5\n"
     "advertise = 10.0.0.6\nrtp-port = 5004\nm-line = any\ndscp = 44\n\n[peer one]\n"
     "address = 203.0.113.20\nrtp-port = 5004\n\n[tunnel]\n"
     "certificate = /c\nkey = /k\nca = /a\ncrl =\nmax-age = 1s\ndscp = ef\nraw-socket = "
     "no\n\n[networks]\n"
     "internal = 10.0.0.0/8, fd00::/8\nexternal = 198.51.100.7/32\ntest-allow-loopback = no\n\n"
     "[srtp]\nsrtp-engine = evp\ndmz-keys = keyless\n\n[learning]\nsource-policy = strict\n"
     "ssrc-policy = strict\n\n[limits]\nmax-sas = 1\nsa-rate = "
     "8\nmedia-timeout = 90s\n\n[signalling]\nng = udp:127.0.0.1:2223, udp:[::1]:2223, "
     "unix:/run/ng\nng-allow = 10.0.0.6/32\nwhen-down = refuse\nrelay-internal = yes\n"
     "offer-timeout = 1s\ncall-max = 168h\nmax-calls = 9\n\n[state]\nfile =\n"
     "max-age = 24h\ninterval = 1min\n\n[control]\nsocket = /run/s\ngroup =\n\n[log]\n"
     "target = syslog\nlevel = error\n\n[daemon]\nallow-root = no\npid-file =\ncoalesce = auto\n"
     "workers = 1\n"},
};
enum { WHOLE = sizeof(whole) / sizeof(whole[0]) };

/* What -T prints is the file itself when nothing was left to a default. */
START_TEST(test_print)
{
    void *conf = parsed(whole[_i].schema, whole[_i].text);
    char *text = print(whole[_i].schema, conf);

    ck_assert_str_eq(text, whole[_i].text);
    free(text);
    free(conf);
}
END_TEST

/* Defaults printed and read again are the same settings. */
START_TEST(test_print_defaults)
{
    static const struct {
        const struct conf_schema *schema;
        const char *text;
    } least[] = {{&dmz_schema, dmz_least}, {&inner_schema, inner_least}};
    void *conf = parsed(least[_i].schema, least[_i].text);
    char *once = print(least[_i].schema, conf);
    void *again = parsed(least[_i].schema, once);
    char *twice = print(least[_i].schema, again);

    ck_assert_str_eq(once, twice);
    free(conf);
    free(again);
    free(once);
    free(twice);
}
END_TEST

/* Either an error with a text, or settings that can be printed and read again. */
static void try_text(const struct conf_schema *schema, const char *text, size_t length)
{
    char error[512];
    void *conf;
    int code = conf_parse(schema, "f", text, length, &conf, error, sizeof(error));

    if (code < 0) {
        ck_assert_ptr_null(conf);
        ck_assert_msg(strncmp(error, "f:", 2) == 0, "%s", error);
        /* What is wrong, and what would be right. */
        ck_assert_msg(strchr(error, ';') != NULL, "%s", error);
        return;
    }
    char *once = print(schema, conf);
    void *again = parsed(schema, once);

    free(once);
    free(again);
    free(conf);
}

START_TEST(test_truncated)
{
    for (size_t length = 0; length < strlen(whole[_i].text); length++)
        try_text(whole[_i].schema, whole[_i].text, length);
}
END_TEST

START_TEST(test_bits)
{
    size_t length = strlen(whole[_i].text);
    char *text = strdup(whole[_i].text);

    for (size_t bit = 0; bit < 8 * length; bit += unit_stride(9)) {
        text[bit / 8] = (char)(text[bit / 8] ^ (1 << bit % 8));
        try_text(whole[_i].schema, text, length);
        text[bit / 8] = (char)(text[bit / 8] ^ (1 << bit % 8));
    }
    free(text);
}
END_TEST

/* A table that is wrong in itself is a defect of the program. */
START_TEST(test_tables)
{
    const struct conf_schema *schemas[] = {&dmz_schema, &inner_schema};
    const struct conf_schema *schema = schemas[_i];

    for (const struct conf_key *k = schema->keys; k->name; k++) {
        const struct conf_section *s = schema->sections;
        char line[256];

        while (s->name && strcmp(s->name, k->section) != 0)
            s++;
        ck_assert_msg(s->name, "[%s] %s: no such section", k->section, k->name);
        for (const struct conf_key *other = schema->keys; other < k; other++)
            ck_assert(strcmp(other->section, k->section) != 0 || strcmp(other->name, k->name) != 0);
        /* The sections of a name come and go as a whole. */
        for (const struct conf_key *other = schema->keys; s->named && other < k; other++)
            ck_assert(strcmp(other->section, k->section) != 0 || other->live == k->live);
        if (k->type == CONF_PATH || k->type == CONF_TEXT) {
            ck_assert_uint_lt(k->max, k->size);
            ck_assert_int_le(snprintf(line, sizeof(line), "%s = %*s", k->name, (int)k->max, ""),
                             198);
        }
    }
}
END_TEST

static char *read_whole(const char *name)
{
    const char *top = getenv("TEST_TOP_SRCDIR");
    char path[4096], *text = calloc(1, 65536);
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", top ? top : ".", name);
    file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s cannot be opened", path);
    ck_assert_uint_gt(fread(text, 1, 65535, file), 0);
    fclose(file);
    return text;
}

/* The installed examples are taken as they are. */
START_TEST(test_examples)
{
    static const struct {
        const struct conf_schema *schema;
        const char *name;
    } examples[] = {{&dmz_schema, "examples/dmz-relay.ini"},
                    {&inner_schema, "examples/inner-relay.ini"}};
    char *text = read_whole(examples[_i].name);

    free(parsed(examples[_i].schema, text));
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("settings");
    TCase *tc = tcase_create("settings");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, test_dmz_defaults);
    tcase_add_test(tc, test_callers);
    tcase_add_test(tc, test_inner_defaults);
    tcase_add_test(tc, test_call_options);
    tcase_add_loop_test(tc, test_rows, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tc, test_direct_to);
    tcase_add_loop_test(tc, test_warnings, 0, sizeof(warned) / sizeof(warned[0]));
    tcase_add_loop_test(tc, test_print, 0, WHOLE);
    tcase_add_loop_test(tc, test_print_defaults, 0, 2);
    tcase_add_loop_test(tc, test_truncated, 0, WHOLE);
    tcase_add_loop_test(tc, test_bits, 0, WHOLE);
    tcase_add_loop_test(tc, test_tables, 0, 2);
    tcase_add_loop_test(tc, test_examples, 0, 2);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
