#include "common/base/addr.h"

#include <netinet/in.h>
#include <string.h>

#include "common/base/err.h"
#include "tests/unit/unit.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct addr ip(const char *text)
{
    struct addr addr;

    ck_assert_msg(addr_parse_ip(text, &addr) == 0, "%s", text);
    return addr;
}

/* ---------------------------------------------------------------- text */

static const struct {
    const char *in, *out;
} good[] = {
    {"192.0.2.1:5004", "192.0.2.1:5004"},
    {"192.0.2.1:1", "192.0.2.1:1"},
    {"192.0.2.1:65535", "192.0.2.1:65535"},
    {"[2001:db8::1]:5004", "[2001:db8::1]:5004"},
    {"[2001:DB8:0:0:0:0:0:1]:5004", "[2001:db8::1]:5004"},
    {"[::]:9", "[::]:9"},
    {"[::ffff:192.0.2.1]:7", "192.0.2.1:7"}, /* one host has one form */
};

START_TEST(test_parse)
{
    char text[ADDR_TEXT_SIZE];
    struct addr addr;

    ck_assert_int_eq(addr_parse(good[_i].in, &addr), 0);
    ck_assert_str_eq(addr_format(&addr, text, sizeof(text)), good[_i].out);
}
END_TEST

static const char *const bad[] = {
    "",
    ":",
    ":5004",
    "192.0.2.1",
    "192.0.2.1:",
    "192.0.2.1:0",
    "192.0.2.1:65536",
    "192.0.2.1:-1",
    "192.0.2.1:+1",
    "192.0.2.1: 1",
    "192.0.2.1:1 ",
    "192.0.2.1:000001",
    "192.0.2.1:1x",
    "192.0.2.256:1",
    "192.0.2:1",
    "192.0.02.1:1",
    " 192.0.2.1:1",
    "[192.0.2.1]:1",
    "2001:db8::1:5004",
    "2001:db8::1",
    "[2001:db8::1]",
    "[2001:db8::1]5004",
    "[2001:db8::1:5004",
    "2001:db8::1]:5004",
    "[]:1",
    "[:1",
    "]:1",
    "[fe80::1%eth0]:1",
    "[[::1]]:1",
    "example.org:1",
    "[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc]:1",
};

START_TEST(test_parse_bad)
{
    struct addr addr = {.family = 9};

    ck_assert_msg(addr_parse(bad[_i], &addr) == ERR_INVALID, "\"%s\"", bad[_i]);
    ck_assert_uint_eq(addr.family, 9);
}
END_TEST

START_TEST(test_format_bounds)
{
    struct addr addr = ip("2001:db8:1111:2222:3333:4444:5555:6666"), none = {0};
    char text[ADDR_TEXT_SIZE];

    addr.port = 65535;
    for (size_t size = 1; size < sizeof(text); size++) {
        memset(text, '#', sizeof(text));
        addr_format(&addr, text, size);
        ck_assert_uint_lt(strlen(text), size);
        ck_assert_int_eq(text[size], '#');
    }
    ck_assert_str_eq(addr_format(&none, text, sizeof(text)), "none");
    ck_assert_str_eq(addr_format_ip(&none, text, sizeof(text)), "none");
    ck_assert_str_eq(addr_format_ip(&addr, text, sizeof(text)),
                     "2001:db8:1111:2222:3333:4444:5555:6666");
}
END_TEST

/* ---------------------------------------------------------------- socket addresses */

START_TEST(test_sockaddr)
{
    static const char *const texts[] = {"192.0.2.1:5004", "[2001:db8::1]:5005"};

    for (size_t i = 0; i < COUNT(texts); i++) {
        struct sockaddr_storage storage;
        struct addr addr, again;

        ck_assert_int_eq(addr_parse(texts[i], &addr), 0);
        ck_assert_uint_eq(addr_to_sockaddr(&addr, &storage),
                          i ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
        ck_assert_int_eq(storage.ss_family, i ? AF_INET6 : AF_INET);
        again = addr_from_sockaddr((const struct sockaddr *)&storage);
        ck_assert(addr_equal(&addr, &again));
    }
}
END_TEST

START_TEST(test_sockaddr_odd)
{
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(7)};
    struct sockaddr local = {.sa_family = AF_UNIX};
    static const uint8_t ip6[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 1};
    struct addr addr;

    memcpy(&mapped.sin6_addr, ip6, 16);
    addr = addr_from_sockaddr((const struct sockaddr *)&mapped);
    ck_assert_uint_eq(addr.family, 4);
    ck_assert_uint_eq(addr.port, 7);
    addr = addr_from_sockaddr(&local);
    ck_assert_uint_eq(addr.family, 0);
}
END_TEST

