#include "inner-relay/admit.h"

#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/sa/rekey.h"
#include "common/sa/table.h"
#include "common/srtp/srtp.h"
#include "tests/unit/core.h"
#include "tests/unit/unit.h"

enum { ROOM = 16 };

static struct core core;

/* The next numbers that are drawn. */
static struct {
    unsigned next, count;
    uint32_t number[16];
} lots;

uint32_t __real_random_u32(void);
uint32_t __wrap_random_u32(void);

uint32_t __wrap_random_u32(void)
{
    return lots.next < lots.count ? lots.number[lots.next++] : __real_random_u32();
}

static void start_engine(void)
{
    ck_assert(core_start_engine());
}

static void setup(void)
{
    ck_assert(core_init(&core, ROOM));
    core_introduce(&core, 0, 100, 100);
}

static void teardown(void)
{
    lots.count = 0;
    core_fini(&core);
}

static struct addr addr_of(const char *text)
{
    struct addr addr = {0};

    ck_assert_int_eq(addr_parse(text, &addr), 0);
    return addr;
}

/* ------------------------------------------------------------ refusals */

/* Addresses of a request, by name. */
enum place { SOURCE, SOURCE_RTCP, TO, TO_RTCP };

static struct addr *place_of(struct admit_request *request, enum place place)
{
    struct sa_transport *transport = place < TO ? &request->source : &request->destination;

    return place == SOURCE || place == TO ? &transport->rtp : &transport->rtcp;
}

static const char *const fields[] = {"source", "source_rtcp", "to", "to_rtcp"};

/* The sender is outside: its source is external, the receiver internal. "" is family 0. */
static const struct {
    enum place place;
    const char *addr;
    int code; /* 0: accepted */
    const char *says;
} addresses[] = {
    {SOURCE, "", ERR_INVALID, "the source is strict"},
    {SOURCE, "224.0.0.5:1024", ERR_FORBIDDEN, "multicast"},
    {SOURCE, "255.255.255.255:1024", ERR_FORBIDDEN, "broadcast"},
    {SOURCE, "0.0.0.0:1024", ERR_FORBIDDEN, "the address is unspecified and cannot be a sender's"},
    {SOURCE, "10.9.9.9:1024", ERR_FORBIDDEN, "in [networks] internal"},
    {SOURCE, "198.18.0.1:1024", 0, ""},
    {SOURCE_RTCP, "", 0, ""},
    {SOURCE_RTCP, "[2001:db8::1]:1025", ERR_INVALID, "family"},
    {SOURCE_RTCP, "224.0.0.5:1025", ERR_FORBIDDEN, "multicast"},
    {SOURCE_RTCP, "10.9.9.9:1025", ERR_FORBIDDEN, "in [networks] internal"},
    {TO, "", ERR_INVALID, "needed"},
    {TO, "192.0.2.77:1024", ERR_FORBIDDEN, "not in [networks] internal"},
    {TO, "8.8.8.8:1024", ERR_FORBIDDEN, "not in [networks] internal"},
    {TO, "127.0.0.1:1024", ERR_FORBIDDEN, "loopback"},
    {TO, "10.0.0.1:1024", ERR_FORBIDDEN, "own address"},
    {TO, "10.0.0.101:7777", ERR_FORBIDDEN, "own address"},
    {TO, "224.0.0.5:1024", ERR_FORBIDDEN, "multicast"},
    {TO_RTCP, "", 0, ""},
    {TO_RTCP, "[fd00::9]:1025", ERR_INVALID, "family"},
    {TO_RTCP, "192.0.2.77:1025", ERR_FORBIDDEN, "not in [networks] internal"},
    {TO_RTCP, "10.0.0.1:1025", ERR_FORBIDDEN, "own address"},
};

/* What admit() must leave as it was when it refuses. */
struct picture {
    size_t count;
    uint64_t next_id, version, reverse;
    unsigned kicked, changed;
};

static struct picture take_picture(void)
{
    const struct sa *first = inner_find_sa(&core.inner, 1);

    return (struct picture){.count = table_count(core.inner.table),
                            .next_id = core.inner.next_id,
                            .version = core.inner.links[0].authority.version,
                            .reverse = first ? first->reverse : 0,
                            .kicked = core.kicked[0],
                            .changed = core.changed};
}

static void check_refused(const struct admit_request *request, int code, const char *field,
                          const char *says)
{
    struct picture before = take_picture(), after;
    struct sa *sa = NULL;
    struct admit_error error;

    ck_assert_int_eq(admit_check(&core.inner, request, NULL, &error), code);
    ck_assert_msg(strstr(error.text, says) != NULL, "\"%s\" does not say \"%s\"", error.text, says);
    ck_assert_int_eq(admit(&core.inner, request, 1, 1, &sa, &error), code);
    if (field)
        ck_assert_str_eq(error.field, field);
    else
        ck_assert_ptr_null(error.field);
    ck_assert_msg(strstr(error.text, says) != NULL, "\"%s\" does not say \"%s\"", error.text, says);
    ck_assert_ptr_null(sa);
    after = take_picture();
    ck_assert_mem_eq(&before, &after, sizeof(before));
}

START_TEST(test_addresses)
{
    const char *text = addresses[_i].addr;
    struct admit_request request;
    struct addr *addr;

    core_request(&request, 1);
    addr = place_of(&request, addresses[_i].place);
    *addr = text[0] ? addr_of(text) : (struct addr){0};
    if (addresses[_i].code == 0)
        ck_assert_ptr_nonnull(core_add(&core, &request));
    else
        check_refused(&request, addresses[_i].code, fields[addresses[_i].place],
                      addresses[_i].says);
}
END_TEST

/* Port 0 cannot come through addr_parse. */
START_TEST(test_port_0)
{
    struct admit_request request;

    core_request(&request, 1);
    place_of(&request, (enum place)_i)->port = 0;
    check_refused(&request, _i < TO ? ERR_INVALID : ERR_FORBIDDEN, fields[_i], "port 0");
}
END_TEST

/* With mux the RTCP addresses do not count, whatever stands there. */
START_TEST(test_mux_needs_no_rtcp)
{
    struct admit_request request;
    const struct sa *sa;

    core_request(&request, 1);
    request.source.mux = request.destination.mux = true;
    request.source.rtcp = addr_of("224.0.0.5:9");
    request.destination.rtcp = addr_of("[2001:db8::9]:9");
    sa = core_add(&core, &request);
    ck_assert_ptr_nonnull(sa);
    ck_assert(sa->source.mux && sa->destination.mux);
}
END_TEST

/* The other way round: an internal sender, an external receiver. */
static void turn_round(struct admit_request *request)
{
    request->side = SA_SIDE_INTERNAL;
    request->source.rtp = addr_of("10.0.1.20:3000");
    request->source.rtcp = addr_of("10.0.1.20:3001");
    request->destination.rtp = addr_of("192.0.2.10:3000");
    request->destination.rtcp = addr_of("192.0.2.10:3001");
}

