#include "common/sa/target.h"

#include <string.h>

#include "tests/unit/sample.h"
#include "tests/unit/unit.h"

static struct target_rules make_rules(bool allow_loopback)
{
    struct target_rules rules = {.allow_loopback = allow_loopback};
    static const char *const external[] = {"192.168.7.0/24", "fd77::/16", "127.0.9.0/24"};
    static const char *const internal[] = {"10.0.0.0/8", "fd00::/16", "192.88.0.0/16",
                                           "127.0.8.0/24"};
    static const char *const own[] = {"10.9.9.9:1", "9.9.9.9:1", "[2a00::9]:1"};

    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(addr_net_parse(external[i], &rules.external[rules.external_count++]), 0);
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(addr_net_parse(internal[i], &rules.internal[rules.internal_count++]), 0);
    for (size_t i = 0; i < 3; i++)
        rules.own[rules.own_count++] = sample_addr(own[i]);
    return rules;
}

enum { OUT = SA_SIDE_EXTERNAL, IN = SA_SIDE_INTERNAL };

/* why: a part of the text; NULL: it may be sent to. */
static const struct {
    int side;
    const char *addr, *why;
} rows[] = {
    /* public addresses outside, internal ones inside, never the other way round */
    {OUT, "8.8.8.8:5004", NULL},
    {OUT, "[2a00::1]:5004", NULL},
    {IN, "10.1.2.3:5004", NULL},
    {IN, "[fd00::1]:5004", NULL},
    {IN, "192.88.1.1:5004", NULL},
    {IN, "8.8.8.8:5004", "not in [networks] internal"},
    {IN, "[2a00::1]:5004", "not in [networks] internal"},
    {IN, "192.168.7.1:5004", "not in [networks] internal"},
    {OUT, "10.1.2.3:5004", "in [networks] internal"},
    {OUT, "[fd00::1]:5004", "in [networks] internal"},
    {OUT, "192.88.1.1:5004", "in [networks] internal"},
    /* special ranges, listed and not */
    {OUT, "192.168.7.1:5004", NULL},
    {OUT, "[fd77::1]:5004", NULL},
    {OUT, "192.168.8.1:5004", "neither a public address"},
    {OUT, "172.16.0.1:5004", "neither a public address"},
    {OUT, "100.64.0.1:5004", "neither a public address"},
    {OUT, "169.254.1.1:5004", "neither a public address"},
    {OUT, "192.0.2.1:5004", "neither a public address"},
    {OUT, "198.18.0.1:5004", "neither a public address"},
    {OUT, "240.0.0.1:5004", "neither a public address"},
    {OUT, "[fd78::1]:5004", "neither a public address"},
    {OUT, "[fe80::1]:5004", "neither a public address"},
    {OUT, "[2001:db8::1]:5004", "neither a public address"},
    {OUT, "[2001::808:808]:5004", "neither a public address"},
    {OUT, "[64:ff9b:1::808:808]:5004", "neither a public address"},
    {OUT, "[3fff::1]:5004", "neither a public address"},
    {OUT, "[100::1]:5004", "neither a public address"},
    /* never */
    {OUT, "127.0.0.1:5004", "loopback"},
    {IN, "127.0.8.1:5004", "loopback"},
    {OUT, "[::1]:5004", "loopback"},
    {OUT, "224.0.0.1:5004", "multicast"},
    {IN, "239.1.1.1:5004", "multicast"},
    {OUT, "[ff02::1]:5004", "multicast"},
    {OUT, "255.255.255.255:5004", "multicast, broadcast"},
    {OUT, "0.0.0.0:5004", "unspecified"},
    {OUT, "0.1.2.3:5004", "unspecified"},
    {OUT, "[::]:5004", "unspecified"},
    {OUT, "9.9.9.9:5004", "own address"},
    {IN, "10.9.9.9:5004", "own address"},
    {OUT, "[2a00::9]:5004", "own address"},
    /* IPv4 inside IPv6: mapped, compatible, SIIT, NAT64, 6to4 */
    {OUT, "[::ffff:8.8.8.8]:5004", NULL},
    {OUT, "[64:ff9b::8.8.8.8]:5004", NULL},
    {OUT, "[2002:808:808::1]:5004", NULL},
    {OUT, "[::8.8.8.8]:5004", NULL},
    {IN, "[::ffff:10.1.2.3]:5004", NULL},
    {OUT, "[::ffff:127.0.0.1]:5004", "loopback"},
    {OUT, "[::127.0.0.1]:5004", "loopback"},
    {OUT, "[::ffff:0:127.0.0.1]:5004", "loopback"},
    {OUT, "[64:ff9b::127.0.0.1]:5004", "loopback"},
    {OUT, "[2002:7f00:1::1]:5004", "loopback"},
    {OUT, "[::ffff:224.0.0.1]:5004", "multicast"},
    {OUT, "[64:ff9b::224.0.0.1]:5004", "multicast"},
    {OUT, "[2002:e000:1::1]:5004", "multicast"},
    {OUT, "[64:ff9b::255.255.255.255]:5004", "broadcast"},
    {OUT, "[64:ff9b::0.0.0.0]:5004", "unspecified"},
    {OUT, "[::ffff:9.9.9.9]:5004", "own address"},
    {OUT, "[::9.9.9.9]:5004", "own address"},
    {OUT, "[::ffff:0:9.9.9.9]:5004", "own address"},
    {OUT, "[64:ff9b::9.9.9.9]:5004", "own address"},
    {OUT, "[2002:909:909::1]:5004", "own address"},
    {OUT, "[::ffff:10.1.2.3]:5004", "in [networks] internal"},
    {OUT, "[64:ff9b::10.1.2.3]:5004", "in [networks] internal"},
    {OUT, "[2002:a01:203::1]:5004", "in [networks] internal"},
    {OUT, "[64:ff9b::192.88.1.1]:5004", "in [networks] internal"},
    {OUT, "[2002:c058:101::1]:5004", "in [networks] internal"},
    {OUT, "[64:ff9b::172.16.0.1]:5004", "neither a public address"},
    {IN, "[64:ff9b::10.1.2.3]:5004", "not in [networks] internal"},
};

