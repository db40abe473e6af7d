/*
 * The filter is run by a small interpreter over packets of every kind. Real raw sockets need a
 * privilege: those tests make a network namespace of their own, and are left out where that is
 * not allowed.
 */
#include "config.h"

#include "common/carrier/rawsocket.h"

#include <errno.h>
#include <linux/filter.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/reader.h"
#include "common/carrier/segment.h"

#include "tests/unit/netns.h"
#include "tests/unit/unit.h"

/* ---------------------------------------------------------------- the filter */

/* As a raw socket sees it: from at on; ip is where the IP header is. */
struct view {
    const uint8_t *ip, *at;
    size_t length; /* from at on */
};

static bool load(const struct view *view, uint32_t offset, unsigned size, uint32_t *out)
{
    const uint8_t *from = view->at + offset;
    size_t left = view->length;
    struct reader r;

    if ((int32_t)offset < 0) { /* SKF_NET_OFF */
        offset -= (uint32_t)SKF_NET_OFF;
        from = view->ip + offset;
        left += (size_t)(view->at - view->ip);
    }
    if (offset + size > left)
        return false;
    reader_init(&r, from, size);
    *out = size == 4 ? reader_u32(&r) : size == 2 ? reader_u16(&r) : reader_u8(&r);
    return true;
}

static unsigned size_of(uint16_t code)
{
    return BPF_SIZE(code) == BPF_W ? 4 : BPF_SIZE(code) == BPF_H ? 2 : 1;
}

static uint32_t calculate(uint16_t code, uint32_t a, uint32_t operand)
{
    switch (BPF_OP(code)) {
    case BPF_ADD:
        return a + operand;
    case BPF_AND:
        return a & operand;
    case BPF_RSH:
        return a >> operand;
    case BPF_LSH:
        return a << operand;
    default:
        ck_abort_msg("operation %#x is not known here", code);
    }
}

static bool holds(uint16_t code, uint32_t a, uint32_t operand)
{
    switch (BPF_OP(code)) {
    case BPF_JEQ:
        return a == operand;
    case BPF_JGE:
        return a >= operand;
    case BPF_JGT:
        return a > operand;
    default:
        ck_abort_msg("jump %#x is not known here", code);
    }
}

/* What lies outside of the packet ends the program, as in the kernel. */
static bool run(const struct sock_filter *code, size_t count, const struct view *view)
{
    uint32_t a = 0, x = 0, octet;

    for (size_t at = 0; at < count; at++) {
        const struct sock_filter *i = &code[at];
        uint32_t operand = BPF_SRC(i->code) == BPF_X ? x : i->k;

        switch (BPF_CLASS(i->code)) {
        case BPF_LD:
            if (BPF_MODE(i->code) == BPF_LEN)
                a = (uint32_t)view->length;
            else if (!load(view, BPF_MODE(i->code) == BPF_IND ? x + i->k : i->k, size_of(i->code),
                           &a))
                return false;
            break;
        case BPF_LDX:
            if (BPF_MODE(i->code) == BPF_IMM)
                x = i->k;
            else if (!load(view, i->k, 1, &octet))
                return false;
            else
                x = (octet & 15) * 4;
            break;
        case BPF_ALU:
            a = calculate(i->code, a, operand);
            break;
        case BPF_MISC:
            x = a;
            break;
        case BPF_JMP:
            at += BPF_OP(i->code) == BPF_JA ? i->k : holds(i->code, a, operand) ? i->jt : i->jf;
            break;
        case BPF_RET:
            return i->k > 0;
        default:
            ck_abort_msg("class of %#x is not known here", i->code);
        }
    }
    ck_abort_msg("the program has no end");
}

static struct addr address(const char *text)
{
    struct addr addr;

    ck_assert_msg(addr_parse(text, &addr) == 0, "%s", text);
    return addr;
}

