/*
 * Real connections in a network namespace of their own; left out where none may be made. What one
 * side's kernel says is what the other side's raw socket sees: the loopback keeps the order.
 */
#include "config.h"

#include "common/carrier/deaf.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/addr.h"
#include "common/base/err.h"
#include "common/carrier/rawsocket.h"
#include "common/carrier/segment.h"
#include "common/carrier/track.h"

#include "tests/unit/netns.h"
#include "tests/unit/unit.h"

enum { WAIT_MS = 10000 };

enum { NOW_US = 1000000 };

/* Of the server, which becomes deaf; ears hear what the client's kernel gets. */
struct world {
    int listener, client, server;
    struct addr client_addr, server_addr;
    struct rawsocket *raw, *ears;
    struct deaf deaf;
    struct track track;
};

static struct rawsocket *open_raw(const struct addr *local)
{
    struct rawsocket_filter filter = {
        .family = local->family, .port_count = 1, .ports = {{local->port, local->port}}};
    struct rawsocket *raw = NULL;
    char error[256] = "";

    if (rawsocket_open(&raw, &filter, error, sizeof(error)) < 0)
        fprintf(stderr, "%s\n", error);
    EXPECT(raw != NULL);
    return raw;
}

static void meet(struct world *w, bool ip6)
{
    struct sockaddr_storage name;
    socklen_t length;

    memset(w, 0, sizeof(*w));
    w->listener = netns_bound(ip6, SOCK_STREAM);
    EXPECT(listen(w->listener, 1) == 0);
    w->server_addr = netns_local_name(w->listener);
    w->raw = open_raw(&w->server_addr);
    w->client = netns_bound(ip6, SOCK_STREAM);
    w->client_addr = netns_local_name(w->client);
    w->ears = open_raw(&w->client_addr);
    length = addr_to_sockaddr(&w->server_addr, &name);
    EXPECT(connect(w->client, (struct sockaddr *)&name, length) == 0);
    w->server = accept(w->listener, NULL, NULL);
    EXPECT(w->server >= 0);
}

static void part(struct world *w)
{
    rawsocket_close(w->raw);
    rawsocket_close(w->ears);
    close(w->client);
    close(w->listener);
}

/* The next segment with data. */
static struct segment next_data(struct rawsocket *raw)
{
    struct segment segments[RAWSOCKET_BATCH];

    for (;;) {
        struct pollfd wait = {.fd = rawsocket_fd(raw), .events = POLLIN};
        unsigned count;

        EXPECT(poll(&wait, 1, WAIT_MS) == 1);
        count = rawsocket_receive(raw, segments);
        for (unsigned i = 0; i < count; i++) {
            if (segments[i].length > 0)
                return segments[i];
        }
    }
}

static void say(int from, int to, const char *word)
{
    char back[64];
    ssize_t length = (ssize_t)strlen(word);

    EXPECT(send(from, word, (size_t)length, 0) == length);
    EXPECT(recv(to, back, (size_t)length, MSG_WAITALL) == length);
    EXPECT(memcmp(back, word, (size_t)length) == 0);
}

static void client_says(struct world *w, const char *word)
{
    struct segment segment;

    EXPECT(send(w->client, word, strlen(word), 0) == (ssize_t)strlen(word));
    segment = next_data(w->raw);
    deaf_saw(&w->deaf, &segment);
}

static void read_all(struct world *w, size_t length)
{
    char back[64];

    EXPECT(recv(w->server, back, length, MSG_WAITALL) == (ssize_t)length);
}

static bool becomes(bool (*question)(int fd), int fd)
{
    for (int i = 0; i < WAIT_MS; i++) {
        if (question(fd))
            return true;
        (void)poll(NULL, 0, 1);
    }
    return false;
}

static void make(struct world *w)
{
    struct track_start start = {.rate = 0};

    EXPECT(becomes(deaf_is_quiet, w->server));
    EXPECT(deaf_make(&w->deaf, w->server, &start) == 0);
    EXPECT(start.timestamps && start.mss > 500 && start.peer_window > 1000);
    track_init(&w->track, &start, NOW_US);
}

