/*
 * A session of each engine under a script of the input's making: good packets
 * in any order, good ones with an octet changed or cut off, raw octets, an
 * unknown SSRC, restarts. What must hold: both come to the same verdict and the
 * same state, nothing but a good packet is accepted, none twice, and the packet
 * after the highest is always accepted, whatever came before.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/reader.h"
#include "common/srtp/srtp.h"
#include "tests/unit/reference.h"

enum { SSRC = 0x5501a0b2, STEPS_MAX = 64, RESTARTS_MAX = 3, RAW_MAX = 64, ENGINES = 2 };

struct run {
    const struct suite *suite;
    uint8_t material[SUITE_KEY_MAX_OCTETS];
    struct reference_keys rtp, rtcp;
    struct srtp_session *session[ENGINES];
    struct srtp_index index, index_of_other;
    uint64_t accepted[STEPS_MAX + 1];
    uint32_t accepted_rtcp[STEPS_MAX + 1];
    unsigned accepted_count, accepted_rtcp_count, restarts;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct srtp_engine *engine[ENGINES];

static void expect(bool condition)
{
    if (!condition)
        abort();
}

static size_t make_rtp(const struct run *run, uint64_t index, uint8_t *packet)
{
    static const uint8_t plain[] = {0x80, 96,   0,   0,   0,   0,   0,   1,   0x55, 0x01,
                                    0xa0, 0xb2, 'p', 'a', 'y', 'l', 'o', 'a', 'd'};

    memcpy(packet, plain, sizeof(plain));
    return reference_rtp(run->suite, &run->rtp, index, packet, 12, sizeof(plain));
}

static size_t make_rtcp(const struct run *run, uint32_t index, uint8_t *packet)
{
    static const uint8_t plain[] = {0x80, 201, 0, 2, 0x55, 0x01, 0xa0, 0xb2, 'r', 'e', 'p', 'o'};

    memcpy(packet, plain, sizeof(plain));
    return reference_rtcp(run->suite, &run->rtcp, index, true, packet, sizeof(plain));
}

/* From memory of exactly this length. */
static enum verdict verify(struct run *run, bool known, bool rtcp, const uint8_t *packet,
                           size_t length)
{
    struct srtp_index *index[ENGINES] = {known ? &run->index : NULL,
                                         known ? &run->index_of_other : NULL};
    uint8_t *copy = malloc(length ? length : 1);
    enum verdict verdict[ENGINES];

    expect(copy != NULL);
    memcpy(copy, packet, length);
    for (int i = 0; i < ENGINES; i++) {
        verdict[i] = rtcp ? srtp_verify_rtcp(run->session[i], index[i], SSRC, copy, length)
                          : srtp_verify_rtp(run->session[i], index[i], SSRC, copy, length);
        expect(memcmp(copy, packet, length) == 0);
    }
    free(copy);
    expect(verdict[0] == verdict[1]);
    expect(memcmp(&run->index, &run->index_of_other, sizeof(run->index)) == 0);
    return verdict[0];
}

static void restart(struct run *run)
{
    struct srtp_key key;

    srtp_key_master(&key, run->material, suite_material_octets(run->suite));
    for (int i = 0; i < ENGINES; i++) {
        srtp_session_free(run->session[i]);
        expect(srtp_session_new(engine[i], &run->session[i], run->suite, &key) == 0);
    }
    /* What the state file keeps. */
    if (run->index.started)
        index_resume(&run->index, run->index.highest);
    if (run->index.rtcp_started)
        index_resume_rtcp(&run->index, run->index.rtcp_highest);
    run->index_of_other = run->index;
}

static void send_rtp(struct run *run, uint64_t index)
{
    uint8_t packet[64];
    size_t length = make_rtp(run, index, packet);

    if (verify(run, true, false, packet, length) != VERDICT_ACCEPTED)
        return;
    for (unsigned i = 0; i < run->accepted_count; i++)
        expect(run->accepted[i] != index);
    run->accepted[run->accepted_count++] = index;
    expect(run->index.started && run->index.highest >= index);
}

static void send_rtcp(struct run *run, uint32_t index)
{
    uint8_t packet[64];
    size_t length = make_rtcp(run, index, packet);

    if (verify(run, true, true, packet, length) != VERDICT_ACCEPTED)
        return;
    for (unsigned i = 0; i < run->accepted_rtcp_count; i++)
        expect(run->accepted_rtcp[i] != index);
    run->accepted_rtcp[run->accepted_rtcp_count++] = index;
    expect(run->index.rtcp_started && run->index.rtcp_highest >= index);
}

