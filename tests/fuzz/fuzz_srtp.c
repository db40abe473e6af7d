/*
 * Sessions of each engine, and one of authentication keys alone, under a script
 * of the input's making: a key of any kind and length, an MKI, a lifetime; then
 * good packets in any order, good ones with an octet changed or cut off, raw
 * octets, an unknown SSRC, restarts, new keys beside which the old one goes on.
 * What must hold: all come to the same verdict and the same state, nothing but a
 * good packet is accepted, none twice, and the packet after the highest is always
 * accepted, whatever came before. A key is taken or refused as its length says.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/reader.h"
#include "common/srtp/srtp.h"
#include "tests/unit/protect.h"
#include "tests/unit/reference.h"

enum { SSRC = 0x5501a0b2, STEPS_MAX = 64, RESTARTS_MAX = 3, REKEYS_MAX = 3, RAW_MAX = 64 };

/* The third: authentication keys, with engine 0; not with AEAD. */
enum { ENGINES = 2, LANES_MAX = 3, PACKET_SIZE = 64 + SRTP_MKI_MAX_OCTETS };

/* What belongs to one key. */
struct side {
    struct srtp_key key;
    struct reference_keys rtp, rtcp;
    struct srtp_session *session[LANES_MAX];
    struct srtp_index index[LANES_MAX];
    uint64_t left;
    uint64_t accepted[STEPS_MAX + 1];
    uint32_t accepted_rtcp[STEPS_MAX + 1];
    unsigned accepted_count, accepted_rtcp_count;
};

