/* Many SAs at once over the control socket of a running pair, and what that takes; see usage(). */
#include "config.h" /* _GNU_SOURCE */

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/base/base64.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/daemon/turns.h"
#include "tests/bench/ctl.h"
#include "tests/tools/cli.h"

enum {
    REQUEST_SIZE = 1024,
    REPLIES_SIZE = 1 << 20,
    PORTS_PER_IP = 20000,
    FIRST_PORT = 2000,
    FIRST_SSRC = 0x40000000,
    ROUND_TRIPS = 2000,
    POLL_US = 500,
    PATIENCE_S = 60,
    IDLE_TURNS = 3000,
    IDLE_TURN_US = 400,
};

static const char prefix[] = "churn-"; /* of the call ids */

static _Noreturn void usage(FILE *to, int status)
{
    fprintf(
        to,
        "usage: churnbench SOCKET COMMAND, or churnbench machine\n"
        "  add N SUITE     N SAs of senders outside, all requests sent at once\n"
        "  delete          all that add left, likewise\n"
        "  trips SUITE     adds and deletes 2000 SAs, each when the one before has its\n"
        "                  reply; median and 99th percentile\n"
        "  list            all SAs, page by page\n"
        "  resync SOCKET N says \"watching\" when the tunnel is up, waits until it is down,\n"
        "                  up again, and the dmz-relay there has N SAs and is synced; how\n"
        "                  long from one to the next\n"
        "  turns           of the event loop: all; worked for more than 0.5 ms, 1 ms; late;\n"
        "                  the longest, worked and with waiting\n"
        "  machine         the same of a loop that does nothing but look at the clock, for\n"
        "                  0.4 ms in each turn: what is seen here is the machine's\n"
        "SOCKET is the inner-relay's control socket; list and turns take either, machine none.\n");
    exit(status);
}

static double seconds_since(uint64_t began_us)
{
    return (double)(clock_now_us() - began_us) / 1e6;
}

/* ---------------------------------------------------------------- requests */

static json_t *add_request(uint32_t n, const struct suite *suite)
{
    uint8_t material[SUITE_KEY_MAX_OCTETS];
    char source[64], to[64], call[64], key[4 * SUITE_KEY_MAX_OCTETS / 3 + 8];
    unsigned port = FIRST_PORT + 2 * (n % PORTS_PER_IP);

    random_bytes(material, sizeof(material));
    base64_encode(material, suite_material_octets(suite), key);
    snprintf(source, sizeof(source), "127.0.1.%u:%u", 100 + n / PORTS_PER_IP, port);
    snprintf(to, sizeof(to), "127.0.2.%u:%u", 100 + n / PORTS_PER_IP, port);
    snprintf(call, sizeof(call), "%s%u@bench.example", prefix, n);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:[I], s:s, s:s}", "command", "sa-add", "side",
                     "external", "source", source, "suite", suite->name, "key", key, "ssrc",
                     (json_int_t)(FIRST_SSRC + n), "to", to, "call_id", call);
}

static json_t *delete_request(json_int_t id)
{
    return json_pack("{s:s, s:I}", "command", "sa-delete", "id", id);
}

/* Lines that are to be sent. */
struct lines {
    char *text;
    size_t length, size, count;
};

static void add_line(struct lines *lines, json_t *request)
{
    if (lines->size - lines->length < REQUEST_SIZE) {
        lines->size = 2 * lines->size + REQUEST_SIZE;
        lines->text = realloc(lines->text, lines->size);
        if (!lines->text)
            cli_die("out of memory");
    }
    lines->length += json_dumpb(request, lines->text + lines->length, REQUEST_SIZE, JSON_COMPACT);
    lines->text[lines->length++] = '\n';
    lines->count++;
    json_decref(request);
}

/* ---------------------------------------------------------------- all at once */

