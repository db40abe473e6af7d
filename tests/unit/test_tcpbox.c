#include "config.h" /* _GNU_SOURCE */

#include "tests/tools/tcpbox.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

enum {
    FIN = 1,
    SYN = 2,
    RST = 4,
    ACK = 16,
    ETHERNET = 14,
    TCP_AT = ETHERNET + 20,
    HEAD = 32,
    OUT_MAX = 128
};

/* A segment between 10.0.0.1:1000 and 10.0.0.2:2000 with a SACK block behind two NOPs. */
struct sample {
    uint32_t seq, ack, left, right;
    uint8_t flags, data;
    bool odd; /* the block begins at an odd place */
};

static void put32(uint8_t *o, uint32_t n)
{
    for (unsigned i = 0; i < 4; i++)
        o[i] = (uint8_t)(n >> (24 - 8 * i));
}

static uint32_t get32(const uint8_t *o)
{
    return (uint32_t)o[0] << 24 | (uint32_t)o[1] << 16 | (uint32_t)o[2] << 8 | o[3];
}

/* RFC 9293's checksum, from scratch; 0 over a segment whose own is right. */
static uint16_t checksum(const uint8_t *frame, size_t length)
{
    const size_t tcp = length - TCP_AT;
    uint32_t sum = 6 + (uint32_t)tcp;

    for (size_t i = 0; i < 8; i++)
        sum += (uint32_t)frame[ETHERNET + 12 + i] << (i % 2 ? 0 : 8);
    for (size_t i = 0; i < tcp; i++)
        sum += (uint32_t)frame[TCP_AT + i] << (i % 2 ? 0 : 8);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static size_t make(uint8_t *frame, unsigned direction, const struct sample *s)
{
    static const uint8_t ports[2][4] = {{3, 0xe8, 7, 0xd0}, {7, 0xd0, 3, 0xe8}};
    const size_t length = TCP_AT + HEAD + s->data, at = TCP_AT + 20 + (s->odd ? 1 : 2);
    uint16_t sum;

    memset(frame, 1, length);
    memset(frame + ETHERNET, 0, 40);
    frame[12] = 8;
    frame[13] = 0;
    frame[ETHERNET] = 0x45;
    frame[ETHERNET + 3] = (uint8_t)(length - ETHERNET);
    frame[ETHERNET + 9] = 6;
    memcpy(frame + ETHERNET + 12, (uint8_t[]){10, 0, 0, (uint8_t)(1 + direction)}, 4);
    memcpy(frame + ETHERNET + 16, (uint8_t[]){10, 0, 0, (uint8_t)(2 - direction)}, 4);
    memcpy(frame + TCP_AT, ports[direction], 4);
    put32(frame + TCP_AT + 4, s->seq);
    put32(frame + TCP_AT + 8, s->ack);
    frame[TCP_AT + 12] = HEAD / 4 << 4;
    frame[TCP_AT + 13] = s->flags;
    frame[at] = 5;
    frame[at + 1] = 10;
    put32(frame + at + 2, s->left);
    put32(frame + at + 6, s->right);
    sum = checksum(frame, length);
    frame[TCP_AT + 16] = (uint8_t)(sum >> 8);
    frame[TCP_AT + 17] = (uint8_t)sum;
    return length;
}

/* What came out: the sequence numbers, and the last frame. */
struct outcome {
    unsigned count;
    uint32_t seqs[OUT_MAX];
    uint8_t frame[256];
    size_t length;
};

static void take(void *data, uint8_t *frame, size_t length)
{
    struct outcome *o = data;

    ck_assert_uint_lt(o->count, OUT_MAX);
    o->seqs[o->count++] = get32(frame + TCP_AT + 4);
    memcpy(o->frame, frame, length);
    o->length = length;
    ck_assert_uint_eq(checksum(frame, length), 0);
}

static struct outcome pass(struct tcpbox *box, unsigned direction, struct sample sample)
{
    uint8_t frame[256];
    struct outcome o = {0};

    tcpbox_pass(box, direction, frame, make(frame, direction, &sample), take, &o);
    return o;
}

static void open_connection(struct tcpbox *box)
{
    pass(box, 0, (struct sample){.seq = 1000, .flags = SYN});
    pass(box, 1, (struct sample){.seq = 5000, .ack = 1001, .flags = SYN | ACK});
}

START_TEST(test_shift)
{
    static const uint32_t firsts[] = {0xfffffff0, 7, 0x80000000};
    const uint32_t isn = firsts[_i];
    struct tcpbox *box = tcpbox_new();

    tcpbox_settings(box, 0)->isn = isn;
    for (int i = 0; i < 2; i++) {
        const bool odd = i == 1;
        const size_t block = TCP_AT + 20 + (odd ? 1 : 2);
        struct outcome o = pass(box, 0, (struct sample){.seq = 1000, .flags = SYN});

        ck_assert_uint_eq(o.seqs[0], isn);
        o = pass(box, 1, (struct sample){5000, isn + 1, isn + 21, isn + 31, SYN | ACK, 0, odd});
        ck_assert_uint_eq(o.seqs[0], 5000);
        ck_assert_uint_eq(get32(o.frame + TCP_AT + 8), 1001);
        ck_assert_uint_eq(get32(o.frame + block + 2), 1021);
        ck_assert_uint_eq(get32(o.frame + block + 6), 1031);
        o = pass(box, 0, (struct sample){1001, 5001, 5100, 5200, ACK, 40, odd});
        ck_assert_uint_eq(o.seqs[0], isn + 1);
        ck_assert_uint_eq(get32(o.frame + TCP_AT + 8), 5001);
        ck_assert_uint_eq(get32(o.frame + block + 2), 5100);
    }
    ck_assert_uint_eq(tcpbox_counters(box, 0)->shifted, 4);
    ck_assert_uint_eq(tcpbox_counters(box, 1)->shifted, 2);
    tcpbox_free(box);
}
END_TEST

/* A connection keeps what it had when it began. */
START_TEST(test_begun)
{
    struct tcpbox *box = tcpbox_new();
    struct outcome o;

    open_connection(box);
    tcpbox_settings(box, 0)->isn = 77;
    tcpbox_settings(box, 0)->in_order = 1;
    o = pass(box, 0, (struct sample){.seq = 1051, .flags = ACK, .data = 50});
    ck_assert_uint_eq(o.count, 1);
    ck_assert_uint_eq(o.seqs[0], 1051);
    pass(box, 0, (struct sample){.seq = 1000, .flags = SYN});
    o = pass(box, 0, (struct sample){.seq = 1051, .flags = ACK, .data = 50});
    ck_assert_uint_eq(o.seqs[0], 1051);
    tcpbox_free(box);
}
END_TEST

START_TEST(test_order)
{
    struct tcpbox *box = tcpbox_new();
    struct outcome o;

    tcpbox_settings(box, 0)->in_order = 1;
    open_connection(box);
    ck_assert_uint_eq(pass(box, 0, (struct sample){.seq = 1101, .flags = ACK, .data = 50}).count,
                      0);
    ck_assert_uint_eq(pass(box, 0, (struct sample){.seq = 1051, .flags = ACK, .data = 50}).count,
                      0);
    /* Nothing but data waits, and only in this direction. */
    ck_assert_uint_eq(pass(box, 0, (struct sample){.seq = 1151, .flags = ACK}).count, 1);
    ck_assert_uint_eq(pass(box, 1, (struct sample){.seq = 6001, .flags = ACK, .data = 9}).count, 1);
    o = pass(box, 0, (struct sample){.seq = 1001, .flags = ACK, .data = 50});
    ck_assert_uint_eq(o.count, 3);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(o.seqs[i], 1001 + 50 * i);
    ck_assert_uint_eq(pass(box, 0, (struct sample){.seq = 1001, .flags = ACK, .data = 50}).count,
                      1);
    ck_assert_uint_eq(pass(box, 0, (struct sample){.seq = 1151, .flags = ACK | FIN}).count, 1);
    ck_assert_uint_eq(tcpbox_counters(box, 0)->held, 2);
    ck_assert_uint_eq(tcpbox_counters(box, 0)->held_max, 2);
    tcpbox_free(box);
}
END_TEST

START_TEST(test_full)
{
    struct tcpbox *box = tcpbox_new();

    tcpbox_settings(box, 0)->in_order = 1;
    open_connection(box);
    for (uint32_t i = 0; i < TCPBOX_HELD + 2; i++)
        pass(box, 0, (struct sample){.seq = 1011 + 10 * i, .flags = ACK, .data = 10});
    ck_assert_uint_eq(tcpbox_counters(box, 0)->dropped, 2);
    ck_assert_uint_eq(pass(box, 0, (struct sample){.seq = 5555, .flags = RST}).count, 1);
    ck_assert_uint_eq(pass(box, 0, (struct sample){.seq = 1001, .flags = ACK, .data = 10}).count,
                      TCPBOX_HELD + 1);
    pass(box, 0, (struct sample){.seq = 4000, .flags = ACK, .data = 10});
    tcpbox_free(box);
}
END_TEST

static void tally(void *data, uint8_t *frame, size_t length)
{
    (void)frame;
    (void)length;
    ++*(unsigned *)data;
}

/* Whatever is no whole TCP segment passes as it is. */
START_TEST(test_others)
{
    struct tcpbox *box = tcpbox_new();
    uint8_t frame[256];
    const struct sample sample = {.seq = 1000, .flags = SYN, .data = 20};
    size_t whole = make(frame, 0, &sample);

    tcpbox_settings(box, 0)->isn = 7;
    for (size_t n = ETHERNET; n < whole; n++) {
        uint8_t *copy = malloc(n);
        unsigned count = 0;

        memcpy(copy, frame, n);
        tcpbox_pass(box, 0, copy, n, tally, &count);
        ck_assert_uint_eq(count, 1);
        ck_assert_mem_eq(copy, frame, n);
        free(copy);
    }
    tcpbox_free(box);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tcpbox");
    TCase *tc = tcase_create("core");

    tcase_add_loop_test(tc, test_shift, 0, 3);
    tcase_add_test(tc, test_begun);
    tcase_add_test(tc, test_order);
    tcase_add_test(tc, test_full);
    tcase_add_test(tc, test_others);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