START_TEST(test_equal)
{
    struct addr a = ip("192.0.2.1"), b = ip("192.0.2.1"), c = ip("192.0.2.2");
    struct addr d = ip("c000:201::");

    b.port = 1;
    ck_assert(addr_ip_equal(&a, &b));
    ck_assert(!addr_equal(&a, &b));
    ck_assert(!addr_ip_equal(&a, &c));
    ck_assert(!addr_ip_equal(&a, &d)); /* the same octets in another family */
}
END_TEST

/* ---------------------------------------------------------------- networks */

static const struct {
    const char *net, *inside, *outside;
} nets[] = {
    {"192.0.2.0/24", "192.0.2.255", "192.0.3.0"},
    {"192.0.2.1", "192.0.2.1", "192.0.2.2"},
    {"192.0.2.1/32", "192.0.2.1", "192.0.2.0"},
    {"0.0.0.0/0", "255.255.255.255", "::1"},
    {"192.0.2.128/25", "192.0.2.128", "192.0.2.127"},
    {"10.0.0.0/9", "10.127.255.255", "10.128.0.0"},
    {"2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"},
    {"2001:db8::1", "2001:db8::1", "2001:db8::2"},
    {"::/0", "ffff::1", "192.0.2.1"},
    {"fe80::/10", "febf::1", "fec0::1"},
};

START_TEST(test_net)
{
    struct addr inside = ip(nets[_i].inside), outside = ip(nets[_i].outside);
    struct addr_net net;

    ck_assert_int_eq(addr_net_parse(nets[_i].net, &net), 0);
    ck_assert_msg(addr_in_net(&inside, &net), "%s in %s", nets[_i].inside, nets[_i].net);
    ck_assert_msg(!addr_in_net(&outside, &net), "%s in %s", nets[_i].outside, nets[_i].net);
}
END_TEST

START_TEST(test_net_bad)
{
    static const char *const texts[] = {"",
                                        "/",
                                        "192.0.2.0/",
                                        "192.0.2.0/33",
                                        "192.0.2.1/24",
                                        "/24",
                                        "192.0.2.0/x",
                                        "192.0.2.0/-1",
                                        "192.0.2.0/24/8",
                                        "2001:db8::/129",
                                        "192.0.2/8",
                                        "2001:db8::1/64",
                                        "192.0.2.0 /24",
                                        "[2001:db8::]/32"};
    struct addr_net net;

    for (size_t i = 0; i < COUNT(texts); i++)
        ck_assert_msg(addr_net_parse(texts[i], &net) == ERR_INVALID, "\"%s\"", texts[i]);
}
END_TEST

START_TEST(test_net_format)
{
    char text[ADDR_TEXT_SIZE];
    struct addr_net net;

    ck_assert_int_eq(addr_net_parse("192.0.2.1", &net), 0);
    ck_assert_str_eq(addr_net_format(&net, text, sizeof(text)), "192.0.2.1/32");
    ck_assert_int_eq(addr_net_parse("2001:db8::/32", &net), 0);
    ck_assert_str_eq(addr_net_format(&net, text, sizeof(text)), "2001:db8::/32");
}
END_TEST

/* ---------------------------------------------------------------- kinds */

