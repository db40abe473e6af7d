#include "common/net/path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/sa/candidates.h"
#include "common/sa/table.h"
#include "common/srtp/srtp.h"
#include "tests/unit/protect.h"
#include "tests/unit/unit.h"

enum { SSRC = 0x1234, PACKET_SIZE = 512 };

static struct srtp_engine *engine;
static struct table *table;
static struct sa *sa;
static struct protect *sender;
static struct target_rules rules;
static struct peers peers;
static struct path path;

static struct addr addr_of(const char *text)
{
    struct addr addr = {0};

    ck_assert_int_eq(addr_parse(text, &addr), 0);
    return addr;
}

static void start_engine(void)
{
    ck_assert_int_eq(protect_start(), 0);
    ck_assert_int_eq(srtp_engine_new(&engine, SRTP_ENGINE_AUTO), 0);
}

static void stop_engine(void)
{
    srtp_engine_free(engine);
    protect_stop();
}

static void setup(void)
{
    uint8_t material[SUITE_KEY_MAX_OCTETS];
    struct srtp_key key;

    table = table_new(4);
    sa = sa_new();
    ck_assert(table && sa);
    path = (struct path){
        .side = SA_SIDE_EXTERNAL, .learn = {table, budget_new(), &rules}, .peers = &peers};
    ck_assert_ptr_nonnull(path.learn.budget);
    sa->id = 1;
    sa->label = SSRC;
    sa->source.rtp = addr_of("192.0.2.1:5000");
    sa->source.rtcp = addr_of("192.0.2.1:5001");
    sa->suite = suite_get(SUITE_AES_CM_128_HMAC_SHA1_80);
    memset(material, 0x5a, sizeof(material));
    srtp_key_master(&key, material, suite_material_octets(sa->suite));
    ck_assert_int_eq(sa_stream_add(sa, SSRC, SSRC_ORIGIN_SIGNALLED), 0);
    ck_assert_int_eq(sa_open(sa, engine, &key), 0);
    sender = protect_new(sa->suite, material, SSRC);
    ck_assert_ptr_nonnull(sender);
}

static void insert(bool mux)
{
    sa->source.mux = mux;
    ck_assert_int_eq(table_insert(table, sa), 0);
}

static void teardown(void)
{
    if (table_count(table) == 0)
        sa_free(sa);
    table_free(table);
    budget_free(path.learn.budget);
    protect_free(sender);
}

/* ------------------------------------------------------------ in */

static uint8_t octets[PACKET_SIZE];

static struct udp_packet make_rtp(uint16_t sequence)
{
    size_t length =
        protect_make_rtp(octets, sizeof(octets), 0, sequence, 160u * sequence, SSRC, "payload", 7);

    length = protect_rtp(sender, sequence, octets, length, sizeof(octets));
    ck_assert_uint_gt(length, 0);
    return (struct udp_packet){.data = octets, .length = length, .source = sa->source.rtp};
}

static struct udp_packet make_rtcp(void)
{
    static const uint8_t report[] = {0x80, 201, 0, 1, 0, 0, SSRC >> 8, SSRC & 0xff};
    size_t length;

    memcpy(octets, report, sizeof(report));
    length = protect_rtcp(sender, octets, sizeof(report), sizeof(octets));
    ck_assert_uint_gt(length, 0);
    return (struct udp_packet){.data = octets, .length = length, .source = sa->source.rtp};
}

static enum verdict admit_packet(const struct udp_packet *packet, enum sa_side side, bool rtcp_port,
                                 struct sa **found)
{
    struct path_found at;
    enum verdict verdict;

    path.side = side;
    path_find(&path, packet, 1, &at);
    verdict = path_verify(&path, &at, rtcp_port, packet, 1000000);
    *found = at.sa;
    return verdict;
}

/* One of each kind in one group: each is told as it is alone. */
START_TEST(test_group)
{
    static const struct {
        const char *from;
        bool truncated, junk, forged;
        enum verdict verdict;
    } rows[PATH_GROUP] = {
        {"192.0.2.1:5000", false, false, false, VERDICT_ACCEPTED},
        {"192.0.2.1:5000", true, false, false, VERDICT_TOO_BIG},
        {"192.0.2.1:5000", false, true, false, VERDICT_MALFORMED},
        {"192.0.2.1:5000", false, false, true, VERDICT_AUTH_FAIL},
        {"192.0.2.2:5000", false, false, false, VERDICT_NO_SA},
        {"192.0.2.1:5002", false, false, false, VERDICT_NO_SA},
        {"192.0.2.1:5001", false, false, false, VERDICT_ACCEPTED},
        {"192.0.2.1:5000", false, false, false, VERDICT_ACCEPTED},
    };
    uint8_t data[PATH_GROUP][PACKET_SIZE];
    struct udp_packet packets[PATH_GROUP];
    struct path_found found[PATH_GROUP];

    insert(false);
    for (unsigned i = 0; i < PATH_GROUP; i++) {
        packets[i] = make_rtp((uint16_t)(10 + i));
        memcpy(data[i], octets, packets[i].length);
        data[i][0] = rows[i].junk ? 0 : data[i][0];
        data[i][packets[i].length - 1] ^= rows[i].forged;
        packets[i].data = data[i];
        packets[i].source = addr_of(rows[i].from);
        packets[i].truncated = rows[i].truncated;
    }
    path_find(&path, packets, PATH_GROUP, found);
    for (unsigned i = 0; i < PATH_GROUP; i++) {
        ck_assert_uint_eq(path_verify(&path, &found[i], false, &packets[i], 1000000),
                          rows[i].verdict);
        ck_assert(!found[i].sa || found[i].sa == sa);
    }
    ck_assert_uint_eq(sa->packets, 3);
}
END_TEST