START_TEST(test_rules)
{
    struct target_rules rules = make_rules(false);
    struct addr addr = sample_addr(rows[_i].addr);
    const char *why = target_refusal(&rules, (enum sa_side)rows[_i].side, &addr);

    if (rows[_i].why)
        ck_assert_msg(why && strstr(why, rows[_i].why), "%s: %s", rows[_i].addr, why ? why : "may");
    else
        ck_assert_msg(!why, "%s: %s", rows[_i].addr, why);
}
END_TEST

/* A public peer, a private one that no network lists, one on loopback, and our own listener. */
static struct target_rules make_peer_rules(void)
{
    static const char *const peers[] = {"8.8.4.4:5004", "172.16.0.1:40000", "127.0.7.1:5004",
                                        "9.9.9.9:5004", "[2a00::7]:5004"};
    struct target_rules rules = make_rules(false);

    for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++)
        rules.peer[rules.peer_count++] = sample_addr(peers[i]);
    return rules;
}

/* why: of RTP, and of RTP' and RTCP'. */
static const struct {
    int side;
    const char *addr, *rtp, *prime, *prime_rtcp;
} peer_rows[] = {
    {OUT, "8.8.4.4:5004", "a [peer]", NULL, "no [peer]"},
    {OUT, "8.8.4.4:5005", "a [peer]", "no [peer]", NULL},
    {OUT, "8.8.4.4:5006", NULL, "no [peer]", "no [peer]"},
    {OUT, "8.8.4.4:5003", NULL, "no [peer]", "no [peer]"},
    {OUT, "8.8.8.8:5004", NULL, "no [peer]", "no [peer]"},
    {OUT, "172.16.0.1:40000", "a [peer]", NULL, "no [peer]"},
    {OUT, "172.16.0.1:40001", "a [peer]", "no [peer]", NULL},
    {OUT, "172.16.0.1:40002", "neither a public", "no [peer]", "no [peer]"},
    {OUT, "127.0.7.1:5004", "loopback", NULL, "no [peer]"},
    {OUT, "127.0.0.1:5004", "loopback", "no [peer]", "no [peer]"},
    {OUT, "224.0.0.1:5004", "multicast", "no [peer]", "no [peer]"},
    {OUT, "9.9.9.9:5004", "own address", NULL, "no [peer]"},
    {OUT, "9.9.9.9:5005", "own address", "no [peer]", NULL},
    {OUT, "9.9.9.9:5006", "own address", "no [peer]", "no [peer]"},
    {OUT, "[2a00::7]:5004", "a [peer]", NULL, "no [peer]"},
    {OUT, "[::ffff:8.8.4.4]:5004", "a [peer]", NULL, "no [peer]"},
    {OUT, "[64:ff9b::8.8.4.4]:5004", NULL, "no [peer]", "no [peer]"},
    {OUT, "10.1.2.3:5004", "in [networks] internal", "no [peer]", "no [peer]"},
    /* Inside, RTP' may go where RTP may. */
    {IN, "10.1.2.3:5004", NULL, NULL, NULL},
    {IN, "8.8.4.4:5004", "not in [networks]", "not in [networks]", "not in [networks]"},
    {IN, "10.9.9.9:5004", "own address", "own address", "own address"},
    {IN, "127.0.8.1:5004", "loopback", "loopback", "loopback"},
};

