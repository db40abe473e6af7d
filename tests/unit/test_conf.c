#include "config.h"

#include "common/daemon/conf.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/daemon/confcheck.h"
#include "tests/unit/unit.h"

/* A schema with a key of every type. */
struct item {
    char name[NAME_SIZE];
    unsigned number;
    unsigned copy;
};

struct sample {
    bool flag;
    unsigned number;
    uint64_t time;
    char text[8];
    char path[32];
    struct addr ip;
    struct addr addr;
    struct conf_hostport hostport;
    struct conf_nets nets;
    struct conf_names names;
    unsigned dscp;
    int choice;
    char name[CONF_NAME_SIZE];
    int index;
    int wait;
    struct conf_sockets sockets;
};

struct whole {
    struct sample sample;
    size_t item_count;
    struct item items[2];
    size_t guest_count;
    struct item guests[2];
};

#define ROW(key, t, field, least, most, def, is_live)                                              \
    {                                                                                              \
        .section = "sample", .name = key, .type = t, .offset = offsetof(struct sample, field),     \
        .size = sizeof(((struct sample *)0)->field), .min = least, .max = most, .fallback = def,   \
        .live = is_live                                                                            \
    }

static const struct conf_section sections[] = {
    {.name = "sample", .offset = offsetof(struct whole, sample)},
    {.name = "item",
     .named = true,
     .offset = offsetof(struct whole, items),
     .element_size = sizeof(struct item),
     .count_offset = offsetof(struct whole, item_count),
     .min = 0,
     .max = 2},
    {.name = "guest",
     .named = true,
     .offset = offsetof(struct whole, guests),
     .element_size = sizeof(struct item),
     .count_offset = offsetof(struct whole, guest_count),
     .min = 0,
     .max = 2},
    {.name = NULL},
};

static const struct conf_key keys[] = {
    ROW("flag", CONF_BOOL, flag, 0, 0, "no", true),
    ROW("number", CONF_UINT, number, 5, 1000, "7", true),
    ROW("time", CONF_MSEC, time, 10, 86400000, "60ms", false),
    ROW("text", CONF_TEXT, text, 0, 7, "", false),
    ROW("path", CONF_PATH, path, 0, 31, "", false),
    ROW("ip", CONF_IP, ip, 0, 0, "192.0.2.1", false),
    ROW("addr", CONF_ADDR, addr, 0, 0, "192.0.2.1:1", false),
    ROW("hostport", CONF_HOSTPORT, hostport, 0, 0, "a.example:1", false),
    ROW("nets", CONF_NETS, nets, 0, 0, "", true),
    ROW("names", CONF_NAMES, names, 1, 0, "a.example", false),
    ROW("dscp", CONF_DSCP, dscp, 0, 63, "ef", false),
    {.section = "sample",
     .name = "choice",
     .type = CONF_CHOICE,
     .offset = offsetof(struct sample, choice),
     .fallback = "one",
     .choices = "one|two|three"},
    ROW("name", CONF_NAME, name, 0, 0, "a.example", false),
    ROW("index", CONF_INDEX, index, 0, 15, "any", false),
    ROW("wait", CONF_USEC, wait, 0, 1000, "auto", true),
    ROW("sockets", CONF_SOCKETS, sockets, 0, 0, "", false),
    {.section = "item",
     .name = "number",
     .type = CONF_UINT,
     .offset = offsetof(struct item, number),
     .min = 0,
     .max = 999999999},
    {.section = "item",
     .name = "copy",
     .type = CONF_UINT,
     .offset = offsetof(struct item, copy),
     .min = 0,
     .max = 999999999,
     .fallback = "@number"},
    {.section = "guest",
     .name = "number",
     .type = CONF_UINT,
     .offset = offsetof(struct item, number),
     .max = 9,
     .live = true},
    {.name = NULL},
};

static int check(const void *conf, struct conf_complaint *complaint)
{
    const struct whole *whole = conf;

    for (size_t i = 0; i < whole->item_count; i++) {
        if (whole->items[i].number != 13)
            continue;
        snprintf(complaint->section, sizeof(complaint->section), "item %s", whole->items[i].name);
        complaint->key = "copy";
        snprintf(complaint->text, sizeof(complaint->text), "unlucky; 12 would be right");
        return ERR_CONFIG;
    }
    return 0;
}