static const struct {
    enum place place;
    const char *addr;
    int code;
    const char *says;
} internal[] = {
    {SOURCE, "192.0.2.10:1024", ERR_FORBIDDEN, "not in [networks] internal"},
    {SOURCE_RTCP, "192.0.2.10:1025", ERR_FORBIDDEN, "not in [networks] internal"},
    {TO, "10.0.1.77:1024", ERR_FORBIDDEN, "not on the external side"},
    {TO, "192.168.1.1:1024", ERR_FORBIDDEN, "neither a public address"},
    {TO, "8.8.8.8:1024", 0, ""},
    {TO_RTCP, "192.168.1.1:1025", ERR_FORBIDDEN, "neither a public address"},
    /* What an SDP of anybody may say: at each of them media would end inside, or with us. */
    {TO, "127.0.0.1:5004", ERR_FORBIDDEN, "loopback"},
    {TO, "127.8.8.8:5004", ERR_FORBIDDEN, "loopback"},
    {TO, "[::1]:5004", ERR_FORBIDDEN, "loopback"},
    {TO, "[::ffff:127.0.0.1]:5004", ERR_FORBIDDEN, "loopback"},
    {TO, "[64:ff9b::7f00:1]:5004", ERR_FORBIDDEN, "loopback"},
    {TO, "[2002:7f00:1::]:5004", ERR_FORBIDDEN, "loopback"},
    {TO, "0.0.0.0:5004", ERR_FORBIDDEN, "unspecified"},
    {TO, "[::]:5004", ERR_FORBIDDEN, "unspecified"},
    {TO, "239.255.1.2:5004", ERR_FORBIDDEN, "multicast"},
    {TO, "[ff02::1]:5004", ERR_FORBIDDEN, "multicast"},
    {TO, "255.255.255.255:5004", ERR_FORBIDDEN, "broadcast"},
    {TO, "[::ffff:10.0.1.77]:5004", ERR_FORBIDDEN, "not on the external side"},
    {TO, "[2002:a00:14d::1]:5004", ERR_FORBIDDEN, "not on the external side"},
    {TO, "10.0.0.1:4000", ERR_FORBIDDEN, "own address"},
    {TO, "10.0.0.101:4000", ERR_FORBIDDEN, "own address"},
    {TO, "9.9.9.9:5006", ERR_FORBIDDEN, "an address of dmz east"},
    {TO, "9.9.9.9:5005", ERR_INVALID, "the RTCP port of a [peer]"},
    {TO, "[2001:db8::7]:5062", ERR_FORBIDDEN, "an address of dmz east"},
    {TO, "[64:ff9b::909:909]:5062", ERR_FORBIDDEN, "an address of dmz east"},
    {TO_RTCP, "127.0.0.1:5005", ERR_FORBIDDEN, "loopback"},
    {TO_RTCP, "9.9.9.9:5007", ERR_FORBIDDEN, "an address of dmz east"},
    {TO_RTCP, "9.9.9.9:5005", ERR_INVALID, "the address of a [peer]"},
};

START_TEST(test_internal_sender)
{
    struct admit_request request;

    core_request(&request, 1);
    turn_round(&request);
    *place_of(&request, internal[_i].place) = addr_of(internal[_i].addr);
    request.destination.mux = place_of(&request, TO)->family == 6;
    core.inner.links[0].peer.listener[0].advertise = addr_of("9.9.9.9:5004");
    if (internal[_i].code == 0)
        ck_assert_ptr_nonnull(core_add(&core, &request));
    else
        check_refused(&request, internal[_i].code, fields[internal[_i].place], internal[_i].says);
}
END_TEST

/*
 * Where the way back is learned, what may not be sent to is no more than a word of the SDP: left
 * out, until the other side is heard.
 */
START_TEST(test_bad_target_of_a_learned_way_back)
{
    struct admit_request request;
    const struct sa *sa;

    core_request(&request, 1);
    request.source_policy = SOURCE_HINTED;
    ck_assert_ptr_nonnull(core_add(&core, &request));
    core_request(&request, 2);
    turn_round(&request);
    request.destination.mux = true;
    core.inner.links[0].peer.listener[0].advertise = addr_of("9.9.9.9:5004");
    *place_of(&request, TO) = addr_of(internal[_i].addr);
    request.reverse = 1;
    sa = core_add(&core, &request);
    if (!sa)
        check_refused(&request, ERR_INVALID, "to", "[peer]");
    else if (internal[_i].code < 0)
        ck_assert_uint_eq(sa->destination.rtp.family, 0);
    else
        ck_assert(addr_equal(&sa->destination.rtp, place_of(&request, TO)));
}
END_TEST

/* ------------------------------------------------------------ RTP' and peers */

enum { RTP = SA_ENCAP_RTP, PRIME = SA_ENCAP_RTP_PRIME };

#define PEER "203.0.113.20"
#define OWN  "203.0.113.7" /* what the dmz-relay advertises */

/* A peer that no network lists, and one inside the range of 192.0.2.0/24. */
static void add_peers(void)
{
    struct addr other = addr_of(PEER ":5004"), near = addr_of("192.0.2.200:40000");

    ck_assert_int_eq(peers_add(&core.inner.peers, "other", &other), 0);
    ck_assert_int_eq(peers_add(&core.inner.peers, "near", &near), 0);
    peers_fill_rules(&core.inner.peers, &core.inner.rules);
}

/* "A" is A with the next port for RTCP, "A B" says where RTCP is, "A mux" that it is at A too. */
static void read_transport(const char *text, struct sa_transport *out)
{
    char rtp[ADDR_TEXT_SIZE], rtcp[ADDR_TEXT_SIZE] = "";

    ck_assert_int_ge(sscanf(text, "%63s %63s", rtp, rtcp), 1);
    *out = (struct sa_transport){.rtp = addr_of(rtp), .mux = strcmp(rtcp, "mux") == 0};
    out->rtcp = out->rtp;
    out->rtcp.port++;
    if (rtcp[0] && !out->mux)
        out->rtcp = addr_of(rtcp);
}

/* An external sender and its receiver inside, or the other way round; field NULL: accepted. */
static const struct {
    const char *outside, *inside;
    bool prime_outside, prime_inside; /* asked for */
    int encap_outside, encap_inside;  /* what comes of it */
    int code;
    const char *field[2], *says; /* field: for the external sender, for the internal one */
} primes[] = {
    {"192.0.2.9:10", "10.2.2.2:10", false, false, RTP, RTP, 0, {NULL}, ""},
    {PEER ":5004", "10.2.2.2:10", false, false, PRIME, RTP, 0, {NULL}, ""},
    {PEER ":5004", "10.2.2.2:10", true, false, PRIME, RTP, 0, {NULL}, ""},
    {PEER ":5004", "10.2.2.2:10", false, true, PRIME, PRIME, 0, {NULL}, ""},
    {PEER ":5004 mux", "10.2.2.2:10 mux", false, true, PRIME, PRIME, 0, {NULL}, ""},
    {"192.0.2.200:40000", "10.2.2.2:10", false, false, PRIME, RTP, 0, {NULL}, ""},
    {"192.0.2.9:10", "10.2.2.2:10", false, true, RTP, PRIME, 0, {NULL}, ""},
    {OWN ":5004", "10.2.2.2:10", false, false, PRIME, RTP, 0, {NULL}, ""},
    /* Others at the host of a peer send RTP. */
    {"192.0.2.200:40002", "10.2.2.2:10", false, false, RTP, RTP, 0, {NULL}, ""},
    {"192.0.2.9:10",
     "10.2.2.2:10",
     true,
     false,
     RTP,
     RTP,
     ERR_FORBIDDEN,
     {"rtp_prime", "to_rtp_prime"},
     "outside only a [peer] speaks RTP'"},
    {PEER ":5005",
     "10.2.2.2:10",
     false,
     false,
     RTP,
     RTP,
     ERR_INVALID,
     {"source", "to"},
     "the RTCP port of a [peer]"},
    {PEER ":5004 " PEER ":5007",
     "10.2.2.2:10",
     false,
     false,
     RTP,
     RTP,
     ERR_INVALID,
     {"source_rtcp", "to_rtcp"},
     "at the port behind that of RTP"},
    {PEER ":5004 192.0.2.9:5005",
     "10.2.2.2:10",
     false,
     false,
     RTP,
     RTP,
     ERR_INVALID,
     {"source_rtcp", "to_rtcp"},
     "at the port behind that of RTP"},
    {"192.0.2.9:10 " PEER ":5005",
     "10.2.2.2:10",
     false,
     false,
     RTP,
     RTP,
     ERR_INVALID,
     {"source_rtcp", "to_rtcp"},
     "the address of a [peer], but that of RTP is not"},
    {"192.0.2.9:10 " OWN ":5004",
     "10.2.2.2:10",
     false,
     false,
     RTP,
     RTP,
     ERR_INVALID,
     {"source_rtcp", "to_rtcp"},
     "the address of a [peer], but that of RTP is not"},
};