/* From the raw socket, what the client's kernel takes for the server's. */
static void raw_says(struct world *w, const char *word)
{
    struct segment segment = {.source = w->server_addr,
                              .destination = w->client_addr,
                              .data = (const uint8_t *)word,
                              .length = strlen(word)};
    char back[64];

    EXPECT(track_send(&w->track, segment.length, &segment, NOW_US) == 0);
    EXPECT(rawsocket_queue(w->raw, &segment) == 0);
    rawsocket_flush(w->raw);
    EXPECT(recv(w->client, back, segment.length, MSG_WAITALL) == (ssize_t)segment.length);
    EXPECT(memcmp(back, word, segment.length) == 0);
}

static void raw_acks(struct world *w)
{
    struct segment segment = {.source = w->server_addr, .destination = w->client_addr};

    w->track.ack_now = true;
    EXPECT(track_ack(&w->track, &segment, NOW_US));
    EXPECT(rawsocket_queue(w->raw, &segment) == 0);
    rawsocket_flush(w->raw);
}

/* How many segments the client has got since it was asked last; *acks: those of raw_acks() */
static unsigned heard(struct world *w, unsigned *acks)
{
    struct segment segments[RAWSOCKET_BATCH];
    unsigned count, sum = 0;

    *acks = 0;
    while ((count = rawsocket_receive(w->ears, segments)) > 0) {
        sum += count;
        for (unsigned i = 0; i < count; i++)
            *acks += segments[i].flags == SEGMENT_ACK && segments[i].length == 0 &&
                     segments[i].window == TRACK_WINDOW;
    }
    return sum;
}

static bool hears_nothing(struct world *w)
{
    unsigned acks;

    return heard(w, &acks) == 0;
}

/* An acknowledgement of ours, which nobody answers, comes after all that the kernel says. */
static bool close_is_silent(struct world *w)
{
    unsigned acks;

    (void)heard(w, &acks);
    close(w->server);
    raw_acks(w);
    return heard(w, &acks) == 1 && acks == 1;
}

static void end_silently(struct world *w)
{
    (void)hears_nothing(w);
    EXPECT(!deaf_is_over(w->server));
    EXPECT(deaf_reset(&w->deaf, w->raw, &w->server_addr, &w->client_addr) == 0);
    EXPECT(becomes(deaf_is_over, w->server));
    EXPECT(hears_nothing(w));
    EXPECT(close_is_silent(w));
}

/* Both sides have spoken; the client is what hears and answers as if nothing had happened. */
static void body_taken_over(bool ip6)
{
    struct world w;
    struct segment segment;
    char back[64];

    meet(&w, ip6);
    EXPECT(deaf_note(&w.deaf, w.server) == ERR_AGAIN);
    say(w.server, w.client, "from the kernel");
    client_says(&w, "hello");
    read_all(&w, 5);
    EXPECT(deaf_make(&w.deaf, w.server, &(struct track_start){0}) == ERR_AGAIN);
    EXPECT(deaf_reset(&w.deaf, w.raw, &w.server_addr, &w.client_addr) == ERR_AGAIN);
    EXPECT(deaf_note(&w.deaf, w.server) == 0);
    make(&w);
    raw_says(&w, "from the raw socket");
    (void)hears_nothing(&w);
    EXPECT(send(w.client, "unheard", 7, 0) == 7);
    segment = next_data(w.raw);
    EXPECT(segment.length == 7 && memcmp(segment.data, "unheard", 7) == 0);
    EXPECT(track_received(&w.track, &segment, true, NOW_US) == TRACK_GENUINE);
    EXPECT(recv(w.server, back, sizeof(back), MSG_DONTWAIT) < 0 && errno == EAGAIN);
    EXPECT(hears_nothing(&w) && !deaf_is_quiet(w.client));
    raw_acks(&w);
    EXPECT(becomes(deaf_is_quiet, w.client));
    end_silently(&w);
    part(&w);
}

