/*
 * relay-tunnel(7) and the code agree: every frame type, tag, value, error code,
 * timer, limit and verdict, in both directions; the fields of each frame with
 * their critical bits, as the code writes them; and the examples of a media
 * frame and of RTP'. A list of the page has a heading of its own and an ".It NAME (VALUE)
 * MORE" for each; what protocol.h has is read from its text, so that a new
 * number cannot be forgotten here either.
 */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/tlv.h"
#include "common/base/verdict.h"
#include "common/rtp/classify.h"
#include "common/rtp/prime.h"
#include "common/rtp/rtcp.h"
#include "common/sa/reportwire.h"
#include "common/sa/wire.h"
#include "common/srtp/srtp.h"
#include "common/tunnel/arrivals.h"
#include "common/tunnel/frame.h"
#include "common/tunnel/hello.h"
#include "common/tunnel/meetwire.h"
#include "common/tunnel/passwire.h"
#include "common/tunnel/sitewire.h"
#include "common/tunnel/streamwire.h"
#include "common/tunnel/ways.h"
#include "tests/unit/unit.h"

enum { LINE_SIZE = 512, TEXT_SIZE = 2048, ITEMS_MAX = 64, NAME_MAX_OCTETS = 48 };

struct item {
    char name[NAME_MAX_OCTETS];
    char value[NAME_MAX_OCTETS]; /* what stands in brackets */
    char more[64];               /* the rest of the heading */
    char text[TEXT_SIZE];        /* the lines below it, a blank between them */
};

struct list {
    size_t count;
    struct item item[ITEMS_MAX];
};

static struct srtp_engine *engine;

static FILE *open_source(const char *name)
{
    const char *top = getenv("TEST_TOP_SRCDIR");
    char path[4096];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", top ? top : ".", name);
    file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s cannot be opened", path);
    return file;
}

static FILE *open_page(void)
{
    return open_source("man/relay-tunnel.7");
}

/* ------------------------------------------------------------ the page's lists */

static void append(char *text, const char *line)
{
    size_t used = strlen(text);

    ck_assert_int_lt(snprintf(text + used, TEXT_SIZE - used, "%s%s", used > 0 ? " " : "", line),
                     (int)(TEXT_SIZE - used));
}

/* ".It NAME (VALUE) MORE" */
static void read_head(const char *line, struct item *item)
{
    const char *at = line + strlen(".It ");
    size_t length = strcspn(at, " ");

    memset(item, 0, sizeof(*item));
    snprintf(item->name, sizeof(item->name), "%.*s", (int)length, at);
    at += length;
    if (at[0] == ' ' && at[1] == '(') {
        at += 2;
        length = strcspn(at, ")");
        snprintf(item->value, sizeof(item->value), "%.*s", (int)length, at);
        at += length + (at[length] == ')');
    }
    snprintf(item->more, sizeof(item->more), "%s", at + (at[0] == ' '));
}

/* The ".Bl -tag" list below the heading, as far as it goes. */
static struct list *read_list(const char *heading)
{
    struct list *list = calloc(1, sizeof(*list));
    FILE *page = open_page();
    char line[LINE_SIZE];
    bool below = false, inside = false;

    while (fgets(line, sizeof(line), page)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, ".Sh ", 4) == 0 || strncmp(line, ".Ss ", 4) == 0)
            below = strcmp(line + 4, heading) == 0;
        if (!below)
            continue;
        if (strncmp(line, ".Bl", 3) == 0 || strncmp(line, ".El", 3) == 0)
            inside = line[1] == 'B';
        else if (inside && strncmp(line, ".It ", 4) == 0 && list->count < ITEMS_MAX)
            read_head(line, &list->item[list->count++]);
        else if (inside && list->count > 0)
            append(list->item[list->count - 1].text, line);
    }
    fclose(page);
    ck_assert_msg(list->count > 0, "the page has no list below \"%s\"", heading);
    return list;
}

static const struct item *find_item(const struct list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->item[i].name, name) == 0)
            return &list->item[i];
    }
    return NULL;
}

/* ------------------------------------------------------------ enums of protocol.h, as text */

struct member {
    char name[NAME_MAX_OCTETS]; /* without the prefix, '-' for '_' */
    unsigned long value;
    char type[16]; /* the first word of its comment, or "" */
};

/* "    PREFIX_NAME = VALUE, / * TYPE, ..." */
static bool read_member(const char *line, const char *prefix, struct member *member)
{
    const char *at = line + strspn(line, " "), *comment = strstr(line, "/* ");
    size_t length, prefix_length = strlen(prefix);

    if (strncmp(at, prefix, prefix_length) != 0 || !strchr(at, '='))
        return false;
    at += prefix_length;
    length = strcspn(at, " ");
    snprintf(member->name, sizeof(member->name), "%.*s", (int)length, at);
    for (char *p = member->name; *p; p++)
        *p = *p == '_' ? '-' : *p;
    member->value = strtoul(strchr(at, '=') + 1, NULL, 0);
    member->type[0] = '\0';
    if (comment)
        snprintf(member->type, sizeof(member->type), "%.*s", (int)strcspn(comment + 3, " ,:"),
                 comment + 3);
    return true;
}

