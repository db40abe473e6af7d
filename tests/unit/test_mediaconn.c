/*
 * When a connection of media is made anew: what it is and what becomes of it is said by the test,
 * which has the clock, in place of connector, connection and session.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/daemon/daemon.h"
#include "common/tunnel/localports.h"
#include "inner-relay/mediaconn.h"
#include "inner-relay/relay.h"
#include "tests/unit/core.h"
#include "tests/unit/unit.h"

#define S (UINT64_C(1000) * 1000)

enum { BEGIN_S = 100 };

static struct core core;
static struct relay relay;
static struct daemon daemon_;
static struct relay_media *const media = &relay.links[0].media[0];

static struct {
    uint64_t now_us;
    bool asked;                     /* for the time, by a hook: libcheck asks, too */
    const struct conn_hooks *hooks; /* of the connection */
    void *ctx;
    bool ours;   /* it is from a local port of ours */
    bool failed; /* it was, or was about to be, one of raw segments */
    bool early;  /* it was given a reader */
    enum session_take take;
    struct session_counters counters;
    unsigned closed;
} world;

/* Never looked into. */
static struct conn *const conn = (struct conn *)&world;
static struct rawreader *const reader = (struct rawreader *)&world;

/* ------------------------------------------------------------ in place of what is around it */

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    if (!world.asked)
        return __real_clock_gettime(clock, now);
    now->tv_sec = (time_t)(world.now_us / S);
    now->tv_nsec = (long)(world.now_us % S * 1000);
    return 0;
}

struct connector *__wrap_connector_new(struct ev_loop *loop, struct tls_context *context,
                                       const struct connector_settings *settings,
                                       const struct conn_hooks *hooks, void *ctx);
struct connector *__wrap_connector_new(struct ev_loop *loop, struct tls_context *context,
                                       const struct connector_settings *settings,
                                       const struct conn_hooks *hooks, void *ctx)
{
    (void)loop;
    (void)context;
    (void)settings;
    world.hooks = hooks;
    world.ctx = ctx;
    return (struct connector *)&world;
}

void __wrap_daemon_wake(struct daemon *daemon);
void __wrap_daemon_wake(struct daemon *daemon)
{
    (void)daemon;
}

bool __wrap_conn_is_direct(const struct conn *c);
bool __wrap_conn_is_direct(const struct conn *c)
{
    (void)c;
    return true;
}

struct addr __wrap_conn_local(const struct conn *c);
struct addr __wrap_conn_local(const struct conn *c)
{
    (void)c;
    return (struct addr){.family = 4, .port = 1};
}

bool __wrap_localports_has(const struct localports *ports, uint16_t port);
bool __wrap_localports_has(const struct localports *ports, uint16_t port)
{
    (void)ports;
    (void)port;
    return world.ours;
}

void __wrap_conn_read_early(struct conn *c, struct rawreader *r);
void __wrap_conn_read_early(struct conn *c, struct rawreader *r)
{
    (void)c;
    world.early = r != NULL;
}

struct session *__wrap_conn_session(const struct conn *c);
struct session *__wrap_conn_session(const struct conn *c)
{
    (void)c;
    return media->core.session;
}

const struct takeover *__wrap_conn_taken(const struct conn *c);
const struct takeover *__wrap_conn_taken(const struct conn *c)
{
    (void)c;
    return NULL;
}

enum session_state __wrap_session_state(const struct session *session);
enum session_state __wrap_session_state(const struct session *session)
{
    (void)session;
    return SESSION_UP;
}

enum session_take __wrap_session_take(const struct session *session);
enum session_take __wrap_session_take(const struct session *session)
{
    (void)session;
    return world.take;
}

bool __wrap_session_take_has_failed(const struct session *session, unsigned *hung);
bool __wrap_session_take_has_failed(const struct session *session, unsigned *hung)
{
    (void)session;
    (void)hung;
    return world.failed;
}

const struct session_counters *__wrap_session_counters(const struct session *session);
const struct session_counters *__wrap_session_counters(const struct session *session)
{
    (void)session;
    return &world.counters;
}

static void end_connection(const char *reason)
{
    struct session *session = media->core.session;

    world.asked = true;
    world.hooks->closed(world.ctx, conn, reason);
    world.asked = false;
    session_free(session);
}

void __wrap_conn_close(struct conn *c, const char *reason);
void __wrap_conn_close(struct conn *c, const char *reason)
{
    (void)c;
    world.closed++;
    end_connection(reason);
}

/* ------------------------------------------------------------ the test */

static void setup(void)
{
    ck_assert(core_start_engine());
    ck_assert(core_init(&core, 8));
    core_introduce(&core, 0, 100, 100);
    memset(&relay, 0, sizeof(relay));
    memset(&world, 0, sizeof(world));
    memset(&daemon_, 0, sizeof(daemon_));
    relay.core = core.inner;
    for (unsigned i = 0; i < relay.core.link_count; i++)
        relay.core.links[i].inner = &relay.core;
    daemon_.state = &relay;
    daemon_.readers[0] = reader;
    daemon_.ports[0] = (struct localports *)&world;
    relay.links[0].daemon = &daemon_;
    world.now_us = BEGIN_S * S;
    mediaconn_prepare(&relay.links[0]);
}

static void teardown(void)
{
    world.failed = false;
    if (media->core.session)
        end_connection("the test is over");
    inner_fini(&relay.core);
    core_stop_engine();
}