START_TEST(test_encapsulations)
{
    add_peers();
    for (unsigned inside = 0; inside < 2; inside++) {
        struct admit_request request;
        struct sa *sa;

        core_request(&request, 1);
        request.side = inside ? SA_SIDE_INTERNAL : SA_SIDE_EXTERNAL;
        read_transport(primes[_i].outside, inside ? &request.destination : &request.source);
        read_transport(primes[_i].inside, inside ? &request.source : &request.destination);
        request.prime_in = inside ? primes[_i].prime_inside : primes[_i].prime_outside;
        request.prime_out = inside ? primes[_i].prime_outside : primes[_i].prime_inside;
        if (primes[_i].code) {
            check_refused(&request, primes[_i].code, primes[_i].field[inside], primes[_i].says);
            continue;
        }
        sa = core_add(&core, &request);
        ck_assert_msg(sa, "%s", primes[_i].outside);
        ck_assert_int_eq(inside ? sa->encap_out : sa->encap_in, primes[_i].encap_outside);
        ck_assert_int_eq(inside ? sa->encap_in : sa->encap_out, primes[_i].encap_inside);
    }
}
END_TEST

/* Before the tunnel was up once, nobody knows the addresses of the dmz-relay. */
START_TEST(test_own_address_of_the_dmz)
{
    struct admit_request request;
    struct admit_error error;
    const struct sa *sa;

    core_request(&request, 1);
    request.source = (struct sa_transport){0};
    core.inner.links[0].peer = (struct hello){0};
    ck_assert_int_eq(admit_peer(&core.inner, "self", &request, &error), ERR_NOT_FOUND);
    ck_assert_str_eq(error.field, "peer");
    core_introduce(&core, 0, 100, 100);
    ck_assert_int_eq(admit_peer(&core.inner, "self", &request, &error), 0);
    sa = core_add(&core, &request);
    ck_assert_ptr_nonnull(sa);
    ck_assert_int_eq(sa->encap_in, SA_ENCAP_RTP_PRIME);
    read_transport(OWN ":5004", &request.destination);
    ck_assert(addr_equal(&sa->source.rtp, &request.destination.rtp));
    ck_assert(addr_equal(&sa->source.rtcp, &request.destination.rtcp));
    /* Where there are several listeners, the one that the SA names. */
    core_request(&request, 2);
    request.source = (struct sa_transport){.mux = true};
    snprintf(request.listener, sizeof(request.listener), "out6");
    ck_assert_int_eq(admit_peer(&core.inner, "self", &request, &error), 0);
    ck_assert_int_eq(request.source.rtp.family, 6);
    ck_assert_int_eq(request.source.rtcp.family, 0);
    snprintf(request.listener, sizeof(request.listener), "none");
    request.source = (struct sa_transport){0};
    ck_assert_int_eq(admit_peer(&core.inner, "self", &request, &error), ERR_NOT_FOUND);
    ck_assert_int_eq(request.source.rtp.family, 0);
}
END_TEST

START_TEST(test_peer)
{
    struct admit_request request;
    struct admit_error error;
    const struct sa *sa;

    add_peers();
    core_request(&request, 1);
    ck_assert_int_eq(admit_peer(&core.inner, "other", &request, &error), ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(error.text, "not together with source"));
    request.source = (struct sa_transport){0};
    ck_assert_int_eq(admit_peer(&core.inner, "nobody", &request, &error), ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(error.text, "[peer nobody]"));
    ck_assert_int_eq(request.source.rtp.family, 0);
    ck_assert_int_eq(admit_peer(&core.inner, "other", &request, &error), 0);
    sa = core_add(&core, &request);
    ck_assert_ptr_nonnull(sa);
    ck_assert_int_eq(sa->encap_in, SA_ENCAP_RTP_PRIME);
    /* The receiver of an internal sender. */
    core_request(&request, 2);
    turn_round(&request);
    ck_assert_int_eq(admit_peer(&core.inner, "near", &request, &error), ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(error.text, "not together with to"));
    request.destination = (struct sa_transport){0};
    ck_assert_int_eq(admit_peer(&core.inner, "near", &request, &error), 0);
    sa = core_add(&core, &request);
    ck_assert_ptr_nonnull(sa);
    ck_assert_int_eq(sa->encap_out, SA_ENCAP_RTP_PRIME);
    ck_assert_int_eq(sa->encap_in, SA_ENCAP_RTP);
    ck_assert_uint_eq(sa->destination.rtcp.port, 40001);
}
END_TEST

/* Several senders at one address: all RTP, or all RTP', also where RTCP of one is RTP of another.
 */
START_TEST(test_no_mix)
{
    static const struct {
        const char *source;
        const char *field; /* NULL: no mix */
    } second[] = {{"10.3.3.3:20", "source"},
                  {"10.3.3.3:19", "source_rtcp"},
                  {"10.3.3.3:21", "source"},
                  {"10.3.3.3:22", NULL},
                  {"10.3.3.3:19 mux", NULL}};
    struct admit_request request;

    core_request(&request, 1);
    turn_round(&request);
    read_transport("10.3.3.3:20", &request.source);
    request.prime_in = _i % 2;
    ck_assert_ptr_nonnull(core_add(&core, &request));
    request.ssrc[0]++;
    ck_assert_ptr_nonnull(core_add(&core, &request));
    request.ssrc[0]++;
    read_transport(second[_i / 2].source, &request.source);
    request.prime_in = !request.prime_in;
    if (second[_i / 2].field)
        check_refused(&request, ERR_EXISTS, second[_i / 2].field,
                      request.prime_in ? "has this source and RTP," : "has this source and RTP',");
    else
        ck_assert_ptr_nonnull(core_add(&core, &request));
}
END_TEST

/* ------------------------------------------------------------ what is learned */

enum { STRICT = SOURCE_STRICT, HINTED = SOURCE_HINTED, OPEN = SOURCE_OPEN };

/* What makes a policy other than strict impossible. */
enum fixed { NOTHING, ASSIGNED, PEER_SENDS, PRIME_INSIDE, KEYLESS };

/* Each with every policy that is configured, and that is asked for. */
static const struct {
    enum fixed fixed;
    const char *says; /* NULL: all is possible */
} fixed[] = {
    {NOTHING, NULL},
    {ASSIGNED, "not verified; strict would be right"},
    {PEER_SENDS, "RTP' comes from an address that is known"},
    {PRIME_INSIDE, "RTP' comes from an address that is known"},
    {KEYLESS, "with dmz-keys = keyless"},
};

static void fix_source(struct admit_request *request, enum fixed how)
{
    core_request(request, 1);
    if (how == ASSIGNED || how == PRIME_INSIDE)
        turn_round(request);
    request->assign_ssrc = how == ASSIGNED;
    request->ssrc_count = how != ASSIGNED;
    request->prime_in = how == PRIME_INSIDE;
    if (how == PEER_SENDS)
        read_transport(PEER ":5004", &request->source);
    if (how == KEYLESS)
        core.inner.options.dmz_keys = WIRE_REPLICA_KEYLESS;
}

START_TEST(test_policy)
{
    enum source_policy configured = (enum source_policy)(1 + _i % 3);
    const char *says = fixed[_i / 3].says;

    core.inner.options.source_policy = configured;
    add_peers();
    for (enum source_policy asked = 0; asked <= SOURCE_OPEN; asked++) {
        struct admit_request request;
        struct sa *sa;

        fix_source(&request, fixed[_i / 3].fixed);
        request.source_policy = asked;
        if (says && asked > SOURCE_STRICT) {
            check_refused(&request, ERR_INVALID, "source_policy", says);
            continue;
        }
        sa = core_add(&core, &request);
        ck_assert_ptr_nonnull(sa);
        ck_assert_int_eq(sa->source_policy, says ? STRICT : asked ? asked : configured);
        ck_assert(!sa->bound[0] && !sa->bound[1]);
        inner_delete(&core.inner, sa, 1);
    }
}
END_TEST

