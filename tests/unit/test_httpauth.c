#include "common/tunnel/httpauth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "tests/unit/unit.h"

static int take(struct httpauth *auth, const char *fields, char *reason, size_t size)
{
    struct http_head head;
    char text[2048];
    int length = snprintf(text, sizeof(text), "HTTP/1.1 407 No\r\n%s\r\n", fields);

    ck_assert_int_eq(http_read_reply(&head, text, (size_t)length), 0);
    return httpauth_take(auth, &head, reason, size);
}

/* RFC 7616 section 3.9.1, and RFC 2617 section 3.5 with its own cnonce. */
#define RFC7616                                                                                    \
    "realm=\"http-auth@example.org\", qop=\"auth, auth-int\", "                                    \
    "nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", "                                     \
    "opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
static const struct {
    const char *user, *password, *fields, *cnonce, *wanted;
} rows[] = {
    {"Aladdin", "open sesame", "Proxy-Authenticate: Basic realm=\"x\"\r\n", "",
     "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"},
    {"Mufasa", "Circle of Life",
     "Proxy-Authenticate: Digest " RFC7616 ", algorithm=SHA-256\r\n"
     "Proxy-Authenticate: Digest " RFC7616 ", algorithm=MD5\r\n",
     "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
     "response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\", qop=auth, "
     "nc=00000001, algorithm=SHA-256\r\n"},
    {"Mufasa", "Circle of Life", "Proxy-Authenticate: Digest " RFC7616 ", algorithm=MD5\r\n",
     "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
     "response=\"8ca523f5e9506fed4657c9700eebdbec\", qop=auth, nc=00000001, algorithm=MD5\r\n"},
    {"Mufasa", "Circle Of Life",
     "Proxy-Authenticate: Digest realm=\"testrealm@host.com\", qop=auth,"
     "nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"\r\n",
     "0a4f113b", "response=\"6629fae49393a05397450978507c4ef1\""},
    /* Basic and Digest in one field, in either order: Digest. */
    {"Mufasa", "Circle Of Life",
     "Proxy-Authenticate: Basic realm=\"b\", Digest realm=\"testrealm@host.com\", "
     "nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", Negotiate abcd==\r\n",
     "", "response=\"670fd8c2df070c60b045671b8b24ff02\", algorithm=MD5\r\n"},
    {"me", "pw", "Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: basic\r\n", "",
     "Proxy-Authorization: Basic bWU6cHc=\r\n"},
    {"m\"e", "pw", "Proxy-Authenticate: Digest realm=\"a\\\"b\", nonce=\"n\"\r\n", "",
     "username=\"m\\\"e\", realm=\"a\\\"b\", nonce=\"n\", "},
    /* What cannot be answered leaves the other one. */
    {"me", "pw",
     "Proxy-Authenticate: Digest realm=\"a\", nonce=\"n\", qop=\"auth-int\", Basic realm=x\r\n", "",
     "Proxy-Authorization: Basic bWU6cHc=\r\n"},
    {"me", "pw",
     "Proxy-Authenticate: Digest realm=\"a\", nonce=\"n\", algorithm=SHA-512-256\r\n"
     "Proxy-Authenticate: Digest realm=\"a\", Basic realm=x\r\n",
     "", "Proxy-Authorization: Basic bWU6cHc=\r\n"},
};

START_TEST(test_answers)
{
    struct httpauth *auth = calloc(1, sizeof(*auth));
    char reason[256] = "", line[HTTPAUTH_LINE_OCTETS];

    ck_assert_ptr_nonnull(auth);
    snprintf(auth->user, sizeof(auth->user), "%s", rows[_i].user);
    snprintf(auth->password, sizeof(auth->password), "%s", rows[_i].password);
    ck_assert_int_eq(
        httpauth_line(auth, "GET", "/dir/index.html", rows[_i].cnonce, line, sizeof(line)), 0);
    ck_assert_str_eq(line, "");
    ck_assert_msg(take(auth, rows[_i].fields, reason, sizeof(reason)) == 0, "%s", reason);
    ck_assert_int_eq(
        httpauth_line(auth, "GET", "/dir/index.html", rows[_i].cnonce, line, sizeof(line)), 0);
    ck_assert_msg(strstr(line, rows[_i].wanted), "%s", line);
    free(auth);
}
END_TEST