static const struct filter_row {
    const char *name, *source, *destination;
    size_t length;
    bool passes, passes_data_only;
} filter_rows[] = {
    {"first port", "192.0.2.77:443", "10.0.0.1:8443", 5, true, true},
    {"without data", "192.0.2.77:443", "10.0.0.1:8443", 0, true, false},
    {"one octet", "192.0.2.77:443", "10.0.0.1:8443", 1, true, true},
    {"first of a range", "192.0.2.77:443", "10.0.0.1:40000", 5, true, true},
    {"last of a range", "192.0.2.77:443", "10.0.0.1:40007", 5, true, true},
    {"before a range", "192.0.2.77:443", "10.0.0.1:39999", 5, false, false},
    {"behind a range", "192.0.2.77:443", "10.0.0.1:40008", 5, false, false},
    {"our port is the remote one", "192.0.2.77:8443", "10.0.0.1:443", 5, false, false},
    {"host behind the net", "192.0.3.0:443", "10.0.0.1:8443", 5, false, false},
    {"host before the net", "192.0.1.255:443", "10.0.0.1:8443", 5, false, false},
    {"host alone", "198.51.100.9:443", "10.0.0.1:8443", 5, true, true},
    {"its neighbour", "198.51.100.8:443", "10.0.0.1:8443", 5, false, false},
    {"IPv6", "[2001:db8:0:1::5]:443", "[2001:db8::1]:8443", 5, true, true},
    {"IPv6 without data", "[2001:db8:0:1::5]:443", "[2001:db8::1]:8443", 0, true, false},
    {"IPv6, last bit of the net", "[2001:db8:0:3::5]:443", "[2001:db8::1]:8443", 5, true, true},
    {"IPv6, other net", "[2001:db8:0:4::5]:443", "[2001:db8::1]:8443", 5, false, false},
    {"IPv6, other port", "[2001:db8:0:1::5]:443", "[2001:db8::1]:8444", 5, false, false},
    {"IPv6 host alone", "[fd00::9]:443", "[2001:db8::1]:40003", 5, true, true},
    {"IPv6 neighbour", "[fd00::8]:443", "[2001:db8::1]:40003", 5, false, false},
};

static struct rawsocket_filter sample_filter(uint8_t family)
{
    struct rawsocket_filter filter = {.family = family,
                                      .port_count = 2,
                                      .ports = {{8443, 8443}, {40000, 40007}},
                                      .remote_count = 2};
    const char *nets[2][2] = {{"192.0.2.0/24", "198.51.100.9"}, {"2001:db8::/62", "fd00::9"}};

    for (size_t i = 0; i < 2; i++)
        ck_assert_int_eq(addr_net_parse(nets[family == 6][i], &filter.remotes[i]), 0);
    return filter;
}

static bool passes(const struct rawsocket_filter *filter, const uint8_t *packet, size_t length)
{
    struct sock_filter code[RAWSOCKET_CODE_MAX];
    size_t count = rawsocket_filter(filter, code);
    size_t hidden = filter->family == 6 ? SEGMENT_IP6_OCTETS : 0;
    const struct view view = {packet, packet + hidden, length - hidden};

    ck_assert_uint_le(count, RAWSOCKET_CODE_MAX);
    return run(code, count, &view);
}

START_TEST(test_filter)
{
    const struct filter_row *row = &filter_rows[_i];
    static const uint8_t data[8];
    struct segment segment = {.source = address(row->source),
                              .destination = address(row->destination),
                              .flags = SEGMENT_ACK,
                              .data = data,
                              .length = row->length};
    struct rawsocket_filter filter = sample_filter(segment.source.family);
    uint8_t packet[256];

    for (unsigned i = 0; i < 2; i++) {
        int length;

        segment.has_timestamps = i > 0;
        length = segment_write(&segment, packet, sizeof(packet));
        ck_assert_int_gt(length, 0);
        filter.data_only = false;
        ck_assert_msg(passes(&filter, packet, (size_t)length) == row->passes, "%s", row->name);
        filter.data_only = true;
        ck_assert_msg(passes(&filter, packet, (size_t)length) == row->passes_data_only, "%s",
                      row->name);
        filter.remote_count = 0; /* anybody */
        if (row->passes)
            ck_assert(passes(&filter, packet, (size_t)length) == row->passes_data_only);
        filter.remote_count = 2;
    }
}
END_TEST