/* RFC 5761: with mux all comes on the RTP port, without it each on its own. */
static const struct {
    bool mux, rtcp, rtcp_port;
    enum verdict verdict;
} ports[] = {
    {false, false, false, VERDICT_ACCEPTED},  {false, false, true, VERDICT_WRONG_PORT},
    {false, true, false, VERDICT_WRONG_PORT}, {false, true, true, VERDICT_ACCEPTED},
    {true, false, false, VERDICT_ACCEPTED},   {true, false, true, VERDICT_WRONG_PORT},
    {true, true, false, VERDICT_ACCEPTED},    {true, true, true, VERDICT_WRONG_PORT},
};

START_TEST(test_ports)
{
    struct udp_packet packet = ports[_i].rtcp ? make_rtcp() : make_rtp(1);
    struct sa *found = NULL;
    uint64_t sum = 0;

    insert(ports[_i].mux);
    if (ports[_i].rtcp_port && !ports[_i].mux)
        packet.source = sa->source.rtcp;
    ck_assert_int_eq(admit_packet(&packet, SA_SIDE_EXTERNAL, ports[_i].rtcp_port, &found),
                     ports[_i].verdict);
    ck_assert_ptr_eq(found, sa);
    ck_assert_uint_eq(sa->verdicts[ports[_i].verdict], 1);
    for (int v = 0; v < VERDICT_COUNT; v++)
        sum += sa->verdicts[v];
    ck_assert_uint_eq(sum, 1);
    ck_assert_uint_eq(sa->packets, ports[_i].verdict == VERDICT_ACCEPTED);
}
END_TEST

/* The address that RTCP comes from may be any of the two: some stacks send both from one port. */
START_TEST(test_either_source)
{
    struct udp_packet packet = make_rtcp();
    struct sa *found;

    insert(false);
    ck_assert_int_eq(admit_packet(&packet, SA_SIDE_EXTERNAL, true, &found), VERDICT_ACCEPTED);
    packet = make_rtp(1);
    packet.source = sa->source.rtcp;
    ck_assert_int_eq(admit_packet(&packet, SA_SIDE_EXTERNAL, false, &found), VERDICT_ACCEPTED);
}
END_TEST

START_TEST(test_not_found)
{
    struct udp_packet packet = make_rtp(1), other = packet;
    struct sa *found = sa;

    insert(false);
    packet.truncated = true;
    ck_assert_int_eq(admit_packet(&packet, SA_SIDE_EXTERNAL, false, &found), VERDICT_TOO_BIG);
    ck_assert_ptr_null(found);
    other.source.port = 7;
    ck_assert_int_eq(admit_packet(&other, SA_SIDE_EXTERNAL, false, &found), VERDICT_NO_SA);
    ck_assert_ptr_null(found);
    other = packet;
    other.truncated = false;
    ck_assert_int_eq(admit_packet(&other, SA_SIDE_INTERNAL, false, &found), VERDICT_NO_SA);
    ck_assert_ptr_null(found);
    for (size_t length = 0; length < 12; length++) {
        other.length = length;
        ck_assert_int_eq(admit_packet(&other, SA_SIDE_EXTERNAL, false, &found), VERDICT_MALFORMED);
        ck_assert_ptr_null(found);
    }
    ck_assert_uint_eq(sa->packets, 0);
    /* Noise from the source that the sender has to itself is its own; what is empty is no noise. */
    for (int v = 0; v < VERDICT_COUNT; v++)
        ck_assert_uint_eq(sa->verdicts[v],
                          v == VERDICT_MALFORMED ? 11 : (uint32_t)(v == VERDICT_TOO_BIG));
    ck_assert_int_eq(sa->stray.verdict, VERDICT_MALFORMED);
    ck_assert(addr_equal(&sa->stray.from, &packet.source));
}
END_TEST

/* Whose noise is it? */
START_TEST(test_noise_of_a_shared_source)
{
    struct udp_packet packet = make_rtp(1);
    struct sa *found, *other = sa_new();

    ck_assert_ptr_nonnull(other);
    insert(false);
    other->id = other->label = 99;
    other->source = sa->source;
    ck_assert_int_eq(sa_stream_add(other, 99, SSRC_ORIGIN_SIGNALLED), 0);
    ck_assert_int_eq(table_insert(table, other), 0);
    packet.length = 3;
    ck_assert_int_eq(admit_packet(&packet, SA_SIDE_EXTERNAL, false, &found), VERDICT_MALFORMED);
    ck_assert_uint_eq(sa->verdicts[VERDICT_MALFORMED] + other->verdicts[VERDICT_MALFORMED], 0);
    ck_assert_uint_eq(sa->stray.at_us + other->stray.at_us, 0);
}
END_TEST