static size_t read_enum(const char *start, const char *prefix, struct member *members)
{
    FILE *header = open_source("common/base/protocol.h");
    char line[LINE_SIZE];
    size_t count = 0;
    bool inside = false;

    while (fgets(line, sizeof(line), header)) {
        if (strncmp(line, start, strlen(start)) == 0)
            inside = true;
        else if (line[0] == '}')
            inside = false;
        else if (inside && count < ITEMS_MAX && read_member(line, prefix, &members[count]))
            count++;
    }
    fclose(header);
    ck_assert_msg(count > 0, "protocol.h has no \"%s\"", start);
    return count;
}

static const struct {
    const char *start;  /* line of protocol.h */
    const char *prefix; /* of its members */
    const char *heading;
    bool typed; /* the heading of an item goes on with the field's type */
} enums[] = {
    {"enum frame_type {", "FRAME_", "Frame types", false},
    {"enum hello_tag {", "TAG_", "Fields of HELLO, PING, BYE and SYNC", true},
    {"enum listener_tag {", "LISTENER_TAG_", "Fields of LISTENER", true},
    {"enum sa_tag {", "SA_TAG_", "Fields of SA-PUT, SA-DELETE and SA-NAK", true},
    {"enum ssrc_tag {", "SSRC_TAG_", "Fields of SSRC", true},
    {"enum report_tag {", "REPORT_TAG_", "Fields of SA-REPORT", true},
    {"enum heard_tag {", "HEARD_TAG_", "Fields of SSRC in SA-REPORT", true},
    {"enum count_tag {", "COUNT_TAG_", "Fields of COUNT", true},
    {"enum stray_tag {", "STRAY_TAG_", "Fields of STRAY", true},
    {"enum stats_tag {", "STATS_TAG_", "Fields of STATS", true},
    {"enum stream_tag {", "STREAM_TAG_", "Fields of STREAM", true},
    {"enum arrival_tag {", "ARRIVAL_TAG_", "Fields of LISTENER in STATS", true},
    {"enum site_tag {", "SITE_TAG_", "Fields of SITE and SITE-STATE", true},
    {"enum meet_tag {", "MEET_TAG_", "Fields of MEET, MEET-END and PUNCH", true},
    {"enum pass_tag {", "PASS_TAG_", "Fields of PASS and PASS-STATE", true},
    {"enum message_type {", "MESSAGE_", "Message types", false},
    {"enum message_tag {", "MESSAGE_TAG_", "Fields of messages", true},
    {"enum probe_tag {", "PROBE_TAG_", "Fields of PROBE and PROBE-REPORT", true},
};

START_TEST(test_enum)
{
    struct list *list = read_list(enums[_i].heading);
    struct member members[ITEMS_MAX];
    size_t count = read_enum(enums[_i].start, enums[_i].prefix, members);

    ck_assert_msg(list->count == count, "%s: %zu in the page, %zu in protocol.h", enums[_i].heading,
                  list->count, count);
    for (size_t i = 0; i < count; i++) {
        const struct item *item = find_item(list, members[i].name);

        ck_assert_msg(item != NULL, "%s: %s is missing", enums[_i].heading, members[i].name);
        ck_assert_msg(strtoul(item->value, NULL, 10) == members[i].value,
                      "%s: %s is %lu, the page says %s", enums[_i].heading, item->name,
                      members[i].value, item->value);
        ck_assert_msg(item->text[0] != '\0', "%s: nothing is said of %s", enums[_i].heading,
                      item->name);
        if (enums[_i].typed && members[i].type[0])
            ck_assert_msg(strcmp(item->more, members[i].type) == 0,
                          "%s: %s is of type %s, the page says \"%s\"", enums[_i].heading,
                          item->name, members[i].type, item->more);
    }
    free(list);
}
END_TEST

/* ------------------------------------------------------------ numbers that a table here names */

struct number {
    const char *name; /* in the page */
    unsigned long value;
    const char *unit;     /* " ms", " octets" or "" */
    const char *constant; /* in protocol.h; NULL: in another header; of an error code: its text */
};

#define TIMER(name, constant)                                                                      \
    {                                                                                              \
        name, (constant) / 1000, " ms", #constant                                                  \
    }
#define OCTETS(name, constant)                                                                     \
    {                                                                                              \
        name, (constant), " octets", #constant                                                     \
    }
#define TEXT(name, constant)                                                                       \
    {                                                                                              \
        name, (constant)-1, " octets", #constant                                                   \
    }

