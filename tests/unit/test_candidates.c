#include "common/sa/candidates.h"

#include <stdlib.h>

#include "common/base/err.h"
#include "tests/unit/candidatesmodel.h"
#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

/* ------------------------------------------------------------ memory that ends */

static bool watched;
static unsigned asked, granted; /* how often memory was asked for, and how often there is some */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static bool may_have(void)
{
    return !watched || asked++ < granted;
}

void *__wrap_malloc(size_t size)
{
    return may_have() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t count, size_t size)
{
    return may_have() ? __real_calloc(count, size) : NULL;
}

void *__wrap_realloc(void *memory, size_t size)
{
    return may_have() ? __real_realloc(memory, size) : NULL;
}

static void watch(unsigned grants)
{
    watched = true;
    asked = 0;
    granted = grants;
}

/* Returns how often memory was asked for. */
static unsigned watch_end(void)
{
    watched = false;
    return asked;
}

/* ------------------------------------------------------------ SAs */

static struct sa *make(enum source_policy policy, const char *source, const char *hint)
{
    struct sa *sa = sa_new();

    ck_assert_ptr_nonnull(sa);
    sa->source_policy = policy;
    sa->source.rtp = sample_addr(source);
    sa->hint = sample_addr(hint);
    return sa;
}

static struct sa *enter(struct candidates *c, enum source_policy policy, const char *source,
                        const char *hint)
{
    struct sa *sa = make(policy, source, hint);

    ck_assert_int_eq(candidates_add(c, sa), 0);
    return sa;
}

static void discard(struct candidates *c, struct sa *sa)
{
    candidates_remove(c, sa);
    sa_free(sa);
}

/* Its first packet: nothing but the SSRC takes memory. */
static void hear(struct candidates *c, struct sa *sa, const char *from, uint32_t ssrc)
{
    ck_assert_int_eq(sa_stream_add(sa, ssrc, SSRC_ORIGIN_LEARNED), 0);
    sa->source.rtp = sample_addr(from);
    sa->bound[0] = true;
    watch(0);
    candidates_update(c, sa);
    ck_assert_uint_eq(watch_end(), 0);
}

static uint32_t count_of(const struct candidates *c, enum candidates_kind kind, const char *addr)
{
    struct addr source = sample_addr(addr);

    return candidates_group(c, kind, SA_SIDE_EXTERNAL, &source).count;
}

/* ------------------------------------------------------------ tests */

/* Everything that is asked for of one SA: the life of a phone behind NAT. */
START_TEST(test_life)
{
    struct candidates *c = candidates_new(4);
    struct sa *sa = enter(c, SOURCE_HINTED, "10.0.0.7:5004", "192.0.2.1:5060");

    ck_assert_uint_eq(count_of(c, CANDIDATES_FRESH, "10.0.0.7:5004"), 1);
    ck_assert_uint_eq(count_of(c, CANDIDATES_HINT, "10.0.0.7:1"), 1);
    ck_assert_uint_eq(count_of(c, CANDIDATES_HINT, "192.0.2.1:30000"), 1);
    ck_assert_uint_eq(count_of(c, CANDIDATES_HINT, "192.0.2.2:30000"), 0);
    ck_assert_uint_eq(count_of(c, CANDIDATES_OPEN, "192.0.2.2:30000"), 0);

    hear(c, sa, "192.0.2.1:30000", 77);
    ck_assert_uint_eq(count_of(c, CANDIDATES_HINT, "192.0.2.1:30000"), 0);
    ck_assert_uint_eq(count_of(c, CANDIDATES_HINT, "10.0.0.7:1"), 0);
    ck_assert_uint_eq(count_of(c, CANDIDATES_FRESH, "10.0.0.7:5004"), 0);
    ck_assert(!candidates_work(c, 1));
    ck_assert_uint_eq(count_of(c, CANDIDATES_HEARD, "192.0.2.1:30000"), 1);
    ck_assert_uint_eq(count_of(c, CANDIDATES_FRESH, "192.0.2.1:30000"), 0);
    discard(c, sa);
    ck_assert_uint_eq(count_of(c, CANDIDATES_HEARD, "192.0.2.1:30000"), 0);
    candidates_free(c);
    candidates_free(NULL);
}
END_TEST