/* From where a sender is expected that was not heard yet: whose it is, is not certain. */
START_TEST(test_noise_of_an_expected_sender)
{
    struct udp_packet packet = make_rtp(1);
    struct sa *found;

    sa->source_policy = _i == 1 ? SOURCE_OPEN : SOURCE_HINTED;
    sa->hint = addr_of("198.51.100.9:5060");
    insert(false);
    packet.source = addr_of(_i == 2 ? "198.51.100.10:7777" : "198.51.100.9:7777");
    packet.length = 0;
    ck_assert_int_eq(admit_packet(&packet, SA_SIDE_EXTERNAL, false, &found), VERDICT_MALFORMED);
    ck_assert_uint_eq(sa->stray.at_us, 0);
    packet.length = 3;
    ck_assert_int_eq(admit_packet(&packet, SA_SIDE_EXTERNAL, false, &found), VERDICT_MALFORMED);
    ck_assert_ptr_null(found);
    ck_assert_uint_eq(sa->verdicts[VERDICT_MALFORMED], 0);
    ck_assert_int_eq(sa->stray.at_us != 0, _i != 2);
    ck_assert_int_eq(addr_equal(&sa->stray.from, &packet.source), _i != 2);
    /* Once it was heard, it is not expected elsewhere. */
    sa->stray.at_us = 0;
    sa->bound[0] = true;
    candidates_update(table_candidates(table), sa);
    ck_assert_int_eq(admit_packet(&packet, SA_SIDE_EXTERNAL, false, &found), VERDICT_MALFORMED);
    ck_assert_uint_eq(sa->stray.at_us, 0);
}
END_TEST

/* A quoted packet: which SA's receiver is not there? */
static const struct {
    const char *hex; /* RTP header, as far as it is quoted */
    bool prime, rtcp_port;
    const char *to;
    bool found, hairpin;
} quotes[] = {
    {"8000 0001 00000000 SSRC", false, false, "10.0.0.1:6000", true, false},
    {"8000 0001 00000000 SSRC 0102", false, false, "10.0.0.1:6000", true, false},
    {"8000 0001 00000000 SSRC", false, true, "10.0.0.1:6000", false,
     false}, /* nobody misses RTCP */
    {"8000 0001 00000000 SSRC", false, false, "10.0.0.1:6002", false, false},
    {"8000 0001 00000000 00000001", false, false, "10.0.0.1:6000", false, false},
    {"8000 0001 00000000", false, false, "10.0.0.1:6000", false, false},
    {"", false, false, "10.0.0.1:6000", false, false},
    {"SSRC 8000 0001 00000000 SSRC", true, false, "10.0.0.1:6000", true, false},
    {"SSRC 8000 0001 00000000 SSRC", false, false, "10.0.0.1:6000", false, false},
    {"8000 0001 00000000 SSRC", true, false, "10.0.0.1:6000", false, false},
    {"8000 0001 00000000 SSRC", false, false, "10.0.0.1:6000", true, true},
    {"SSRC 8000 0001 00000000 SSRC", true, false, "10.0.0.1:6000", true, true},
};

static size_t quote(const char *hex, uint8_t *data, size_t size)
{
    char text[128] = "";
    const char *at;

    for (; (at = strstr(hex, "SSRC")); hex = at + 4)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%.*s%08x", (int)(at - hex), hex,
                 (unsigned)SSRC);
    snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s", hex);
    return unit_hex(text, data, size);
}

START_TEST(test_failed)
{
    struct addr to = addr_of(quotes[_i].to);
    uint8_t data[64];
    size_t length = quote(quotes[_i].hex, data, sizeof(data));

    sa->destination.rtp = addr_of("10.0.0.1:6000");
    sa->encap_out = quotes[_i].prime ? SA_ENCAP_RTP_PRIME : SA_ENCAP_RTP;
    sa->hairpin = quotes[_i].hairpin;
    insert(false);
    path.side = quotes[_i].hairpin ? SA_SIDE_INTERNAL : SA_SIDE_EXTERNAL;
    path_failed(&path, quotes[_i].rtcp_port, &to, data, length, 5);
    ck_assert_uint_eq(sa->stray.at_us, 0);
    path.side = sa_to_side(sa);
    path_failed(&path, quotes[_i].rtcp_port, &to, data, length, 5);
    ck_assert_uint_eq(sa->stray.at_us, quotes[_i].found ? 5 : 0);
    ck_assert_uint_eq(sa->verdicts[VERDICT_UNREACHABLE], quotes[_i].found);
    if (quotes[_i].found)
        ck_assert(addr_equal(&sa->stray.from, &to));
}
END_TEST

/* What was dropped last of a sender, and where it came from. */
START_TEST(test_stray)
{
    struct udp_packet packet = make_rtp(1);
    struct sa *found;

    insert(false);
    ck_assert_int_eq(admit_packet(&packet, SA_SIDE_EXTERNAL, false, &found), VERDICT_ACCEPTED);
    ck_assert_uint_eq(sa->stray.at_us, 0);
    ck_assert_int_eq(admit_packet(&packet, SA_SIDE_EXTERNAL, false, &found), VERDICT_REPLAY);
    ck_assert_uint_ne(sa->stray.at_us, 0);
    ck_assert_int_eq(sa->stray.verdict, VERDICT_REPLAY);
    ck_assert(addr_equal(&sa->stray.from, &packet.source));
    /* Under a strict policy, a sender that has moved is not searched. */
    packet.source.port++;
    packet.source.port++;
    ck_assert_int_eq(admit_packet(&packet, SA_SIDE_EXTERNAL, false, &found), VERDICT_NO_SA);
    ck_assert_int_eq(sa->stray.verdict, VERDICT_NO_SA);
    ck_assert(addr_equal(&sa->stray.from, &packet.source));
}
END_TEST

/* The largest packet, as RTP and as RTP', and one octet more. */
static const struct {
    bool prime;
    size_t length;
    enum verdict verdict;
} sizes[] = {
    {false, PACKET_MAX_OCTETS, VERDICT_ACCEPTED},
    {false, PACKET_MAX_OCTETS + 1, VERDICT_TOO_BIG},
    {false, PACKET_MAX_OCTETS + PRIME_OCTETS, VERDICT_TOO_BIG},
    {true, PACKET_MAX_OCTETS + PRIME_OCTETS, VERDICT_ACCEPTED},
    {true, PACKET_MAX_OCTETS + PRIME_OCTETS + 1, VERDICT_TOO_BIG},
};

