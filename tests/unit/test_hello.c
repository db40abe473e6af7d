#include "common/tunnel/hello.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/tlv.h"
#include "tests/unit/unit.h"

/* Reads a copy of the exact length, so that every octet too far is seen. */
typedef int get_fn(struct reader *r);

static int get(get_fn *fn, const uint8_t *data, size_t length)
{
    uint8_t *copy = malloc(length ? length : 1);
    struct reader r;
    int result;

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, length);
    reader_init(&r, copy, length);
    result = fn(&r);
    free(copy);
    return result;
}

static void expect_sound(const struct hello *hello)
{
    bool sound = true; /* one check at the end: these are many */

    sound = sound && hello->listener_count <= HELLO_LISTENERS_MAX;
    sound = sound && (memchr(hello->software, 0, sizeof(hello->software)) != NULL);
    sound = sound && (memchr(hello->engine, 0, sizeof(hello->engine)) != NULL);
    sound = sound && (memchr(hello->site, 0, sizeof(hello->site)) != NULL);
    for (size_t i = 0; i < hello->listener_count; i++) {
        const struct hello_listener *listener = &hello->listener[i];

        sound = sound && (listener->name[0] != '\0');
        sound = sound && (memchr(listener->name, 0, sizeof(listener->name)) != NULL);
        sound = sound && (listener->advertise.family == 4 || listener->advertise.family == 6);
        sound = sound && (listener->m_line >= -1 && listener->m_line <= 255);
    }
    ck_assert(sound);
}

static int get_hello(struct reader *r)
{
    struct hello hello;
    int result = hello_get(r, &hello);

    if (result == 0) {
        expect_sound(&hello);
        ck_assert(hello.version_min <= PROTOCOL_VERSION_MAX);
        ck_assert(hello.version_max >= PROTOCOL_VERSION_MIN);
    }
    return result;
}

static int get_ack(struct reader *r)
{
    struct hello hello;
    int result = hello_ack_get(r, &hello);

    if (result == 0) {
        expect_sound(&hello);
        ck_assert(hello.version >= PROTOCOL_VERSION_MIN && hello.version <= PROTOCOL_VERSION_MAX);
    }
    return result;
}

static int get_ping(struct reader *r)
{
    struct ping ping;

    return ping_get(r, &ping);
}

static int get_bye(struct reader *r)
{
    char reason[BYE_REASON_SIZE];
    int result = bye_get(r, reason);

    ck_assert(memchr(reason, 0, sizeof(reason)) != NULL);
    return result;
}

static void torture(get_fn *fn, const uint8_t *data, size_t length)
{
    uint8_t *copy = malloc(length);
    size_t refused = 0;

    ck_assert_ptr_nonnull(copy);
    ck_assert_int_eq(get(fn, data, length), 0);
    for (size_t cut = 0; cut < length; cut++)
        refused += get(fn, data, cut) != 0;
    ck_assert_uint_gt(refused, length / 2);
    for (size_t bit = 0; bit < 8 * length; bit++) {
        int result;

        memcpy(copy, data, length);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        result = get(fn, copy, length);
        ck_assert(result == 0 || result == ERR_PROTOCOL || result == ERR_UNSUPPORTED);
    }
    free(copy);
}

static struct hello full_hello(void)
{
    struct hello hello = {.version_min = 1,
                          .version_max = 7,
                          .version = 1,
                          .features = 0x8000000000000001,
                          .epoch = 0x1122334455667788,
                          .instance = 0x99aabbccddeeff00,
                          .sa_version = UINT64_MAX,
                          .capacity = 20000,
                          .quota = UINT32_MAX,
                          .worker = WORKERS_MAX,
                          .meet = UINT64_MAX,
                          .workers = 1,
                          .listener_count = HELLO_LISTENERS_MAX};

    memset(hello.software, 's', sizeof(hello.software) - 1);
    memset(hello.engine, 'e', sizeof(hello.engine) - 1);
    memset(hello.site, 'n', sizeof(hello.site) - 1);
    for (size_t i = 0; i < HELLO_LISTENERS_MAX; i++) {
        struct hello_listener *listener = &hello.listener[i];

        memset(listener->name, 'a' + (int)i, sizeof(listener->name) - 1);
        ck_assert_int_eq(
            addr_parse(i % 2 ? "[2a00::1]:5004" : "8.8.8.8:5004", &listener->advertise), 0);
        listener->m_line = (int)i - 1;
    }
    return hello;
}