/* Negative: nobody answers there. */
static int try_connect(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (strlen(path) >= sizeof(name.sun_path))
        cli_die("%s: this path is too long for a socket", path);
    memcpy(name.sun_path, path, strlen(path) + 1);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&name, sizeof(name)) == 0)
        return fd;
    close(fd);
    return -1;
}

static int connect_to(const char *path)
{
    int fd = try_connect(path);

    if (fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        cli_die("%s: %s", path, strerror(errno));
    return fd;
}

/* Counts whole lines; each has to say that it went well. What is left is moved to the front. */
static size_t count_replies(char *text, size_t *length)
{
    size_t count = 0;
    char *at = text, *end;

    while ((end = memchr(at, '\n', *length - (size_t)(at - text))) != NULL) {
        *end = '\0';
        if (!strstr(at, "\"ok\":true"))
            cli_die("refused: %s", at);
        count++;
        at = end + 1;
    }
    *length -= (size_t)(at - text);
    memmove(text, at, *length);
    return count;
}

static size_t send_some(int fd, const struct lines *lines, size_t sent)
{
    ssize_t n = send(fd, lines->text + sent, lines->length - sent, MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN)
        cli_die("the control socket takes no more: %s", strerror(errno));
    return n > 0 ? (size_t)n : 0;
}

static size_t receive_some(int fd, char *text, size_t *length)
{
    ssize_t n = recv(fd, text + *length, REPLIES_SIZE - *length, 0);

    if (n == 0 || (n < 0 && errno != EAGAIN))
        cli_die("the control socket was closed");
    *length += n > 0 ? (size_t)n : 0;
    return count_replies(text, length);
}

static double send_all(const char *path, const struct lines *lines)
{
    int fd = connect_to(path);
    char *replies = malloc(REPLIES_SIZE);
    size_t sent = 0, got = 0, length = 0;
    uint64_t began_us = clock_now_us();

    while (got < lines->count) {
        struct pollfd one = {.fd = fd,
                             .events = (short)(POLLIN | (sent < lines->length ? POLLOUT : 0))};

        if (poll(&one, 1, PATIENCE_S * 1000) <= 0)
            cli_die("no reply within %d s", PATIENCE_S);
        if (one.revents & POLLOUT)
            sent += send_some(fd, lines, sent);
        if (one.revents & POLLIN)
            got += receive_some(fd, replies, &length);
    }
    close(fd);
    free(replies);
    return seconds_since(began_us);
}

static void add(const char *path, const char *count, const char *suite_name)
{
    uint32_t n = (uint32_t)cli_number("N", count, 1, 1000000);
    const struct suite *suite = suite_find(suite_name);
    struct lines lines = {0};

    if (!suite)
        cli_die("there is no suite \"%s\"; one of %s", suite_name, suite_names());
    for (uint32_t i = 0; i < n; i++)
        add_line(&lines, add_request(i, suite));
    printf("%.3f\n", send_all(path, &lines));
    free(lines.text);
}

/* ---------------------------------------------------------------- pages */

/* Calls each with every row; returns how many there are. */
static size_t each_row(const char *path, void (*each)(void *ctx, const json_t *row), void *ctx)
{
    struct ctl *ctl = ctl_open(path);
    json_int_t after = 0;
    size_t count = 0, i;

    do {
        json_t *request = json_pack("{s:s}", "command", "sa-list"), *reply, *row;

        if (after)
            json_object_set_new(request, "after", json_integer(after));
        reply = ctl_ask(ctl, request);
        json_array_foreach(json_object_get(reply, "sas"), i, row)
        {
            each(ctx, row);
            count++;
        }
        after = json_integer_value(json_object_get(reply, "next"));
        json_decref(reply);
    } while (after);
    ctl_close(ctl);
    return count;
}

static void ignore(void *ctx, const json_t *row)
{
    (void)ctx;
    (void)row;
}

static void list(const char *path)
{
    uint64_t began_us = clock_now_us();
    size_t count = each_row(path, ignore, NULL);

    printf("%.3f %zu\n", seconds_since(began_us), count);
}

static void delete_ours(void *ctx, const json_t *row)
{
    const char *call = json_string_value(json_object_get(row, "call_id"));

    if (call && strncmp(call, prefix, strlen(prefix)) == 0)
        add_line(ctx, delete_request(json_integer_value(json_object_get(row, "id"))));
}

static void delete_all(const char *path)
{
    struct lines lines = {0};

    (void)each_row(path, delete_ours, &lines);
    printf("%.3f\n", send_all(path, &lines));
    free(lines.text);
}

/* ---------------------------------------------------------------- one by one */

static int compare(const void *a, const void *b)
{
    uint32_t first = *(const uint32_t *)a, second = *(const uint32_t *)b;

    return (first > second) - (first < second);
}

static void print_trips(const char *what, uint32_t *took_us)
{
    qsort(took_us, ROUND_TRIPS, sizeof(*took_us), compare);
    printf("%s %u %u\n", what, (unsigned)took_us[ROUND_TRIPS / 2],
           (unsigned)took_us[ROUND_TRIPS * 99 / 100]);
}

static json_t *ask_timed(struct ctl *ctl, json_t *request, uint32_t *took_us)
{
    uint64_t began_us = clock_now_us();
    json_t *reply = ctl_ask(ctl, request);

    *took_us = (uint32_t)(clock_now_us() - began_us);
    return reply;
}

static void trips(const char *path, const char *suite_name)
{
    static json_int_t ids[ROUND_TRIPS];
    static uint32_t took_us[ROUND_TRIPS];
    const struct suite *suite = suite_find(suite_name);
    struct ctl *ctl = ctl_open(path);

    if (!suite)
        cli_die("there is no suite \"%s\"; one of %s", suite_name, suite_names());
    for (uint32_t i = 0; i < ROUND_TRIPS; i++) {
        /* Behind all that "add" has made. */
        json_t *reply = ask_timed(ctl, add_request(5 * PORTS_PER_IP + i, suite), &took_us[i]);

        ids[i] = json_integer_value(json_object_get(reply, "id"));
        json_decref(reply);
    }
    print_trips("add", took_us);
    for (uint32_t i = 0; i < ROUND_TRIPS; i++)
        json_decref(ask_timed(ctl, delete_request(ids[i]), &took_us[i]));
    print_trips("delete", took_us);
    ctl_close(ctl);
}

/* ---------------------------------------------------------------- waiting for a sync */

/* NULL: nobody answers there (now). */
static json_t *ask_status(const char *path)
{
    static const char request[] = "{\"command\":\"status\"}\n";
    static char text[65536];
    int fd = try_connect(path);
    size_t length = 0;
    ssize_t n = fd < 0 ? -1 : send(fd, request, strlen(request), MSG_NOSIGNAL);

    while (n > 0 && !memchr(text, '\n', length)) {
        n = recv(fd, text + length, sizeof(text) - length, 0);
        length += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0)
        close(fd);
    return n > 0 ? json_loadb(text, length, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
}

/* Has a tunnel this member, with this value? */
static bool tunnel_is(const json_t *status, const char *member, const char *wanted)
{
    json_t *tunnels = json_object_get(status, "tunnels"), *tunnel;
    size_t i;

    json_array_foreach(tunnels, i, tunnel)
    {
        const char *value = json_string_value(json_object_get(tunnel, member));

        if (value && strcmp(value, wanted) == 0)
            return true;
    }
    return false;
}

static bool is_up(const char *path)
{
    json_t *status = ask_status(path);
    bool up = tunnel_is(status, "state", "up");

    json_decref(status);
    return up;
}

/* wanted negative: any number of SAs. */
static bool is_synced(const char *path, json_int_t wanted)
{
    json_t *status = ask_status(path);
    bool synced = tunnel_is(status, "sync", "synced") &&
                  (wanted < 0 || json_integer_value(json_object_get(status, "sas")) == wanted);

    json_decref(status);
    return synced;
}

static void pause_a_little(uint64_t began_us)
{
    struct timespec pause = {.tv_nsec = POLL_US * 1000};

    if (seconds_since(began_us) > PATIENCE_S)
        cli_die("not within %d s", PATIENCE_S);
    nanosleep(&pause, NULL);
}

static void resync(const char *path, const char *dmz_path, const char *count)
{
    json_int_t wanted = (json_int_t)cli_number("N", count, 0, 1000000);
    uint64_t down_us, up_us, began_us = clock_now_us();

    while (!is_up(path) || !is_up(dmz_path))
        pause_a_little(began_us);
    puts("watching");
    fflush(stdout);
    while (is_up(path) && is_up(dmz_path))
        pause_a_little(began_us);
    down_us = clock_now_us();
    while (!is_up(path))
        pause_a_little(down_us);
    up_us = clock_now_us();
    /* The inner-relay has sent all, and the dmz-relay has taken all. */
    while (!is_synced(path, -1) || !is_synced(dmz_path, wanted))
        pause_a_little(up_us);
    printf("%.3f %.3f\n", (double)(up_us - down_us) / 1e6, seconds_since(up_us));
}

/* ---------------------------------------------------------------- main */

static json_int_t counter(const json_t *reply, const char *name)
{
    return json_integer_value(json_object_get(json_object_get(reply, "counters"), name));
}

static void turns(const char *path)
{
    static const char *const names[] = {"loop_turns",          "loop_turns_over_500us",
                                        "loop_turns_over_1ms", "loop_turns_late",
                                        "loop_longest_own_us", "loop_longest_us"};
    struct ctl *ctl = ctl_open(path);
    json_t *reply = ctl_ask(ctl, json_pack("{s:s}", "command", "stats"));

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        printf("%lld ", (long long)counter(reply, names[i]));
    putchar('\n');
    json_decref(reply);
    ctl_close(ctl);
}

static void on_idle_turn(struct ev_loop *loop, ev_timer *timer, int events)
{
    unsigned *left = timer->data;
    uint64_t began_us = clock_thread_us();

    (void)events;
    while (clock_thread_us() - began_us < IDLE_TURN_US) {
    }
    if (--*left == 0)
        ev_timer_stop(loop, timer);
}

static void machine(void)
{
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    unsigned left = IDLE_TURNS;
    struct turns turns;
    ev_timer timer;

    ev_timer_init(&timer, on_idle_turn, 0.001, 0.001);
    timer.data = &left;
    turns_start(&turns, loop);
    ev_timer_start(loop, &timer);
    ev_run(loop, 0);
    turns_stop(&turns);
    ev_loop_destroy(loop);
    printf("%llu %llu %llu %llu %llu %llu\n", (unsigned long long)turns.count,
           (unsigned long long)turns.over_500us, (unsigned long long)turns.over_1ms,
           (unsigned long long)turns.late, (unsigned long long)turns.longest_own_us,
           (unsigned long long)turns.longest_us);
}

int main(int argc, char **argv)
{
    const char *command = argc > 2 ? argv[2] : "";

    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        usage(stdout, 0);
    if (argc == 5 && strcmp(command, "add") == 0)
        add(argv[1], argv[3], argv[4]);
    else if (argc == 3 && strcmp(command, "delete") == 0)
        delete_all(argv[1]);
    else if (argc == 4 && strcmp(command, "trips") == 0)
        trips(argv[1], argv[3]);
    else if (argc == 3 && strcmp(command, "list") == 0)
        list(argv[1]);
    else if (argc == 5 && strcmp(command, "resync") == 0)
        resync(argv[1], argv[3], argv[4]);
    else if (argc == 3 && strcmp(command, "turns") == 0)
        turns(argv[1]);
    else if (argc == 2 && strcmp(argv[1], "machine") == 0)
        machine();
    else
        usage(stderr, CLI_USAGE);
    return EXIT_SUCCESS;
}