/* A good packet with an octet changed, or cut short, or both. */
static void send_bad(struct run *run, struct reader *r, bool known, bool rtcp)
{
    uint64_t index = run->index.highest + reader_u8(r);
    uint8_t packet[64], at = reader_u8(r), change = reader_u8(r), cut = reader_u8(r);
    size_t length = rtcp ? make_rtcp(run, (uint32_t)index & 0x7fffffff, packet)
                         : make_rtp(run, index & 0xffffffffffff, packet);

    packet[at % length] ^= change;
    length -= cut % (length + 1);
    if (change != 0 || cut % (length + 1) != 0)
        expect(verify(run, known, rtcp, packet, length) != VERDICT_ACCEPTED);
}

static void send_raw(struct run *run, struct reader *r, bool known, bool rtcp)
{
    size_t length = reader_u8(r) % RAW_MAX;
    const uint8_t *raw = reader_take(r, length);

    if (raw && length > 0)
        expect(verify(run, known, rtcp, raw, length) != VERDICT_ACCEPTED);
}

static void send_unknown(struct run *run, struct reader *r, bool rtcp)
{
    uint8_t packet[64];
    uint16_t index = reader_u16(r);
    size_t length = rtcp ? make_rtcp(run, index, packet) : make_rtp(run, index, packet);

    expect(verify(run, false, rtcp, packet, length) == VERDICT_ACCEPTED);
}

static void step(struct run *run, struct reader *r)
{
    uint8_t command = reader_u8(r);
    bool rtcp = command & 0x80, known = command & 0x40;
    uint64_t at = run->index.highest;

    switch (command & 7) {
    case 0: /* near */
        at = at + reader_u8(r) - 100;
        break;
    case 1: /* far */
        at = at + reader_u32(r) % 0x40000 - 0x20000;
        break;
    case 2:
        send_bad(run, r, known, rtcp);
        return;
    case 3:
        send_raw(run, r, known, rtcp);
        return;
    case 4:
        send_unknown(run, r, rtcp);
        return;
    case 5:
        if (run->restarts++ < RESTARTS_MAX)
            restart(run);
        return;
    default: /* the next */
        at++;
        break;
    }
    if (rtcp)
        send_rtcp(run,
                  (uint32_t)(run->index.rtcp_highest + (at - run->index.highest)) & 0x7fffffff);
    else if (at < (uint64_t)1 << 48)
        send_rtp(run, at);
}

static void expect_next(struct run *run)
{
    uint8_t packet[64];
    uint64_t next = run->index.started ? run->index.highest + 1 : 0;

    if (next < (uint64_t)1 << 48) {
        size_t length = make_rtp(run, next, packet);

        expect(verify(run, true, false, packet, length) == VERDICT_ACCEPTED);
        expect(verify(run, true, false, packet, length) == VERDICT_REPLAY);
    }
    if (!run->index.rtcp_started || run->index.rtcp_highest < 0x7fffffff) {
        uint32_t next_rtcp = run->index.rtcp_started ? run->index.rtcp_highest + 1 : 0;
        size_t length = make_rtcp(run, next_rtcp, packet);

        expect(verify(run, true, true, packet, length) == VERDICT_ACCEPTED);
        expect(verify(run, true, true, packet, length) == VERDICT_REPLAY);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    struct run run = {0};
    struct reader r;

    if (!started)
        expect(srtp_engine_new(&engine[0], SRTP_ENGINE_EVP) == 0 &&
               srtp_engine_new(&engine[1], SRTP_ENGINE_LIBSRTP2) == 0);
    started = true;
    reader_init(&r, data, size);
    run.suite = suite_get((enum suite_id)(reader_u8(&r) % SUITE_COUNT));
    memset(run.material, reader_u8(&r) | 1, sizeof(run.material));
    reference_keys(run.suite, run.material, false, &run.rtp);
    reference_keys(run.suite, run.material, true, &run.rtcp);
    run.index.highest = reader_u64(&r) & 0xffffffffffff;
    run.index.rtcp_highest = reader_u32(&r) & 0x7fffffff;
    run.index.started = run.index.highest != 0;
    run.index.rtcp_started = run.index.rtcp_highest != 0;
    restart(&run);
    for (unsigned i = 0; i < STEPS_MAX && reader_left(&r) > 0; i++)
        step(&run, &r);
    expect_next(&run);
    for (int i = 0; i < ENGINES; i++)
        srtp_session_free(run.session[i]);
    return 0;
}