START_TEST(test_filter_ip_options)
{
    struct rawsocket_filter filter = sample_filter(4);
    uint8_t packet[128], options[] = {1, 1, 1, 0};
    struct segment segment = {.source = address("192.0.2.1:443"),
                              .destination = address("10.0.0.1:8443"),
                              .flags = SEGMENT_ACK,
                              .data = options,
                              .length = 1};
    int length = segment_write(&segment, packet, sizeof(packet));

    memmove(packet + 24, packet + 20, (size_t)length - 20);
    memcpy(packet + 20, options, sizeof(options));
    packet[0] = 0x46;
    filter.data_only = true;
    ck_assert(passes(&filter, packet, (size_t)length + 4));
    ck_assert(!passes(&filter, packet, (size_t)length + 3));
}
END_TEST

/* Nothing is read outside, and what is cut does not pass as data. */
START_TEST(test_filter_truncated)
{
    struct rawsocket_filter filter = sample_filter(_i ? 6 : 4);
    static const uint8_t data[1];
    struct segment segment = {.source = address(_i ? "[fd00::9]:443" : "192.0.2.1:443"),
                              .destination = address(_i ? "[fd00::1]:8443" : "10.0.0.1:8443"),
                              .flags = SEGMENT_ACK,
                              .data = data,
                              .length = 1};
    uint8_t packet[128];
    int length = segment_write(&segment, packet, sizeof(packet));

    filter.data_only = true;
    for (int cut = _i ? SEGMENT_IP6_OCTETS : 0; cut < length; cut++)
        ck_assert(!passes(&filter, packet, (size_t)cut));
    ck_assert(passes(&filter, packet, (size_t)length));
}
END_TEST

START_TEST(test_filter_largest)
{
    struct rawsocket_filter filter = sample_filter(6);
    struct sock_filter code[RAWSOCKET_CODE_MAX];

    for (size_t i = 0; i < RAWSOCKET_PORTS_MAX; i++)
        filter.ports[i] = filter.ports[0];
    for (size_t i = 0; i < RAWSOCKET_REMOTES_MAX; i++)
        filter.remotes[i] = filter.remotes[0];
    filter.port_count = RAWSOCKET_PORTS_MAX;
    filter.remote_count = RAWSOCKET_REMOTES_MAX;
    filter.data_only = true;
    ck_assert_uint_le(rawsocket_filter(&filter, code), RAWSOCKET_CODE_MAX);
}
END_TEST

START_TEST(test_not_sound)
{
    struct rawsocket_filter filter = sample_filter(4);
    struct rawsocket *raw;
    char error[256] = "";

    filter.port_count = 0;
    ck_assert_int_eq(rawsocket_open(&raw, &filter, error, sizeof(error)), ERR_INVALID);
    ck_assert_ptr_null(raw);
    filter = sample_filter(4);
    filter.family = 6;
    ck_assert_int_eq(rawsocket_open(&raw, &filter, error, sizeof(error)), ERR_INVALID);
    filter = sample_filter(4);
    filter.remote_count = RAWSOCKET_REMOTES_MAX + 1;
    ck_assert_int_eq(rawsocket_open(&raw, &filter, error, sizeof(error)), ERR_INVALID);
}
END_TEST

/* ---------------------------------------------------------------- real sockets */

enum { WAIT_MS = 10000 };

struct meeting {
    int listener, client, server;
    struct addr client_addr, server_addr;
    struct rawsocket *raw; /* of the server */
};

static struct rawsocket *open_raw(const struct addr *local, bool data_only)
{
    struct rawsocket_filter filter = {.family = local->family,
                                      .data_only = data_only,
                                      .port_count = 1,
                                      .ports = {{local->port, local->port}}};
    struct rawsocket *raw = NULL;
    char error[256] = "";
    int result = rawsocket_open(&raw, &filter, error, sizeof(error));