START_TEST(test_sizes)
{
    uint8_t data[PACKET_MAX_OCTETS + PRIME_OCTETS + 1] = {0};
    struct udp_packet packet = {.data = data, .length = sizes[_i].length};
    struct path_found found;
    struct peers known = {0};

    packet.source = addr_of("192.0.2.7:5000");
    if (sizes[_i].prime)
        ck_assert_int_eq(peers_add(&known, "peer", &packet.source), 0);
    path.peers = &known;
    data[sizes[_i].prime ? PRIME_OCTETS : 0] = 0x80;
    path_find(&path, &packet, 1, &found);
    ck_assert_int_eq(found.verdict, sizes[_i].verdict);
    ck_assert(found.peer == sizes[_i].prime);
}
END_TEST

START_TEST(test_verified)
{
    struct udp_packet packet = make_rtp(1);
    struct sa *found;

    insert(false);
    octets[packet.length - 1] ^= 1;
    ck_assert_int_eq(admit_packet(&packet, SA_SIDE_EXTERNAL, false, &found), VERDICT_AUTH_FAIL);
    octets[packet.length - 1] ^= 1;
    ck_assert_int_eq(admit_packet(&packet, SA_SIDE_EXTERNAL, false, &found), VERDICT_ACCEPTED);
    ck_assert_int_eq(admit_packet(&packet, SA_SIDE_EXTERNAL, false, &found), VERDICT_REPLAY);
    ck_assert_uint_eq(sa->packets, 1);
    ck_assert_uint_eq(sa->last_packet_us, 1000000);
}
END_TEST

/* A second SA with the source of the first. */
static struct sa *add_second(struct protect **out, uint64_t lifetime)
{
    uint8_t material[SUITE_KEY_MAX_OCTETS];
    struct sa *second = sa_new();
    struct srtp_key key;

    ck_assert_ptr_nonnull(second);
    second->id = second->label = 2;
    second->source = sa->source;
    second->suite = sa->suite;
    memset(material, 0x33, sizeof(material));
    srtp_key_master(&key, material, suite_material_octets(second->suite));
    key.lifetime = lifetime;
    ck_assert_int_eq(sa_open(second, engine, &key), 0);
    *out = protect_new(second->suite, material, SSRC);
    ck_assert_ptr_nonnull(*out);
    return second;
}

/* Each of n to n + 5 comes from the first sender, then from the second, and is the right one's. */
static void check_both(struct sa *second, struct protect *other, uint16_t n)
{
    struct protect *first = sender;
    struct sa *found;

    for (uint16_t i = n; i < n + 5; i++) {
        struct udp_packet packet = make_rtp(i);

        ck_assert_int_eq(admit_packet(&packet, SA_SIDE_EXTERNAL, false, &found), VERDICT_ACCEPTED);
        ck_assert_ptr_eq(found, sa);
        sender = other;
        packet = make_rtp(i);
        sender = first;
        ck_assert_int_eq(admit_packet(&packet, SA_SIDE_EXTERNAL, false, &found), VERDICT_ACCEPTED);
        ck_assert_ptr_eq(found, second);
    }
}

/* Nothing but the key tells them apart, and the indexes of one have come under the other. */
START_TEST(test_two_alike)
{
    struct protect *other;
    struct sa *second = add_second(&other, SRTP_LIFETIME_MAX);

    if (_i == 0)
        ck_assert_int_eq(sa_stream_add(second, SSRC, SSRC_ORIGIN_SIGNALLED), 0);
    else
        sa->stream_count = 0; /* both are to be learned */
    insert(false);
    ck_assert_int_eq(table_insert(table, second), 0);
    check_both(second, other, 1);
    check_both(second, other, 6);
    /* What was one's is not counted against the other. */
    for (enum verdict v = 0; v < VERDICT_COUNT; v++) {
        ck_assert_uint_eq(sa->verdicts[v], v == VERDICT_ACCEPTED ? 10 : 0);
        ck_assert_uint_eq(second->verdicts[v], v == VERDICT_ACCEPTED ? 10 : 0);
    }
    protect_free(other);
}
END_TEST

/* One may send no more: that does not end the other. */
START_TEST(test_one_expired)
{
    struct udp_packet packet;
    struct protect *other;
    struct sa *second = add_second(&other, 5), *found;

    ck_assert_int_eq(sa_stream_add(second, SSRC, SSRC_ORIGIN_SIGNALLED), 0);
    insert(false);
    ck_assert_int_eq(table_insert(table, second), 0);
    check_both(second, other, 1);
    for (uint16_t i = 6; i < 20; i++) {
        packet = make_rtp(i);
        ck_assert_int_eq(admit_packet(&packet, SA_SIDE_EXTERNAL, false, &found), VERDICT_ACCEPTED);
        ck_assert_ptr_eq(found, sa);
    }
    ck_assert_uint_eq(second->verdicts[VERDICT_KEY_EXPIRED], 0);
    protect_free(other);
}
END_TEST

/* ------------------------------------------------------------ RTP' */

static uint8_t prime_octets[PRIME_OCTETS + PACKET_SIZE];

/* With an outer SSRC in front. */
static struct udp_packet make_prime(const struct udp_packet *packet, uint32_t outer)
{
    struct udp_packet made = *packet;