static const struct number limits[] = {
    TIMER("PING-INTERVAL", PING_INTERVAL_US),
    TIMER("DEAD-PEER", DEAD_PEER_US),
    TIMER("HANDSHAKE-TIMEOUT", HANDSHAKE_TIMEOUT_US),
    TIMER("CONNECT-TIMEOUT", CONNECT_TIMEOUT_US),
    TIMER("PROXY-TIMEOUT", PROXY_TIMEOUT_US),
    TIMER("TUNNEL-STEADY", TUNNEL_STEADY_US),
    TIMER("BACKOFF-MIN", BACKOFF_MIN_US),
    TIMER("BACKOFF-NETWORK-MAX", BACKOFF_NETWORK_MAX_US),
    TIMER("BACKOFF-MAX", BACKOFF_MAX_US),
    TIMER("LABEL-REST", LABEL_REST_US),
    TIMER("SITE-HANDSHAKE", SITE_HANDSHAKE_US),
    TIMER("SITE-IDLE", SITE_IDLE_US),
    TIMER("DIRECT-PING", DIRECT_PING_US),
    TIMER("DIRECT-PROOF", DIRECT_PROOF_US),
    TIMER("OLD-KEY", OLD_KEY_US),
    OCTETS("FRAME-HEAD", FRAME_HEAD_OCTETS),
    OCTETS("FRAME-LABEL", FRAME_LABEL_OCTETS),
    OCTETS("FRAME-MAX", FRAME_MAX_OCTETS),
    OCTETS("PACKET-MAX", PACKET_MAX_OCTETS),
    OCTETS("RECORD-MAX", RECORD_MAX_OCTETS),
    OCTETS("URGENT-QUEUE", URGENT_QUEUE_OCTETS),
    OCTETS("STREAM-WINDOW", STREAM_WINDOW_OCTETS),
    OCTETS("STREAM-DATA", STREAM_DATA_OCTETS),
    TEXT("STREAM-REASON", STREAM_REASON_SIZE),
    OCTETS("SITE-WINDOW", SITE_WINDOW_OCTETS),
    OCTETS("SITE-DATA", SITE_DATA_OCTETS),
    OCTETS("SITE-COST", SITE_COST_OCTETS),
    OCTETS("MESSAGE-MAX", MESSAGE_MAX_OCTETS),
    OCTETS("MESSAGE-SDP", MESSAGE_SDP_OCTETS),
    OCTETS("MESSAGE-MEDIA", MESSAGE_MEDIA_OCTETS),
    TEXT("MESSAGE-REASON", MESSAGE_REASON_SIZE),
    TEXT("NAME", NAME_SIZE),
    TEXT("SITE", SITE_SIZE),
    TEXT("CALL-ID", CALL_ID_SIZE),
    TEXT("REASON", BYE_REASON_SIZE),
    TEXT("REFUSED", SA_REFUSED_SIZE),
    {"SSRCS", SA_SSRC_MAX, "", "SA_SSRC_MAX"},
    {"LISTENERS", HELLO_LISTENERS_MAX, "", NULL},
    {"WORKERS", WORKERS_MAX, "", "WORKERS_MAX"},
    {"MEDIA", MEDIA_MAX, "", "MEDIA_MAX"},
    {"PASS-NUMBERS", PASS_NUMBERS, "", "PASS_NUMBERS"},
    {NULL, 0, NULL, NULL},
};