    if (result < 0)
        fprintf(stderr, "%s\n", error);
    EXPECT(result == 0);
    return raw;
}

static void meet(struct meeting *m, bool ip6, bool data_only)
{
    struct sockaddr_storage name;
    socklen_t length;

    m->listener = netns_bound(ip6, SOCK_STREAM);
    EXPECT(listen(m->listener, 1) == 0);
    m->server_addr = netns_local_name(m->listener);
    m->raw = open_raw(&m->server_addr, data_only);
    m->client = netns_bound(ip6, SOCK_STREAM);
    length = addr_to_sockaddr(&m->server_addr, &name);
    EXPECT(connect(m->client, (struct sockaddr *)&name, length) == 0);
    m->client_addr = netns_local_name(m->client);
    m->server = accept(m->listener, NULL, NULL);
    EXPECT(m->server >= 0);
}

static void part(struct meeting *m)
{
    rawsocket_close(m->raw);
    close(m->client);
    close(m->server);
    close(m->listener);
}

static bool is_readable(int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};

    return poll(&wait, 1, WAIT_MS) == 1;
}

/* A segment with data of the client, when it sends no more than one. */
static struct segment next_data(struct meeting *m)
{
    struct segment segments[RAWSOCKET_BATCH];

    for (;;) {
        unsigned count;

        EXPECT(is_readable(rawsocket_fd(m->raw)));
        count = rawsocket_receive(m->raw, segments);
        for (unsigned i = 0; i < count; i++) {
            EXPECT(addr_equal(&segments[i].source, &m->client_addr));
            EXPECT(addr_equal(&segments[i].destination, &m->server_addr));
            if (segments[i].length > 0)
                return segments[i];
        }
    }
}

/* What the client says to the server is seen, and what the server says is not. */
static void body_receive(bool ip6)
{
    static uint8_t large[60000];
    uint8_t back[16];
    struct meeting m;
    struct segment s;
    size_t seen = 0;

    meet(&m, ip6, true);
    EXPECT(send(m.server, "hidden", 6, 0) == 6 && recv(m.client, back, 6, MSG_WAITALL) == 6);
    EXPECT(send(m.client, "hello", 5, 0) == 5);
    s = next_data(&m);
    EXPECT(s.length == 5 && memcmp(s.data, "hello", 5) == 0 && s.ttl == SEGMENT_TTL);
    EXPECT(s.flags & SEGMENT_ACK && s.has_timestamps);
    EXPECT(recv(m.server, back, 5, MSG_WAITALL) == 5); /* the kernel's socket has it as well */
    EXPECT(send(m.client, large, sizeof(large), 0) == sizeof(large));
    while (seen < sizeof(large)) {
        struct segment segments[RAWSOCKET_BATCH];

        EXPECT(is_readable(rawsocket_fd(m.raw)));
        for (unsigned i = rawsocket_receive(m.raw, segments); i > 0; i--)
            seen += segments[i - 1].length;
    }
    EXPECT(seen == sizeof(large));
    EXPECT(rawsocket_counts(m.raw)->malformed == 0);
    EXPECT(rawsocket_counts(m.raw)->overflows == 0);
    part(&m);
}