/* What the kernel takes between the two calls is its own to count, and nobody reads it. */
static void body_goes_on(bool ip6)
{
    struct world w;

    meet(&w, ip6);
    say(w.server, w.client, "from the kernel");
    client_says(&w, "hello");
    read_all(&w, 5);
    EXPECT(deaf_note(&w.deaf, w.server) == 0);
    client_says(&w, "more");
    client_says(&w, "and more");
    EXPECT(becomes(deaf_is_quiet, w.client));
    make(&w);
    raw_says(&w, "from the raw socket");
    end_silently(&w);
    part(&w);
}

/* A hole: the kernel waits for what was lost, the numbers of the raw socket do not. */
static void body_hole(bool ip6)
{
    static const uint8_t late[] = "behind a hole";
    struct world w;
    struct segment segment;
    uint32_t end;

    meet(&w, ip6);
    say(w.server, w.client, "from the kernel");
    client_says(&w, "hello");
    read_all(&w, 5);
    EXPECT(deaf_note(&w.deaf, w.server) == 0);
    EXPECT(send(w.client, "word", 4, 0) == 4);
    segment = next_data(w.raw);
    deaf_saw(&w.deaf, &segment);
    segment.sequence += 100;
    segment.data = late;
    segment.length = sizeof(late);
    segment.ttl = 0;
    end = segment_end(&segment);
    EXPECT(rawsocket_queue(w.raw, &segment) == 0);
    rawsocket_flush(w.raw);
    segment = next_data(w.raw);
    deaf_saw(&w.deaf, &segment);
    make(&w);
    EXPECT(w.track.start.receive_next == end && w.deaf.receive_next == end - 100 - 10);
    w.track.receive = w.deaf.receive_next; /* the client has never sent so far */
    raw_says(&w, "from the raw socket");
    end_silently(&w);
    part(&w);
}

/* A kernel that is told a wrong number does not believe it: the test can fail. */
static void body_wrong(bool ip6)
{
    struct world w;

    meet(&w, ip6);
    client_says(&w, "hello");
    read_all(&w, 5);
    EXPECT(deaf_note(&w.deaf, w.server) == 0);
    make(&w);
    w.deaf.receive_next += 1 << 30;
    EXPECT(deaf_reset(&w.deaf, w.raw, &w.server_addr, &w.client_addr) == 0);
    (void)hears_nothing(&w);
    EXPECT(!deaf_is_over(w.server));
    EXPECT(!close_is_silent(&w));
    part(&w);
}

static void body_no_connection(bool ip6)
{
    struct world w;
    struct deaf deaf = {.seen = true};
    int fd = netns_bound(ip6, SOCK_STREAM);

    EXPECT(deaf_note(&deaf, fd) == ERR_SYSTEM && deaf_is_over(fd));
    close(fd);
    EXPECT(deaf_note(&deaf, fd) == ERR_SYSTEM && !deaf_is_quiet(fd) && !deaf_is_over(fd));
    meet(&w, ip6);
    client_says(&w, "hello");
    read_all(&w, 5);
    EXPECT(deaf_note(&w.deaf, w.server) == 0);
    close(w.server);
    part(&w);
}

static void (*const bodies[])(bool ip6) = {body_taken_over, body_goes_on, body_hole, body_wrong,
                                           body_no_connection};

START_TEST(test_real)
{
    netns_run(bodies[_i / 2], _i % 2);
}
END_TEST

/* The highest numbers stay, whatever the order, also where they wrap. */
START_TEST(test_saw)
{
    struct deaf deaf = {0};
    struct segment s = {.sequence = 0xfffffff0, .ack = 0xffffff00, .timestamp = 7, .length = 8};

    deaf_saw(&deaf, &s);
    ck_assert_uint_eq(deaf.end, 0xfffffff8);
    s.sequence = 0xfffffff8;
    s.length = 16;
    s.ack = 3;
    s.timestamp = 5;
    deaf_saw(&deaf, &s);
    s.sequence -= 100;
    s.ack -= 100;
    deaf_saw(&deaf, &s);
    ck_assert_uint_eq(deaf.end, 8);
    ck_assert_uint_eq(deaf.ack, 3);
    ck_assert_uint_eq(deaf.timestamp, 7);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("deaf");
    TCase *tc = tcase_create("deaf");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_saw);
    tcase_add_loop_test(tc, test_real, 0, 2 * sizeof(bodies) / sizeof(bodies[0]));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