START_TEST(test_hello)
{
    struct hello hello = full_hello(), back;
    uint8_t memory[FRAME_MAX_OCTETS];
    struct writer w;
    struct reader r;

    writer_init(&w, memory, sizeof(memory));
    hello_put(&w, &hello);
    ck_assert(!w.failed);
    reader_init(&r, memory, writer_length(&w));
    ck_assert_int_eq(hello_get(&r, &back), 0);
    ck_assert_uint_eq(back.version_min, hello.version_min);
    ck_assert_uint_eq(back.version_max, hello.version_max);
    ck_assert_uint_eq(back.features, hello.features);
    ck_assert_uint_eq(back.epoch, hello.epoch);
    ck_assert_uint_eq(back.instance, hello.instance);
    ck_assert_uint_eq(back.sa_version, hello.sa_version);
    ck_assert_str_eq(back.software, hello.software);
    ck_assert_str_eq(back.engine, hello.engine);
    ck_assert_uint_eq(back.worker, hello.worker);
    ck_assert_uint_eq(back.meet, hello.meet);
    /* The other side's fields. */
    ck_assert_uint_eq(back.workers, 0);
    ck_assert_uint_eq(back.version, 0);
    ck_assert_uint_eq(back.quota, 0);
    ck_assert_uint_eq(back.listener_count, 0);
    ck_assert_str_eq(back.site, "");
    torture(get_hello, memory, writer_length(&w));
}
END_TEST

START_TEST(test_hello_ack)
{
    struct hello hello = full_hello(), back;
    uint8_t memory[FRAME_MAX_OCTETS];
    struct writer w;
    struct reader r;

    writer_init(&w, memory, sizeof(memory));
    hello_ack_put(&w, &hello);
    ck_assert(!w.failed);
    reader_init(&r, memory, writer_length(&w));
    ck_assert_int_eq(hello_ack_get(&r, &back), 0);
    ck_assert_uint_eq(back.version, hello.version);
    ck_assert_uint_eq(back.features, hello.features);
    ck_assert_uint_eq(back.epoch, hello.epoch);
    ck_assert_uint_eq(back.sa_version, hello.sa_version);
    ck_assert_uint_eq(back.capacity, hello.capacity);
    ck_assert_uint_eq(back.quota, hello.quota);
    ck_assert_str_eq(back.software, hello.software);
    ck_assert_str_eq(back.engine, hello.engine);
    ck_assert_str_eq(back.site, hello.site);
    ck_assert_uint_eq(back.listener_count, hello.listener_count);
    for (size_t i = 0; i < back.listener_count; i++) {
        ck_assert_str_eq(back.listener[i].name, hello.listener[i].name);
        ck_assert(addr_equal(&back.listener[i].advertise, &hello.listener[i].advertise));
        ck_assert_int_eq(back.listener[i].m_line, hello.listener[i].m_line);
    }
    ck_assert_uint_eq(back.version_min, 0);
    ck_assert_uint_eq(back.instance, 0);
    torture(get_ack, memory, writer_length(&w));
    /* A ninth listener. */
    tlv_put_bytes(&w, TAG_LISTENER, "\0\1\0\1x\0\2\0\7\4\1\1\1\1\0\1", 16);
    ck_assert_int_eq(get(get_ack, memory, writer_length(&w)), ERR_PROTOCOL);
}
END_TEST

static const struct {
    const char *name;
    uint16_t least, most;
    int result;
} versions[] = {
    {"ours", PROTOCOL_VERSION_MIN, PROTOCOL_VERSION_MAX, 0},
    {"and later ones", 1, 0xffff, 0},
    {"later ones only", PROTOCOL_VERSION_MAX + 1, 0xffff, ERR_UNSUPPORTED},
    {"none", 0, 0, ERR_PROTOCOL},
    {"0 and up", 0, 3, ERR_PROTOCOL},
    {"the wrong way round", 2, 1, ERR_PROTOCOL},
};

START_TEST(test_versions)
{
    struct hello hello = {.version_min = versions[_i].least, .version_max = versions[_i].most};
    uint8_t memory[FRAME_MAX_OCTETS];
    struct writer w;

    writer_init(&w, memory, sizeof(memory));
    hello_put(&w, &hello);
    ck_assert_msg(get(get_hello, memory, writer_length(&w)) == versions[_i].result, "%s",
                  versions[_i].name);
}
END_TEST

START_TEST(test_ack_versions)
{
    for (uint32_t version = 0; version < 0x10000; version += version < 8 ? 1 : 0x1111) {
        struct hello hello = {.version = (uint16_t)version};
        uint8_t memory[FRAME_MAX_OCTETS];
        struct writer w;
        int expected = version == 0                     ? ERR_PROTOCOL
                       : version > PROTOCOL_VERSION_MAX ? ERR_UNSUPPORTED
                                                        : 0;

        writer_init(&w, memory, sizeof(memory));
        hello_ack_put(&w, &hello);
        ck_assert_int_eq(get(get_ack, memory, writer_length(&w)), expected);
    }
}
END_TEST

