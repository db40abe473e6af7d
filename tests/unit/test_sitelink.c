/*
 * The session of two sites over octets that the test carries: messages of all sizes, and the
 * certificates that are not good enough.
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/tunnel/tls.h"
#include "inner-relay/sitelink.h"
#include "tests/unit/pki.h"
#include "tests/unit/unit.h"

static struct pki_authority ca, other_ca;
static EVP_PKEY *key;
static char folder[] = "/tmp/test_sitelink.XXXXXX";

static void make_pki(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    key = EVP_EC_gen("P-256");
    pki_write_key("key", key, NULL, 0600);
    pki_make_authority(&ca, "test CA", "ca.pem", NULL);
    pki_make_authority(&other_ca, "other CA", "other-ca.pem", NULL);
    pki_make_leaf("a.pem", "DNS:a.example", "clientAuth", key, &ca, -PKI_DAY, PKI_YEAR);
    pki_make_leaf("b.pem", "DNS:b.example", "clientAuth", key, &ca, -PKI_DAY, PKI_YEAR);
    pki_make_leaf("c.pem", "DNS:c.example", "clientAuth", key, &ca, -PKI_DAY, PKI_YEAR);
    pki_make_leaf("other-a.pem", "DNS:a.example", "clientAuth", key, &other_ca, -PKI_DAY, PKI_YEAR);
    pki_make_leaf("other-b.pem", "DNS:b.example", "clientAuth", key, &other_ca, -PKI_DAY, PKI_YEAR);
    /* As a dmz-relay has it: its own context refuses it, so a tunnel's is used. */
    pki_make_leaf("dmz-b.pem", "DNS:b.example", "serverAuth", key, &ca, -PKI_DAY, PKI_YEAR);
}

static int remove_one(const char *name, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(name);
}