/* Heard from where it was expected: found as such at once, without any work. */
START_TEST(test_heard_in_place)
{
    struct candidates *c = candidates_new(4);
    struct sa *a = enter(c, SOURCE_STRICT, "192.0.2.1:5004", "");
    struct sa *b = enter(c, SOURCE_HINTED, "192.0.2.1:5004", "");

    hear(c, b, "192.0.2.1:5004", 77);
    ck_assert_uint_eq(count_of(c, CANDIDATES_FRESH, "192.0.2.1:5004"), 1);
    ck_assert_uint_eq(count_of(c, CANDIDATES_HEARD, "192.0.2.1:5004"), 1);
    hear(c, a, "192.0.2.1:5004", 78);
    ck_assert_uint_eq(count_of(c, CANDIDATES_FRESH, "192.0.2.1:5004"), 0);
    ck_assert_uint_eq(count_of(c, CANDIDATES_HEARD, "192.0.2.1:5004"), 2);
    ck_assert(!candidates_work(c, 0));
    discard(c, a);
    discard(c, b);
    candidates_free(c);
}
END_TEST

enum { MUX = 1, PRIME = 2, NAMED = 4 };

/* Do RTP and RTCP packets from there find an SA with these sources? */
static const struct {
    const char *name;
    enum source_policy policy;
    const char *rtp, *rtcp;
    unsigned flags;
    const char *from;
    bool found[2];
} places[] = {
    {"its source", SOURCE_STRICT, "192.0.2.1:5004", "", 0, "192.0.2.1:5004", {1, 1}},
    {"the next port", SOURCE_STRICT, "192.0.2.1:5004", "", 0, "192.0.2.1:5005", {0, 1}},
    {"the port below", SOURCE_STRICT, "192.0.2.1:5004", "", 0, "192.0.2.1:5003", {0, 0}},
    {"usual RTCP", SOURCE_STRICT, "192.0.2.1:5004", "192.0.2.1:5005", 0, "192.0.2.1:5005", {0, 1}},
    {"RTCP elsewhere",
     SOURCE_STRICT,
     "192.0.2.1:5004",
     "192.0.2.2:900",
     0,
     "192.0.2.2:900",
     {1, 1}},
    {"RTCP below", SOURCE_STRICT, "192.0.2.1:5004", "192.0.2.1:5003", 0, "192.0.2.1:5004", {1, 1}},
    {"mux", SOURCE_STRICT, "192.0.2.1:5004", "192.0.2.2:900", MUX, "192.0.2.2:900", {0, 0}},
    {"strict, another port", SOURCE_STRICT, "192.0.2.1:5004", "", 0, "192.0.2.1:9", {0, 0}},
    {"hinted, another port", SOURCE_HINTED, "192.0.2.1:5004", "", 0, "192.0.2.1:9", {1, 1}},
    {"hinted, elsewhere", SOURCE_HINTED, "192.0.2.1:5004", "", 0, "192.0.2.9:9", {0, 0}},
    {"hinted, nothing known", SOURCE_HINTED, "", "", 0, "192.0.2.9:9", {0, 0}},
    {"RTP', its source", SOURCE_HINTED, "192.0.2.1:5004", "", PRIME, "192.0.2.1:5004", {1, 1}},
    {"RTP', another port", SOURCE_HINTED, "192.0.2.1:5004", "", PRIME, "192.0.2.1:9", {0, 0}},
    {"RTP', open", SOURCE_OPEN, "192.0.2.1:5004", "", PRIME, "192.0.2.9:9", {0, 0}},
    {"named, its source", SOURCE_STRICT, "192.0.2.1:5004", "", NAMED, "192.0.2.1:5004", {0, 0}},
    {"named, hinted", SOURCE_HINTED, "192.0.2.1:5004", "", NAMED, "192.0.2.1:9", {0, 1}},
    {"open, elsewhere", SOURCE_OPEN, "192.0.2.1:5004", "", 0, "192.0.2.9:9", {1, 1}},
    {"open, named", SOURCE_OPEN, "192.0.2.1:5004", "", NAMED, "192.0.2.9:9", {0, 1}},
    {"open, no source", SOURCE_OPEN, "", "", 0, "192.0.2.9:9", {1, 1}},
};

