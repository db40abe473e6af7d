#include "common/tunnel/queue.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

enum { MODEL_MAX = 1000 };

/* What is pushed is known by its number: label and every octet of the packet say it. */
static bool push(struct queue *queue, uint32_t number, uint32_t length)
{
    struct queue_entry entry = {.queued_us = number, .label = number, .length = length};
    uint8_t packet[4096];

    memset(packet, (int)(number & 0xff), length);
    return queue_push(queue, &entry, packet);
}

static void expect_first(const struct queue *queue, uint32_t number, uint32_t length)
{
    const uint8_t *packet = NULL;
    const struct queue_entry *entry = queue_peek(queue, &packet);
    bool right = true;

    ck_assert_ptr_nonnull(entry);
    ck_assert_uint_eq(entry->label, number);
    ck_assert_uint_eq(entry->queued_us, number);
    ck_assert_uint_eq(entry->length, length);
    for (uint32_t i = 0; i < length; i++)
        right = right && packet[i] == (number & 0xff);
    ck_assert(right);
    ck_assert(packet >= queue->memory && packet + length <= queue->memory + queue->size);
}

static void expect_empty(struct queue *queue)
{
    const uint8_t *packet;

    ck_assert_uint_eq(queue->count, 0);
    ck_assert_ptr_null(queue_peek(queue, &packet));
    queue_pop(queue);
    ck_assert_uint_eq(queue->count, 0);
}

START_TEST(test_in_order)
{
    struct queue queue;

    ck_assert_int_eq(queue_init(&queue, 1024), 0);
    expect_empty(&queue);
    for (uint32_t i = 0; i < 5; i++)
        ck_assert(push(&queue, i, 100 + i));
    ck_assert_uint_eq(queue.count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        expect_first(&queue, i, 100 + i);
        queue_pop(&queue);
    }
    expect_empty(&queue);
    queue_fini(&queue);
}
END_TEST

START_TEST(test_too_long)
{
    struct queue queue;
    uint32_t fits = 1024 - sizeof(struct queue_entry);

    ck_assert_int_eq(queue_init(&queue, 1024), 0);
    ck_assert(!push(&queue, 1, fits + 1));
    ck_assert(!push(&queue, 1, 2000));
    expect_empty(&queue);
    ck_assert(push(&queue, 1, fits));
    ck_assert(!push(&queue, 2, 0));
    expect_first(&queue, 1, fits);
    queue_pop(&queue);
    expect_empty(&queue);
    queue_fini(&queue);
}
END_TEST

/* After each refused push the oldest is dropped, as a session does: never more than has to be. */
START_TEST(test_oldest_dropped_first)
{
    struct queue queue;
    uint32_t first = 0;

    ck_assert_int_eq(queue_init(&queue, 1000), 0);
    for (uint32_t i = 0; i < 500; i++) {
        while (!push(&queue, i, 100)) {
            expect_first(&queue, first, 100);
            queue_pop(&queue);
            first++;
        }
        ck_assert_uint_eq(queue.count, i + 1 - first);
        /* 128 octets each: seven fit, or six around the gap at the end. */
        if (i > 10)
            ck_assert_uint_ge(queue.count, 6);
    }
    queue_fini(&queue);
}
END_TEST

/* Random lengths in a small ring, against a list: nothing is lost, changed or out of order. */
START_TEST(test_against_model)
{
    struct queue queue;
    uint32_t lengths[MODEL_MAX], head = 0, tail = 0, random = 12345u + (uint32_t)_i;
    size_t size = 512 + 8 * (size_t)_i, refused = 0;

    ck_assert_int_eq(queue_init(&queue, size), 0);
    while (tail < MODEL_MAX) {
        random = random * 1664525 + 1013904223;
        if (random >> 31) {
            uint32_t length = (random >> 8) % 200;

            if (push(&queue, tail, length))
                lengths[tail++] = length;
            else
                refused++;
        } else if (head < tail) {
            expect_first(&queue, head, lengths[head]);
            queue_pop(&queue);
            head++;
        }
        ck_assert_uint_eq(queue.count, tail - head);
    }
    ck_assert_uint_gt(refused, 10);
    while (head < tail) {
        expect_first(&queue, head, lengths[head]);
        queue_pop(&queue);
        head++;
    }
    expect_empty(&queue);
    queue_fini(&queue);
    queue_fini(&queue);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("queue");
    TCase *tc = tcase_create("queue");

    tcase_add_test(tc, test_in_order);
    tcase_add_test(tc, test_too_long);
    tcase_add_test(tc, test_oldest_dropped_first);
    tcase_add_loop_test(tc, test_against_model, 0, 40);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