/* Each answer counts; a new nonce begins anew. */
START_TEST(test_count)
{
    static const char field[] =
        "Proxy-Authenticate: Digest realm=\"a\", nonce=\"n\", qop=auth, stale=TRUE\r\n";
    struct httpauth *auth = calloc(1, sizeof(*auth));
    char reason[256], line[HTTPAUTH_LINE_OCTETS];

    ck_assert_ptr_nonnull(auth);
    for (int round = 0; round < 2; round++) {
        ck_assert_int_eq(take(auth, field, reason, sizeof(reason)), 0);
        ck_assert(auth->challenge.stale);
        for (unsigned count = 1; count < 4; count++) {
            char wanted[32];

            ck_assert_int_eq(httpauth_line(auth, "GET", "/", "c", line, sizeof(line)), 0);
            snprintf(wanted, sizeof(wanted), "nc=%08x", count);
            ck_assert_ptr_nonnull(strstr(line, wanted));
        }
    }
    for (size_t size = 1; size < strlen(line); size++)
        ck_assert_int_eq(httpauth_line(auth, "GET", "/", "c", line, size), ERR_TOO_LONG);
    free(auth);
}
END_TEST

static const struct {
    const char *fields, *reason;
} refused[] = {
    {"", "that it does not name"},
    {"Proxy-Authenticate: \r\n", "that it does not name"},
    {"Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n", "Negotiate, NTLM;"},
    {"Proxy-Authenticate: Digest realm=\"a\"\r\n", "Digest;"},
    {"Proxy-Authenticate: Digest realm=\"a\", nonce=\"n\r\n", "Digest;"},
    {"WWW-Authenticate: Basic realm=\"a\"\r\n", "that it does not name"},
};

START_TEST(test_refused)
{
    struct httpauth *auth = calloc(1, sizeof(*auth));
    char reason[256] = "";

    ck_assert_ptr_nonnull(auth);
    auth->challenge.scheme = HTTPAUTH_BASIC;
    ck_assert_int_eq(take(auth, refused[_i].fields, reason, sizeof(reason)), ERR_UNSUPPORTED);
    ck_assert_msg(strstr(reason, refused[_i].reason), "%s", reason);
    ck_assert_int_eq(auth->challenge.scheme, HTTPAUTH_BASIC);
    free(auth);
}
END_TEST

/* Every cut and every bit of a challenge: whatever comes of it, nothing is read or written outside.
 */
START_TEST(test_damaged)
{
    static const char field[] = "Basic realm=\"b\", Digest " RFC7616 ", algorithm=SHA-256";
    struct httpauth *auth = calloc(1, sizeof(*auth));
    char reason[256], line[HTTPAUTH_LINE_OCTETS];

    ck_assert_ptr_nonnull(auth);
    for (size_t bit = 0; bit < 8 * (sizeof(field) - 1); bit += unit_stride(7)) {
        struct http_head head = {.field_count = 1};
        size_t length = sizeof(field) - 1 - (bit % 3 ? bit / 8 : 0);
        char *copy = malloc(length);

        ck_assert_ptr_nonnull(copy);
        memcpy(copy, field, length);
        copy[(bit / 8) % length] = (char)(copy[(bit / 8) % length] ^ 1 << bit % 8);
        head.fields[0] = (struct http_field){{"Proxy-Authenticate", 18}, {copy, length}};
        if (httpauth_take(auth, &head, reason, sizeof(reason)) == 0)
            ck_assert_int_eq(httpauth_line(auth, "GET", "/", "c", line, sizeof(line)), 0);
        free(copy);
    }
    free(auth);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("httpauth");
    TCase *tc = tcase_create("httpauth");

    tcase_add_loop_test(tc, test_answers, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tc, test_count);
    tcase_add_loop_test(tc, test_refused, 0, sizeof(refused) / sizeof(refused[0]));
    tcase_add_test(tc, test_damaged);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