START_TEST(test_places)
{
    struct candidates *c = candidates_new(1);
    struct sa *sa = make(places[_i].policy, places[_i].rtp, "");
    struct addr from = sample_addr(places[_i].from);

    sa->source.rtcp = sample_addr(places[_i].rtcp);
    sa->source.mux = places[_i].flags & MUX;
    sa->encap_in = places[_i].flags & PRIME ? SA_ENCAP_RTP_PRIME : SA_ENCAP_RTP;
    if (places[_i].flags & NAMED)
        ck_assert_int_eq(sa_stream_add(sa, 1, SSRC_ORIGIN_SIGNALLED), 0);
    ck_assert_int_eq(candidates_add(c, sa), 0);
    for (int rtcp = 0; rtcp < 2; rtcp++) {
        struct candidates_search search;
        struct candidates_cursor cursor = {.turn = 5};
        size_t count = candidates_begin(c, SA_SIDE_EXTERNAL, &from, rtcp, &search);

        ck_assert_msg((count > 0) == places[_i].found[rtcp], "%s, %d", places[_i].name, rtcp);
        ck_assert_ptr_eq(candidates_next(&search, &cursor), count ? sa : NULL);
        ck_assert_ptr_null(candidates_next(&search, &cursor));
        ck_assert_uint_eq(candidates_begin(c, SA_SIDE_INTERNAL, &from, rtcp, &search), 0);
        ck_assert_ptr_null(candidates_next(&search, &cursor));
    }
    discard(c, sa);
    candidates_free(c);
}
END_TEST

START_TEST(test_open_only)
{
    struct candidates *c = candidates_new(2);
    struct sa *hinted = enter(c, SOURCE_HINTED, "", "192.0.2.1:5060");
    struct sa *open = enter(c, SOURCE_OPEN, "", "192.0.2.2:5060");
    struct addr from[3] = {sample_addr("192.0.2.1:9"), sample_addr("192.0.2.2:9"),
                           sample_addr("192.0.2.3:9")};
    size_t counts[3] = {2, 2, 1};

    for (unsigned i = 0; i < 3; i++) {
        struct candidates_search search;

        ck_assert_uint_eq(candidates_begin(c, SA_SIDE_EXTERNAL, &from[i], false, &search),
                          counts[i]);
        ck_assert_int_eq(search.open_only, i == 2);
    }
    discard(c, hinted);
    discard(c, open);
    candidates_free(c);
}
END_TEST

/* Packets that may try so many SAs each: after as many as it takes, every SA was tried once. */
static const struct {
    unsigned count, tries;
} rounds[] = {{1, 8}, {2, 1}, {8, 8}, {50, 8}, {50, 3}, {64, 8}, {1000, 8}, {1001, 7}};

START_TEST(test_fair)
{
    const unsigned count = rounds[_i].count, tries = rounds[_i].tries;
    struct candidates *c = candidates_new(count);
    struct sa **all = calloc(count, sizeof(struct sa *));
    struct addr from = sample_addr("192.0.2.1:9");
    struct candidates_cursor cursor = {{123456789, 7, 4000000000, 1}, 3};

    ck_assert_ptr_nonnull(all);
    for (unsigned i = 0; i < count; i++)
        all[i] = enter(c, SOURCE_HINTED, "", "192.0.2.1:5060");
    for (unsigned packet = 0; packet < (count + tries - 1) / tries; packet++) {
        struct candidates_search search;
        struct sa *sa;

        ck_assert_uint_eq(candidates_begin(c, SA_SIDE_EXTERNAL, &from, false, &search), count);
        for (unsigned i = 0; i < tries && (sa = candidates_next(&search, &cursor)); i++)
            sa->packets++;
    }
    for (unsigned i = 0; i < count; i++) {
        ck_assert_uint_ge(all[i]->packets, 1);
        ck_assert_uint_le(all[i]->packets, 2);
        discard(c, all[i]);
    }
    free(all);
    candidates_free(c);
}
END_TEST

/* A crowd of one owner at a place leaves half of the searches to the few of another one. */
static const struct {
    const char *name, *source, *hint;
    enum source_policy policy;
} crowds[] = {
    {"fresh", "192.0.2.1:5004", "", SOURCE_STRICT},
    {"hint", "", "192.0.2.1:1", SOURCE_HINTED},
    {"open", "", "", SOURCE_OPEN},
};

