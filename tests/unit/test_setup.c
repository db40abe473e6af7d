#include "rtp-prime/setup.h"

#include <string.h>

#include "tests/unit/unit.h"

enum { WORDS_MAX = 32 };

#define LEAST "--listen 127.0.0.1:5004 --relay 10.9.1.1:41000 --from 10.9.1.20:6000"
#define SIX   "--listen [::1]:5004 --relay [2001:db8::1]:41000 --from [2001:db8::20]:6000"

static int read_line(struct setup *setup, const char *line, char *error, size_t size)
{
    char copy[512], *argv[WORDS_MAX] = {(char[]){"rtp-prime"}}, *save = NULL;
    int argc = 1;

    snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        ck_assert_int_lt(argc, WORDS_MAX - 1);
        argv[argc++] = word;
    }
    return setup_read(setup, argc, argv, error, size);
}

static void is_addr(const struct addr *addr, const char *text)
{
    char out[ADDR_TEXT_SIZE];

    ck_assert_str_eq(addr_format(addr, out, sizeof(out)), text);
}

START_TEST(test_least)
{
    struct setup setup;
    struct addr rtcp;
    char error[256] = "";

    ck_assert_msg(read_line(&setup, LEAST, error, sizeof(error)) == 0, "%s", error);
    ck_assert_int_eq(setup.action, SETUP_RUN);
    is_addr(&setup.listen, "127.0.0.1:5004");
    is_addr(&setup.relay, "10.9.1.1:41000");
    is_addr(&setup.from, "10.9.1.20:6000");
    ck_assert_uint_eq(setup.client.family, 0);
    ck_assert(!setup.mux && !setup.ssrc_given);
    ck_assert_uint_eq(setup.dscp, 46);
    ck_assert_uint_eq(setup.keepalive_s, 15);
    rtcp = setup_rtcp(&setup, &setup.relay);
    is_addr(&rtcp, "10.9.1.1:41001");
}
END_TEST

START_TEST(test_all)
{
    struct setup setup;
    struct addr rtcp;
    char error[256] = "";

    ck_assert_msg(
        read_line(&setup, "--client=[::1]:7000 --mux --ssrc 0xbfffffff --dscp 0 --keepalive 0 " SIX,
                  error, sizeof(error)) == 0,
        "%s", error);
    is_addr(&setup.client, "[::1]:7000");
    ck_assert(setup.mux && setup.ssrc_given);
    ck_assert_uint_eq(setup.ssrc, 0xbfffffff);
    ck_assert_uint_eq(setup.dscp, 0);
    ck_assert_uint_eq(setup.keepalive_s, 0);
    rtcp = setup_rtcp(&setup, &setup.relay);
    is_addr(&rtcp, "[2001:db8::1]:41000");
}
END_TEST

