/* A [forward] with "to": which addresses are connected, and when a name is looked up. */
#include "common/tunnel/forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/tunnel/resolver.h"
#include "tests/unit/unit.h"

enum { PORT = 5061, SERVERS = 3 };

/* ------------------------------------------------------------ a resolver that answers when told */

struct resolver {
    resolver_fn *done;
    void *ctx;
    bool busy;
    int refusal; /* of the next one */
    unsigned asked;
};

static struct resolver *the_resolver;

struct resolver *resolver_new(struct ev_loop *loop, resolver_fn *done, void *ctx)
{
    (void)loop;
    ck_assert_ptr_null(the_resolver);
    the_resolver = calloc(1, sizeof(*the_resolver));
    ck_assert_ptr_nonnull(the_resolver);
    the_resolver->done = done;
    the_resolver->ctx = ctx;
    return the_resolver;
}

void resolver_free(struct resolver *resolver)
{
    ck_assert_ptr_eq(resolver, the_resolver);
    free(resolver);
    the_resolver = NULL;
}

int resolver_start(struct resolver *resolver, const char *host, uint16_t port)
{
    ck_assert_str_eq(host, "proxy.example");
    ck_assert_uint_eq(port, PORT);
    if (resolver->busy)
        return ERR_AGAIN;
    if (resolver->refusal)
        return resolver->refusal;
    resolver->asked++;
    resolver->busy = true;
    return 0;
}

static void answer(const struct addr *addrs, size_t count)
{
    ck_assert(the_resolver->busy);
    the_resolver->busy = false;
    the_resolver->done(the_resolver->ctx, addrs, count, count ? NULL : "no such name");
}

/* ------------------------------------------------------------ a world */

/* Server 0 takes no connections: its port was free a moment ago. */
struct world {
    struct ev_loop *loop;
    struct streams streams;
    struct forward *forward;
    int server[SERVERS];
    struct addr at[SERVERS];
    unsigned refusals;
    uint32_t opened;
};

static void on_kick(void *ctx)
{
    (void)ctx;
}

static void on_refuse(void *ctx, const uint8_t *body, size_t length)
{
    struct world *world = ctx;

    (void)body;
    (void)length;
    world->refusals++;
}

static const struct streams_hooks hooks = {on_kick, on_refuse};

static void serve(struct world *world, unsigned i)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(at);

    world->server[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(world->server[i], (struct sockaddr *)&at, sizeof(at)), 0);
    ck_assert_int_eq(getsockname(world->server[i], (struct sockaddr *)&at, &length), 0);
    if (i > 0)
        ck_assert_int_eq(listen(world->server[i], 8), 0);
    world->at[i] = addr_from_sockaddr((struct sockaddr *)&at);
}

static void setup(struct world *world, const char *host, uint64_t fresh_us)
{
    struct forward_settings settings = {.name = "sip",
                                        .to_port = PORT,
                                        .fresh_us = fresh_us,
                                        .max_streams = 8,
                                        .max_half_open = 8,
                                        .max_per_client = 8,
                                        .half_open_us = 1000000000};
    char error[256];

    memset(world, 0, sizeof(*world));
    world->loop = ev_loop_new(EVFLAG_AUTO);
    ck_assert_ptr_nonnull(world->loop);
    for (unsigned i = 0; i < SERVERS; i++)
        serve(world, i);
    if (!host) {
        host = "127.0.0.1";
        settings.to_port = world->at[1].port;
    }
    strcpy(settings.to_host, host);
    streams_init(&world->streams, true, &hooks, world);
    ck_assert_int_eq(
        forward_new(&world->forward, world->loop, &settings, &world->streams, error, sizeof(error)),
        0);
    streams_up(&world->streams, FEATURE_STREAMS);
}

static void teardown(struct world *world)
{
    streams_fini(&world->streams);
    forward_free(world->forward);
    ck_assert_ptr_null(the_resolver);
    for (unsigned i = 0; i < SERVERS; i++)
        close(world->server[i]);
    ev_loop_destroy(world->loop);
}

static const struct stream_forward *now(const struct world *world)
{
    return forward_streams(world->forward);
}