/* inside: the sender. source and hint "": not known. */
static const struct {
    int policy;
    bool inside;
    const char *source, *hint;
    int code;
    const char *field, *says;
} sources[] = {
    {HINTED, false, "", "198.18.0.9:5060", 0, NULL, ""},
    {HINTED, false, "192.168.1.5:4000", "198.18.0.9:5060", 0, NULL, ""},
    {HINTED, false, "192.168.1.5:4000", "", 0, NULL, ""},
    {HINTED, false, "10.9.9.9:4000", "198.18.0.9:5060", 0, NULL, ""},
    {HINTED, false, "127.0.0.1:4000", "198.18.0.9:5060", 0, NULL, ""},
    {HINTED, false, "", "[2001:db8::9]:1", 0, NULL, ""},
    {HINTED, true, "", "10.1.1.1:5060", 0, NULL, ""},
    {HINTED, true, "10.1.1.1:4000", "", 0, NULL, ""},
    {OPEN, false, "", "", 0, NULL, ""},
    {OPEN, true, "", "", 0, NULL, ""},
    {OPEN, false, "10.9.9.9:4000", "", 0, NULL, ""},
    {STRICT, false, "192.0.2.9:4000", "224.0.0.5:1", ERR_FORBIDDEN, "hint", "multicast"},
    {STRICT, false, "192.0.2.9:4000", "198.18.0.9:5060", 0, NULL, ""},
    {STRICT, false, "", "198.18.0.9:5060", ERR_INVALID, "source", "the source is strict"},
    {STRICT, false, "10.9.9.9:4000", "", ERR_FORBIDDEN, "source", "in [networks] internal"},
    {HINTED, false, "", "", ERR_INVALID, "source", "or a hint, or the source policy open"},
    {HINTED, true, "8.8.8.8:4000", "10.1.1.1:1", ERR_FORBIDDEN, "source", "not in [networks]"},
    {HINTED, false, "224.0.0.5:4000", "198.18.0.9:1", ERR_FORBIDDEN, "source", "multicast"},
    {OPEN, false, "0.0.0.0:4000", "", ERR_FORBIDDEN, "source", "unspecified"},
    {OPEN, false, "", "255.255.255.255:1", ERR_FORBIDDEN, "hint", "broadcast"},
};

START_TEST(test_hints)
{
    struct admit_request request;
    struct addr hint = {0};
    struct sa *sa;

    core_request(&request, 1);
    if (sources[_i].inside)
        turn_round(&request);
    request.source_policy = (enum source_policy)sources[_i].policy;
    request.source = (struct sa_transport){0};
    if (sources[_i].source[0])
        read_transport(sources[_i].source, &request.source);
    if (sources[_i].hint[0])
        request.hint = hint = addr_of(sources[_i].hint);
    if (sources[_i].code) {
        check_refused(&request, sources[_i].code, sources[_i].field, sources[_i].says);
        return;
    }
    sa = core_add(&core, &request);
    ck_assert_ptr_nonnull(sa);
    ck_assert_mem_eq(&sa->source, &request.source, sizeof(sa->source));
    /* The port that SIP came from says nothing of media. */
    ck_assert_int_eq(sa->hint.port, 0);
    ck_assert(sources[_i].policy == STRICT ? sa->hint.family == 0
                                           : addr_ip_equal(&sa->hint, &hint));
}
END_TEST

/* With a hint alone the listener is one of its family; with nothing at all, any. */
START_TEST(test_listener_of_a_hint)
{
    struct admit_request request;

    core_request(&request, 1);
    request.source_policy = SOURCE_OPEN;
    request.source = (struct sa_transport){0};
    snprintf(request.listener, sizeof(request.listener), "out6");
    ck_assert_ptr_nonnull(core_add(&core, &request));
    request.hint = addr_of("198.18.0.9:1");
    check_refused(&request, ERR_INVALID, "listener", "not IPv4");
    request.hint = addr_of("[2001:db8::5]:1");
    request.ssrc[0]++;
    ck_assert_ptr_nonnull(core_add(&core, &request));
    request.source.rtcp = addr_of("192.0.2.9:11");
    check_refused(&request, ERR_INVALID, "source_rtcp", "not without source");
}
END_TEST

/* Without an SSRC the label is any that is free. */
START_TEST(test_no_ssrc)
{
    struct admit_request request;
    struct sa *sa, *other;

    core_request(&request, 1);
    ck_assert_ptr_nonnull(other = core_add(&core, &request));
    request.ssrc_count = 0;
    check_refused(&request, ERR_INVALID, "ssrc", "[learning] ssrc-policy = strict");
    core.inner.options.learns_ssrcs = true;
    lots.next = 0;
    lots.count = 2;
    lots.number[0] = other->label;
    lots.number[1] = 0x12345678;
    sa = core_add(&core, &request);
    ck_assert_ptr_nonnull(sa);
    ck_assert_uint_eq(sa->label, 0x12345678);
    ck_assert_uint_eq(sa->stream_count, 0);
    ck_assert(sa_learns_ssrcs(sa) && !sa_is_assigned(sa));
    core.inner.options.dmz_keys = WIRE_REPLICA_KEYLESS;
    request.source.rtp.port++;
    check_refused(&request, ERR_INVALID, "ssrc", "dmz-keys = keyless");
}
END_TEST

/* What is where the packets of the other direction come from. */
enum other { NONE, LEARNED, FIXED, SAME_SIDE, OTHER_DMZ, TAKEN, TAKEN_BY_NOBODY };

static const struct {
    enum other other;
    bool inside; /* the sender */
    const char *to;
    int code;
    const char *says;  /* or, where it is accepted, */
    const char *taken; /* where packets go until more is known; "": nowhere */
} ways_back[] = {
    {LEARNED, true, "", 0, "", ""},
    {LEARNED, true, "192.0.2.33:20", 0, "", "192.0.2.33:20"},
    {LEARNED, true, "192.168.1.5:20", 0, "", ""},
    {LEARNED, true, "10.1.1.1:20", 0, "", ""},
    {LEARNED, true, "127.0.0.1:20", 0, "", ""},
    {LEARNED, true, "192.0.2.33:20 192.168.1.5:21", 0, "", ""},
    {LEARNED, true, PEER ":5004", 0, "", PEER ":5004"},
    {LEARNED, false, "", 0, "", ""},
    {LEARNED, false, "10.1.1.1:20", 0, "", "10.1.1.1:20"},
    {LEARNED, false, "192.168.1.5:20", 0, "", ""},
    {TAKEN_BY_NOBODY, true, "", 0, "", ""},
    {NONE, true, "", ERR_INVALID, "as reverse an SA whose source is learned", NULL},
    {FIXED, true, "", ERR_INVALID, "as reverse an SA whose source is learned", NULL},
    {FIXED, true, "192.168.1.5:20", ERR_FORBIDDEN, "neither a public address", NULL},
    {SAME_SIDE, true, "", ERR_INVALID, "needed", NULL},
    {OTHER_DMZ, true, "", ERR_INVALID, "needed", NULL},
    {TAKEN, true, "", ERR_INVALID, "needed", NULL},
    {TAKEN, true, "192.168.1.5:20", ERR_FORBIDDEN, "neither a public address", NULL},
};

/* The SA of the other direction; 0: none. */
static uint64_t add_other(enum other how, bool inside)
{
    struct admit_request request;
    struct sa *sa;

    if (how == NONE)
        return 0;
    core_request(&request, 2);
    if (inside == (how == SAME_SIDE))
        turn_round(&request);
    request.source_policy = how == FIXED ? SOURCE_STRICT : SOURCE_HINTED;
    if (how == OTHER_DMZ)
        snprintf(request.dmz, sizeof(request.dmz), "west");
    sa = core_add(&core, &request);
    ck_assert_ptr_nonnull(sa);
    if (how == TAKEN)
        sa->reverse = sa->id;
    if (how == TAKEN_BY_NOBODY)
        sa->reverse = 4711;
    return sa->id;
}

START_TEST(test_way_back)
{
    struct admit_request request;
    struct addr taken = {0};
    struct sa *sa;

    add_peers();
    core_request(&request, 1);
    if (ways_back[_i].inside)
        turn_round(&request);
    request.reverse = add_other(ways_back[_i].other, ways_back[_i].inside);
    request.destination = (struct sa_transport){0};
    if (ways_back[_i].to[0])
        read_transport(ways_back[_i].to, &request.destination);
    if (ways_back[_i].code) {
        check_refused(&request, ways_back[_i].code, "to", ways_back[_i].says);
        return;
    }
    sa = core_add(&core, &request);
    ck_assert_ptr_nonnull(sa);
    if (ways_back[_i].taken[0])
        taken = addr_of(ways_back[_i].taken);
    ck_assert(addr_equal(&sa->destination.rtp, &taken));
    ck_assert_int_eq(sa->destination.rtcp.family, taken.family);
    ck_assert_uint_eq(inner_find_sa(&core.inner, sa->reverse)->reverse, sa->id);
}
END_TEST