static void check_why(const char *addr, const char *why, const char *wanted)
{
    if (wanted)
        ck_assert_msg(why && strstr(why, wanted), "%s: %s", addr, why ? why : "may");
    else
        ck_assert_msg(!why, "%s: %s", addr, why);
}

START_TEST(test_peers)
{
    struct target_rules rules = make_peer_rules();
    enum sa_side side = (enum sa_side)peer_rows[_i].side;
    const char *text = peer_rows[_i].addr;
    struct addr addr = sample_addr(text);

    check_why(text, target_refusal(&rules, side, &addr), peer_rows[_i].rtp);
    check_why(text, target_prime_refusal(&rules, side, &addr, false), peer_rows[_i].prime);
    check_why(text, target_prime_refusal(&rules, side, &addr, true), peer_rows[_i].prime_rtcp);
}
END_TEST

START_TEST(test_port_0)
{
    struct target_rules rules = make_rules(false);
    struct addr addr = sample_addr("8.8.8.8:1");

    ck_assert_ptr_null(target_refusal(&rules, SA_SIDE_EXTERNAL, &addr));
    addr.port = 0;
    ck_assert_ptr_nonnull(target_refusal(&rules, SA_SIDE_EXTERNAL, &addr));
}
END_TEST

START_TEST(test_no_address)
{
    struct target_rules rules = make_rules(true);
    struct addr addr = {.port = 5004};

    ck_assert_ptr_nonnull(target_refusal(&rules, SA_SIDE_EXTERNAL, &addr));
    ck_assert_ptr_nonnull(target_refusal(&rules, SA_SIDE_INTERNAL, &addr));
}
END_TEST

/* The test setting opens loopback as far as the networks list it, and nothing else. */
START_TEST(test_allow_loopback)
{
    struct target_rules rules = make_rules(true);
    struct addr outside = sample_addr("127.0.9.1:5004"), inside = sample_addr("127.0.8.1:5004");
    struct addr other = sample_addr("127.0.0.1:5004"), group = sample_addr("224.0.0.1:5004");

    ck_assert_ptr_null(target_refusal(&rules, SA_SIDE_EXTERNAL, &outside));
    ck_assert_ptr_null(target_refusal(&rules, SA_SIDE_INTERNAL, &inside));
    ck_assert_ptr_nonnull(target_refusal(&rules, SA_SIDE_INTERNAL, &outside));
    ck_assert_ptr_nonnull(target_refusal(&rules, SA_SIDE_EXTERNAL, &inside));
    ck_assert_ptr_nonnull(target_refusal(&rules, SA_SIDE_EXTERNAL, &other));
    ck_assert_ptr_nonnull(target_refusal(&rules, SA_SIDE_EXTERNAL, &group));
}
END_TEST

START_TEST(test_no_rules)
{
    struct target_rules rules = {0};
    struct addr public = sample_addr("8.8.8.8:5004"), private = sample_addr("10.0.0.1:5004");

    ck_assert_ptr_null(target_refusal(&rules, SA_SIDE_EXTERNAL, &public));
    ck_assert_ptr_nonnull(target_refusal(&rules, SA_SIDE_INTERNAL, &public));
    ck_assert_ptr_nonnull(target_refusal(&rules, SA_SIDE_EXTERNAL, &private));
    ck_assert_ptr_nonnull(target_refusal(&rules, SA_SIDE_INTERNAL, &private));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("target");
    TCase *tc = tcase_create("target");

    tcase_add_loop_test(tc, test_rules, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_loop_test(tc, test_peers, 0, sizeof(peer_rows) / sizeof(peer_rows[0]));
    tcase_add_test(tc, test_port_0);
    tcase_add_test(tc, test_no_address);
    tcase_add_test(tc, test_allow_loopback);
    tcase_add_test(tc, test_no_rules);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