static const struct conf_schema schema = {
    .sections = sections, .keys = keys, .size = sizeof(struct whole), .check = check};

/* The value of a key as -T prints it; "" when it is empty. The section is the first with that key.
 */
static void printed(const void *conf, const char *key, char *out, size_t size)
{
    char *text = NULL, *line;
    size_t length = 0;
    FILE *file = open_memstream(&text, &length);

    conf_print(&schema, conf, file);
    fclose(file);
    snprintf(out, size, "not printed");
    for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        size_t n = strlen(key);

        if (strncmp(line, key, n) == 0 && strncmp(line + n, " =", 2) == 0) {
            snprintf(out, size, "%s", line[n + 2] ? line + n + 3 : "");
            break;
        }
    }
    free(text);
}

static const struct {
    const char *key, *value;
    const char *printed; /* NULL: as it was written */
} good[] = {
    {"flag", "yes", NULL},
    {"flag", "no", NULL},
    {"number", "5", NULL},
    {"number", "1000", NULL},
    {"number", "0010", "10"},
    {"time", "10ms", NULL},
    {"time", "1000ms", "1s"},
    {"time", "1500ms", NULL},
    {"time", "60s", "1min"},
    {"time", "90s", NULL},
    {"time", "24h", NULL},
    {"time", "1440min", "24h"},
    {"text", "", NULL},
    {"text", "1234567", NULL},
    {"text", "a;b c", NULL},
    {"path", "", NULL},
    {"path", "/a/b c", NULL},
    {"ip", "192.0.2.7", NULL},
    {"ip", "2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
    {"ip", "::ffff:192.0.2.7", "192.0.2.7"},
    {"addr", "192.0.2.7:65535", NULL},
    {"addr", "[2001:db8::1]:7000", NULL},
    {"hostport", "192.0.2.7:7000", NULL},
    {"hostport", "[2001:db8:0::1]:7000", "[2001:db8::1]:7000"},
    {"hostport", "Relay.Example.com:7000", "relay.example.com:7000"},
    {"hostport", "relay:1", NULL},
    {"nets", "", NULL},
    {"nets", "192.0.2.1", "192.0.2.1/32"},
    {"nets", "10.0.0.0/8,2001:db8::/32 , 192.0.2.0/24", "10.0.0.0/8, 2001:db8::/32, 192.0.2.0/24"},
    {"names", "A.example, b-2.example", "a.example, b-2.example"},
    {"dscp", "ef", NULL},
    {"dscp", "46", "ef"},
    {"dscp", "cs0", "be"},
    {"dscp", "0", "be"},
    {"dscp", "cs5", NULL},
    {"dscp", "40", "cs5"},
    {"dscp", "af11", NULL},
    {"dscp", "38", "af43"},
    {"dscp", "63", NULL},
    {"dscp", "44", NULL},
    {"choice", "one", NULL},
    {"choice", "three", NULL},
    {"name", "Dmz-1.example.com", "dmz-1.example.com"},
    {"index", "any", NULL},
    {"index", "0", NULL},
    {"index", "15", NULL},
    {"wait", "auto", NULL},
    {"wait", "0", "0us"},
    {"wait", "0us", NULL},
    {"wait", "1000us", NULL},
    {"sockets", "", NULL},
    {"sockets", "udp:[2001:DB8::1]:1,unix:/a b", "udp:[2001:db8::1]:1, unix:/a b"},
    {"sockets", "unix:/1, unix:/2, udp:192.0.2.1:3, udp:192.0.2.1:4", NULL},
};

static void no_change(void *ctx, const char *section, const struct conf_key *key)
{
    (void)ctx;
    ck_abort_msg("[%s] %s changed", section, key->name);
}

START_TEST(test_good)
{
    char text[300], value[300], error[512];
    void *conf, *again;
    int n = snprintf(text, sizeof(text), "[sample]\n%s = %s\n", good[_i].key, good[_i].value);

    ck_assert_msg(conf_parse(&schema, "f", text, (size_t)n, &conf, error, sizeof(error)) == 0, "%s",
                  error);
    printed(conf, good[_i].key, value, sizeof(value));
    ck_assert_str_eq(value, good[_i].printed ? good[_i].printed : good[_i].value);
    /* What was printed is read as the same. */
    n = snprintf(text, sizeof(text), "[sample]\n%s = %s\n", good[_i].key, value);
    ck_assert_int_eq(conf_parse(&schema, "f", text, (size_t)n, &again, error, sizeof(error)), 0);
    conf_compare(&schema, conf, again, no_change, NULL);
    free(conf);
    free(again);
}
END_TEST

#define LABEL63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NETWORKS                                                                                   \
    "networks such as 192.0.2.0/24 or 2001:db8::/32, with no bit set behind the prefix, "          \
    "separated "                                                                                   \
    "by commas, would be right"
#define NAMES                                                                                      \
    "DNS names such as relay.example.com, without wildcards, separated by commas, would be right"
#define HOSTPORT                                                                                   \
    "a name or an IP address with a port such as relay.example.com:7000, 192.0.2.1:7000 or "       \
    "[2001:db8::1]:7000 would be right"
#define NAME "a DNS name such as relay.example.com, without a wildcard, would be right"
#define SOCKETS                                                                                    \
    "at most 4 sockets such as udp:127.0.0.1:2223, udp:[::1]:2223 or "                             \
    "unix:/run/media-relay/ng.sock, separated by commas, would be right"
#define TIME "a time from 10ms to 24h, with its unit (ms, s, min or h), would be right"
#define DSCP "ef, be, cs0 to cs7, af11 to af43, or a number from 0 to 63 would be right"

static const struct {
    const char *key, *value, *error;
} bad[] = {
    {"flag", "", "\"\" is wrong; yes or no would be right"},
    {"flag", "Yes", "\"Yes\" is wrong; yes or no would be right"},
    {"flag", "1", "\"1\" is wrong; yes or no would be right"},
    {"number", "", "\"\" is wrong; a number from 5 to 1000 would be right"},
    {"number", "4", "\"4\" is out of range; a number from 5 to 1000 would be right"},
    {"number", "1001", "\"1001\" is out of range; a number from 5 to 1000 would be right"},
    {"number", "-6", "\"-6\" is wrong; a number from 5 to 1000 would be right"},
    {"number", "+6", "\"+6\" is wrong; a number from 5 to 1000 would be right"},
    {"number", "6x", "\"6x\" is wrong; a number from 5 to 1000 would be right"},
    {"number", "0x6", "\"0x6\" is wrong; a number from 5 to 1000 would be right"},
    {"number", "99999999999999999999",
     "\"99999999999999999999\" is out of range; a number from 5 to 1000 would be right"},
    {"time", "60", "\"60\" is wrong; " TIME},
    {"time", "ms", "\"ms\" is wrong; " TIME},
    {"time", "60 ms", "\"60 ms\" is wrong; " TIME},
    {"time", "1d", "\"1d\" is wrong; " TIME},
    {"time", "9ms", "\"9ms\" is out of range; " TIME},
    {"time", "25h", "\"25h\" is out of range; " TIME},
    {"time", "999999999h", "\"999999999h\" is out of range; " TIME},
    {"text", "12345678", "\"12345678\" is out of range; a text of 0 to 7 octets would be right"},
    {"path", "a/b",
     "\"a/b\" is wrong; an absolute path of at most 31 octets, or nothing, would be right"},
    {"path", "/23456789012345678901234567890123",
     "\"/23456789012345678901234567890123\" is out of range; an absolute path of at most 31 "
     "octets, "
     "or nothing, would be right"},
    {"ip", "192.0.2.256",
     "\"192.0.2.256\" is wrong; an IP address such as 192.0.2.1 or 2001:db8::1 would be right"},
    {"ip", "", "\"\" is wrong; an IP address such as 192.0.2.1 or 2001:db8::1 would be right"},
    {"ip", "192.0.2.1:5",
     "\"192.0.2.1:5\" is wrong; an IP address such as 192.0.2.1 or 2001:db8::1 would be right"},
    {"addr", "192.0.2.1",
     "\"192.0.2.1\" is wrong; an IP address with a port such as 192.0.2.1:7000 or "
     "[2001:db8::1]:7000 would be right"},
    {"addr", "192.0.2.1:0",
     "\"192.0.2.1:0\" is wrong; an IP address with a port such as 192.0.2.1:7000 or "
     "[2001:db8::1]:7000 would be right"},
    {"addr", "a.example:7000",
     "\"a.example:7000\" is wrong; an IP address with a port such as 192.0.2.1:7000 or "
     "[2001:db8::1]:7000 would be right"},
    {"hostport", "a.example", "\"a.example\" is wrong; " HOSTPORT},
    {"hostport", "a.example:", "\"a.example:\" is wrong; " HOSTPORT},
    {"hostport", "a.example:0", "\"a.example:0\" is wrong; " HOSTPORT},
    {"hostport", "a.example:65536", "\"a.example:65536\" is wrong; " HOSTPORT},
    {"hostport", ":7000", "\":7000\" is wrong; " HOSTPORT},
    {"hostport", "10.0.0.300:7000", "\"10.0.0.300:7000\" is wrong; " HOSTPORT},
    {"hostport", "2001:db8::1:7000", "\"2001:db8::1:7000\" is wrong; " HOSTPORT},
    {"sockets", "udp:a.example:1", "\"udp:a.example:1\" is wrong; " SOCKETS},
    {"sockets", "udp:192.0.2.1", "\"udp:192.0.2.1\" is wrong; " SOCKETS},
    {"sockets", "tcp:192.0.2.1:1", "\"tcp:192.0.2.1:1\" is wrong; " SOCKETS},
    {"sockets", "unix:/a,", "\"unix:/a,\" is wrong; " SOCKETS},
    {"sockets", "unix:/" LABEL63 LABEL63,
     "\"unix:/" LABEL63 LABEL63 "\" is out of range; " SOCKETS},
    {"sockets", "udp:[::ffff:192.0.2.1]:1, udp:192.0.2.1:1",
     "\"udp:[::ffff:192.0.2.1]:1, udp:192.0.2.1:1\" names one thing twice; " SOCKETS},
    {"nets", "10.0.0.1/8", "\"10.0.0.1/8\" is wrong; at most 32 " NETWORKS},
    {"nets", "10.0.0.0/33", "\"10.0.0.0/33\" is wrong; at most 32 " NETWORKS},
    {"nets", "10.0.0.0/8,", "\"10.0.0.0/8,\" is wrong; at most 32 " NETWORKS},
    {"nets", ",", "\",\" is wrong; at most 32 " NETWORKS},
    {"nets", "10.0.0.0/8, 10.0.0.0/8",
     "\"10.0.0.0/8, 10.0.0.0/8\" names one thing twice; at most 32 " NETWORKS},
    {"names", "", "\"\" is wrong; 1 to 64 " NAMES},
    {"names", "a.example,,b.example", "\"a.example,,b.example\" is wrong; 1 to 64 " NAMES},
    {"names", "*.example", "\"*.example\" is wrong; 1 to 64 " NAMES},
    {"names", "a.example A.Example", "\"a.example A.Example\" is wrong; 1 to 64 " NAMES},
    {"names", "a.example, A.Example",
     "\"a.example, A.Example\" names one thing twice; 1 to 64 " NAMES},
    {"dscp", "64", "\"64\" is out of range; " DSCP},
    {"dscp", "EF", "\"EF\" is wrong; " DSCP},
    {"dscp", "af10", "\"af10\" is wrong; " DSCP},
    {"dscp", "af51", "\"af51\" is wrong; " DSCP},
    {"dscp", "cs8", "\"cs8\" is wrong; " DSCP},
    {"choice", "four", "\"four\" is wrong; one of one, two, three would be right"},
    {"choice", "on", "\"on\" is wrong; one of one, two, three would be right"},
    {"choice", "one|two", "\"one|two\" is wrong; one of one, two, three would be right"},
    {"choice", "", "\"\" is wrong; one of one, two, three would be right"},
    {"name", "", "\"\" is wrong; " NAME},
    {"name", "-a.example", "\"-a.example\" is wrong; " NAME},
    {"name", "a-.example", "\"a-.example\" is wrong; " NAME},
    {"name", "a..example", "\"a..example\" is wrong; " NAME},
    {"name", "a.example.", "\"a.example.\" is wrong; " NAME},
    {"name", "192.0.2.1", "\"192.0.2.1\" is wrong; " NAME},
    {"name", "a_b.example", "\"a_b.example\" is wrong; " NAME},
    {"name", LABEL63 "a.example", "\"" LABEL63 "a.example\" is wrong; " NAME},
    {"index", "16", "\"16\" is out of range; \"any\" or a number from 0 to 15 would be right"},
    {"index", "-1", "\"-1\" is wrong; \"any\" or a number from 0 to 15 would be right"},
    {"index", "Any", "\"Any\" is wrong; \"any\" or a number from 0 to 15 would be right"},
    {"wait", "1001us",
     "\"1001us\" is out of range; \"auto\" or a time from 0us to 1000us would be right"},
    {"wait", "500", "\"500\" is wrong; \"auto\" or a time from 0us to 1000us would be right"},
    {"wait", "1ms", "\"1ms\" is wrong; \"auto\" or a time from 0us to 1000us would be right"},
    {"wait", "Auto", "\"Auto\" is wrong; \"auto\" or a time from 0us to 1000us would be right"},
};

START_TEST(test_bad)
{
    char text[300], wanted[600], error[600];
    void *conf = &conf;
    int n = snprintf(text, sizeof(text), "\n[sample]\n# x\n%s = %s\n", bad[_i].key, bad[_i].value);

    ck_assert_int_eq(conf_parse(&schema, "dir/f.ini", text, (size_t)n, &conf, error, sizeof(error)),
                     ERR_CONFIG);
    ck_assert_ptr_null(conf);
    snprintf(wanted, sizeof(wanted), "dir/f.ini:4: [sample] %s: %s", bad[_i].key, bad[_i].error);
    ck_assert_str_eq(error, wanted);
}
END_TEST

static const struct {
    const char *text, *error;
} files[] = {
    {"", NULL},
    {"[sample]\n", NULL},
    {"[item a]\nnumber = 1\n[item b]\nnumber = 2\n", NULL},
    {"[sample]\nnumbr = 1\n",
     "f:2: [sample] numbr: unknown key; the nearest known one is \"number\""},
    {"[sample]\nFlag = no\n", "f:2: [sample] Flag: unknown key; the nearest known one is \"flag\""},
    {"[sampel]\n", "f:1: [sampel]: unknown section; the nearest known one is [sample]"},
    {"[items a]\n", "f:1: [items a]: unknown section; the nearest known one is [item]"},
    {"[sample x]\n", "f:1: [sample x]: a section with a name; [sample] would be right"},
    {"[item]\n", "f:1: [item]: a section without a name; [item NAME] would be right"},
    {"\n[item a]\n\n",
     "f:2: [item a] number: it is missing; a number from 0 to 999999999 would be right"},
    {"[item a]\nnumber = 1\n[item b]\nnumber = 1\n[item c]\nnumber = 1\n",
     "f:5: [item c]: one section [item NAME] too many; at most 2 would be right"},
    {"[item a]\nnumber = 13\ncopy = 1\n", "f:3: [item a] copy: unlucky; 12 would be right"},
    {"[item a]\nnumber = 13\n", "f:1: [item a] copy: unlucky; 12 would be right"},
    {"[sample]\nflag = x\nnumber = x\n",
     "f:2: [sample] flag: \"x\" is wrong; yes or no would be right"},
    {"[sample]\nflag = no\nflag = yes\n",
     "f:3: the key \"flag\" stands twice; once would be right"},
    {"[sample]\nflag = no ; comment\n", NULL},
};

START_TEST(test_files)
{
    char error[512] = "none";
    void *conf;
    int code = conf_parse(&schema, "f", files[_i].text, strlen(files[_i].text), &conf, error,
                          sizeof(error));

    ck_assert_str_eq(error, files[_i].error ? files[_i].error : "");
    ck_assert_int_eq(code, files[_i].error ? ERR_CONFIG : 0);
    free(conf);
}
END_TEST

START_TEST(test_fallback_copies)
{
    static const char text[] = "[item b]\nnumber = 5\n[item a]\ncopy = 6\nnumber = 7\n";
    struct whole *whole;
    char error[512];
    void *conf;

    ck_assert_int_eq(conf_parse(&schema, "f", text, strlen(text), &conf, error, sizeof(error)), 0);
    whole = conf;
    ck_assert_uint_eq(whole->item_count, 2);
    ck_assert_str_eq(whole->items[0].name, "b");
    ck_assert_uint_eq(whole->items[0].copy, 5);
    ck_assert_str_eq(whole->items[1].name, "a");
    ck_assert_uint_eq(whole->items[1].copy, 6);
    ck_assert_uint_eq(whole->sample.time, 60000);
    ck_assert_int_eq(whole->sample.index, -1);
    ck_assert_int_eq(whole->sample.wait, -1);
    free(conf);
}
END_TEST

/* "::ffff:ffff" is printed as ::255.255.255.255: such a list fits a line only when it is read. */
START_TEST(test_printed_too_long)
{
    char text[300] = "[sample]\nnets = ", error[512];
    void *conf;

    for (int i = 0; i < 13; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s::ffff:%x", i > 0 ? "," : "",
                 0xfff0 + i);
    ck_assert_int_eq(conf_parse(&schema, "f", text, strlen(text), &conf, error, sizeof(error)),
                     ERR_CONFIG);
    ck_assert_str_eq(error, "f:2: [sample] nets: printed in full the line would be too long; at "
                            "most 198 octets would be right");
}
END_TEST

/* inih would cut this line at 199 octets and take the first part. */
START_TEST(test_long_line)
{
    char text[512], error[512];
    void *conf;
    int n = snprintf(text, sizeof(text), "[sample]\npath = /%0300d\n", 1);

    ck_assert_int_eq(conf_parse(&schema, "f", text, (size_t)n, &conf, error, sizeof(error)),
                     ERR_CONFIG);
    ck_assert_str_eq(error, "f:2: the line has 308 octets; at most 198 would be right");
}
END_TEST

struct seen {
    char text[512];
};

static void note(void *ctx, const char *section, const struct conf_key *key)
{
    struct seen *seen = ctx;
    size_t used = strlen(seen->text);

    snprintf(seen->text + used, sizeof(seen->text) - used, "[%s] %s, ", section, key->name);
}

static void *parsed(const char *text)
{
    char error[512];
    void *conf;

    ck_assert_msg(conf_parse(&schema, "f", text, strlen(text), &conf, error, sizeof(error)) == 0,
                  "%s", error);
    return conf;
}

static const struct {
    const char *before, *after, *changed;
    size_t not_live;
} changes[] = {
    {"", "", "", 0},
    {"[sample]\nnumber = 8\n", "[sample]\nnumber = 008\n", "", 0},
    {"[sample]\nnumber = 8\n", "", "[sample] number, ", 0},
    {"[sample]\ntime = 1s\nnets = 192.0.2.1\n", "[sample]\nflag = yes\ntime = 2s\n",
     "[sample] flag, [sample] time, [sample] nets, ", 1},
    {"[item a]\nnumber = 1\n", "[item a]\nnumber = 2\n", "[item a] number, [item a] copy, ", 2},
    {"[item a]\nnumber = 1\n[item b]\nnumber = 2\n", "[item b]\nnumber = 2\n[item a]\nnumber = 1\n",
     "", 0},
    {"[item a]\nnumber = 1\n", "[item b]\nnumber = 1\n",
     "[item b] number, [item b] copy, [item a] number, [item a] copy, ", 4},
};

START_TEST(test_compare)
{
    void *before = parsed(changes[_i].before), *after = parsed(changes[_i].after);
    struct seen seen = {""};

    ck_assert_uint_eq(conf_compare(&schema, before, after, note, &seen), changes[_i].not_live);
    ck_assert_str_eq(seen.text, changes[_i].changed);
    free(before);
    free(after);
}
END_TEST

/* Sections whose keys are live come and go and change their order; others stay. */
START_TEST(test_copy_live_sections)
{
    void *running = parsed("[guest a]\nnumber = 1\n[guest b]\nnumber = 2\n[item a]\nnumber = 1\n");
    void *fresh = parsed("[guest c]\nnumber = 3\n[item b]\nnumber = 1\n");
    struct seen seen = {""};
    struct whole *whole = running;

    ck_assert_uint_eq(conf_compare(&schema, running, fresh, note, &seen), 4);
    ck_assert_str_eq(seen.text, "[item b] number, [item b] copy, [guest c] number, "
                                "[item a] number, [item a] copy, [guest a] number, "
                                "[guest b] number, ");
    conf_copy_live(&schema, running, fresh);
    ck_assert_uint_eq(whole->guest_count, 1);
    ck_assert_str_eq(whole->guests[0].name, "c");
    ck_assert_uint_eq(whole->guests[0].number, 3);
    ck_assert_str_eq(whole->items[0].name, "a");
    free(running);
    free(fresh);
}
END_TEST

START_TEST(test_copy_live)
{
    void *running = parsed("[sample]\nnumber = 8\ntime = 1s\nnets = 192.0.2.1\n");
    void *fresh = parsed("[sample]\nflag = yes\ntime = 2s\nnets = 192.0.2.2\n");
    struct seen seen = {""};

    conf_copy_live(&schema, running, fresh);
    ck_assert_uint_eq(conf_compare(&schema, running, fresh, note, &seen), 1);
    ck_assert_str_eq(seen.text, "[sample] time, ");
    free(running);
    free(fresh);
}
END_TEST

/* ---------------------------------------------------------------- the file */

static char *scratch(char *path, size_t size)
{
    snprintf(path, size, "%s/test_conf.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(path));
    return path;
}

START_TEST(test_read_file)
{
    char directory[256], path[300], error[512], wanted[512];
    void *conf;
    FILE *file;

    snprintf(path, sizeof(path), "%s/f.ini", scratch(directory, sizeof(directory)));
    file = fopen(path, "w");
    fputs("[sample]\nnumber = 9\n", file);
    fclose(file);
    ck_assert_int_eq(conf_read(&schema, path, &conf, error, sizeof(error)), 0);
    ck_assert_uint_eq(((struct whole *)conf)->sample.number, 9);
    free(conf);
    ck_assert_uint_eq(conf_line(path, "sample", "number"), 2);
    ck_assert_uint_eq(conf_line(path, "sample", "text"), 0);
    file = fopen(path, "a");
    fputs("x\n", file);
    fclose(file);
    ck_assert_int_eq(conf_read(&schema, path, &conf, error, sizeof(error)), ERR_CONFIG);
    snprintf(wanted, sizeof(wanted),
             "%s:3: neither a comment nor a section; key = value would be right", path);
    ck_assert_str_eq(error, wanted);
    ck_assert_ptr_null(conf);
    ck_assert_uint_eq(conf_line(path, "sample", "number"), 0);
    unlink(path);
    ck_assert_uint_eq(conf_line(path, "sample", "number"), 0);
    rmdir(directory);
}
END_TEST

START_TEST(test_read_no_file)
{
    char directory[256], path[300], error[512];
    void *conf;

    snprintf(path, sizeof(path), "%s/f.ini", scratch(directory, sizeof(directory)));
    ck_assert_int_eq(conf_read(&schema, path, &conf, error, sizeof(error)), ERR_SYSTEM);
    ck_assert_ptr_nonnull(strstr(error, "f.ini: cannot be opened: No such file or directory"));
    /* Nobody writes to it: an open that waits would wait for ever. */
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(conf_read(&schema, path, &conf, error, sizeof(error)), ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(error, "f.ini: not a regular file; an ini file would be right"));
    ck_assert_int_eq(conf_read(&schema, directory, &conf, error, sizeof(error)), ERR_CONFIG);
    ck_assert_int_eq(conf_read(&schema, "/dev/null", &conf, error, sizeof(error)), ERR_CONFIG);
    unlink(path);
    rmdir(directory);
}
END_TEST

START_TEST(test_read_too_large)
{
    char directory[256], path[300], error[512];
    void *conf;
    int fd;

    snprintf(path, sizeof(path), "%s/f.ini", scratch(directory, sizeof(directory)));
    fd = open(path, O_CREAT | O_RDWR, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, 1024 * 1024 * 1024), 0);
    ck_assert_int_eq(conf_read(&schema, path, &conf, error, sizeof(error)), ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(error, "octets; at most 262144 would be right"));
    close(fd);
    unlink(path);
    rmdir(directory);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("conf");
    TCase *tc = tcase_create("conf");

    tcase_add_loop_test(tc, test_good, 0, sizeof(good) / sizeof(good[0]));
    tcase_add_loop_test(tc, test_bad, 0, sizeof(bad) / sizeof(bad[0]));
    tcase_add_loop_test(tc, test_files, 0, sizeof(files) / sizeof(files[0]));
    tcase_add_test(tc, test_fallback_copies);
    tcase_add_test(tc, test_printed_too_long);
    tcase_add_test(tc, test_long_line);
    tcase_add_loop_test(tc, test_compare, 0, sizeof(changes) / sizeof(changes[0]));
    tcase_add_test(tc, test_copy_live);
    tcase_add_test(tc, test_copy_live_sections);
    tcase_add_test(tc, test_read_file);
    tcase_add_test(tc, test_read_no_file);
    tcase_add_test(tc, test_read_too_large);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