/* One direction was bound before the other one came. */
START_TEST(test_bound_before)
{
    bool inside = _i % 2;
    struct admit_request request;
    struct sa *first, *second;

    core_request(&request, 1);
    if (inside)
        turn_round(&request);
    request.source_policy = SOURCE_OPEN;
    first = core_add(&core, &request);
    ck_assert_ptr_nonnull(first);
    first->bound[0] = first->bound[1] = true;
    core_request(&request, 2);
    if (!inside)
        turn_round(&request);
    request.reverse = first->id;
    if (_i / 2)
        request.destination = (struct sa_transport){.mux = true};
    second = core_add(&core, &request);
    ck_assert_ptr_nonnull(second);
    ck_assert(addr_equal(&second->destination.rtp, &first->source.rtp));
    ck_assert(addr_equal(&second->destination.rtcp, &first->source.rtcp));
    ck_assert(!second->destination.mux);
}
END_TEST

/* Nothing was made yet, or not all of it. */
START_TEST(test_half_a_core)
{
    struct inner half = {.link_count = 0};

    inner_fini(&half);
    ck_assert_ptr_null(half.table);
}
END_TEST

START_TEST(test_key)
{
    struct admit_request request, good;
    size_t right;

    core_request(&good, (unsigned)_i);
    right = good.key.length;
    for (size_t octets = 0; octets <= SUITE_KEY_MAX_OCTETS; octets++) {
        if (octets == right)
            continue;
        request = good;
        request.key.length = octets;
        check_refused(&request, ERR_INVALID, "key", request.suite->name);
    }
    request = good;
    memset(request.key.octets, 0, sizeof(request.key.octets));
    check_refused(&request, ERR_INVALID, "key", "zero");
    ck_assert_ptr_nonnull(core_add(&core, &good));
}
END_TEST

START_TEST(test_ssrcs)
{
    struct admit_request request;

    core_request(&request, 1);
    request.ssrc_count = 0;
    check_refused(&request, ERR_INVALID, "ssrc", "at least one");
    request.ssrc_count = 3;
    request.ssrc[1] = 77;
    request.ssrc[2] = 77;
    check_refused(&request, ERR_INVALID, "ssrc", "77 stands twice");
    request.ssrc_count = SA_SSRC_MAX;
    for (unsigned i = 0; i < SA_SSRC_MAX; i++)
        request.ssrc[i] = UINT32_MAX - i;
    ck_assert_ptr_nonnull(core_add(&core, &request));
}
END_TEST

START_TEST(test_dmz_and_reverse)
{
    struct admit_request request;
    struct sa *sa;

    core_request(&request, 1);
    snprintf(request.dmz, sizeof(request.dmz), "north");
    check_refused(&request, ERR_NOT_FOUND, "dmz", "[dmz north]");
    snprintf(request.dmz, sizeof(request.dmz), "west");
    sa = core_add(&core, &request);
    ck_assert_ptr_nonnull(sa);
    ck_assert_uint_eq(sa->owner, 1);
    ck_assert_uint_eq(core.kicked[1], 1);
    core_request(&request, 2);
    request.reverse = 4711;
    check_refused(&request, ERR_NOT_FOUND, "reverse", "4711");
}
END_TEST

/* ------------------------------------------------------------ listeners */

static const struct {
    enum sa_side side;
    bool known; /* the dmz-relay has said what it has */
    const char *listener, *to_listener;
    const char *source, *to;
    int code;
    const char *field, *says;
} listeners[] = {
    {SA_SIDE_EXTERNAL, true, "", "", "192.0.2.9:10", "10.2.2.2:10", 0, NULL, ""},
    {SA_SIDE_EXTERNAL, true, "out4", "four", "192.0.2.9:10", "10.2.2.2:10", 0, NULL, ""},
    {SA_SIDE_EXTERNAL, true, "out6", "six", "[2001:db8::9]:10", "[fd00::9]:10", 0, NULL, ""},
    {SA_SIDE_EXTERNAL, true, "", "", "[2001:db8::9]:10", "10.2.2.2:10", 0, NULL, ""},
    {SA_SIDE_EXTERNAL, true, "out6", "", "192.0.2.9:10", "10.2.2.2:10", ERR_INVALID, "listener",
     "[listener out6] of dmz east is not IPv4"},
    {SA_SIDE_EXTERNAL, true, "none", "", "192.0.2.9:10", "10.2.2.2:10", ERR_NOT_FOUND, "listener",
     "dmz east has no [listener none]"},
    {SA_SIDE_EXTERNAL, true, "", "none", "192.0.2.9:10", "10.2.2.2:10", ERR_NOT_FOUND,
     "to_listener", "the inner-relay has no [listener none]"},
    {SA_SIDE_EXTERNAL, true, "", "six", "192.0.2.9:10", "10.2.2.2:10", ERR_INVALID, "to_listener",
     "[listener six] of the inner-relay is not IPv4"},
    /* Not known yet: the dmz-relay will say. */
    {SA_SIDE_EXTERNAL, false, "none", "", "192.0.2.9:10", "10.2.2.2:10", 0, NULL, ""},
    {SA_SIDE_EXTERNAL, false, "", "none", "192.0.2.9:10", "10.2.2.2:10", ERR_NOT_FOUND,
     "to_listener", "the inner-relay"},
    {SA_SIDE_INTERNAL, true, "", "", "10.2.2.2:10", "192.0.2.9:10", 0, NULL, ""},
    {SA_SIDE_INTERNAL, true, "four", "out4", "10.2.2.2:10", "192.0.2.9:10", 0, NULL, ""},
    {SA_SIDE_INTERNAL, true, "six", "", "10.2.2.2:10", "192.0.2.9:10", ERR_INVALID, "listener",
     "not IPv4"},
    {SA_SIDE_INTERNAL, true, "out4", "", "10.2.2.2:10", "192.0.2.9:10", ERR_NOT_FOUND, "listener",
     "the inner-relay has no [listener out4]"},
    {SA_SIDE_INTERNAL, true, "", "four", "10.2.2.2:10", "192.0.2.9:10", ERR_NOT_FOUND,
     "to_listener", "dmz east has no [listener four]"},
    {SA_SIDE_INTERNAL, true, "", "out4", "10.2.2.2:10", "[2001:db8::9]:10", ERR_INVALID,
     "to_listener", "not IPv6"},
    {SA_SIDE_INTERNAL, false, "", "none", "10.2.2.2:10", "192.0.2.9:10", 0, NULL, ""},
};

START_TEST(test_listeners)
{
    struct admit_request request;

    if (!listeners[_i].known)
        core.inner.links[0].peer = (struct hello){0};
    core_request(&request, 1);
    request.side = listeners[_i].side;
    request.source = (struct sa_transport){.rtp = addr_of(listeners[_i].source), .mux = true};
    request.destination = (struct sa_transport){.rtp = addr_of(listeners[_i].to), .mux = true};
    snprintf(request.listener, sizeof(request.listener), "%s", listeners[_i].listener);
    snprintf(request.to_listener, sizeof(request.to_listener), "%s", listeners[_i].to_listener);
    if (listeners[_i].code == 0)
        ck_assert_ptr_nonnull(core_add(&core, &request));
    else
        check_refused(&request, listeners[_i].code, listeners[_i].field, listeners[_i].says);
}
END_TEST

START_TEST(test_no_listener_of_the_family)
{
    struct admit_request request;

    core_request(&request, 1);
    core.inner.listener_count = 1;
    request.destination = (struct sa_transport){.rtp = addr_of("[fd00::9]:10"), .mux = true};
    check_refused(&request, ERR_NOT_FOUND, "to_listener",
                  "the inner-relay has no listener for IPv6");
    core_request(&request, 1);
    core.inner.links[0].peer.listener_count = 1;
    request.source = (struct sa_transport){.rtp = addr_of("[2001:db8::9]:10"), .mux = true};
    check_refused(&request, ERR_NOT_FOUND, "listener", "dmz east has no listener for IPv6");
}
END_TEST