struct run {
    const struct suite *suite;
    unsigned lanes, restarts, rekeys;
    struct side now, old; /* old.session[0] NULL: there is no old key */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct srtp_engine *engine[ENGINES];

static void expect(bool condition)
{
    if (!condition)
        abort();
}

/* ------------------------------------------------------------ packets */

static size_t make_rtp(const struct run *run, const struct side *side, uint64_t index,
                       uint8_t *packet)
{
    static const uint8_t plain[] = {0x80, 96,   0,   0,   0,   0,   0,   1,   0x55, 0x01,
                                    0xa0, 0xb2, 'p', 'a', 'y', 'l', 'o', 'a', 'd'};
    size_t length;

    memcpy(packet, plain, sizeof(plain));
    length = reference_rtp(run->suite, &side->rtp, index, packet, 12, sizeof(plain));
    return reference_mki(run->suite, false, side->key.mki, side->key.mki_length, packet, length);
}

static size_t make_rtcp(const struct run *run, const struct side *side, uint32_t index,
                        uint8_t *packet)
{
    static const uint8_t plain[] = {0x80, 201, 0, 2, 0x55, 0x01, 0xa0, 0xb2, 'r', 'e', 'p', 'o'};
    size_t length;

    memcpy(packet, plain, sizeof(plain));
    length = reference_rtcp(run->suite, &side->rtcp, index, true, packet, sizeof(plain));
    return reference_mki(run->suite, true, side->key.mki, side->key.mki_length, packet, length);
}

static enum verdict verify_one(struct side *side, unsigned lane, bool known, bool rtcp,
                               const uint8_t *packet, size_t length)
{
    struct srtp_index *index = known ? &side->index[lane] : NULL;

    return rtcp ? srtp_verify_rtcp(side->session[lane], index, SSRC, packet, length)
                : srtp_verify_rtp(side->session[lane], index, SSRC, packet, length);
}

/* From memory of exactly this length. */
static enum verdict verify(struct run *run, struct side *side, bool known, bool rtcp,
                           const uint8_t *packet, size_t length)
{
    uint8_t *copy = malloc(length ? length : 1);
    enum verdict verdict = VERDICT_COUNT;

    expect(copy != NULL);
    memcpy(copy, packet, length);
    for (unsigned i = 0; i < run->lanes; i++) {
        enum verdict one = verify_one(side, i, known, rtcp, copy, length);

        expect(memcmp(copy, packet, length) == 0);
        expect(i == 0 || one == verdict);
        expect(memcmp(&side->index[i], &side->index[0], sizeof(side->index[0])) == 0);
        verdict = one;
    }
    free(copy);
    if (known && verdict == VERDICT_ACCEPTED)
        expect(side->left-- > 0);
    return verdict;
}

/* ------------------------------------------------------------ keys */

static struct srtp_session *session_new(const struct run *run, unsigned lane,
                                        const struct srtp_key *key)
{
    struct srtp_session *session = NULL;

    expect(srtp_session_new(engine[lane % ENGINES], &session, run->suite, key) == 0);
    return session;
}

static void close_sessions(struct side *side)
{
    for (unsigned i = 0; i < LANES_MAX; i++) {
        srtp_session_free(side->session[i]);
        side->session[i] = NULL;
    }
}

static void open_sessions(struct run *run, struct side *side)
{
    struct srtp_key key = side->key;

    key.lifetime = side->left;
    close_sessions(side);
    side->session[0] = session_new(run, 0, &key);
    side->session[1] = session_new(run, 1, &key);
    if (run->lanes < LANES_MAX)
        return;
    expect(srtp_session_key(side->session[0], SRTP_KEY_AUTH, &key) == 0);
    side->session[2] = session_new(run, 2, &key);
}

static void use_key(struct run *run, const struct srtp_key *key)
{
    struct side *side = &run->now;

    side->key = *key;
    side->left = key->lifetime;
    reference_keys(run->suite, key->octets, false, &side->rtp);
    reference_keys(run->suite, key->octets, true, &side->rtcp);
    open_sessions(run, side);
}

static void read_mki(struct reader *r, struct srtp_key *key)
{
    uint8_t length = reader_u8(r), lifetime = reader_u8(r);

    key->mki_length = length;
    if (length > 0)
        memset(key->mki, length, sizeof(key->mki));
    key->lifetime = lifetime == 0xff ? SRTP_LIFETIME_MAX : lifetime;
}

static bool is_zero(const uint8_t *octets, size_t length)
{
    static const uint8_t zero[SUITE_KEY_MAX_OCTETS];

    return memcmp(octets, zero, length) == 0;
}

/* The salt of a master key may be anything. */
static bool has_zero_key(const struct suite *suite, const struct srtp_key *key)
{
    if (key->kind == SRTP_KEY_MASTER)
        return is_zero(key->octets, suite->key_octets);
    return is_zero(key->octets, SRTP_AUTH_KEY_OCTETS) ||
           is_zero(key->octets + SRTP_AUTH_KEY_OCTETS, SRTP_AUTH_KEY_OCTETS);
}

static int result_for(const struct run *run, const struct srtp_key *key, int which)
{
    size_t right = srtp_key_octets(run->suite, key->kind);

    if (right == 0 || key->length != right || key->mki_length > SRTP_MKI_MAX_OCTETS ||
        has_zero_key(run->suite, key))
        return ERR_INVALID;
    return key->kind == SRTP_KEY_AUTH && which == 1 ? ERR_UNSUPPORTED : 0;
}

/* What is given back is what was given. */
static void expect_key(const struct run *run, const struct srtp_session *session,
                       const struct srtp_key *key)
{
    struct srtp_key back;

    expect(srtp_session_is(session, run->suite, key));
    expect(srtp_session_key(session, key->kind, &back) == 0);
    expect(back.length == key->length && back.mki_length == key->mki_length &&
           memcmp(back.octets, key->octets, key->length) == 0 &&
           memcmp(back.mki, key->mki, key->mki_length) == 0 && back.lifetime == key->lifetime);
}

/* One that not both engines take: is it refused where it should be? */
static void try_key(const struct run *run, const struct srtp_key *key)
{
    for (int i = 0; i < ENGINES; i++) {
        struct srtp_session *session = NULL;
        int result = srtp_session_new(engine[i], &session, run->suite, key);

        expect(result == result_for(run, key, i));
        expect((session != NULL) == (result == 0));
        if (session)
            expect_key(run, session, key);
        srtp_session_free(session);
    }
}

/* The raw key, or one that can be used when it cannot. */
static void first_key(struct run *run, struct reader *r)
{
    enum srtp_key_kind kind = (enum srtp_key_kind)(reader_u8(r) % (SRTP_KEY_MASTER + 1));
    uint8_t length = reader_u8(r);
    const uint8_t *octets = reader_take(r, length);
    uint8_t usable[SUITE_KEY_MAX_OCTETS] = {1};
    struct srtp_key key;

    srtp_key_master(&key, octets ? octets : usable, octets ? length : sizeof(usable));
    key.kind = kind;
    read_mki(r, &key);
    if (result_for(run, &key, 1) < 0) {
        try_key(run, &key);
        srtp_key_master(&key, usable, suite_material_octets(run->suite));
        read_mki(r, &key);
        key.mki_length %= SRTP_MKI_MAX_OCTETS + 1;
    }
    use_key(run, &key);
    for (int i = 0; i < ENGINES; i++)
        expect_key(run, run->now.session[i], &key);
}

static void restart_side(struct run *run, struct side *side)
{
    /* What the state file keeps. */
    for (unsigned i = 0; i < run->lanes; i++) {
        if (side->index[i].started)
            index_resume(&side->index[i], side->index[i].highest);
        if (side->index[i].rtcp_started)
            index_resume_rtcp(&side->index[i], side->index[i].rtcp_highest);
    }
    open_sessions(run, side);
}

static void restart(struct run *run)
{
    restart_side(run, &run->now);
    if (run->old.session[0])
        restart_side(run, &run->old);
}

static void rekey(struct run *run, struct reader *r)
{
    uint8_t material[SUITE_KEY_MAX_OCTETS];
    struct srtp_key key;

    memset(material, (int)(0x10 + run->rekeys), sizeof(material)); /* never the same again */
    material[0] = reader_u8(r);
    srtp_key_master(&key, material, suite_material_octets(run->suite));
    read_mki(r, &key);
    key.mki_length %= SRTP_MKI_MAX_OCTETS + 1;
    close_sessions(&run->old);
    run->old = run->now;
    memset(&run->now, 0, sizeof(run->now));
    for (unsigned i = 0; i < run->lanes; i++)
        index_rekey(&run->now.index[i], &run->old.index[i]);
    use_key(run, &key);
}

/* ------------------------------------------------------------ the script */

static void send_rtp(struct run *run, struct side *side, uint64_t index)
{
    uint8_t packet[PACKET_SIZE];
    size_t length = make_rtp(run, side, index, packet);

    if (verify(run, side, true, false, packet, length) != VERDICT_ACCEPTED)
        return;
    for (unsigned i = 0; i < side->accepted_count; i++)
        expect(side->accepted[i] != index);
    side->accepted[side->accepted_count++] = index;
    expect(side->index[0].started && side->index[0].highest >= index);
}

static void send_rtcp(struct run *run, struct side *side, uint32_t index)
{
    uint8_t packet[PACKET_SIZE];
    size_t length = make_rtcp(run, side, index, packet);

    if (verify(run, side, true, true, packet, length) != VERDICT_ACCEPTED)
        return;
    for (unsigned i = 0; i < side->accepted_rtcp_count; i++)
        expect(side->accepted_rtcp[i] != index);
    side->accepted_rtcp[side->accepted_rtcp_count++] = index;
    expect(side->index[0].rtcp_started && side->index[0].rtcp_highest >= index);
}

/* A good packet with an octet changed, or cut short, or both. */
static void send_bad(struct run *run, struct side *side, struct reader *r, bool known, bool rtcp)
{
    uint64_t index = side->index[0].highest + reader_u8(r);
    uint8_t packet[PACKET_SIZE], at = reader_u8(r), change = reader_u8(r), cut = reader_u8(r);
    size_t length = rtcp ? make_rtcp(run, side, (uint32_t)index & 0x7fffffff, packet)
                         : make_rtp(run, side, index & 0xffffffffffff, packet);
    size_t less = cut % (length + 1);

    packet[at % length] ^= change;
    if (change != 0 || less != 0)
        expect(verify(run, side, known, rtcp, packet, length - less) != VERDICT_ACCEPTED);
}

static void send_raw(struct run *run, struct side *side, struct reader *r, bool known, bool rtcp)
{
    size_t length = reader_u8(r) % RAW_MAX;
    const uint8_t *raw = reader_take(r, length);

    if (raw && length > 0)
        expect(verify(run, side, known, rtcp, raw, length) != VERDICT_ACCEPTED);
}

static void send_unknown(struct run *run, struct side *side, struct reader *r, bool rtcp)
{
    uint8_t packet[PACKET_SIZE];
    uint16_t index = reader_u16(r);
    size_t length = rtcp ? make_rtcp(run, side, index, packet) : make_rtp(run, side, index, packet);

    expect(verify(run, side, false, rtcp, packet, length) ==
           (side->left > 0 ? VERDICT_ACCEPTED : VERDICT_KEY_EXPIRED));
}

/* A good packet, this many indexes behind or ahead of the highest. */
static void send(struct run *run, struct side *side, int64_t way, bool rtcp)
{
    uint64_t at = side->index[0].highest + (uint64_t)way;

    if (rtcp)
        send_rtcp(run, side, (uint32_t)(side->index[0].rtcp_highest + (uint64_t)way) & 0x7fffffff);
    else if (at < (uint64_t)1 << 48)
        send_rtp(run, side, at);
}

static void step(struct run *run, struct reader *r)
{
    uint8_t command = reader_u8(r);
    bool rtcp = command & 0x80, known = command & 0x40;
    struct side *side = command & 0x20 && run->old.session[0] ? &run->old : &run->now;

    switch (command & 7) {
    case 0: /* near */
        send(run, side, reader_u8(r) - 100, rtcp);
        break;
    case 1: /* far */
        send(run, side, (int64_t)(reader_u32(r) % 0x40000) - 0x20000, rtcp);
        break;
    case 2:
        send_bad(run, side, r, known, rtcp);
        break;
    case 3:
        send_raw(run, side, r, known, rtcp);
        break;
    case 4:
        send_unknown(run, side, r, rtcp);
        break;
    case 5:
        if (run->restarts++ < RESTARTS_MAX)
            restart(run);
        break;
    case 6: /* the next */
        send(run, side, 1, rtcp);
        break;
    default:
        if (run->rekeys++ < REKEYS_MAX)
            rekey(run, r);
        break;
    }
}

static void expect_once(struct run *run, struct side *side, bool rtcp, const uint8_t *packet,
                        size_t length)
{
    enum verdict due = side->left > 0 ? VERDICT_ACCEPTED : VERDICT_KEY_EXPIRED;

    expect(verify(run, side, true, rtcp, packet, length) == due);
    due = side->left > 0 ? VERDICT_REPLAY : VERDICT_KEY_EXPIRED;
    expect(verify(run, side, true, rtcp, packet, length) == due);
}

static void expect_next(struct run *run, struct side *side)
{
    const struct srtp_index *index = &side->index[0];
    uint64_t next = index->started ? index->highest + 1 : 0;
    uint32_t next_rtcp = index->rtcp_started ? index->rtcp_highest + 1 : 0;
    uint8_t packet[PACKET_SIZE];

    if (next < (uint64_t)1 << 48)
        expect_once(run, side, false, packet, make_rtp(run, side, next, packet));
    if (next_rtcp <= 0x7fffffff)
        expect_once(run, side, true, packet, make_rtcp(run, side, next_rtcp, packet));
}

static void begin(struct run *run, struct reader *r)
{
    uint64_t highest;
    uint32_t rtcp_highest;

    run->suite = suite_get((enum suite_id)(reader_u8(r) % SUITE_COUNT));
    run->lanes = run->suite->aead ? ENGINES : LANES_MAX;
    first_key(run, r);
    highest = reader_u64(r) & 0xffffffffffff;
    rtcp_highest = reader_u32(r) & 0x7fffffff;
    for (unsigned i = 0; i < run->lanes; i++) {
        if (highest > 0)
            index_resume(&run->now.index[i], highest);
        if (rtcp_highest > 0)
            index_resume_rtcp(&run->now.index[i], rtcp_highest);
    }
}

static void start(void)
{
    if (engine[0])
        return;
    expect(protect_start() == 0); /* keeps a session: the first one of the library takes long */
    expect(srtp_engine_new(&engine[0], SRTP_ENGINE_EVP) == 0);
    expect(srtp_engine_new(&engine[1], SRTP_ENGINE_LIBSRTP2) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run = {0};
    struct reader r;

    start();
    reader_init(&r, data, size);
    begin(&run, &r);
    for (unsigned i = 0; i < STEPS_MAX && reader_left(&r) > 0; i++)
        step(&run, &r);
    expect_next(&run, &run.now);
    if (run.old.session[0])
        expect_next(&run, &run.old);
    close_sessions(&run.now);
    close_sessions(&run.old);
    return 0;
}