static void remove_pki(void)
{
    pki_free_authority(&ca);
    pki_free_authority(&other_ca);
    EVP_PKEY_free(key);
    ck_assert_int_eq(chdir("/"), 0);
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

struct end {
    struct tls_context *context;
    struct sitelink *link;
    unsigned ups, messages;
    uint8_t type; /* of the last one */
    size_t length;
    uint8_t first, last;
    int result; /* of the hook */
};

static void on_up(void *ctx)
{
    ((struct end *)ctx)->ups++;
}

static int on_message(void *ctx, uint8_t type, struct reader *body, uint64_t now_us)
{
    struct end *end = ctx;

    ck_assert_uint_eq(now_us, 77);
    end->messages++;
    end->type = type;
    end->length = reader_left(body);
    if (end->length > 0) {
        end->first = body->at[0];
        end->last = body->end[-1];
    }
    return end->result;
}

static const struct sitelink_hooks hooks = {on_up, on_message};

static void open_end(struct end *end, enum tls_role role, const char *certificate,
                     const char *authority, const char *other)
{
    struct tls_files files = {certificate, "key", authority, NULL};
    char error[512] = "";

    *end = (struct end){.result = 0};
    ck_assert_msg(tls_context_new(&end->context, role, &files, error, sizeof(error)) == 0, "%s",
                  error);
    end->link = sitelink_new(end->context, other, &hooks, end);
    ck_assert_ptr_nonnull(end->link);
}

static void close_end(struct end *end)
{
    sitelink_free(end->link);
    tls_context_free(end->context);
}

static bool carry_one(struct end *from, struct end *to, size_t piece)
{
    uint8_t memory[SITE_DATA_OCTETS];
    size_t length = sitelink_take(from->link, memory, piece, 77);

    if (length > 0 && !sitelink_is_over(to->link))
        (void)sitelink_give(to->link, memory, length, 77);
    return length > 0;
}

/* Until neither says anything more. */
static void carry(struct end ends[2], size_t piece)
{
    bool more = true;

    while (more) {
        more = carry_one(&ends[0], &ends[1], piece);
        more |= carry_one(&ends[1], &ends[0], piece);
    }
}

static void open_both(struct end ends[2])
{
    open_end(&ends[0], TLS_SITE_CLIENT, "a.pem", "ca.pem", "b.example");
    open_end(&ends[1], TLS_SITE_SERVER, "b.pem", "ca.pem", "a.example");
}

static const size_t sizes[] = {0, 1, 100, 3600, 16384, MESSAGE_MAX_OCTETS - 1};

START_TEST(test_messages)
{
    static uint8_t fields[MESSAGE_MAX_OCTETS];
    struct end ends[2];
    size_t length = sizes[_i / 2], piece = _i % 2 ? 100 : SITE_DATA_OCTETS;

    open_both(ends);
    fields[0] = 3;
    if (length > 1)
        fields[length - 1] = 9;
    /* Also before it is up. */
    ck_assert_int_eq(sitelink_send(ends[0].link, 5, fields, length), 0);
    carry(ends, piece);
    ck_assert_int_eq(sitelink_send(ends[1].link, 6, fields, length), 0);
    ck_assert_int_eq(sitelink_send(ends[1].link, 7, NULL, 0), 0);
    carry(ends, piece);
    for (int i = 0; i < 2; i++) {
        ck_assert(sitelink_is_up(ends[i].link));
        ck_assert_uint_eq(ends[i].ups, 1);
    }
    ck_assert_uint_eq(ends[1].messages, 1);
    ck_assert_uint_eq(ends[1].type, 5);
    ck_assert_uint_eq(ends[1].length, length);
    if (length > 1)
        ck_assert(ends[1].first == 3 && ends[1].last == 9);
    ck_assert_uint_eq(ends[0].messages, 2);
    ck_assert_uint_eq(ends[0].type, 7);
    fields[0] = fields[length ? length - 1 : 0] = 0;
    close_end(&ends[0]);
    close_end(&ends[1]);
}
END_TEST

START_TEST(test_bounds)
{
    static uint8_t fields[MESSAGE_MAX_OCTETS];
    struct end ends[2];
    unsigned count = 0;

    open_both(ends);
    ck_assert_int_eq(sitelink_send(ends[0].link, 1, fields, MESSAGE_MAX_OCTETS), ERR_TOO_LONG);
    while (sitelink_send(ends[0].link, 1, fields, 10000) == 0)
        count++;
    ck_assert_uint_eq(count, SITELINK_QUEUE_OCTETS / 10003);
    carry(ends, SITE_DATA_OCTETS);
    ck_assert_uint_eq(ends[1].messages, count);
    ck_assert_int_eq(sitelink_send(ends[0].link, 1, fields, 10000), 0);
    close_end(&ends[0]);
    close_end(&ends[1]);
}
END_TEST

static const struct {
    enum tls_role role[2];
    const char *certificate[2], *authority[2], *name[2]; /* name: that is expected of the other */
    const char *error;                                   /* of the one that refuses */
    int refuses;
} refusals[] = {
    {{TLS_SITE_CLIENT, TLS_SITE_SERVER},
     {"a.pem", "c.pem"},
     {"ca.pem", "ca.pem"},
     {"b.example", "a.example"},
     "is for \"c.example\", a name that is not expected",
     0},
    {{TLS_SITE_CLIENT, TLS_SITE_SERVER},
     {"c.pem", "b.pem"},
     {"ca.pem", "ca.pem"},
     {"b.example", "a.example"},
     "is for \"c.example\", a name that is not expected",
     1},
    {{TLS_SITE_CLIENT, TLS_SITE_SERVER},
     {"other-a.pem", "b.pem"},
     {"ca.pem", "ca.pem"},
     {"b.example", "a.example"},
     "not from a CA in our ca file",
     1},
    {{TLS_SITE_CLIENT, TLS_SITE_SERVER},
     {"a.pem", "other-b.pem"},
     {"ca.pem", "ca.pem"},
     {"b.example", "a.example"},
     "not from a CA in our ca file",
     0},
    {{TLS_SITE_CLIENT, TLS_SERVER},
     {"a.pem", "dmz-b.pem"},
     {"ca.pem", "ca.pem"},
     {"b.example", "a.example"},
     "lacks the extended key usage clientAuth",
     0},
    /* Two companies: each trusts the other's CA. */
    {{TLS_SITE_CLIENT, TLS_SITE_SERVER},
     {"a.pem", "other-b.pem"},
     {"other-ca.pem", "ca.pem"},
     {"b.example", "a.example"},
     NULL,
     0},
};

START_TEST(test_certificates)
{
    struct end ends[2];

    for (int i = 0; i < 2; i++)
        open_end(&ends[i], refusals[_i].role[i], refusals[_i].certificate[i],
                 refusals[_i].authority[i], refusals[_i].name[i]);
    ck_assert_int_eq(sitelink_send(ends[0].link, 1, "x", 1), 0);
    carry(ends, SITE_DATA_OCTETS);
    if (!refusals[_i].error) {
        ck_assert_uint_eq(ends[1].messages, 1);
    } else {
        const struct sitelink *judge = ends[refusals[_i].refuses].link;

        ck_assert_uint_eq(ends[1].messages, 0);
        ck_assert(sitelink_is_over(judge));
        ck_assert_msg(strstr(sitelink_error(judge), refusals[_i].error) != NULL, "%s",
                      sitelink_error(judge));
        /* The other one is told. */
        ck_assert(sitelink_is_over(ends[!refusals[_i].refuses].link));
    }
    close_end(&ends[0]);
    close_end(&ends[1]);
}
END_TEST

/* A dmz-relay's certificate is not taken at the start either. */
START_TEST(test_own_usage)
{
    struct tls_files files = {"dmz-b.pem", "key", "ca.pem", NULL};
    struct tls_context *context = NULL;
    char error[512] = "";

    ck_assert_int_lt(tls_context_new(&context, TLS_SITE_SERVER, &files, error, sizeof(error)), 0);
    ck_assert_ptr_nonnull(strstr(error, "clientAuth"));
}
END_TEST

/* A flipped bit of what the dmz-relay carries ends it, and nothing of it is believed. */
START_TEST(test_damaged)
{
    struct end ends[2];
    uint8_t memory[SITE_DATA_OCTETS];
    size_t length;

    open_both(ends);
    carry(ends, SITE_DATA_OCTETS);
    ck_assert_int_eq(sitelink_send(ends[0].link, 1, "x", 1), 0);
    length = sitelink_take(ends[0].link, memory, sizeof(memory), 77);
    ck_assert_uint_gt(length, 5);
    memory[5 + (size_t)_i % (length - 5)] ^= (uint8_t)(1u << _i % 8);
    ck_assert_int_lt(sitelink_give(ends[1].link, memory, length, 77), 0);
    ck_assert_uint_eq(ends[1].messages, 0);
    ck_assert(sitelink_is_over(ends[1].link));
    close_end(&ends[0]);
    close_end(&ends[1]);
}
END_TEST

START_TEST(test_end)
{
    struct end ends[2];

    open_both(ends);
    carry(ends, SITE_DATA_OCTETS);
    if (_i == 0) { /* in order, behind what was queued */
        ck_assert_int_eq(sitelink_send(ends[0].link, 1, "x", 1), 0);
        sitelink_close(ends[0].link, "idle");
        ck_assert_str_eq(sitelink_error(ends[0].link), "idle");
        ck_assert_int_eq(sitelink_send(ends[0].link, 1, "x", 1), ERR_CLOSED);
    } else { /* a message that is refused */
        ends[1].result = ERR_PROTOCOL;
        ck_assert_int_eq(sitelink_send(ends[0].link, 1, "x", 1), 0);
    }
    carry(ends, SITE_DATA_OCTETS);
    ck_assert_uint_eq(ends[1].messages, 1);
    ck_assert(sitelink_is_over(ends[1].link));
    ck_assert_ptr_nonnull(
        strstr(sitelink_error(ends[1].link), _i ? "cannot be read" : "has closed the session"));
    close_end(&ends[0]);
    close_end(&ends[1]);
}
END_TEST

START_TEST(test_recheck)
{
    struct tls_files files = {"a.pem", "key", "other-ca.pem", NULL};
    struct tls_context *strict = NULL;
    struct end ends[2];
    char error[256];

    open_both(ends);
    ck_assert(!sitelink_recheck(ends[0].link, ends[0].context));
    carry(ends, SITE_DATA_OCTETS);
    ck_assert(sitelink_recheck(ends[0].link, ends[0].context));
    ck_assert_int_eq(tls_context_new(&strict, TLS_SITE_CLIENT, &files, error, sizeof(error)), 0);
    ck_assert(!sitelink_recheck(ends[0].link, strict));
    ck_assert(sitelink_is_over(ends[0].link));
    tls_context_free(strict);
    close_end(&ends[0]);
    close_end(&ends[1]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sitelink");
    TCase *tc = tcase_create("sitelink");

    tcase_set_timeout(tc, 60);
    tcase_add_unchecked_fixture(tc, make_pki, remove_pki);
    tcase_add_loop_test(tc, test_messages, 0, 2 * sizeof(sizes) / sizeof(sizes[0]));
    tcase_add_test(tc, test_bounds);
    tcase_add_loop_test(tc, test_certificates, 0, sizeof(refusals) / sizeof(refusals[0]));
    tcase_add_test(tc, test_own_usage);
    tcase_add_loop_test(tc, test_damaged, 0, 24);
    tcase_add_loop_test(tc, test_end, 0, 2);
    tcase_add_test(tc, test_recheck);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