/* ------------------------------------------------------------ room, conflicts */

START_TEST(test_table_full)
{
    struct admit_request request;

    for (unsigned n = 0; n < ROOM; n++) {
        core_request(&request, n);
        ck_assert_ptr_nonnull(core_add(&core, &request));
    }
    core_request(&request, ROOM);
    check_refused(&request, ERR_FULL, NULL, "max-sas");
    inner_delete(&core.inner, inner_find_sa(&core.inner, 3), 1);
    ck_assert_ptr_nonnull(core_add(&core, &request));
}
END_TEST

/* Capacity and quota of the dmz-relay count for its own SAs only. */
static const struct {
    uint32_t capacity, quota;
} bounds[] = {{2, 100}, {100, 2}, {2, 2}};

START_TEST(test_dmz_full)
{
    struct admit_request request;

    core_introduce(&core, 0, bounds[_i].capacity, bounds[_i].quota);
    for (unsigned n = 0; n < 2; n++) {
        core_request(&request, n);
        ck_assert_ptr_nonnull(core_add(&core, &request));
    }
    core_request(&request, 2);
    check_refused(&request, ERR_FULL, NULL, "dmz east takes no more than 2");
    snprintf(request.dmz, sizeof(request.dmz), "west");
    ck_assert_ptr_nonnull(core_add(&core, &request));
}
END_TEST

START_TEST(test_conflict)
{
    struct admit_request request, first;
    struct srtp_key key;
    struct sa *sa;

    core_request(&first, 1);
    sa = core_add(&core, &first);
    ck_assert_ptr_nonnull(sa);
    ck_assert_int_eq(srtp_session_key(sa->srtp, SRTP_KEY_MASTER, &key), 0);
    ck_assert_uint_eq(key.length, first.key.length);
    ck_assert_mem_eq(key.octets, first.key.octets, key.length);
    core_request(&request, 2);
    request.source = first.source;
    ck_assert_ptr_nonnull(core_add(&core, &request)); /* the SSRC tells them apart */
    core_request(&request, 3);
    request.source = first.source;
    request.ssrc_count = 2;
    request.ssrc[1] = first.ssrc[0];
    request.key = first.key;
    request.suite = first.suite;
    check_refused(&request, ERR_EXISTS, "source", "SA 1 has");
    /* On another dmz-relay too: packets are found by their source, before the owner is known. */
    snprintf(request.dmz, sizeof(request.dmz), "west");
    check_refused(&request, ERR_EXISTS, "source", "SA 1 has");
    snprintf(request.dmz, sizeof(request.dmz), "east");
    for (unsigned i = 1; i < TABLE_ALIKE_OWN; i++) { /* another key does, too */
        request.key.octets[0] ^= (uint8_t)(1u << i);
        ck_assert_ptr_nonnull(core_add(&core, &request));
    }
    request.key.octets[0] ^= 0x80;
    check_refused(&request, ERR_EXISTS, "source", "as SA 1 has");
    ck_assert(srtp_session_is(sa->srtp, sa->suite, &key));
    ck_assert_ptr_eq(
        table_by_source(core.inner.table, SA_SIDE_EXTERNAL, &first.source.rtp, first.ssrc[0]),
        inner_find_sa(&core.inner, 2 + TABLE_ALIKE_OWN - 1));
}
END_TEST

/* ------------------------------------------------------------ what an SA gets */

/* Keyless, a source outside has one SA; with keys, and inside, it may have several. */
START_TEST(test_source_alone)
{
    static const struct {
        enum wire_view keys;
        bool inside, rtcp, refused;
    } rows[] = {
        {WIRE_REPLICA_VERIFY_ONLY, false, false, false}, {WIRE_REPLICA_FULL, false, false, false},
        {WIRE_REPLICA_KEYLESS, false, false, true},      {WIRE_REPLICA_KEYLESS, false, true, true},
        {WIRE_REPLICA_KEYLESS, true, false, false},
    };
    struct admit_request first, second;

    core.inner.options.dmz_keys = rows[_i].keys;
    core_request(&first, 1);
    core_request(&second, 2);
    if (rows[_i].inside) {
        struct sa_transport from = first.source;

        first.side = second.side = SA_SIDE_INTERNAL;
        first.source = second.source = first.destination;
        first.destination = second.destination = from;
    }
    if (rows[_i].rtcp)
        second.source.rtcp = first.source.rtp;
    else
        second.source = first.source;
    ck_assert_ptr_nonnull(core_add(&core, &first));
    if (rows[_i].refused)
        check_refused(&second, ERR_EXISTS, "source", "SA 1 has this source, and with dmz-keys");
    else
        ck_assert_ptr_nonnull(core_add(&core, &second));
}
END_TEST

START_TEST(test_defaults)
{
    struct admit_request request;
    struct sa *sa;

    core_request(&request, 1);
    sa = core_add(&core, &request);
    ck_assert_ptr_nonnull(sa);
    ck_assert_uint_eq(sa->id, 1);
    ck_assert_uint_eq(core.inner.next_id, 2);
    ck_assert_uint_eq(sa->generation, 1);
    ck_assert_uint_eq(sa->version, core.inner.links[0].authority.version);
    ck_assert_uint_eq(sa->rate.octets_per_second, core.inner.options.sa_rate);
    ck_assert_uint_eq(sa->media_timeout_s, core.inner.options.media_timeout_s);
    ck_assert_uint_eq(sa->created_us, 1700000000000000);
    ck_assert_uint_eq(sa->installed_us, 1000000);
    ck_assert_str_eq(sa_text(sa, SA_CALL_ID), request.call_id);
    ck_assert_ptr_nonnull(sa->srtp);
    ck_assert_int_eq(sa->stream[0].origin, SSRC_ORIGIN_SIGNALLED);
    ck_assert_uint_eq(core.kicked[0], 1);
    ck_assert_uint_eq(core.changed, 1);
    core_request(&request, 2);
    request.rate = 999;
    request.media_timeout_s = 0;
    sa = core_add(&core, &request);
    ck_assert_ptr_nonnull(sa);
    ck_assert_uint_eq(sa->id, 2);
    ck_assert_uint_eq(sa->rate.octets_per_second, 999);
    ck_assert_uint_eq(sa->media_timeout_s, 0);
}
END_TEST

/* The packet's own SSRC where it is free on that dmz-relay, and no deleted SA's that still rests.
 */
START_TEST(test_label)
{
    struct admit_request request;
    struct sa *sa;

    core_request(&request, 1);
    sa = core_add(&core, &request);
    ck_assert_uint_eq(sa->label, request.ssrc[0]);
    core_request(&request, 2);
    request.ssrc[0] = sa->label;
    sa = core_add(&core, &request);
    ck_assert_ptr_nonnull(sa);
    ck_assert_uint_ne(sa->label, request.ssrc[0]);
    core_request(&request, 3);
    request.ssrc[0] = 0x1001;
    snprintf(request.dmz, sizeof(request.dmz), "west");
    ck_assert_uint_eq(core_add(&core, &request)->label, 0x1001);

    inner_delete(&core.inner, inner_find_sa(&core.inner, 1), 5000000);
    core_request(&request, 1);
    ck_assert(!inner_work(&core.inner, 5000000 + LABEL_REST_US - 1));
    sa = core_add(&core, &request);
    ck_assert_uint_ne(sa->label, request.ssrc[0]);
    inner_delete(&core.inner, sa, 5000000 + LABEL_REST_US - 1);
    ck_assert(!inner_work(&core.inner, 5000000 + LABEL_REST_US));
    ck_assert_uint_eq(core_add(&core, &request)->label, request.ssrc[0]);
}
END_TEST

/* ------------------------------------------------------------ SSRCs that are assigned */

static void assign_request(struct admit_request *request, unsigned n)
{
    core_request(request, n);
    turn_round(request);
    request->source.rtp.port = (uint16_t)(3000 + 2 * n);
    request->source.rtcp.port = (uint16_t)(3001 + 2 * n);
    request->ssrc_count = 0;
    request->assign_ssrc = true;
}