/* A later version's fields: skipped, unless they are critical. Both HELLOs, PING and BYE alike. */
START_TEST(test_unknown_fields)
{
    static get_fn *const all[] = {get_hello, get_ack, get_ping, get_bye};
    struct hello hello = full_hello();
    struct ping ping = {1, 2};

    for (int i = 0; i < 4; i++) {
        uint8_t memory[FRAME_MAX_OCTETS];
        struct writer w;

        writer_init(&w, memory, sizeof(memory));
        if (i == 0)
            hello_put(&w, &hello);
        else if (i == 1)
            hello_ack_put(&w, &hello);
        else if (i == 2)
            ping_put(&w, &ping);
        else
            bye_put(&w, "reason");
        tlv_put_u8(&w, 0x7123, 1);
        ck_assert_int_eq(get(all[i], memory, writer_length(&w)), 0);
        tlv_put_u8(&w, 0x7123 | TLV_CRITICAL, 1);
        ck_assert_int_eq(get(all[i], memory, writer_length(&w)), ERR_PROTOCOL);
    }
}
END_TEST

static const struct {
    const char *name, *hex;
    bool good;
} listeners[] = {
    {"name and address", "0001 0001 78 0002 0007 04 08080808 1000", true},
    {"with m= line", "0001 0001 78 0002 0007 04 08080808 1000 0003 0001 05", true},
    {"unknown field", "0001 0001 78 0002 0007 04 08080808 1000 0044 0000", true},
    {"unknown critical field", "0001 0001 78 0002 0007 04 08080808 1000 8044 0000", false},
    {"no name", "0002 0007 04 08080808 1000", false},
    {"empty name", "0001 0000 0002 0007 04 08080808 1000", false},
    {"name with a control byte", "0001 0001 0a 0002 0007 04 08080808 1000", false},
    {"no address", "0001 0001 78", false},
    {"address of no family", "0001 0001 78 0002 0007 05 08080808 1000", false},
    {"m= line of two octets", "0001 0001 78 0002 0007 04 08080808 1000 0003 0002 0005", false},
    {"cut", "0001 0001 78 0002 0007 04 080808", false},
    {"nothing", "", false},
};

START_TEST(test_listener)
{
    struct hello hello = {.version = 1};
    uint8_t memory[FRAME_MAX_OCTETS], value[64];
    struct writer w;

    writer_init(&w, memory, sizeof(memory));
    hello_ack_put(&w, &hello);
    tlv_put_bytes(&w, TAG_LISTENER, value, unit_hex(listeners[_i].hex, value, sizeof(value)));
    ck_assert_msg((get(get_ack, memory, writer_length(&w)) == 0) == listeners[_i].good, "%s",
                  listeners[_i].name);
}
END_TEST

START_TEST(test_ping)
{
    struct ping ping = {.clock_us = 0x1122334455667788, .sa_version = 99}, back;
    uint8_t memory[64];
    struct writer w;
    struct reader r;

    writer_init(&w, memory, sizeof(memory));
    ping_put(&w, &ping);
    reader_init(&r, memory, writer_length(&w));
    ck_assert_int_eq(ping_get(&r, &back), 0);
    ck_assert_uint_eq(back.clock_us, ping.clock_us);
    ck_assert_uint_eq(back.sa_version, 99);
    torture(get_ping, memory, writer_length(&w));
    ck_assert_int_eq(get(get_ping, memory, 0), ERR_PROTOCOL);
}
END_TEST

START_TEST(test_bye)
{
    char reason[BYE_REASON_SIZE + 50], back[BYE_REASON_SIZE];
    uint8_t memory[512];
    struct writer w;
    struct reader r;

    memset(reason, 'r', sizeof(reason));
    for (size_t length = 0; length < sizeof(reason); length += 25) {
        reason[length] = '\0';
        writer_init(&w, memory, sizeof(memory));
        bye_put(&w, reason);
        reader_init(&r, memory, writer_length(&w));
        ck_assert_int_eq(bye_get(&r, back), 0);
        ck_assert_uint_eq(strlen(back), length < BYE_REASON_SIZE ? length : BYE_REASON_SIZE - 1);
        ck_assert(strncmp(reason, back, strlen(back)) == 0);
        reason[length] = 'r';
    }
    torture(get_bye, memory, writer_length(&w));
    ck_assert_int_eq(get(get_bye, memory, 0), 0);
    writer_init(&w, memory, sizeof(memory));
    tlv_put_bytes(&w, TAG_REASON, reason, BYE_REASON_SIZE);
    ck_assert_int_eq(get(get_bye, memory, writer_length(&w)), ERR_PROTOCOL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hello");
    TCase *tc = tcase_create("hello");

    tcase_add_test(tc, test_hello);
    tcase_add_test(tc, test_hello_ack);
    tcase_add_loop_test(tc, test_versions, 0, sizeof(versions) / sizeof(versions[0]));
    tcase_add_test(tc, test_ack_versions);
    tcase_add_test(tc, test_unknown_fields);
    tcase_add_loop_test(tc, test_listener, 0, sizeof(listeners) / sizeof(listeners[0]));
    tcase_add_test(tc, test_ping);
    tcase_add_test(tc, test_bye);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