static const struct {
    const char *line;
    const char *says; /* NULL: it is right */
} rows[] = {
    {LEAST, NULL},
    {LEAST " --client 127.0.0.1", NULL},
    {LEAST " --ssrc 4294967295", NULL},
    {LEAST " --dscp 63", NULL},
    {LEAST " --mux --client 127.0.0.1:65535", NULL},
    {"--listen 0.0.0.0:5004 --relay 10.9.1.1:41000 --from 0.0.0.0:6000", NULL},
    {"--listen [::]:5004 --relay 10.9.1.1:41000 --from 10.9.1.20:5004", NULL},
    {"", "--listen is missing"},
    {"--listen 127.0.0.1:5004 --from 10.9.1.20:6000", "--relay is missing"},
    {"--listen 127.0.0.1:5004 --relay 10.9.1.1:41000", "--from is missing"},
    {LEAST " --colour", "--colour: no such option"},
    {LEAST " -x", "-x: no such option"},
    {LEAST " --ssrc", "--ssrc: its value is missing"},
    {LEAST " red", "\"red\" is no option"},
    {LEAST " --listen 127.0.0.1", "--listen: \"127.0.0.1\" is not an IP address with a port"},
    {LEAST " --listen localhost:5004", "--listen: \"localhost:5004\" is not an IP address"},
    {LEAST " --relay 10.9.1.1:0", "--relay: \"10.9.1.1:0\" is not"},
    {LEAST " --relay 10.9.1.1:65536", "--relay: \"10.9.1.1:65536\" is not"},
    {LEAST " --client phone", "--client: \"phone\" is not an IP address"},
    {LEAST " --ssrc -1", "--ssrc: \"-1\" is not a number from 0 to 4294967295"},
    {LEAST " --ssrc 4294967296", "--ssrc: \"4294967296\" is not a number"},
    {LEAST " --ssrc 99999999999999999999", "is not a number"},
    {LEAST " --ssrc 0x", "--ssrc: \"0x\" is not a number"},
    {LEAST " --ssrc 12ab", "--ssrc: \"12ab\" is not a number"},
    {LEAST " --dscp 64", "--dscp: \"64\" is not a number from 0 to 63"},
    {LEAST " --keepalive 3601", "--keepalive: \"3601\" is not a number from 0 to 3600"},
    {LEAST " --listen 127.0.0.1:65535", "--listen: port 65535 has no next port"},
    {LEAST " --relay 10.9.1.1:65535", "--relay: port 65535 has no next port"},
    {LEAST " --from 10.9.1.20:65535", "--from: port 65535 has no next port"},
    {LEAST " --client 127.0.0.1:65535", "--client: port 65535 has no next port"},
    {LEAST " --relay 0.0.0.0:41000", "--relay: nothing can be sent to"},
    {LEAST " --relay 224.0.0.1:41000", "--relay: nothing can be sent to"},
    {LEAST " --client 255.255.255.255:5000", "--client: nothing can be sent to"},
    {LEAST " --from [::1]:6000", "--from is IPv6 and --relay IPv4"},
    {LEAST " --client [::1]:6000", "--client is IPv6 and --listen IPv4"},
    {LEAST " --from 127.0.0.1:6000 --relay 127.0.0.1:5004",
     "--relay and --listen have a port in common"},
    {"--listen 127.0.0.1:5004 --relay 127.0.0.1:5005 --from 127.0.0.1:6000",
     "--relay and --listen have a port in common"},
    {"--listen 127.0.0.1:5004 --relay 127.0.0.1:5999 --from 127.0.0.1:6000",
     "--relay and --from have a port in common"},
    {"--listen 127.0.0.1:5004 --relay 127.0.0.1:7000 --from 127.0.0.1:5003",
     "--listen and --from have a port in common"},
    {LEAST " --client 127.0.0.1:5005", "--client and --listen have a port in common"},
};

START_TEST(test_rows)
{
    struct setup setup;
    char error[256] = "";
    int code = read_line(&setup, rows[_i].line, error, sizeof(error));

    if (!rows[_i].says) {
        ck_assert_msg(code == 0, "%s: %s", rows[_i].line, error);
        return;
    }
    ck_assert_msg(code < 0, "%s", rows[_i].line);
    ck_assert_msg(strstr(error, rows[_i].says) != NULL, "%s: %s", rows[_i].line, error);
}
END_TEST

START_TEST(test_actions)
{
    static const struct {
        const char *line;
        enum setup_action action;
    } lines[] = {{"--help", SETUP_HELP},
                 {"-h", SETUP_HELP},
                 {"--version", SETUP_VERSION},
                 {"-V", SETUP_VERSION}};
    struct setup setup;
    char error[256] = "";

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        ck_assert_int_eq(read_line(&setup, lines[i].line, error, sizeof(error)), 0);
        ck_assert_int_eq(setup.action, lines[i].action);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("setup");
    TCase *tc = tcase_create("setup");

    tcase_add_test(tc, test_least);
    tcase_add_test(tc, test_all);
    tcase_add_loop_test(tc, test_rows, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tc, test_actions);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