static const struct number values[] = {
    {"PROTOCOL-VERSION-MIN", PROTOCOL_VERSION_MIN, "", "PROTOCOL_VERSION_MIN"},
    {"PROTOCOL-VERSION-MAX", PROTOCOL_VERSION_MAX, "", "PROTOCOL_VERSION_MAX"},
    {"FEATURE-DELTA", FEATURE_DELTA, "", "FEATURE_DELTA"},
    {"FEATURE-VERIFY-ONLY", FEATURE_VERIFY_ONLY, "", "FEATURE_VERIFY_ONLY"},
    {"FEATURE-KEYLESS", FEATURE_KEYLESS, "", "FEATURE_KEYLESS"},
    {"FEATURE-REKEY", FEATURE_REKEY, "", "FEATURE_REKEY"},
    {"FEATURE-REPORT", FEATURE_REPORT, "", "FEATURE_REPORT"},
    {"FEATURE-HAIRPIN", FEATURE_HAIRPIN, "", "FEATURE_HAIRPIN"},
    {"FEATURE-STREAMS", FEATURE_STREAMS, "", "FEATURE_STREAMS"},
    {"FEATURE-WORKERS", FEATURE_WORKERS, "", "FEATURE_WORKERS"},
    {"FEATURE-SEALED", FEATURE_SEALED, "", "FEATURE_SEALED"},
    {"FEATURE-RAW", FEATURE_RAW, "", "FEATURE_RAW"},
    {"FEATURE-SITES", FEATURE_SITES, "", "FEATURE_SITES"},
    {"FEATURE-MEET", FEATURE_MEET, "", "FEATURE_MEET"},
    {"FEATURE-PUNCH", FEATURE_PUNCH, "", "FEATURE_PUNCH"},
    {"FEATURE-PASSES", FEATURE_PASSES, "", "FEATURE_PASSES"},
    {"PASS-OPEN", PASS_STATE_OPEN, "", "PASS_STATE_OPEN"},
    {"PASS-WAITING", PASS_STATE_WAITING, "", "PASS_STATE_WAITING"},
    {"PASS-REFUSED", PASS_STATE_REFUSED, "", "PASS_STATE_REFUSED"},
    {"PASS-UNKNOWN", PASS_STATE_UNKNOWN, "", "PASS_STATE_UNKNOWN"},
    {"FEATURE-PROBE", FEATURE_PROBE, "", "FEATURE_PROBE"},
    {"FEATURE-EARLY", FEATURE_EARLY, "", "FEATURE_EARLY"},
    {"FEATURE-PAIRS", FEATURE_PAIRS, "", "FEATURE_PAIRS"},
    {"FEATURE-AGAIN", FEATURE_AGAIN, "", "FEATURE_AGAIN"},
    {"KIND-OPEN", SITE_KIND_OPEN, "", "SITE_KIND_OPEN"},
    {"KIND-FORTH", SITE_KIND_FORTH, "", "SITE_KIND_FORTH"},
    {"KIND-BACK", SITE_KIND_BACK, "", "SITE_KIND_BACK"},
    {"STATE-TAKEN", SITE_STATE_TAKEN, "", "SITE_STATE_TAKEN"},
    {"STATE-REFUSED", SITE_STATE_REFUSED, "", "SITE_STATE_REFUSED"},
    {"STATE-UNKNOWN", SITE_STATE_UNKNOWN, "", "SITE_STATE_UNKNOWN"},
    {"STATE-OFFLINE", SITE_STATE_OFFLINE, "", "SITE_STATE_OFFLINE"},
    {"STATE-CLOSED", SITE_STATE_CLOSED, "", "SITE_STATE_CLOSED"},
    {"SYNC-DELTA", SYNC_DELTA, "", "SYNC_DELTA"},
    {"SYNC-SNAPSHOT", SYNC_SNAPSHOT, "", "SYNC_SNAPSHOT"},
    {"SIDE-EXTERNAL", SA_SIDE_EXTERNAL, "", NULL},
    {"SIDE-INTERNAL", SA_SIDE_INTERNAL, "", NULL},
    {"ENCAP-RTP", SA_ENCAP_RTP, "", NULL},
    {"ENCAP-RTP-PRIME", SA_ENCAP_RTP_PRIME, "", NULL},
    {"SOURCE-STRICT", SOURCE_STRICT, "", NULL},
    {"SOURCE-HINTED", SOURCE_HINTED, "", NULL},
    {"SOURCE-OPEN", SOURCE_OPEN, "", NULL},
    {"ORIGIN-SIGNALLED", SSRC_ORIGIN_SIGNALLED, "", NULL},
    {"ORIGIN-ASSIGNED", SSRC_ORIGIN_ASSIGNED, "", NULL},
    {"ORIGIN-LEARNED", SSRC_ORIGIN_LEARNED, "", NULL},
    {NULL, 0, NULL, NULL},
};

/* Memory, not protocol. */
static const char *const not_in_the_page[] = {"PACKET_ROOM_OCTETS", "OLD_KEYS_PIECE", NULL};

#define X(name, number, text) {#name, number, "", text},
static const struct number errors[] = {ERR_LIST(X){NULL, 0, NULL, NULL}};
#undef X

static void dashes(const char *name, char *out, size_t size)
{
    snprintf(out, size, "%s", name);
    for (; *out; out++)
        *out = *out == '_' ? '-' : *out;
}

static void check_numbers(const char *heading, const struct number *numbers)
{
    struct list *list = read_list(heading);
    char name[NAME_MAX_OCTETS], value[NAME_MAX_OCTETS];
    size_t count = 0;

    for (; numbers[count].name; count++) {
        const struct item *item;

        dashes(numbers[count].name, name, sizeof(name));
        item = find_item(list, name);
        snprintf(value, sizeof(value), "%lu%s", numbers[count].value, numbers[count].unit);
        ck_assert_msg(item != NULL, "%s: %s is missing", heading, name);
        ck_assert_msg(strcmp(item->value, value) == 0, "%s: %s is %s, the page says %s", heading,
                      name, value, item->value);
        ck_assert_msg(item->text[0] != '\0', "%s: nothing is said of %s", heading, name);
    }
    ck_assert_msg(list->count == count, "%s: %zu in the page, %zu in the code", heading,
                  list->count, count);
    free(list);
}

START_TEST(test_limits)
{
    check_numbers("TIMERS AND LIMITS", limits);
}
END_TEST

START_TEST(test_values)
{
    check_numbers("Values", values);
}
END_TEST

START_TEST(test_error_codes)
{
    struct list *list = read_list("Error codes");

    check_numbers("Error codes", errors);
    for (size_t i = 0; i < list->count; i++)
        ck_assert_str_eq(list->item[i].text, errors[i].constant);
    free(list);
}
END_TEST

static bool is_named(const char *constant, const struct number *numbers)
{
    for (; numbers->name; numbers++) {
        if (numbers->constant && strcmp(numbers->constant, constant) == 0)
            return true;
    }
    return false;
}

static bool is_left_out(const char *constant)
{
    size_t i = 0;

    while (not_in_the_page[i] && strcmp(not_in_the_page[i], constant) != 0)
        i++;
    return not_in_the_page[i] != NULL;
}

static bool is_tag_or_type(const char *constant)
{
    for (size_t i = 0; i < sizeof(enums) / sizeof(enums[0]); i++) {
        if (strncmp(constant, enums[i].prefix, strlen(enums[i].prefix)) == 0 &&
            !is_named(constant, limits))
            return true;
    }
    return false;
}