static const struct {
    bool outside, ssrc;
    bool suite, key;
    int wrong_length; /* of the key */
    int code;
    const char *field, *says;
} assigned[] = {
    {false, false, true, true, 0, 0, NULL, ""},
    {false, false, true, false, 0, 0, NULL, ""},
    {false, false, false, false, 0, 0, NULL, ""},
    {true, false, true, true, 0, ERR_FORBIDDEN, "assign_ssrc", "only a sender inside"},
    {true, false, false, false, 0, ERR_FORBIDDEN, "assign_ssrc", "only a sender inside"},
    {false, true, true, true, 0, ERR_INVALID, "assign_ssrc", "not together with ssrc"},
    {false, false, true, true, 1, ERR_INVALID, "key", "octets, but"},
};

/* Whatever was said of its key, none is kept: no engine can be asked about its packets. */
START_TEST(test_assigned)
{
    struct admit_request request, good;
    const struct sa *sa;

    assign_request(&good, 1);
    request = good;
    if (assigned[_i].outside) {
        core_request(&request, 1);
        request.ssrc_count = 0;
        request.assign_ssrc = true;
    }
    request.ssrc_count = assigned[_i].ssrc;
    request.key.length += (size_t)assigned[_i].wrong_length;
    request.suite = assigned[_i].suite ? request.suite : NULL;
    if (!assigned[_i].key)
        request.key = (struct srtp_key){.kind = SRTP_KEY_NONE};
    if (assigned[_i].code != 0) {
        check_refused(&request, assigned[_i].code, assigned[_i].field, assigned[_i].says);
        return;
    }
    sa = core_add(&core, &request);
    ck_assert_ptr_nonnull(sa);
    ck_assert_uint_eq(sa->stream_count, 1);
    ck_assert_int_eq(sa->stream[0].origin, SSRC_ORIGIN_ASSIGNED);
    ck_assert_uint_eq(sa->label, sa->stream[0].ssrc);
    ck_assert(sa_is_assigned(sa) && !sa_learns_ssrcs(sa));
    ck_assert_ptr_null(sa->srtp);
    ck_assert_ptr_eq(sa->suite, request.suite);
    ck_assert_uint_eq(srtp_engine_verifications(core.inner.options.engine), 0);
}
END_TEST

/* Numbers that are drawn, one after the other: half of each is an SSRC. */
static void draw(unsigned count, const uint32_t *ssrcs)
{
    lots.next = 0;
    lots.count = count;
    for (unsigned i = 0; i < count; i++)
        lots.number[i] = 2 * ssrcs[i];
}

START_TEST(test_assign_what_is_free)
{
    enum { OUTSIDE, INSIDE, LABEL, OTHER_LABEL, RESTING, OTHER_RESTING, ZERO, FREE, COUNT };
    uint32_t ssrcs[COUNT] = {[FREE] = 0x7fffffff};
    struct admit_request request;
    struct sa *sa[ZERO];

    for (unsigned i = 0; i < ZERO; i++) {
        core_request(&request, i);
        if (i == INSIDE)
            turn_round(&request);
        if (i == OTHER_LABEL || i == OTHER_RESTING)
            snprintf(request.dmz, sizeof(request.dmz), "west");
        sa[i] = core_add(&core, &request);
        ck_assert_ptr_nonnull(sa[i]);
        ssrcs[i] = sa[i]->stream[0].ssrc;
    }
    /* Two with one SSRC: the second has a label of its own. */
    for (unsigned i = LABEL; i <= OTHER_LABEL; i++) {
        uint32_t one = 0x4000 + i;

        draw(1, &one);
        core_request(&request, i);
        snprintf(request.dmz, sizeof(request.dmz), i == LABEL ? "east" : "west");
        request.source.rtp.port = (uint16_t)(request.source.rtp.port + 1000);
        request.source.rtcp.port = (uint16_t)(request.source.rtcp.port + 1000);
        sa[i] = core_add(&core, &request);
        ck_assert_ptr_nonnull(sa[i]);
        ck_assert_uint_eq(sa[i]->label, 2 * one);
        ssrcs[i] = sa[i]->label;
    }
    inner_delete(&core.inner, sa[RESTING], 5000000);
    inner_delete(&core.inner, sa[OTHER_RESTING], 5000000);
    draw(COUNT, ssrcs);
    assign_request(&request, 50);
    sa[0] = core_add(&core, &request);
    ck_assert_ptr_nonnull(sa[0]);
    ck_assert_uint_eq(sa[0]->stream[0].ssrc, ssrcs[FREE]);
    ck_assert_uint_eq(lots.next, COUNT);

    /* The assigned one is taken, too; what has rested is not. */
    draw(1, &ssrcs[FREE]);
    assign_request(&request, 51);
    ck_assert_uint_ne(core_add(&core, &request)->stream[0].ssrc, ssrcs[FREE]);
    ck_assert_uint_eq(lots.next, 1);
    ck_assert(!inner_work(&core.inner, 5000000 + LABEL_REST_US));
    draw(1, &ssrcs[OTHER_RESTING]);
    assign_request(&request, 52);
    ck_assert_uint_eq(core_add(&core, &request)->stream[0].ssrc, ssrcs[OTHER_RESTING]);
}
END_TEST

/*
 * What was told to a sender beforehand is what it gets, as long as no other call has got it: a
 * branch of its own call may, and it may have had it itself a moment ago.
 */
START_TEST(test_assign_what_was_promised)
{
    struct admit_request request;
    struct sa *sa, *branch;
    uint32_t promised = admit_reserve_ssrc(&core.inner);

    assign_request(&request, 1);
    request.assigned = promised;
    sa = core_add(&core, &request);
    ck_assert_ptr_nonnull(sa);
    ck_assert_uint_eq(sa->stream[0].ssrc, promised);
    ck_assert_uint_eq(sa->label, promised);
    assign_request(&request, 2);
    request.assigned = promised;
    snprintf(request.call_id, sizeof(request.call_id), "another");
    check_refused(&request, ERR_EXISTS, "assigned", "is another call's");
    request.call_id[0] = '\0';
    check_refused(&request, ERR_EXISTS, "assigned", "is another call's");
    memcpy(request.call_id, sa_text(sa, SA_CALL_ID), strlen(sa_text(sa, SA_CALL_ID)) + 1);
    branch = core_add(&core, &request);
    ck_assert_ptr_nonnull(branch);
    ck_assert_uint_eq(branch->stream[0].ssrc, promised);
    ck_assert_uint_ne(branch->label, promised);
    inner_delete(&core.inner, sa, 2000000);
    assign_request(&request, 1);
    request.assigned = promised;
    sa = core_add(&core, &request);
    ck_assert_ptr_nonnull(sa);
    ck_assert_uint_eq(sa->stream[0].ssrc, promised);
    ck_assert_uint_ne(sa->label, promised);
    ck_assert_uint_ne(sa->label, branch->label);
}
END_TEST

/* What is promised is drawn for nobody else, as often as it was promised. */
START_TEST(test_promised)
{
    uint32_t drawn[] = {4711, 4712};

    for (unsigned i = 0; i < 3; i++) {
        if (i < 2)
            ck_assert_int_eq(promises_add(&core.inner.promises, 4711), 0);
        draw(2, drawn);
        ck_assert_uint_eq(admit_reserve_ssrc(&core.inner), 4712);
        if (i > 0)
            promises_drop(&core.inner.promises, 4711);
    }
    draw(2, drawn);
    ck_assert_uint_eq(admit_reserve_ssrc(&core.inner), 4711);
}
END_TEST

/* A branch of a fork that is not the one that answered last. */
START_TEST(test_no_destination)
{
    struct admit_request request;
    struct picture before, after;
    struct admit_error error;
    const struct sa *sa;

    for (int inside = 0; inside < 2; inside++) {
        core_request(&request, (unsigned)inside);
        if (inside)
            turn_round(&request);
        request.destination = (struct sa_transport){0};
        check_refused(&request, ERR_INVALID, "to", "needed");
        request.no_destination = true;
        before = take_picture();
        ck_assert_msg(admit_check(&core.inner, &request, NULL, &error) == 0, "%s", error.text);
        after = take_picture();
        ck_assert_mem_eq(&before, &after, sizeof(before));
        sa = core_add(&core, &request);
        ck_assert_ptr_nonnull(sa);
        ck_assert_uint_eq(sa->destination.rtp.family, 0);
    }
}
END_TEST

