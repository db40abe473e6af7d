/* What a meeting's own connection takes for a word of the dmz-relay. */
#include <string.h>

#include "common/base/protocol.h"
#include "common/carrier/rawsocket.h"
#include "common/carrier/seal.h"
#include "common/carrier/segment.h"
#include "common/daemon/daemon.h"
#include "inner-relay/meetconn.h"
#include "tests/unit/unit.h"

static const uint8_t secret[2][SEAL_SECRET_OCTETS] = {{1}, {2}};
static struct seal_store *store;
static struct seal *ours, *theirs;

static void begin(void)
{
    ck_assert_int_eq(seal_store_new(&store), 0);
    ck_assert_int_eq(seal_new(&ours, store, 16, secret[0], secret[1]), 0);
    ck_assert_int_eq(seal_new(&theirs, store, 16, secret[1], secret[0]), 0);
}

static void end(void)
{
    seal_free(ours);
    seal_free(theirs);
    seal_store_free(store);
}

static void pong(uint8_t frame[SEAL_OVER_OCTETS])
{
    ck_assert_int_eq(seal_put(theirs, FRAME_PONG, 0, NULL, 0, frame), SEAL_OVER_OCTETS);
}

/* Anybody can send it once more, with another TCP header: no numbers are taken from that. */
START_TEST(test_again)
{
    uint8_t frame[SEAL_OVER_OCTETS], before[SEAL_OVER_OCTETS];

    pong(frame);
    memcpy(before, frame, sizeof(frame));
    ck_assert(meetconn_is_pong(ours, frame, sizeof(frame)));
    for (int i = 0; i < 3; i++)
        ck_assert(!meetconn_is_pong(ours, frame, sizeof(frame)));
    ck_assert_mem_eq(frame, before, sizeof(frame));
}
END_TEST

/* But not from one that only has a number which has been seen: who sees it can write that. */
START_TEST(test_forged)
{
    uint8_t frame[SEAL_OVER_OCTETS];

    pong(frame);
    if (_i)
        ck_assert(meetconn_is_pong(ours, frame, sizeof(frame)));
    for (size_t bit = 0; bit < sizeof(frame) * 8; bit++) {
        frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert(!meetconn_is_pong(ours, frame, sizeof(frame)));
        frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t length = 0; length < sizeof(frame); length++)
        ck_assert(!meetconn_is_pong(ours, frame, length));
    ck_assert(meetconn_is_pong(ours, frame, sizeof(frame)) == !_i);
}
END_TEST

/* Of our own direction, or with a packet in it. */
START_TEST(test_other)
{
    uint8_t frame[SEAL_OVER_OCTETS + 1];

    ck_assert_int_eq(seal_put(ours, FRAME_PING, 0, NULL, 0, frame), SEAL_OVER_OCTETS);
    ck_assert(!meetconn_is_pong(ours, frame, SEAL_OVER_OCTETS));
    ck_assert_int_eq(seal_put(theirs, FRAME_MEDIA, 1, (const uint8_t *)"x", 1, frame),
                     SEAL_OVER_OCTETS + 1);
    ck_assert(!meetconn_is_pong(ours, frame, sizeof(frame)));
}
END_TEST

/* ------------------------------------------------------------ the end */

static unsigned resets, flushes;

struct rawsocket *__wrap_rawreader_socket(const struct rawreader *reader, uint8_t family);
int __wrap_rawsocket_queue(struct rawsocket *raw, const struct segment *segment);
void __wrap_rawsocket_flush(struct rawsocket *raw);
bool __wrap_deaf_is_over(int fd);

struct rawsocket *__wrap_rawreader_socket(const struct rawreader *reader, uint8_t family)
{
    static int socket;

    (void)reader;
    (void)family;
    return (struct rawsocket *)(void *)&socket;
}

int __wrap_rawsocket_queue(struct rawsocket *raw, const struct segment *segment)
{
    (void)raw;
    ck_assert_uint_eq(segment->flags, SEGMENT_RST | SEGMENT_ACK);
    ck_assert_uint_eq(segment->sequence, 7);
    ck_assert_uint_eq(segment->ack, 9);
    resets++;
    return 0;
}

void __wrap_rawsocket_flush(struct rawsocket *raw)
{
    (void)raw;
    flushes++;
}

bool __wrap_deaf_is_over(int fd)
{
    (void)fd;
    return true;
}

static void make_deaf(struct meetconn *conn, struct daemon *daemon)
{
    *conn = (struct meetconn){.daemon = daemon,
                              .state = MEETCONN_DEAF,
                              .deaf.made = true,
                              .track = {.send_next = 7, .receive = 9}};
    resets = flushes = 0;
}

/* Each NAT hears of the end three times: nobody answers a RST. */
START_TEST(test_reset)
{
    struct meetconn conn;
    struct daemon daemon = {.loop = NULL};
    uint64_t now_us = 1000000;

    make_deaf(&conn, &daemon);
    meetconn_reset(&conn, now_us);
    while (!meetconn_is_over(&conn, now_us))
        now_us += 1000;
    ck_assert_uint_eq(resets, 3);
    ck_assert_uint_eq(flushes, 3);
    ck_assert_uint_eq(now_us, 1200000);
}
END_TEST

/* Also where there is no time: all of them, or what is missing of them. */
START_TEST(test_reset_at_once)
{
    struct meetconn conn;
    struct daemon daemon = {.loop = NULL};

    make_deaf(&conn, &daemon);
    if (_i)
        meetconn_reset(&conn, 1000000);
    meetconn_reset_at_once(&conn, 1000000);
    ck_assert_uint_eq(resets, 3);
    ck_assert_uint_eq(flushes, 3);
    ck_assert(meetconn_is_over(&conn, 1000000));
    ck_assert_uint_eq(resets, 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("meetconn");
    TCase *tc = tcase_create("meetconn");

    tcase_add_checked_fixture(tc, begin, end);
    tcase_add_test(tc, test_again);
    tcase_add_loop_test(tc, test_forged, 0, 2);
    tcase_add_test(tc, test_other);
    tcase_add_test(tc, test_reset);
    tcase_add_loop_test(tc, test_reset_at_once, 0, 2);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