/* Every constant of protocol.h is in one of the tables above, or in one of the enums. */
START_TEST(test_no_constant_is_forgotten)
{
    FILE *header = open_source("common/base/protocol.h");
    char line[LINE_SIZE], constant[NAME_MAX_OCTETS];
    size_t seen = 0;

    while (fgets(line, sizeof(line), header)) {
        const char *at = line;

        while ((at = strstr(at, " = ")) != NULL) {
            const char *end = at, *begin = at;

            while (begin > line && (isupper((unsigned char)begin[-1]) ||
                                    isdigit((unsigned char)begin[-1]) || begin[-1] == '_'))
                begin--;
            at += 3;
            if (begin == end || !isupper((unsigned char)begin[0]))
                continue; /* "0 = never" */
            snprintf(constant, sizeof(constant), "%.*s", (int)(end - begin), begin);
            seen++;
            ck_assert_msg(is_named(constant, limits) || is_named(constant, values) ||
                              is_left_out(constant) || is_tag_or_type(constant),
                          "%s of protocol.h is not compared with the page", constant);
        }
    }
    fclose(header);
    ck_assert_uint_gt(seen, 70);
}
END_TEST

/* ------------------------------------------------------------ verdicts */

START_TEST(test_verdicts)
{
    struct list *list = read_list("VERDICTS");

    ck_assert_uint_eq(list->count, VERDICT_COUNT);
    for (unsigned i = 0; i < VERDICT_COUNT; i++) {
        ck_assert_str_eq(list->item[i].name, verdict_name((enum verdict)i));
        ck_assert_str_eq(list->item[i].text, verdict_text((enum verdict)i));
    }
    free(list);
}
END_TEST

/* ------------------------------------------------------------ what the code writes */

static void fill_hello(struct hello *hello)
{
    uint8_t ip[4] = {192, 0, 2, 10};

    *hello = (struct hello){.version_min = 1, .version_max = 1, .version = 1};
    hello->listener_count = 1;
    snprintf(hello->listener[0].name, sizeof(hello->listener[0].name), "main");
    hello->listener[0].advertise = addr_from_ip4(ip, 5004);
}

static void put_hello(struct writer *w, bool full)
{
    struct hello hello;

    fill_hello(&hello);
    hello.worker = full;
    hello.meet = full;
    hello_put(w, &hello);
}

static void put_hello_ack(struct writer *w, bool full)
{
    struct hello hello;

    fill_hello(&hello);
    hello.workers = full;
    hello_ack_put(w, &hello);
}

static void put_ping(struct writer *w, bool full)
{
    struct ping ping = {0};

    (void)full;
    ping_put(w, &ping);
}

static void put_bye(struct writer *w, bool full)
{
    bye_put(w, full ? "reason" : "");
}

static void put_sync(struct writer *w, bool full)
{
    struct wire_sync sync = {.kind = SYNC_DELTA};

    (void)full;
    wire_put_sync(w, &sync);
}

static void put_delete(struct writer *w, bool full)
{
    struct wire_delete deletion = {0};

    (void)full;
    wire_put_delete(w, &deletion);
}

static void put_nak(struct writer *w, bool full)
{
    struct wire_nak nak = {.error = ERR_FULL};

    (void)full;
    wire_put_nak(w, &nak);
}

static void give_key(struct sa *sa, bool full)
{
    static const uint8_t material[SUITE_KEY_MAX_OCTETS] = {1};
    struct srtp_key key;

    srtp_key_master(&key, material, suite_material_octets(sa->suite));
    if (full) {
        key.mki_length = 4;
        key.lifetime = 1000;
    }
    ck_assert_int_eq(sa_open(sa, engine, &key), 0);
}

/* With everything that an SA can have, also what the other side's view must not show. */
static void put_any(struct writer *w, struct sa *sa, enum wire_view view, bool full)
{
    uint8_t ip[4] = {192, 0, 2, 10};

    sa->suite = suite_get(SUITE_AES_CM_128_HMAC_SHA1_80);
    ck_assert_int_eq(sa_stream_add(sa, 7, SSRC_ORIGIN_SIGNALLED), 0);
    if (full) {
        sa->source.rtp = sa->hint = addr_from_ip4(ip, 5004);
        sa->source_policy = SOURCE_HINTED;
        sa->bound[0] = sa->bound[1] = true;
        sa->destination.rtp = sa->destination.rtcp = sa->source.rtcp = sa->source.rtp;
        ck_assert_int_eq(sa_set_text(sa, SA_CALL_ID, "call"), 0);
        ck_assert_int_eq(sa_set_text(sa, SA_LISTENER_IN, "in"), 0);
        ck_assert_int_eq(sa_set_text(sa, SA_LISTENER_OUT, "out"), 0);
        sa->media_timeout_s = 60;
    }
    give_key(sa, full);
    wire_put_sa(w, sa, view);
    sa_free(sa);
}

static void put_sa(struct writer *w, enum sa_side side, enum wire_view view, bool full)
{
    struct sa *sa = sa_new();

    sa->side = side;
    put_any(w, sa, view, full);
}