    prime_write(prime_octets, outer);
    memcpy(prime_octets + PRIME_OCTETS, packet->data, packet->length);
    made.data = prime_octets;
    made.length = PRIME_OCTETS + packet->length;
    return made;
}

/* What the first octets are where RTP' is read as RTP: SSRC is of version 0. */
enum { LIKE_RTP = 0x80001234, EXT = SA_SIDE_EXTERNAL, INT = SA_SIDE_INTERNAL };
enum { NOBODY, PEER, SELF };

/*
 * Who sends decides, and the octets never: outside the list of peers, inside the SA. The SA has
 * SSRC; outer 0: RTP is sent.
 */
static const struct {
    const char *name;
    int side, listed, encap;
    uint32_t outer;
    enum verdict verdict;
} primes[] = {
    {"of a peer", EXT, PEER, SA_ENCAP_RTP_PRIME, SSRC, VERDICT_ACCEPTED},
    {"of a peer, another outside", EXT, PEER, SA_ENCAP_RTP_PRIME, SSRC + 1, VERDICT_NO_SA},
    {"of a peer, as RTP", EXT, PEER, SA_ENCAP_RTP_PRIME, LIKE_RTP, VERDICT_NO_SA},
    {"RTP of a peer", EXT, PEER, SA_ENCAP_RTP_PRIME, 0, VERDICT_MALFORMED},
    {"of a peer that is none any longer", EXT, NOBODY, SA_ENCAP_RTP_PRIME, SSRC, VERDICT_MALFORMED},
    {"the same, as RTP", EXT, NOBODY, SA_ENCAP_RTP_PRIME, LIKE_RTP, VERDICT_NO_SA},
    {"RTP of a peer that is none any longer", EXT, NOBODY, SA_ENCAP_RTP_PRIME, 0, VERDICT_NO_SA},
    {"from our own address", EXT, SELF, SA_ENCAP_RTP_PRIME, SSRC, VERDICT_MALFORMED},
    {"RTP from our own address", EXT, SELF, SA_ENCAP_RTP_PRIME, 0, VERDICT_NO_SA},
    {"of one that became a peer", EXT, PEER, SA_ENCAP_RTP, SSRC, VERDICT_NO_SA},
    {"RTP of one that became a peer", EXT, PEER, SA_ENCAP_RTP, 0, VERDICT_MALFORMED},
    {"of anybody", EXT, NOBODY, SA_ENCAP_RTP, SSRC, VERDICT_MALFORMED},
    {"of anybody, as RTP", EXT, NOBODY, SA_ENCAP_RTP, LIKE_RTP, VERDICT_AUTH_FAIL},
    {"inside", INT, NOBODY, SA_ENCAP_RTP_PRIME, SSRC, VERDICT_ACCEPTED},
    {"inside, another outside", INT, NOBODY, SA_ENCAP_RTP_PRIME, SSRC + 1, VERDICT_NO_SA},
    {"inside, RTP", INT, NOBODY, SA_ENCAP_RTP_PRIME, 0, VERDICT_MALFORMED},
    {"inside, where RTP is right", INT, NOBODY, SA_ENCAP_RTP, SSRC, VERDICT_MALFORMED},
    {"inside, RTP where it is right", INT, NOBODY, SA_ENCAP_RTP, 0, VERDICT_ACCEPTED},
};

/* RTP's timestamp and what follows is no packet where it is read as RTP'. */
START_TEST(test_prime)
{
    struct udp_packet packet = make_rtp(1), made;
    struct sa *found;

    sa->side = (enum sa_side)primes[_i].side;
    sa->encap_in = (enum sa_encap)primes[_i].encap;
    insert(false);
    memset(&peers, 0, sizeof(peers));
    path.peers = primes[_i].side == EXT ? &peers : NULL;
    if (primes[_i].listed != NOBODY)
        ck_assert_int_eq(
            peers_add(&peers, primes[_i].listed == SELF ? PEERS_SELF : "other", &sa->source.rtp),
            0);
    made = primes[_i].outer ? make_prime(&packet, primes[_i].outer) : packet;
    ck_assert_msg(admit_packet(&made, sa->side, false, &found) == primes[_i].verdict, "%s",
                  primes[_i].name);
    ck_assert_uint_eq(sa->packets, primes[_i].verdict == VERDICT_ACCEPTED);
}
END_TEST

/*
 * SRTCP from the peer's other port. Of a sender with two SSRCs, RTP has its own in front, and RTCP
 * any of the two, whichever reports.
 */
START_TEST(test_prime_rtcp)
{
    struct udp_packet packet = make_rtcp(), made = make_prime(&packet, SSRC);
    struct sa *found;

    sa->encap_in = SA_ENCAP_RTP_PRIME;
    ck_assert_int_eq(sa_stream_add(sa, SSRC + 1, SSRC_ORIGIN_SIGNALLED), 0);
    insert(false);
    memset(&peers, 0, sizeof(peers));
    ck_assert_int_eq(peers_add(&peers, "other", &sa->source.rtp), 0);
    made.source = sa->source.rtcp;
    ck_assert_int_eq(admit_packet(&made, SA_SIDE_EXTERNAL, true, &found), VERDICT_ACCEPTED);
    packet = make_rtcp();
    made = make_prime(&packet, SSRC + 1);
    made.source = sa->source.rtcp;
    ck_assert_int_eq(admit_packet(&made, SA_SIDE_EXTERNAL, true, &found), VERDICT_ACCEPTED);
    packet = make_rtp(1);
    made = make_prime(&packet, SSRC + 1);
    ck_assert_int_eq(admit_packet(&made, SA_SIDE_EXTERNAL, false, &found), VERDICT_SSRC_MISMATCH);
    ck_assert_uint_eq(sa->packets, 2);
}
END_TEST

