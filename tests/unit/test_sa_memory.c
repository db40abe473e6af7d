/*
 * What one SA takes in all: itself, its stream and texts, its share of the table, its session, and
 * what the dmz-relay reports of it.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/base/protocol.h"
#include "common/sa/far.h"
#include "common/sa/table.h"
#include "common/srtp/srtp.h"
#include "tests/unit/unit.h"

enum { SAS = 20000, SA_OCTETS_MAX = 2048 };

/* ---------------------------------------------------------------- memory */

/* Of our own mappings, which is the vault with the keys: malloc() does not know of them. */
static size_t mapped;

void *__real_mmap(void *start, size_t length, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *start, size_t length, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *start, size_t length);
int __wrap_munmap(void *start, size_t length);

void *__wrap_mmap(void *start, size_t length, int protection, int flags, int fd, off_t offset)
{
    void *memory = __real_mmap(start, length, protection, flags, fd, offset);

    mapped += memory != MAP_FAILED ? length : 0;
    return memory;
}

int __wrap_munmap(void *start, size_t length)
{
    mapped -= length;
    return __real_munmap(start, length);
}

/* With what malloc() itself needs for each block. */
static size_t octets_taken(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd + mapped;
}

/* Not under valgrind, nor with a sanitizer: they have a malloc() of their own. */
static bool malloc_is_seen(void)
{
    size_t before = mallinfo2().uordblks;
    void *volatile memory = malloc(1000);
    bool seen = mallinfo2().uordblks > before;

    free(memory);
    return seen;
}

/* ---------------------------------------------------------------- SAs */

static struct addr addr_of(uint8_t net, uint32_t n, uint16_t port)
{
    uint8_t ip[4] = {net, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};

    return addr_from_ip4(ip, port);
}

static void open_session(struct sa *sa, struct srtp_engine *engine, uint32_t n)
{
    uint8_t material[SUITE_KEY_MAX_OCTETS];
    struct srtp_key key;

    memset(material, 1, sizeof(material));
    memcpy(material, &n, sizeof(n));
    srtp_key_master(&key, material, suite_material_octets(sa->suite));
    ck_assert_int_eq(sa_open(sa, engine, &key), 0);
}

/* At the inner-relay: the dmz-relay has heard it, and dropped something of it. */
static void hear_of(struct sa *sa)
{
    struct sa_report report = {.id = sa->id, .packets = 1, .octets = 200, .heard_count = 1};

    report.heard[0] = (struct sa_heard){
        .ssrc = sa->stream[0].ssrc, .origin = SSRC_ORIGIN_SIGNALLED, .rtp = true, .rtcp = true};
    report.verdicts[VERDICT_ACCEPTED] = report.verdicts[VERDICT_REPLAY] = 1;
    report.bound[0] = report.bound[1] = report.stray = sa->source.rtp;
    ck_assert_int_eq(far_store(sa, &report, 1000000), 0);
}

static void add(struct table *table, const struct suite *suite, struct srtp_engine *engine,
                uint32_t n)
{
    char call_id[CALL_ID_SIZE];
    struct sa *sa = sa_new();

    ck_assert_ptr_nonnull(sa);
    snprintf(call_id, sizeof(call_id), "%08x-%u@sip.example.net", n * 2654435761u, n);
    sa->id = n + 1;
    sa->label = n;
    sa->source.rtp = addr_of(11, n, 5000);
    sa->source.rtcp = addr_of(11, n, 5001);
    sa->destination.rtp = addr_of(10, n, 6000);
    sa->destination.rtcp = addr_of(10, n, 6001);
    sa->suite = suite;
    ck_assert_int_eq(sa_set_text(sa, SA_CALL_ID, call_id), 0);
    ck_assert_int_eq(sa_stream_add(sa, n + 7, SSRC_ORIGIN_SIGNALLED), 0);
    open_session(sa, engine, n);
    ck_assert_int_eq(table_insert(table, sa), 0);
    hear_of(sa);
}

START_TEST(test_octets_per_sa)
{
    const struct suite *suite = suite_get((enum suite_id)_i);
    struct srtp_engine *engine;
    struct table *table;
    size_t before;

    ck_assert_int_eq(srtp_engine_new(&engine, SRTP_ENGINE_EVP), 0);
    before = octets_taken();
    table = table_new(SAS);
    ck_assert_ptr_nonnull(table);
    for (uint32_t n = 0; n < SAS; n++)
        add(table, suite, engine, n);
    ck_assert_msg((octets_taken() - before) / SAS <= SA_OCTETS_MAX, "%s: %zu octets per SA",
                  suite->name, (octets_taken() - before) / SAS);
    table_free(table);
    srtp_engine_free(engine);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sa_memory");
    TCase *tc = tcase_create("sa_memory");

    if (malloc_is_seen())
        tcase_add_loop_test(tc, test_octets_per_sa, 0, SUITE_COUNT);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