static void put_full(struct writer *w, bool full)
{
    put_sa(w, SA_SIDE_EXTERNAL, WIRE_REPLICA_FULL, full);
}

static void put_verify_only(struct writer *w, bool full)
{
    put_sa(w, SA_SIDE_EXTERNAL, WIRE_REPLICA_VERIFY_ONLY, full);
}

static void put_keyless(struct writer *w, bool full)
{
    put_sa(w, SA_SIDE_EXTERNAL, WIRE_REPLICA_KEYLESS, full);
}

static void put_hairpin(struct writer *w, bool full)
{
    struct sa *sa = sa_new();

    sa->hairpin = true;
    put_any(w, sa, WIRE_REPLICA_FULL, full);
}

static void put_internal(struct writer *w, bool full)
{
    put_sa(w, SA_SIDE_INTERNAL, WIRE_REPLICA_FULL, full);
}

static void put_report(struct writer *w, bool full)
{
    struct sa_report report = {.age_us = REPORT_NEVER, .stray_age_us = REPORT_NEVER};
    uint8_t ip[4] = {192, 0, 2, 10};

    report.heard_count = 1;
    report.verdicts[VERDICT_REPLAY] = 1;
    if (full) {
        report.bound[0] = report.bound[1] = addr_from_ip4(ip, 5004);
        report.age_us = report.stray_age_us = 0;
    }
    reportwire_put(w, &report);
}

static void put_stats(struct writer *w, bool full)
{
    struct arrivals arrivals = {.count = 1, .port = {{.name = "main"}}};

    (void)full;
    arrivals_put(w, &arrivals);
}

static void put_stream(struct writer *w, uint8_t type, bool full)
{
    static const uint8_t data[] = {1};
    struct stream_frame frame = {.forward = "sip", .data = data, .length = 1, .credit = 1};
    uint8_t ip[4] = {192, 0, 2, 10};

    if (full) {
        frame.client = frame.server = addr_from_ip4(ip, 5061);
        snprintf(frame.reason, sizeof(frame.reason), "reason");
    }
    streamwire_put(w, type, &frame);
}

static void put_stream_open(struct writer *w, bool full)
{
    put_stream(w, FRAME_STREAM_OPEN, full);
}

static void put_stream_data(struct writer *w, bool full)
{
    put_stream(w, FRAME_STREAM_DATA, full);
}

static void put_stream_credit(struct writer *w, bool full)
{
    put_stream(w, FRAME_STREAM_CREDIT, full);
}

static void put_stream_end(struct writer *w, bool full)
{
    put_stream(w, FRAME_STREAM_END, full);
}

static void put_stream_reset(struct writer *w, bool full)
{
    put_stream(w, FRAME_STREAM_RESET, full);
}

static void put_site(struct writer *w, bool full)
{
    static const uint8_t data[] = {1};
    struct site_frame frame = {
        .site = "hq.example.com", .kind = SITE_KIND_OPEN, .data = data, .length = 1};

    (void)full;
    sitewire_put(w, FRAME_SITE, &frame);
}

static void put_site_credit(struct writer *w, bool full)
{
    struct site_frame frame = {.site = "hq.example.com", .state = SITE_STATE_TAKEN, .credit = 1};

    (void)full;
    sitewire_put(w, FRAME_SITE_STATE, &frame);
}

static void put_site_state(struct writer *w, bool full)
{
    struct site_frame frame = {
        .site = "hq.example.com", .kind = full ? SITE_KIND_OPEN : 0, .state = SITE_STATE_OFFLINE};

    sitewire_put(w, FRAME_SITE_STATE, &frame);
}

static void put_meet(struct writer *w, bool full)
{
    struct meet_frame frame = {.number = 1, .site = "hq.example.com", .handed_over = full};

    ck_assert_int_eq(addr_parse("192.0.2.1:7000", &frame.own), 0);
    frame.mapped = frame.own;
    frame.start.timestamps = true;
    meetwire_put(w, FRAME_MEET, &frame);
}

static void put_meet_end(struct writer *w, bool full)
{
    struct meet_frame frame = {.number = 1, .reason = "no"};

    frame.reason[0] = full ? 'n' : '\0';
    meetwire_put(w, FRAME_MEET_END, &frame);
}

/* Of who asks, and of who is told. */
static void put_punch_ask(struct writer *w, bool full)
{
    struct meet_frame frame = {.number = 1, .site = "hq.example.com"};

    (void)full;
    meetwire_put(w, FRAME_PUNCH, &frame);
}

static void put_punch(struct writer *w, bool full)
{
    struct meet_frame frame = {.number = 1, .site = "hq.example.com"};

    (void)full;
    ck_assert_int_eq(addr_parse("192.0.2.1:7000", &frame.own), 0);
    frame.mapped = frame.own;
    meetwire_put(w, FRAME_PUNCH, &frame);
}

static void put_punch_no(struct writer *w, bool full)
{
    struct meet_frame frame = {.number = 1, .site = "hq.example.com", .reason = "no"};

    (void)full;
    meetwire_put(w, FRAME_PUNCH, &frame);
}