START_TEST(test_owners)
{
    enum { FEW = 3, ALL = 1003, PACKETS = 200, TRIES = 8 };
    struct candidates *c = candidates_new(ALL);
    struct addr from = sample_addr("192.0.2.1:5004");
    struct candidates_cursor cursor = {.turn = 0};
    struct candidates_search search;
    struct sa *all[ALL], *sa;
    uint64_t few = 0;

    for (unsigned i = 0; i < ALL; i++) {
        all[i] = make(crowds[_i].policy, crowds[_i].source, crowds[_i].hint);
        all[i]->owner = i < FEW;
        ck_assert_int_eq(candidates_add(c, all[i]), 0);
    }
    for (unsigned packet = 0; packet < PACKETS; packet++) {
        ck_assert_uint_gt(candidates_begin(c, SA_SIDE_EXTERNAL, &from, false, &search), 0);
        for (unsigned i = 0; i < TRIES && (sa = candidates_next(&search, &cursor)); i++)
            sa->packets++;
    }
    /* 200 throws of a coin: 60 are 5.6 standard deviations away. */
    for (unsigned i = 0; i < FEW; i++) {
        ck_assert_uint_ge(all[i]->packets, 60);
        few += all[i]->packets;
    }
    ck_assert_uint_le(few, FEW * 140);
    for (unsigned i = FEW; i < ALL; i++)
        discard(c, all[i]);
    ck_assert_uint_eq(candidates_begin(c, SA_SIDE_EXTERNAL, &from, false, &search), FEW);
    for (unsigned i = 0; i < FEW; i++)
        discard(c, all[i]);
    ck_assert_uint_eq(candidates_begin(c, SA_SIDE_EXTERNAL, &from, false, &search), 0);
    candidates_free(c);
}
END_TEST

/* Large groups take turns, and one that comes first takes nothing from the next. */
START_TEST(test_lanes)
{
    enum { EACH = 100, PACKETS = 200 };
    struct candidates *c = candidates_new(4 * EACH);
    struct addr from = sample_addr("192.0.2.1:5004");
    struct candidates_cursor cursor = {.turn = 0};
    struct sa *all[4 * EACH];
    uint64_t tries[4] = {0};

    for (unsigned i = 0; i < 4 * EACH; i++) {
        static const char *const sources[4] = {"192.0.2.1:5004", "192.0.2.1:5004", "", ""};
        static const char *const hints[4] = {"", "", "192.0.2.1:1", ""};
        static const enum source_policy policies[4] = {SOURCE_STRICT, SOURCE_STRICT, SOURCE_HINTED,
                                                       SOURCE_OPEN};

        all[i] = make(policies[i % 4], sources[i % 4], hints[i % 4]);
        if (i % 4 == 1)
            ck_assert_int_eq(sa_stream_add(all[i], 1, SSRC_ORIGIN_LEARNED), 0);
        ck_assert_int_eq(candidates_add(c, all[i]), 0);
    }
    /* One try each, so that a packet cannot see to all four. */
    for (unsigned packet = 0; packet < PACKETS * 8; packet++) {
        struct candidates_search search;

        candidates_begin(c, SA_SIDE_EXTERNAL, &from, false, &search);
        candidates_next(&search, &cursor)->packets++;
    }
    for (unsigned i = 0; i < 4 * EACH; i++) {
        ck_assert_uint_ge(all[i]->packets, 1);
        tries[i % 4] += all[i]->packets;
        discard(c, all[i]);
    }
    ck_assert_uint_eq(tries[0], 4 * PACKETS);
    ck_assert_uint_eq(tries[1], 1 * PACKETS);
    ck_assert_uint_eq(tries[2], 2 * PACKETS);
    ck_assert_uint_eq(tries[3], 1 * PACKETS);
    candidates_free(c);
}
END_TEST