static void connect_media(bool ours)
{
    struct inner_link *link = &relay.core.links[0];
    const char *reason = NULL;

    world.ours = ours;
    world.take = SESSION_TAKE_NONE;
    world.counters = (struct session_counters){.media_in = 0};
    mediaconn_want(&daemon_, link, 1);
    world.asked = true;
    ck_assert_ptr_nonnull(world.hooks->secured(world.ctx, conn, "dmz.example", &reason));
    world.asked = false;
    if (link->chooses)
        link->ways.carrier = media->core.session;
}

static void carry(enum inner_carrier carrier)
{
    struct inner_link *link = &relay.core.links[0];

    link->carrier = carrier;
    link->chooses = carrier == CARRIER_AUTO;
    link->peer.features |= FEATURE_EARLY;
    ways_init(&link->ways, NULL);
}

/* Seconds with packets each way, until it is closed or time is over; how many. */
static unsigned pass(unsigned seconds, unsigned out, unsigned in)
{
    unsigned before = world.closed, second;

    for (second = 1; second <= seconds; second++) {
        world.now_us += S;
        world.counters.media_out += out;
        world.counters.media_in += in;
        mediaconn_tick(&relay.links[0], world.now_us);
        if (world.closed > before)
            break;
    }
    return second;
}

/* Segments did not get through: it goes on without them. */
static void be_not_raw(void)
{
    connect_media(true);
    ck_assert(media->core.may_raw);
    world.failed = true;
    world.take = SESSION_TAKE_PROVING;
    end_connection("nothing was heard");
    world.failed = false;
    connect_media(true);
    ck_assert(!media->core.may_raw && world.early);
}

static const enum inner_carrier tries_raw[] = {CARRIER_RAW, CARRIER_AUTO};
enum { TRY_RAW = sizeof(tries_raw) / sizeof(tries_raw[0]) };

/* It works, with calls in it: to try raw segments again would take from these what is on its way.
 */
START_TEST(test_not_raw_under_calls)
{
    carry(tries_raw[_i]);
    be_not_raw();
    (void)pass(700, 50, 50);
    (void)pass(100, 0, 1);
    (void)pass(100, 1, 0);
    ck_assert_uint_eq(world.closed, 0);
    ck_assert_uint_eq(pass(10, 0, 0), 5);
    ck_assert_uint_eq(world.closed, 1);
    connect_media(true);
    ck_assert(media->core.may_raw);
}
END_TEST

/* Without calls it is tried again, later and later, and soon after it has worked. */
START_TEST(test_not_raw_without_calls)
{
    static const unsigned after_s[] = {60, 120, 240, 480, 600, 600};

    carry(tries_raw[_i]);
    for (size_t i = 0; i < sizeof(after_s) / sizeof(after_s[0]); i++) {
        be_not_raw();
        ck_assert_uint_eq(pass(1000, 0, 0), after_s[i]);
    }
    connect_media(true);
    world.take = SESSION_TAKE_DONE;
    (void)pass(1, 0, 0);
    end_connection("the tunnel ends");
    be_not_raw();
    ck_assert_uint_eq(pass(1000, 0, 0), 60);
}
END_TEST

static const enum inner_carrier sealed[] = {CARRIER_UNORDERED, CARRIER_RAW, CARRIER_AUTO};
enum { SEALED = sizeof(sealed) / sizeof(sealed[0]) };

/* From a port that the raw socket does not see: made anew once there are no calls. */
START_TEST(test_port)
{
    char reason[160];

    carry(sealed[_i]);
    connect_media(false);
    ck_assert(!media->core.may_raw && !world.early);
    (void)pass(100, 1, 0);
    (void)pass(100, 0, 1);
    ck_assert_uint_eq(world.closed, 0);
    mediaconn_in_order(&relay.links[0], reason, sizeof(reason));
    ck_assert_str_eq(reason, "segments are read in their order: all local ports of ours were in "
                             "use; it is tried again");
    mediaconn_not_raw(media, reason, sizeof(reason));
    ck_assert_str_eq(reason, "all local ports of ours were in use; it is tried again");
    ck_assert_uint_eq(pass(10, 0, 0), 5);
    connect_media(true);
    ck_assert(world.early && media->core.may_raw);
    mediaconn_in_order(&relay.links[0], reason, sizeof(reason));
    ck_assert_str_eq(reason, "");
    (void)pass(1000, 0, 0);
    ck_assert_uint_eq(world.closed, 1);
}
END_TEST

/* It says nothing of raw segments: these are not put off for it. */
START_TEST(test_port_is_no_failure)
{
    static const unsigned after_s[] = {5, 10, 20, 40, 80, 80, 80};

    carry(sealed[_i]);
    for (size_t i = 0; i < sizeof(after_s) / sizeof(after_s[0]); i++) {
        connect_media(false);
        ck_assert_uint_eq(pass(1000, 0, 0), after_s[i]);
    }
    ck_assert_uint_eq(media->raw_failures, 0);
    connect_media(true);
    ck_assert(world.early && media->core.may_raw);
    end_connection("the tunnel ends");
    connect_media(false);
    ck_assert_uint_eq(pass(1000, 0, 0), 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mediaconn");
    TCase *tc = tcase_create("mediaconn");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_not_raw_under_calls, 0, TRY_RAW);
    tcase_add_loop_test(tc, test_not_raw_without_calls, 0, TRY_RAW);
    tcase_add_loop_test(tc, test_port, 0, SEALED);
    tcase_add_loop_test(tc, test_port_is_no_failure, 0, SEALED);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