static void put_pass(struct writer *w, bool full)
{
    struct pass_frame frame = {.site = "hq.example.com", .want = true};

    (void)full;
    passwire_put(w, FRAME_PASS, &frame);
}

static void put_pass_open(struct writer *w, bool full)
{
    struct pass_frame frame = {.site = "hq.example.com", .state = PASS_STATE_OPEN, .number = 1};

    (void)full;
    passwire_put(w, FRAME_PASS_STATE, &frame);
}

static void put_pass_state(struct writer *w, bool full)
{
    struct pass_frame frame = {.site = "hq.example.com", .state = PASS_STATE_WAITING};

    (void)full;
    passwire_put(w, FRAME_PASS_STATE, &frame);
}

static void put_probe(struct writer *w, bool full)
{
    (void)full;
    probe_put(w, 1);
}

static void put_probe_report(struct writer *w, bool full)
{
    struct choice_report report = {.number = 1, .early = full, .overtook = 2};

    probe_report_put(w, &report);
}

static const struct {
    const char *frame;
    const char *label; /* in front of the fields */
    unsigned tags;     /* of which of the enums */
    void (*put)(struct writer *w, bool full);
} frames[] = {
    {"HELLO", "Fields: ", 1, put_hello},
    {"HELLO-ACK", "Fields: ", 1, put_hello_ack},
    {"PING", "Fields: ", 1, put_ping},
    {"PONG", "Fields: ", 1, put_ping},
    {"BYE", "Fields: ", 1, put_bye},
    {"SYNC-BEGIN", "Fields: ", 1, put_sync},
    {"SYNC-END", "Fields: ", 1, put_sync},
    {"SA-PUT", "Fields, external sender, master key: ", 3, put_full},
    {"SA-PUT", "Fields, external sender, authentication keys: ", 3, put_verify_only},
    {"SA-PUT", "Fields, external sender, no key: ", 3, put_keyless},
    {"SA-PUT", "Fields, internal sender: ", 3, put_internal},
    {"SA-PUT", "Fields, from outside to outside, master key: ", 3, put_hairpin},
    {"SA-DELETE", "Fields: ", 3, put_delete},
    {"SA-NAK", "Fields: ", 3, put_nak},
    {"SA-REPORT", "Fields: ", 5, put_report},
    {"STATS", "Fields: ", 9, put_stats},
    {"STREAM-OPEN", "Fields: ", 10, put_stream_open},
    {"STREAM-DATA", "Fields: ", 10, put_stream_data},
    {"STREAM-CREDIT", "Fields: ", 10, put_stream_credit},
    {"STREAM-END", "Fields: ", 10, put_stream_end},
    {"STREAM-RESET", "Fields: ", 10, put_stream_reset},
    {"SITE", "Fields: ", 12, put_site},
    {"SITE-STATE", "Fields, with CREDIT: ", 12, put_site_credit},
    {"SITE-STATE", "Fields, others: ", 12, put_site_state},
    {"MEET", "Fields: ", 13, put_meet},
    {"MEET-END", "Fields: ", 13, put_meet_end},
    {"PUNCH", "Fields, of a question: ", 13, put_punch_ask},
    {"PUNCH", "Fields, of an answer: ", 13, put_punch},
    {"PUNCH", "Fields, of a refusal: ", 13, put_punch_no},
    {"PASS", "Fields: ", 14, put_pass},
    {"PASS-STATE", "Fields, with NUMBER: ", 14, put_pass_open},
    {"PASS-STATE", "Fields, others: ", 14, put_pass_state},
    {"PROBE", "Fields: ", 17, put_probe},
    {"PROBE-REPORT", "Fields: ", 17, put_probe_report},
};

static const char *tag_name(const struct list *tags, unsigned tag)
{
    for (size_t i = 0; i < tags->count; i++) {
        if (strtoul(tags->item[i].value, NULL, 10) == tag)
            return tags->item[i].name;
    }
    return "?";
}

/* "VERSION-MIN! FEATURES", as the code writes it. */
static void written(size_t frame, bool full, char *out, size_t size)
{
    struct list *tags = read_list(enums[frames[frame].tags].heading);
    uint8_t memory[FRAME_MAX_OCTETS];
    struct writer w;
    struct reader r;
    struct tlv field;

    writer_init(&w, memory, sizeof(memory));
    frames[frame].put(&w, full);
    ck_assert(!w.failed);
    reader_init(&r, memory, writer_length(&w));
    out[0] = '\0';
    while (tlv_next(&r, &field)) {
        size_t used = strlen(out);

        snprintf(out + used, size - used, "%s%s%s", used > 0 ? " " : "", tag_name(tags, field.tag),
                 field.critical ? "!" : "");
    }
    free(tags);
}

/* The page's line, without brackets; full: with what may be left out. */
static void promised(size_t frame, bool full, char *out, size_t size)
{
    struct list *list = read_list("Frame types");
    const struct item *item = find_item(list, frames[frame].frame);
    const char *at = item ? strstr(item->text, frames[frame].label) : NULL;
    size_t used = 0;
    bool keep = true;

    ck_assert_msg(at != NULL, "%s: no \"%s\"", frames[frame].frame, frames[frame].label);
    for (at += strlen(frames[frame].label); *at && *at != '.' && used + 1 < size; at++) {
        if (*at == '[')
            keep = full;
        if (keep && !strchr("[]{}", *at))
            out[used++] = *at;
        if (*at == ']' && !keep) {
            keep = true;
            at += at[1] == ' ';
        }
    }
    while (used > 0 && out[used - 1] == ' ')
        used--;
    out[used] = '\0';
    free(list);
}