/* With no memory at any point: the SA is in no group, and comes in when there is some again. */
START_TEST(test_no_memory)
{
    struct candidates *c = candidates_new(600);
    struct sa *all[600];
    struct sa *open;

    for (unsigned grants = 0; grants < 4; grants++) {
        watch(grants);
        ck_assert_ptr_null(candidates_new(10));
        ck_assert_uint_gt(watch_end(), grants);
    }
    for (unsigned i = 0; i < 600; i++) {
        unsigned needed = 0;

        all[i] = make(SOURCE_OPEN, "192.0.2.1:5004", "192.0.2.2:5060");
        all[i]->source.rtp.port = (uint16_t)i; /* a new group each */
        for (unsigned grants = 0;; grants++) {
            int result;

            watch(grants);
            result = candidates_add(c, all[i]);
            needed = watch_end();
            ck_assert(result == 0 || result == ERR_NOMEM);
            if (result == 0)
                break;
            ck_assert_uint_eq(count_of(c, CANDIDATES_OPEN, "192.0.2.1:1"), i);
            ck_assert_uint_eq(count_of(c, CANDIDATES_HINT, "192.0.2.1:1"), i);
            ck_assert_uint_eq(count_of(c, CANDIDATES_HINT, "192.0.2.2:1"), i);
        }
        ck_assert_uint_le(needed, SA_CANDIDACIES);
    }
    open = make(SOURCE_OPEN, "", "");
    ck_assert_int_eq(candidates_add(c, open), ERR_FULL);
    sa_free(open);

    /* The port of each was rewritten to one that the gateway has in common. */
    for (unsigned i = 0; i < 600; i++)
        hear(c, all[i], "192.0.2.2:7777", i);
    ck_assert_uint_eq(count_of(c, CANDIDATES_OPEN, "192.0.2.1:1"), 0);
    ck_assert_uint_eq(count_of(c, CANDIDATES_HEARD, "192.0.2.2:7777"), 0);
    watch(0);
    ck_assert(candidates_work(c, 1000));
    ck_assert_uint_gt(watch_end(), 0);
    ck_assert(candidates_work(c, 100));
    ck_assert_uint_ge(count_of(c, CANDIDATES_HEARD, "192.0.2.2:7777"), 100);
    ck_assert(!candidates_work(c, 1000));
    ck_assert_uint_eq(count_of(c, CANDIDATES_HEARD, "192.0.2.2:7777"), 600);
    for (unsigned i = 0; i < 600; i++)
        discard(c, all[i]);
    candidates_free(c);
}
END_TEST

/* All go from port to port, and each time one stays behind: arrays must not stay as large. */
START_TEST(test_memory_follows)
{
    enum { ALL = 512 };
    struct candidates *c = candidates_new(ALL);
    struct sa *all[ALL];

    for (unsigned i = 0; i < ALL; i++)
        all[i] = enter(c, SOURCE_STRICT, "192.0.2.1:5000", "");
    for (unsigned round = 1; round < ALL; round++) {
        for (unsigned i = round; i < ALL; i++) {
            all[i]->source.rtp.port = (uint16_t)(5000 + round);
            candidates_update(c, all[i]);
        }
        ck_assert(!candidates_work(c, ALL));
    }
    /* 512 groups with one SA each; not 512 arrays of up to 4 kB. */
    ck_assert_uint_le(candidates_octets(c), ALL * 200);
    for (unsigned i = 0; i < ALL; i++)
        discard(c, all[i]);
    candidates_free(c);
}
END_TEST

/* Random programs against a list; the same for the same seed, everywhere. */
START_TEST(test_model)
{
    uint32_t random = 1 + (uint32_t)_i;
    uint8_t program[1500];

    for (unsigned round = unit_rounds(20); round > 0; round--) {
        const char *wrong;

        for (size_t i = 0; i < sizeof(program); i++) {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            program[i] = (uint8_t)(random >> 11);
        }
        wrong = candidatesmodel_run(program, sizeof(program));
        ck_assert_msg(!wrong, "%s (%u rounds to go)", wrong, round);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("candidates");
    TCase *tc = tcase_create("candidates");

    tcase_add_test(tc, test_life);
    tcase_add_test(tc, test_heard_in_place);
    tcase_add_loop_test(tc, test_places, 0, sizeof(places) / sizeof(places[0]));
    tcase_add_test(tc, test_open_only);
    tcase_add_loop_test(tc, test_fair, 0, sizeof(rounds) / sizeof(rounds[0]));
    tcase_add_loop_test(tc, test_owners, 0, sizeof(crowds) / sizeof(crowds[0]));
    tcase_add_test(tc, test_lanes);
    tcase_add_test(tc, test_no_memory);
    tcase_add_test(tc, test_memory_follows);
    tcase_add_loop_test(tc, test_model, 0, 10);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