START_TEST(test_prime_truncated)
{
    struct udp_packet packet = make_rtp(1);
    struct sa *found;

    sa->encap_in = SA_ENCAP_RTP_PRIME;
    insert(false);
    memset(&peers, 0, sizeof(peers));
    ck_assert_int_eq(peers_add(&peers, "other", &sa->source.rtp), 0);
    for (size_t length = 0; length < packet.length + PRIME_OCTETS; length++) {
        struct udp_packet cut = make_prime(&packet, SSRC);
        uint8_t *memory = malloc(length > 0 ? length : 1);
        enum verdict verdict;

        ck_assert_ptr_nonnull(memory);
        memcpy(memory, cut.data, length);
        cut.data = memory;
        cut.length = length;
        verdict = admit_packet(&cut, SA_SIDE_EXTERNAL, false, &found);
        ck_assert(length < 16 ? verdict == VERDICT_MALFORMED
                              : verdict == VERDICT_AUTH_FAIL || verdict == VERDICT_MALFORMED);
        free(memory);
    }
    ck_assert_uint_eq(sa->packets, 0);
}
END_TEST

/* Never on a socket, and from ourselves: it is RTP', whatever the list of peers says. */
START_TEST(test_prime_own)
{
    struct udp_packet packet = make_rtp(1), made = make_prime(&packet, SSRC);
    struct path_found at;

    sa->encap_in = SA_ENCAP_RTP_PRIME;
    insert(false);
    memset(&peers, 0, sizeof(peers));
    path_find_own(&path, &made, &at);
    ck_assert_int_eq(path_verify(&path, &at, false, &made, 1000000), VERDICT_ACCEPTED);
    ck_assert_ptr_eq(at.sa, sa);
}
END_TEST

/* RTCP' has an SSRC of the SA in front, whichever reports inside. */
START_TEST(test_prime_on_the_way_out)
{
    static const struct {
        enum rtp_shape shape;
        uint32_t inner, outer;
    } packets[] = {
        {RTP_SHAPE_RTCP, SSRC + 1, SSRC + 1}, {RTP_SHAPE_RTCP, 99, SSRC},
        {RTP_SHAPE_RTP, SSRC + 1, SSRC + 1},  {RTP_SHAPE_RTCP, 99, SSRC + 1},
        {RTP_SHAPE_RTCP, SSRC, SSRC},         {RTP_SHAPE_RTP, SSRC, SSRC},
        {RTP_SHAPE_RTCP, 99, SSRC},
    };
    uint8_t memory[PATH_PRIME_OCTETS];

    ck_assert_int_eq(sa_stream_add(sa, SSRC + 1, SSRC_ORIGIN_SIGNALLED), 0);
    insert(false);
    for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
        struct verify_input input = {.packet = (const uint8_t *)"packet",
                                     .length = 6,
                                     .view = {.shape = packets[i].shape, .ssrc = packets[i].inner}};
        uint32_t outer;

        ck_assert_uint_eq(path_prime(sa, &input, memory), 10);
        ck_assert(prime_read(memory, 10, &outer));
        ck_assert_uint_eq(outer, packets[i].outer);
        ck_assert_mem_eq(memory + PRIME_OCTETS, "packet", 6);
    }
}
END_TEST

/* Without a key the header is all that there is to go by: how much of a good packet is kept. */
static const struct {
    bool rtcp;
    int shorter;   /* octets cut off; -1: the tag is spoilt instead */
    bool stranger; /* another SSRC */
    enum verdict verdict;
} keyless[] = {
    {false, 0, false, VERDICT_ACCEPTED},   {false, -1, false, VERDICT_ACCEPTED},
    {false, 7, false, VERDICT_ACCEPTED},   {false, 8, false, VERDICT_MALFORMED},
    {false, 17, false, VERDICT_MALFORMED}, {false, 0, true, VERDICT_SSRC_MISMATCH},
    {false, 8, true, VERDICT_MALFORMED},   {true, 0, false, VERDICT_ACCEPTED},
    {true, -1, false, VERDICT_ACCEPTED},   {true, 1, false, VERDICT_MALFORMED},
    {true, 14, false, VERDICT_MALFORMED},  {true, 0, true, VERDICT_SSRC_MISMATCH},
};

START_TEST(test_keyless)
{
    bool rtcp = keyless[_i].rtcp;
    struct udp_packet packet = rtcp ? make_rtcp() : make_rtp(1);
    struct sa *found;

    srtp_session_free(sa->srtp);
    sa->srtp = NULL;
    insert(true);
    if (keyless[_i].shorter < 0)
        octets[packet.length - 1] ^= 1;
    else
        packet.length -= (size_t)keyless[_i].shorter;
    octets[rtcp ? 7 : 11] ^= keyless[_i].stranger;
    for (unsigned i = 1; i <= 3; i++) { /* again: there is no replay window */
        ck_assert_int_eq(admit_packet(&packet, SA_SIDE_EXTERNAL, false, &found),
                         keyless[_i].verdict);
        ck_assert_ptr_eq(found, sa);
        ck_assert_uint_eq(sa->verdicts[keyless[_i].verdict], i);
        ck_assert_uint_eq(sa->packets, keyless[_i].verdict == VERDICT_ACCEPTED ? i : 0);
    }
    /* Nothing is learned from what nobody has verified. */
    ck_assert(!sa->stream[0].index.started && !sa->stream[0].index.rtcp_started);
    ck_assert_uint_eq(sa->stream[0].stats.received, 0);
}
END_TEST