START_TEST(test_fields)
{
    char code[TEXT_SIZE], page[TEXT_SIZE];

    for (int full = 0; full <= 1; full++) {
        written((size_t)_i, full, code, sizeof(code));
        promised((size_t)_i, full, page, sizeof(page));
        ck_assert_str_eq(page, code);
    }
}
END_TEST

/* ------------------------------------------------------------ the examples */

/* The octets of the literal block whose first line this is, the nth such below the heading. */
static size_t read_block(const char *heading, const char *first, unsigned nth, uint8_t *data,
                         size_t size)
{
    char line[LINE_SIZE], hex[TEXT_SIZE] = "";
    bool below = false, inside = false;
    FILE *page = open_page();

    while (fgets(line, sizeof(line), page)) {
        if (strncmp(line, ".Sh ", 4) == 0)
            below = strncmp(line + 4, heading, strlen(heading)) == 0;
        if (below && !inside && strncmp(line, first, strlen(first)) == 0 && nth-- == 0)
            inside = true;
        if (strncmp(line, ".Ed", 3) == 0)
            inside = false;
        if (inside)
            append(hex, line);
    }
    fclose(page);
    ck_assert_msg(hex[0] != '\0', "%s: no example begins with %s", heading, first);
    return unit_hex(hex, data, size);
}

START_TEST(test_example)
{
    static const uint8_t head[] = {0x80, 0x00, 0x1f, 0x40};
    uint8_t data[64];
    struct frame frame;
    uint32_t label;
    const uint8_t *packet;
    size_t length, octets = read_block("FRAMES", "00 1f 80", 0, data, sizeof(data));

    ck_assert_int_eq(frame_parse(data, octets, &frame), (int)octets);
    ck_assert_uint_eq(frame.type, FRAME_MEDIA);
    ck_assert_int_eq(frame_media(&frame.body, &label, &packet, &length), 0);
    ck_assert_uint_eq(label, 0x1234abcd);
    ck_assert_uint_eq(length, 12 + 4 + 10);
    ck_assert_mem_eq(packet, head, sizeof(head));
}
END_TEST

/* RTP' and RTCP': what the text says of each, as prime.c and classify.c read it. */
static const struct {
    enum rtp_shape shape;
    uint32_t inner;
    uint8_t payload_type;
    size_t octets;
} examples[] = {
    {RTP_SHAPE_RTP, 0x80c80006, 0, 4 + 12 + 4 + 10},
    {RTP_SHAPE_RTCP, 0x5d0c9e21, 201, 4 + 8 + 4 + 10},
};

START_TEST(test_prime_examples)
{
    uint8_t data[64], head[PRIME_OCTETS];
    size_t octets =
        read_block("RTP' OUTSIDE THE TUNNEL", "80 c8 00 06", (unsigned)_i, data, sizeof(data));
    struct rtp_view view;
    uint32_t outer;

    ck_assert_uint_eq(octets, examples[_i].octets);
    ck_assert(prime_read(data, octets, &outer));
    ck_assert_uint_eq(outer, 0x80c80006);
    prime_write(head, outer);
    ck_assert_mem_eq(head, data, sizeof(head));
    ck_assert_int_eq(classify(data + PRIME_OCTETS, octets - PRIME_OCTETS, &view), VERDICT_ACCEPTED);
    ck_assert_int_eq(view.shape, examples[_i].shape);
    ck_assert_uint_eq(view.ssrc, examples[_i].inner);
    ck_assert_uint_eq(view.payload_type, examples[_i].payload_type);
    ck_assert(view.shape == RTP_SHAPE_RTCP || view.sequence == 8000);
    ck_assert(view.shape == RTP_SHAPE_RTP ||
              !rtcp_is_plain(data + PRIME_OCTETS, octets - PRIME_OCTETS));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tunnel_page");
    TCase *tc = tcase_create("tunnel_page");
    int result;

    if (srtp_engine_new(&engine, SRTP_ENGINE_EVP) < 0)
        return 1;
    tcase_add_loop_test(tc, test_enum, 0, sizeof(enums) / sizeof(enums[0]));
    tcase_add_test(tc, test_limits);
    tcase_add_test(tc, test_values);
    tcase_add_test(tc, test_error_codes);
    tcase_add_test(tc, test_no_constant_is_forgotten);
    tcase_add_test(tc, test_verdicts);
    tcase_add_loop_test(tc, test_fields, 0, sizeof(frames) / sizeof(frames[0]));
    tcase_add_test(tc, test_example);
    tcase_add_loop_test(tc, test_prime_examples, 0, sizeof(examples) / sizeof(examples[0]));
    suite_add_tcase(suite, tc);
    result = unit_run(suite);
    srtp_engine_free(engine);
    return result;
}