/* Another sender at that address cannot have it: packets would be either's. */
START_TEST(test_given_away)
{
    struct admit_request first, second;
    const struct sa *sa;

    assign_request(&first, 1);
    sa = core_add(&core, &first);
    ck_assert_ptr_nonnull(sa);
    assign_request(&second, 2);
    second.assign_ssrc = false;
    second.ssrc_count = 2;
    second.ssrc[0] = 7;
    second.ssrc[1] = sa->stream[0].ssrc;
    second.source = first.source;
    check_refused(&second, ERR_EXISTS, "ssrc", "was given this SSRC");
    second.source.rtp.port = (uint16_t)(second.source.rtp.port + 100);
    check_refused(&second, ERR_EXISTS, "ssrc", "was given this SSRC");
    second.source.rtcp.port = (uint16_t)(second.source.rtcp.port + 100);
    ck_assert_ptr_nonnull(core_add(&core, &second));
}
END_TEST

/* A new key is looked at, and all that it can change is how long a tag is. */
START_TEST(test_assigned_rekey)
{
    static const struct {
        bool suite_before;
        unsigned other_suite;
        bool wrong_length;
        unsigned generation;
        bool two_shapes;
    } rows[] = {
        {true, 0, false, 1, false},
        {true, 1, false, 2, true},
        {false, 1, false, 2, false},
        {true, 1, true, 1, false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct admit_request request, other;
        struct admit_error error;
        struct sa *sa;
        int result;

        assign_request(&request, (unsigned)i);
        request.suite = suite_get(SUITE_AES_CM_128_HMAC_SHA1_80);
        request.key.length = suite_material_octets(request.suite);
        assign_request(&other, rows[i].other_suite);
        if (!rows[i].suite_before) {
            request.suite = NULL;
            request.key.kind = SRTP_KEY_NONE;
        }
        sa = core_add(&core, &request);
        ck_assert_ptr_nonnull(sa);
        other.key.octets[3] ^= 0x40;
        other.key.length += rows[i].wrong_length;
        result = admit_rekey(&core.inner, sa, other.suite, &other.key, 1000000, &error);
        ck_assert_int_eq(result, rows[i].wrong_length ? ERR_INVALID : 0);
        ck_assert_uint_eq(sa->generation, rows[i].generation);
        ck_assert_ptr_null(sa->srtp);
        ck_assert_int_eq(rekey_left_us(sa, 1000000) > 0, rows[i].two_shapes);
    }
}
END_TEST

enum { MANY = 60 };

/* A call lives while one of its directions is heard; looking takes turns, deleting more of them. */
START_TEST(test_media_timeout)
{
    uint64_t now_us = 1000 * (uint64_t)1000000;
    struct admit_request request;
    struct sa *sa[MANY];
    unsigned pieces = 0;
    bool more = true;

    core_fini(&core);
    ck_assert(core_init(&core, MANY));
    for (unsigned n = 0; n < MANY; n++) {
        core_request(&request, n);
        request.media_timeout_s = n == 2 ? 0 : 30;
        sa[n] = core_add(&core, &request);
        sa[n]->installed_us = now_us;
    }
    sa[3]->reverse = sa[4]->id;
    sa[4]->last_packet_us = sa[5]->last_packet_us = now_us + 1;
    now_us += 30 * (uint64_t)1000000;
    inner_tick(&core.inner);
    ck_assert(!inner_work(&core.inner, now_us - 1));
    ck_assert_uint_eq(table_count(core.inner.table), MANY);
    inner_tick(&core.inner);
    for (; more; pieces++) {
        size_t before = table_count(core.inner.table);

        /* A second that passes meanwhile does not begin the round anew. */
        inner_tick(&core.inner);
        more = inner_work(&core.inner, now_us);
        ck_assert_uint_ge(table_count(core.inner.table) + 4, before);
    }
    ck_assert_uint_ge(pieces, (MANY - 4) / 4);
    ck_assert_uint_eq(table_count(core.inner.table), 4);
    for (unsigned n = 2; n <= 5; n++)
        ck_assert_ptr_eq(inner_find_sa(&core.inner, n + 1), sa[n]);
}
END_TEST

/* Whichever of the two is added second ties both, and the dmz-relay of the first is told. */
START_TEST(test_reverse)
{
    struct admit_request request;
    struct sa *first, *second, *third;
    uint64_t version;

    core_request(&request, 1);
    first = core_add(&core, &request);
    version = first->version;
    core_request(&request, 2);
    turn_round(&request);
    request.reverse = first->id;
    snprintf(request.dmz, sizeof(request.dmz), "west");
    second = core_add(&core, &request);
    ck_assert_ptr_nonnull(second);
    ck_assert_uint_eq(second->reverse, first->id);
    ck_assert_uint_eq(first->reverse, second->id);
    ck_assert_uint_gt(first->version, version);
    ck_assert_uint_eq(core.kicked[0], 2);
    core_request(&request, 3);
    request.reverse = second->id;
    third = core_add(&core, &request);
    ck_assert_uint_eq(third->reverse, second->id);
    ck_assert_uint_eq(second->reverse, first->id);
    /* The other direction is deleted and added anew. */
    inner_delete(&core.inner, first, 2000000);
    core_request(&request, 4);
    request.reverse = second->id;
    first = core_add(&core, &request);
    ck_assert_uint_eq(second->reverse, first->id);
}
END_TEST

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

int main(void)
{
    Suite *suite = suite_create("admit");
    TCase *tc = tcase_create("admit");

    suite_add_tcase(suite, tc);
    tcase_add_unchecked_fixture(tc, start_engine, core_stop_engine);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_addresses, 0, ROWS(addresses));
    tcase_add_loop_test(tc, test_port_0, 0, 4);
    tcase_add_test(tc, test_mux_needs_no_rtcp);
    tcase_add_loop_test(tc, test_internal_sender, 0, ROWS(internal));
    tcase_add_loop_test(tc, test_bad_target_of_a_learned_way_back, 2, ROWS(internal));
    tcase_add_loop_test(tc, test_encapsulations, 0, sizeof(primes) / sizeof(primes[0]));
    tcase_add_test(tc, test_own_address_of_the_dmz);
    tcase_add_test(tc, test_peer);
    tcase_add_loop_test(tc, test_no_mix, 0, 10);
    tcase_add_loop_test(tc, test_policy, 0, 3 * ROWS(fixed));
    tcase_add_loop_test(tc, test_hints, 0, ROWS(sources));
    tcase_add_test(tc, test_listener_of_a_hint);
    tcase_add_test(tc, test_no_ssrc);
    tcase_add_loop_test(tc, test_way_back, 0, ROWS(ways_back));
    tcase_add_loop_test(tc, test_bound_before, 0, 4);
    tcase_add_test(tc, test_half_a_core);
    tcase_add_loop_test(tc, test_key, 0, SUITE_COUNT);
    tcase_add_test(tc, test_ssrcs);
    tcase_add_test(tc, test_dmz_and_reverse);
    tcase_add_loop_test(tc, test_listeners, 0, ROWS(listeners));
    tcase_add_test(tc, test_no_listener_of_the_family);
    tcase_add_test(tc, test_table_full);
    tcase_add_loop_test(tc, test_dmz_full, 0, ROWS(bounds));
    tcase_add_test(tc, test_conflict);
    tcase_add_loop_test(tc, test_source_alone, 0, 5);
    tcase_add_test(tc, test_defaults);
    tcase_add_test(tc, test_label);
    tcase_add_loop_test(tc, test_assigned, 0, ROWS(assigned));
    tcase_add_test(tc, test_assign_what_is_free);
    tcase_add_test(tc, test_assign_what_was_promised);
    tcase_add_test(tc, test_promised);
    tcase_add_test(tc, test_no_destination);
    tcase_add_test(tc, test_given_away);
    tcase_add_test(tc, test_assigned_rekey);
    tcase_add_test(tc, test_media_timeout);
    tcase_add_test(tc, test_reverse);
    return unit_run(suite);
}