/* The other side opens one more. */
static void open_one(struct world *world)
{
    struct stream_frame frame = {.number = 2 * ++world->opened, .forward = "sip"};
    uint8_t memory[512];
    struct writer w;
    struct reader r;

    writer_init(&w, memory, sizeof(memory));
    streamwire_put(&w, FRAME_STREAM_OPEN, &frame);
    reader_init(&r, memory, writer_length(&w));
    ck_assert_int_eq(streams_frame(&world->streams, FRAME_STREAM_OPEN, &r, 1), 0);
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)timer;
    (void)events;
}

static bool takes(const struct world *world, unsigned server)
{
    int fd = accept(world->server[server], NULL, NULL);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* The loop runs until the server has one connection, or (server 0) until so many streams failed. */
static void await(struct world *world, unsigned server, uint64_t failed)
{
    ev_timer tick;

    ev_timer_init(&tick, on_tick, 0., .01);
    ev_timer_start(world->loop, &tick);
    for (unsigned turns = 0; server ? !takes(world, server) : now(world)->counts.failed < failed;) {
        ck_assert_uint_lt(turns++, 300);
        ev_run(world->loop, EVRUN_ONCE);
    }
    ev_timer_stop(world->loop, &tick);
    ck_assert_uint_eq(now(world)->counts.failed, failed);
}

/* ------------------------------------------------------------ tests */

START_TEST(an_address_is_not_looked_up)
{
    struct world world;

    setup(&world, NULL, 0);
    ck_assert_ptr_null(the_resolver);
    open_one(&world);
    await(&world, 1, 0);
    teardown(&world);
}
END_TEST

START_TEST(a_name_is_looked_up_once_for_all_that_wait)
{
    struct world world;

    setup(&world, "proxy.example", UINT64_MAX);
    ck_assert_uint_eq(the_resolver->asked, 0);
    open_one(&world);
    open_one(&world);
    ck_assert_uint_eq(the_resolver->asked, 1);
    ck_assert_uint_eq(now(&world)->count, 2);
    answer(&world.at[1], 1);
    await(&world, 1, 0);
    await(&world, 1, 0);
    open_one(&world);
    await(&world, 1, 0);
    ck_assert_uint_eq(the_resolver->asked, 1);
    teardown(&world);
}
END_TEST

START_TEST(the_first_that_can_be_connected)
{
    struct world world;
    struct addr list[4];

    setup(&world, "proxy.example", UINT64_MAX);
    open_one(&world);
    ck_assert_int_eq(addr_parse("0.0.0.0:1", &list[0]), 0);
    ck_assert_int_eq(addr_parse("224.0.0.1:1", &list[1]), 0);
    list[2] = world.at[0];
    list[3] = world.at[2];
    answer(list, 4);
    await(&world, 2, 0);
    teardown(&world);
}
END_TEST

/* With fresh addresses another look-up would not help; the streams fail, and the tunnel is told. */
START_TEST(none_can_be_connected)
{
    struct world world;

    setup(&world, "proxy.example", UINT64_MAX);
    open_one(&world);
    answer(&world.at[0], 1);
    await(&world, 0, 1);
    open_one(&world);
    await(&world, 0, 2);
    ck_assert_uint_eq(the_resolver->asked, 1);
    ck_assert_uint_eq(now(&world)->count, 2); /* until their STREAM-RESET has gone */
    teardown(&world);
}
END_TEST

START_TEST(no_answer)
{
    struct world world;

    setup(&world, "proxy.example", UINT64_MAX);
    open_one(&world);
    open_one(&world);
    answer(NULL, 0);
    ck_assert_uint_eq(now(&world)->counts.failed, 2);
    the_resolver->refusal = ERR_NOMEM;
    open_one(&world);
    ck_assert_uint_eq(now(&world)->counts.failed, 3);
    the_resolver->refusal = 0;
    open_one(&world);
    ck_assert_uint_eq(the_resolver->asked, 2);
    answer(&world.at[1], 1);
    await(&world, 1, 3);
    teardown(&world);
}
END_TEST

START_TEST(nothing_usable)
{
    struct world world;
    struct addr any;

    setup(&world, "proxy.example", UINT64_MAX);
    open_one(&world);
    ck_assert_int_eq(addr_parse("0.0.0.0:1", &any), 0);
    answer(&any, 1);
    ck_assert_uint_eq(now(&world)->counts.failed, 1);
    teardown(&world);
}
END_TEST

/* Old addresses serve while they are looked up again, and longer if that gives nothing. */
START_TEST(old_addresses)
{
    struct world world;

    setup(&world, "proxy.example", 0);
    open_one(&world);
    answer(&world.at[1], 1);
    await(&world, 1, 0);
    open_one(&world);
    await(&world, 1, 0);
    ck_assert_uint_eq(the_resolver->asked, 2);
    answer(NULL, 0);
    open_one(&world);
    await(&world, 1, 0);
    ck_assert_uint_eq(the_resolver->asked, 3);
    answer(&world.at[2], 1);
    open_one(&world);
    await(&world, 2, 0);
    teardown(&world);
}
END_TEST

/* Where it was nobody answers: it waits for the new address. */
START_TEST(it_has_moved)
{
    struct world world;

    setup(&world, "proxy.example", 0);
    open_one(&world);
    answer(&world.at[0], 1);
    await(&world, 0, 1);
    open_one(&world);
    for (unsigned i = 0; i < 20; i++)
        ev_run(world.loop, EVRUN_NOWAIT);
    ck_assert_uint_eq(now(&world)->counts.failed, 1);
    ck_assert_uint_eq(the_resolver->asked, 2);
    answer(&world.at[2], 1);
    await(&world, 2, 1);
    teardown(&world);
}
END_TEST

/* Streams that end while they wait are none of the answer's business, wherever they stand. */
START_TEST(gone_before_the_answer)
{
    struct world world;
    uint8_t memory[64];
    struct writer w;
    struct reader r;
    uint32_t gone = (uint32_t)_i;

    setup(&world, "proxy.example", UINT64_MAX);
    for (unsigned i = 0; i < 3; i++)
        open_one(&world);
    writer_init(&w, memory, sizeof(memory));
    streamwire_put(&w, FRAME_STREAM_RESET, &(struct stream_frame){.number = 2 * gone});
    reader_init(&r, memory, writer_length(&w));
    ck_assert_int_eq(streams_frame(&world.streams, FRAME_STREAM_RESET, &r, 1), 0);
    ck_assert_uint_eq(now(&world)->count, 2);
    answer(&world.at[1], 1);
    await(&world, 1, 0);
    await(&world, 1, 0);
    ck_assert(!takes(&world, 1));
    teardown(&world);
}
END_TEST

START_TEST(end_while_some_wait)
{
    struct world world;

    setup(&world, "proxy.example", UINT64_MAX);
    for (unsigned i = 0; i < 3; i++)
        open_one(&world);
    teardown(&world);
}
END_TEST

START_TEST(where)
{
    static const char *const rows[][2] = {
        {"proxy.example", "proxy.example:5061"},
        {"192.0.2.1", "192.0.2.1:5061"},
        {"2001:db8::1", "[2001:db8::1]:5061"},
    };
    struct world world;
    char text[300];

    setup(&world, rows[_i][0], 0);
    ck_assert_str_eq(forward_where(world.forward, text, sizeof(text)), rows[_i][1]);
    teardown(&world);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("forward");
    TCase *tcase = tcase_create("forward");

    tcase_add_test(tcase, an_address_is_not_looked_up);
    tcase_add_test(tcase, a_name_is_looked_up_once_for_all_that_wait);
    tcase_add_test(tcase, the_first_that_can_be_connected);
    tcase_add_test(tcase, none_can_be_connected);
    tcase_add_test(tcase, no_answer);
    tcase_add_test(tcase, nothing_usable);
    tcase_add_test(tcase, old_addresses);
    tcase_add_test(tcase, it_has_moved);
    tcase_add_loop_test(tcase, gone_before_the_answer, 1, 4);
    tcase_add_test(tcase, end_while_some_wait);
    tcase_add_loop_test(tcase, where, 0, 3);
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
