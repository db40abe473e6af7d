#include "common/tunnel/arrivals.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "tests/unit/unit.h"

static struct arrivals full(void)
{
    struct arrivals arrivals = {.count = HELLO_LISTENERS_MAX};

    for (size_t i = 0; i < arrivals.count; i++) {
        struct arrivals_port *port = &arrivals.port[i];

        memset(port->name, 'a' + (int)i, NAME_SIZE - 1);
        port->age_us[0] = i % 2 ? ARRIVALS_NEVER : i * 1000;
        port->age_us[1] = i % 3 ? ARRIVALS_NEVER - 1 : ARRIVALS_NEVER;
    }
    return arrivals;
}

static size_t put(uint8_t *memory, const struct arrivals *arrivals)
{
    struct writer w;

    writer_init(&w, memory, FRAME_MAX_OCTETS - FRAME_HEAD_OCTETS);
    arrivals_put(&w, arrivals);
    ck_assert(!w.failed);
    return writer_length(&w);
}

/* The copy is exactly as long, so that ASan and valgrind see every octet too far. */
static int get(const uint8_t *data, size_t length, struct arrivals *arrivals)
{
    uint8_t *copy = malloc(length ? length : 1);
    struct reader r;
    int result;

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, length);
    reader_init(&r, copy, length);
    result = arrivals_get(&r, arrivals);
    free(copy);
    ck_assert(result == 0 || result == ERR_PROTOCOL);
    ck_assert_uint_le(arrivals->count, HELLO_LISTENERS_MAX);
    for (size_t i = 0; i < arrivals->count; i++)
        ck_assert(arrivals->port[i].name[0] && memchr(arrivals->port[i].name, '\0', NAME_SIZE));
    return result;
}

START_TEST(test_round_trip)
{
    struct arrivals arrivals = full(), back;
    uint8_t memory[FRAME_MAX_OCTETS];

    for (arrivals.count = 0; arrivals.count <= HELLO_LISTENERS_MAX; arrivals.count++) {
        ck_assert_int_eq(get(memory, put(memory, &arrivals), &back), 0);
        ck_assert_uint_eq(back.count, arrivals.count);
        for (size_t i = 0; i < back.count; i++) {
            ck_assert_str_eq(back.port[i].name, arrivals.port[i].name);
            for (int rtcp = 0; rtcp < 2; rtcp++)
                ck_assert_uint_eq(back.port[i].age_us[rtcp], arrivals.port[i].age_us[rtcp]);
        }
    }
}
END_TEST

START_TEST(test_truncated)
{
    struct arrivals arrivals = full(), back;
    uint8_t memory[FRAME_MAX_OCTETS];
    size_t length = put(memory, &arrivals), good = 0;

    for (size_t cut = 0; cut < length; cut++)
        good += get(memory, cut, &back) == 0;
    ck_assert_uint_eq(good, HELLO_LISTENERS_MAX);
}
END_TEST

START_TEST(test_every_bit_flipped)
{
    struct arrivals arrivals = full(), back;
    uint8_t memory[FRAME_MAX_OCTETS];
    size_t length = put(memory, &arrivals);

    for (size_t bit = 0; bit < 8 * length; bit++) {
        memory[bit / 8] ^= (uint8_t)(1 << bit % 8);
        (void)get(memory, length, &back);
        memory[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}
END_TEST

static const struct {
    const char *hex;
    int result;
} bodies[] = {
    {"", 0},
    {"7777 0000", 0},
    {"f777 0000", ERR_PROTOCOL},
    {"0001 0000", ERR_PROTOCOL}, /* no NAME */
    {"0001 0005 0001 0001 61", 0},
    {"0001 0005 0001 0001 00", ERR_PROTOCOL},
    {"0001 0004 0001 0000", ERR_PROTOCOL},
    {"0001 0009 0001 0001 61 7777 0000", 0},
    {"0001 0009 0001 0001 61 f777 0000", ERR_PROTOCOL},
    {"0001 0011 0001 0001 61 0002 0008 fffffffffffffffe", 0},
    {"0001 0011 0001 0001 61 0002 0008 ffffffffffffffff", ERR_PROTOCOL},
    {"0001 000d 0001 0001 61 0002 0004 00000001", ERR_PROTOCOL},
};

START_TEST(test_bodies)
{
    struct arrivals back;
    uint8_t memory[64];
    size_t length = unit_hex(bodies[_i].hex, memory, sizeof(memory));

    ck_assert_int_eq(get(memory, length, &back), bodies[_i].result);
}
END_TEST

START_TEST(test_nine_listeners)
{
    struct arrivals arrivals = full(), back;
    uint8_t memory[FRAME_MAX_OCTETS];
    size_t length = put(memory, &arrivals);

    length += unit_hex("0001 0005 0001 0001 61", memory + length, sizeof(memory) - length);
    ck_assert_int_eq(get(memory, length, &back), ERR_PROTOCOL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("arrivals");
    TCase *tc = tcase_create("arrivals");

    tcase_add_test(tc, test_round_trip);
    tcase_add_test(tc, test_truncated);
    tcase_add_test(tc, test_every_bit_flipped);
    tcase_add_loop_test(tc, test_bodies, 0, sizeof(bodies) / sizeof(bodies[0]));
    tcase_add_test(tc, test_nine_listeners);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