/* A segment of ours is taken for the client's: numbers and check sums are right. */
static void body_send(bool ip6)
{
    static const uint8_t word[] = "spoken";
    uint8_t back[16] = {0};
    struct meeting m;
    struct segment s;

    meet(&m, ip6, true);
    EXPECT(send(m.client, "hello", 5, 0) == 5);
    s = next_data(&m);
    EXPECT(recv(m.server, back, 5, MSG_WAITALL) == 5);
    s.sequence += 5;
    s.data = word;
    s.length = 6;
    s.ttl = 0;
    s.flags = SEGMENT_ACK | SEGMENT_PSH;
    EXPECT(rawsocket_queue(m.raw, &s) == 0);
    s.source.family = s.source.family == 4 ? 6 : 4;
    EXPECT(rawsocket_queue(m.raw, &s) == ERR_INVALID);
    rawsocket_flush(m.raw);
    EXPECT(rawsocket_counts(m.raw)->sent == 1 && rawsocket_counts(m.raw)->unsent == 0);
    EXPECT(is_readable(m.server));
    EXPECT(recv(m.server, back, sizeof(back), 0) == 6 && memcmp(back, word, 6) == 0);
    part(&m);
}

/* The filter stays, whoever asks; and other ports are not seen. */
static void body_locked(bool ip6)
{
    struct meeting m, other;
    struct sock_filter all = {.code = BPF_RET | BPF_K, .k = 0x40000};
    struct sock_fprog program = {.len = 1, .filter = &all};
    struct segment segments[RAWSOCKET_BATCH];
    int fd;

    meet(&m, ip6, false);
    fd = rawsocket_fd(m.raw);
    EXPECT(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &(int){0}, sizeof(int)) < 0);
    EXPECT(errno == EPERM);
    EXPECT(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0);
    EXPECT(errno == EPERM);
    while (rawsocket_receive(m.raw, segments) > 0)
        ;
    meet(&other, ip6, false);
    EXPECT(send(other.client, "hello", 5, 0) == 5);
    (void)next_data(&other);
    EXPECT(rawsocket_receive(m.raw, segments) == 0);
    part(&other);
    part(&m);
}

/* Nobody reads: the kernel counts what it drops, and the connection goes on. */
static void body_overflow(bool ip6)
{
    static uint8_t octets[50000];
    struct meeting m;
    struct segment segments[RAWSOCKET_BATCH];

    meet(&m, ip6, true);
    EXPECT(setsockopt(rawsocket_fd(m.raw), SOL_SOCKET, SO_RCVBUF, &(int){65536}, sizeof(int)) == 0);
    for (uint64_t sent = 0; sent < ((uint64_t)1 << 22); sent += sizeof(octets)) {
        EXPECT(send(m.client, octets, sizeof(octets), 0) == sizeof(octets));
        EXPECT(recv(m.server, octets, sizeof(octets), MSG_WAITALL) == sizeof(octets));
    }
    while (rawsocket_receive(m.raw, segments) > 0)
        ;
    EXPECT(send(m.client, octets, 1, 0) == 1);
    (void)next_data(&m); /* it says how many went before */
    EXPECT(rawsocket_counts(m.raw)->overflows > 0);
    part(&m);
}

static void (*const bodies[])(bool ip6) = {body_receive, body_send, body_locked, body_overflow};

START_TEST(test_real)
{
    netns_run(bodies[_i / 2], _i % 2);
}
END_TEST

/* Without the privilege there is a sentence that says which. */
START_TEST(test_not_allowed)
{
    pid_t child = fork();
    int status;

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct rawsocket_filter filter = sample_filter(4);
        struct rawsocket *raw;
        char error[256] = "";

        if (geteuid() == 0 && setuid(65534) < 0)
            _exit(1);
        EXPECT(rawsocket_open(&raw, &filter, error, sizeof(error)) == ERR_FORBIDDEN);
        EXPECT(strstr(error, "CAP_NET_RAW") != NULL && raw == NULL);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rawsocket");
    TCase *tc = tcase_create("rawsocket");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, test_filter, 0, sizeof(filter_rows) / sizeof(filter_rows[0]));
    tcase_add_test(tc, test_filter_ip_options);
    tcase_add_loop_test(tc, test_filter_truncated, 0, 2);
    tcase_add_test(tc, test_filter_largest);
    tcase_add_test(tc, test_not_sound);
    tcase_add_loop_test(tc, test_real, 0, 2 * sizeof(bodies) / sizeof(bodies[0]));
    tcase_add_test(tc, test_not_allowed);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