/* A sender inside with an SSRC that it was given: packets are compared with that, and counted. */
static const struct {
    bool suite, rtcp, stranger;
    size_t length;
    enum verdict verdict;
} assigned[] = {
    {true, false, false, 29, VERDICT_ACCEPTED},      {true, false, false, 21, VERDICT_MALFORMED},
    {true, true, false, 22, VERDICT_ACCEPTED},       {true, true, false, 21, VERDICT_MALFORMED},
    {false, false, false, 12, VERDICT_ACCEPTED},     {false, false, false, 11, VERDICT_MALFORMED},
    {false, true, false, 8, VERDICT_ACCEPTED},       {false, true, false, 7, VERDICT_MALFORMED},
    {false, false, true, 29, VERDICT_SSRC_MISMATCH}, {true, true, true, 22, VERDICT_SSRC_MISMATCH},
};

static struct udp_packet make_assigned(uint16_t sequence, bool rtcp)
{
    static const uint8_t report[] = {0x80, 201, 0, 1, 0, 0, SSRC >> 8, SSRC & 0xff};

    memset(octets, 0x77, sizeof(octets));
    (void)protect_make_rtp(octets, sizeof(octets), 0, sequence, 160, SSRC, "payload", 7);
    if (rtcp)
        memcpy(octets, report, sizeof(report));
    return (struct udp_packet){.data = octets, .source = sa->source.rtp};
}

START_TEST(test_assigned)
{
    /* Over a wrap, one late, one twice, one lost. */
    static const uint16_t sequences[] = {65533, 65534, 65534, 0, 65535, 1, 3, 4};
    bool rtcp = assigned[_i].rtcp, accepted = assigned[_i].verdict == VERDICT_ACCEPTED;
    const struct rtp_stats *stats = &sa->stream[0].stats;
    uint64_t before = srtp_engine_verifications(engine);
    struct sa *found;

    srtp_session_free(sa->srtp);
    sa->srtp = NULL;
    sa->suite = assigned[_i].suite ? sa->suite : NULL;
    sa->side = SA_SIDE_INTERNAL;
    sa->stream[0].origin = SSRC_ORIGIN_ASSIGNED;
    insert(true);
    for (unsigned i = 0; i < 8; i++) {
        struct udp_packet packet = make_assigned(sequences[i], rtcp);

        packet.length = assigned[_i].length;
        octets[rtcp ? 7 : 11] ^= assigned[_i].stranger;
        ck_assert_int_eq(admit_packet(&packet, SA_SIDE_INTERNAL, false, &found),
                         assigned[_i].verdict);
    }
    ck_assert_uint_eq(sa->packets, accepted ? 8 : 0);
    ck_assert_uint_eq(stats->received, accepted && !rtcp ? 8 : 0);
    ck_assert_uint_eq(stats->highest_index - stats->first_index, accepted && !rtcp ? 7 : 0);
    ck_assert_uint_eq(srtp_engine_verifications(engine), before);
}
END_TEST

START_TEST(test_keyless_rate)
{
    struct udp_packet packet = make_rtp(1);
    struct sa *found;

    srtp_session_free(sa->srtp);
    sa->srtp = NULL;
    rate_init(&sa->rate, 8000); /* half a second's worth at once: 4,000 octets */
    insert(false);
    for (unsigned i = 0; i < 200; i++)
        ck_assert_int_eq(admit_packet(&packet, SA_SIDE_EXTERNAL, false, &found),
                         (i + 1) * packet.length <= 4000 ? VERDICT_ACCEPTED : VERDICT_RATE);
    ck_assert_uint_eq(sa->packets, 4000 / packet.length);
    ck_assert_uint_eq(sa->verdicts[VERDICT_RATE], 200 - 4000 / packet.length);
}
END_TEST

/* ------------------------------------------------------------ out */

static const struct {
    const char *name, *address;
} listener_rows[] = {
    {"four", "203.0.113.1:5004"}, {"other", "203.0.113.2:6004"}, {"six", "[2001:db8::1]:5004"}};

enum { LISTENERS = sizeof(listener_rows) / sizeof(listener_rows[0]) };

static struct path_listener listeners[LISTENERS];

static void make_listeners(void)
{
    for (int i = 0; i < LISTENERS; i++) {
        snprintf(listeners[i].name, sizeof(listeners[i].name), "%s", listener_rows[i].name);
        listeners[i].address = addr_of(listener_rows[i].address);
    }
}

static const struct {
    const char *name;
    uint8_t family;
    size_t count;
    int found;
} finds[] =
    {
        {"", 4, 3, 0},      {"", 6, 3, 2},      {"", 0, 3, 0},      {"", 6, 2, -1},
        {"other", 4, 3, 1}, {"other", 0, 3, 1}, {"none", 4, 3, -1}, {"", 0, 0, -1},
        {"six", 4, 3, 2}, /* the name decides; the caller sees the family */
};

START_TEST(test_find_listener)
{
    make_listeners();
    ck_assert_int_eq(
        path_find_listener(listeners, finds[_i].count, finds[_i].name, finds[_i].family),
        finds[_i].found);
}
END_TEST