static const struct {
    const char *text;
    enum addr_kind kind;
} kinds[] = {
    {"8.8.8.8", ADDR_PUBLIC},
    {"1.0.0.0", ADDR_PUBLIC},
    {"223.255.255.255", ADDR_PUBLIC},
    {"172.15.255.255", ADDR_PUBLIC},
    {"172.32.0.0", ADDR_PUBLIC},
    {"100.63.255.255", ADDR_PUBLIC},
    {"100.128.0.0", ADDR_PUBLIC},
    {"198.17.255.255", ADDR_PUBLIC},
    {"198.20.0.0", ADDR_PUBLIC},
    {"0.0.0.0", ADDR_UNSPECIFIED},
    {"0.255.255.255", ADDR_UNSPECIFIED},
    {"127.0.0.1", ADDR_LOOPBACK},
    {"127.255.255.255", ADDR_LOOPBACK},
    {"224.0.0.1", ADDR_MULTICAST},
    {"239.255.255.255", ADDR_MULTICAST},
    {"255.255.255.255", ADDR_BROADCAST},
    {"255.255.255.254", ADDR_PRIVATE},
    {"240.0.0.1", ADDR_PRIVATE},
    {"10.255.255.255", ADDR_PRIVATE},
    {"100.64.0.0", ADDR_PRIVATE},
    {"169.254.1.1", ADDR_PRIVATE},
    {"172.16.0.0", ADDR_PRIVATE},
    {"172.31.255.255", ADDR_PRIVATE},
    {"192.0.0.1", ADDR_PRIVATE},
    {"192.0.2.1", ADDR_PRIVATE},
    {"192.88.99.1", ADDR_PRIVATE},
    {"192.168.0.1", ADDR_PRIVATE},
    {"198.19.255.255", ADDR_PRIVATE},
    {"198.51.100.1", ADDR_PRIVATE},
    {"203.0.113.1", ADDR_PRIVATE},
    {"2a00:1450::1", ADDR_PUBLIC},
    {"2001:200::1", ADDR_PUBLIC},
    {"::", ADDR_UNSPECIFIED},
    {"::1", ADDR_LOOPBACK},
    {"ff02::1", ADDR_MULTICAST},
    {"fe80::1", ADDR_PRIVATE},
    {"fec0::1", ADDR_PRIVATE},
    {"fc00::1", ADDR_PRIVATE},
    {"fdff::1", ADDR_PRIVATE},
    {"2001:db8::1", ADDR_PRIVATE},
    {"2001::1", ADDR_PRIVATE},
    {"2001:1ff::1", ADDR_PRIVATE},
    {"100::1", ADDR_PRIVATE},
    {"3fff:fff::1", ADDR_PRIVATE},
    {"5f00::1", ADDR_PRIVATE},
    {"64:ff9b:1::7f00:1", ADDR_PRIVATE},
    /* An IPv4 address inside is judged as itself. */
    {"::ffff:127.0.0.1", ADDR_LOOPBACK},
    {"::ffff:8.8.8.8", ADDR_PUBLIC},
    {"::127.0.0.1", ADDR_LOOPBACK},
    {"::10.0.0.1", ADDR_PRIVATE},
    {"::2", ADDR_UNSPECIFIED},
    {"64:ff9b::127.0.0.1", ADDR_LOOPBACK},
    {"64:ff9b::8.8.8.8", ADDR_PUBLIC},
    {"64:ff9b::10.0.0.1", ADDR_PRIVATE},
    {"2002:7f00:1::", ADDR_LOOPBACK},
    {"2002:a00:1::1", ADDR_PRIVATE},
    {"2002:808:808::1", ADDR_PUBLIC},
    {"2002:e000:1::", ADDR_MULTICAST},
    {"::ffff:0:127.0.0.1", ADDR_LOOPBACK},
    {"::ffff:0:255.255.255.255", ADDR_BROADCAST},
};

START_TEST(test_kind)
{
    struct addr addr = ip(kinds[_i].text);

    ck_assert_msg(addr_kind(&addr) == kinds[_i].kind, "%s is %s", kinds[_i].text,
                  addr_kind_text(addr_kind(&addr)));
}
END_TEST

START_TEST(test_kind_of_none)
{
    struct addr none = {0};

    ck_assert_int_eq(addr_kind(&none), ADDR_UNSPECIFIED);
    ck_assert_str_eq(addr_kind_text(ADDR_PUBLIC), "public");
    ck_assert_str_eq(addr_kind_text(ADDR_UNSPECIFIED), "unspecified");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("addr");
    TCase *tc = tcase_create("addr");

    tcase_add_loop_test(tc, test_parse, 0, COUNT(good));
    tcase_add_loop_test(tc, test_parse_bad, 0, COUNT(bad));
    tcase_add_test(tc, test_format_bounds);
    tcase_add_test(tc, test_sockaddr);
    tcase_add_test(tc, test_sockaddr_odd);
    tcase_add_test(tc, test_equal);
    tcase_add_loop_test(tc, test_net, 0, COUNT(nets));
    tcase_add_test(tc, test_net_bad);
    tcase_add_test(tc, test_net_format);
    tcase_add_loop_test(tc, test_kind, 0, COUNT(kinds));
    tcase_add_test(tc, test_kind_of_none);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