static const struct {
    const char *rtp, *rtcp; /* "": not known */
    bool mux;
    const char *listener;
    bool is_rtcp;
    int out; /* -1: no-destination */
    const char *to;
    bool rtcp_port;
} routes[] = {
    {"192.0.2.9:10", "192.0.2.9:11", false, "", false, 0, "192.0.2.9:10", false},
    {"192.0.2.9:10", "192.0.2.9:11", false, "", true, 0, "192.0.2.9:11", true},
    {"192.0.2.9:10", "192.0.2.9:11", true, "", true, 0, "192.0.2.9:10", false},
    {"192.0.2.9:10", "", true, "", true, 0, "192.0.2.9:10", false},
    {"192.0.2.9:10", "", false, "", true, -1, NULL, false},
    {"", "", false, "", false, -1, NULL, false},
    {"192.0.2.9:10", "", false, "other", false, 1, "192.0.2.9:10", false},
    {"192.0.2.9:10", "", false, "none", false, -1, NULL, false},
    {"192.0.2.9:10", "", false, "six", false, -1, NULL, false},
    {"[2001:db8::9]:10", "[2001:db8::9]:11", false, "", true, 2, "[2001:db8::9]:11", true},
    {"[2001:db8::9]:10", "", false, "four", false, -1, NULL, false},
};

START_TEST(test_route)
{
    struct path_hop hop = {0};
    enum verdict verdict;
    struct addr to;

    make_listeners();
    if (routes[_i].rtp[0])
        sa->destination.rtp = addr_of(routes[_i].rtp);
    if (routes[_i].rtcp[0])
        sa->destination.rtcp = addr_of(routes[_i].rtcp);
    sa->destination.mux = routes[_i].mux;
    ck_assert_int_eq(sa_set_text(sa, SA_LISTENER_OUT, routes[_i].listener), 0);
    verdict = path_route(sa, routes[_i].is_rtcp, listeners, LISTENERS, &hop);
    if (routes[_i].out < 0) {
        ck_assert_int_eq(verdict, VERDICT_NO_DESTINATION);
        return;
    }
    ck_assert_int_eq(verdict, VERDICT_ACCEPTED);
    to = addr_of(routes[_i].to);
    ck_assert(addr_equal(hop.to, &to));
    ck_assert_int_eq((int)hop.listener, routes[_i].out);
    ck_assert_int_eq(hop.rtcp_port, routes[_i].rtcp_port);
}
END_TEST

START_TEST(test_no_listener_of_the_family)
{
    struct path_hop hop;

    make_listeners();
    sa->destination.rtp = addr_of("[2001:db8::9]:10");
    ck_assert_int_eq(path_route(sa, false, listeners, 2, &hop), VERDICT_NO_DESTINATION);
    ck_assert_int_eq(path_route(sa, false, listeners, 0, &hop), VERDICT_NO_DESTINATION);
}
END_TEST

static const struct {
    int error;
    enum verdict verdict;
} errors[] = {
    {0, VERDICT_ACCEPTED},
    {EMSGSIZE, VERDICT_TOO_BIG},
    {EAGAIN, VERDICT_SOCKET_FULL},
    {EWOULDBLOCK, VERDICT_SOCKET_FULL},
    {ENOBUFS, VERDICT_SOCKET_FULL},
    {ENOMEM, VERDICT_SOCKET_FULL},
    {ENETUNREACH, VERDICT_UNREACHABLE},
    {EHOSTUNREACH, VERDICT_UNREACHABLE},
    {EPERM, VERDICT_UNREACHABLE},
    {ECONNREFUSED, VERDICT_UNREACHABLE},
    {EINVAL, VERDICT_UNREACHABLE},
};

START_TEST(test_sent_verdict)
{
    ck_assert_int_eq(path_sent_verdict(errors[_i].error), errors[_i].verdict);
}
END_TEST

#define ROWS(rows) (int)(sizeof(rows) / sizeof((rows)[0]))

int main(void)
{
    Suite *suite = suite_create("path");
    TCase *tc = tcase_create("path");

    suite_add_tcase(suite, tc);
    tcase_add_unchecked_fixture(tc, start_engine, stop_engine);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_group);
    tcase_add_loop_test(tc, test_ports, 0, ROWS(ports));
    tcase_add_test(tc, test_either_source);
    tcase_add_test(tc, test_not_found);
    tcase_add_test(tc, test_noise_of_a_shared_source);
    tcase_add_loop_test(tc, test_noise_of_an_expected_sender, 0, 3);
    tcase_add_test(tc, test_stray);
    tcase_add_loop_test(tc, test_failed, 0, sizeof(quotes) / sizeof(quotes[0]));
    tcase_add_test(tc, test_verified);
    tcase_add_loop_test(tc, test_prime, 0, ROWS(primes));
    tcase_add_test(tc, test_prime_rtcp);
    tcase_add_loop_test(tc, test_sizes, 0, ROWS(sizes));
    tcase_add_test(tc, test_prime_truncated);
    tcase_add_test(tc, test_prime_own);
    tcase_add_test(tc, test_prime_on_the_way_out);
    tcase_add_loop_test(tc, test_keyless, 0, sizeof(keyless) / sizeof(keyless[0]));
    tcase_add_loop_test(tc, test_assigned, 0, sizeof(assigned) / sizeof(assigned[0]));
    tcase_add_loop_test(tc, test_two_alike, 0, 2);
    tcase_add_test(tc, test_one_expired);
    tcase_add_test(tc, test_keyless_rate);
    tcase_add_loop_test(tc, test_find_listener, 0, ROWS(finds));
    tcase_add_loop_test(tc, test_route, 0, ROWS(routes));
    tcase_add_test(tc, test_no_listener_of_the_family);
    tcase_add_loop_test(tc, test_sent_verdict, 0, ROWS(errors));
    return unit_run(suite);
}
