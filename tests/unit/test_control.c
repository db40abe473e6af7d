#include "config.h"

#include "common/daemon/control.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <grp.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/err.h"
#include "tests/unit/unit.h"

enum { DEADLINE_SECONDS = 60, MANY = 20000, FOREIGN_ID = 64321 };

static json_t *run_echo(void *ctx, const json_t *request)
{
    json_t *say = json_object_get(request, "say");
    unsigned *calls = ctx;

    (*calls)++;
    return json_pack("{s:b, s:O}", "ok", 1, "said", say ? say : json_null());
}

static json_t *run_many(void *ctx, const json_t *request)
{
    json_t *list = json_array();

    (void)ctx;
    (void)request;
    for (int i = 0; i < MANY; i++)
        json_array_append_new(list, json_pack("{s:i, s:s}", "id", i, "source", "192.0.2.1:5004"));
    return json_pack("{s:b, s:o}", "ok", 1, "sas", list);
}

/* Takes longer than a turn of the loop may. */
static json_t *run_slow(void *ctx, const json_t *request)
{
    unsigned *calls = ctx;
    ev_tstamp end = ev_time() + 0.001;

    (void)request;
    while (ev_time() < end)
        ;
    (*calls)++;
    return json_pack("{s:b}", "ok", 1);
}

static json_t *run_refuse(void *ctx, const json_t *request)
{
    (void)ctx;
    (void)request;
    return control_refuse("say", "\xff is not %s", "text");
}

static json_t *run_nothing(void *ctx, const json_t *request)
{
    (void)ctx;
    (void)request;
    return NULL;
}

static const struct control_command commands[] = {
    {"echo", run_echo},       {"many", run_many}, {"refuse", run_refuse},
    {"nothing", run_nothing}, {"slow", run_slow}, {NULL, NULL},
};

/* ---------------------------------------------------------------- fixture */

struct place {
    char folder[64];
    char path[96];
    char error[256];
    struct ev_loop *loop;
    struct control *control;
    unsigned calls;
};

static struct place place;

static int open_at(struct control **control, const char *path, const char *group)
{
    return control_open(control, place.loop, path, group, commands, &place.calls, place.error,
                        sizeof(place.error));
}

static void set_up(void)
{
    memset(&place, 0, sizeof(place));
    snprintf(place.folder, sizeof(place.folder), "%s", "/tmp/test_control.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(place.folder));
    snprintf(place.path, sizeof(place.path), "%s/socket", place.folder);
    place.loop = ev_loop_new(EVFLAG_AUTO);
    ck_assert_ptr_nonnull(place.loop);
    ck_assert_msg(open_at(&place.control, place.path, "") == 0, "%s", place.error);
}

static void tear_down(void)
{
    control_close(place.control);
    ev_loop_destroy(place.loop);
    unlink(place.path);
    ck_assert_int_eq(rmdir(place.folder), 0);
}

/* ---------------------------------------------------------------- a client */

struct client {
    int fd;
    bool closed; /* by the daemon */
    size_t length;
    char text[16 * 1024 * 1024];
};

static struct client *client_open(void)
{
    struct client *client = calloc(1, sizeof(*client));
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    strcpy(address.sun_path, place.path);
    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(client->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return client;
}

static void client_close(struct client *client)
{
    close(client->fd);
    free(client);
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)timer;
    (void)events;
}

/* One turn of the loop, in which this process waits no longer than 10 ms. */
static void turn(void)
{
    ev_timer tick;

    ev_timer_init(&tick, on_tick, 0.01, 0.);
    ev_timer_start(place.loop, &tick);
    ev_run(place.loop, EVRUN_ONCE);
    ev_timer_stop(place.loop, &tick);
}

static void client_take(struct client *client)
{
    ssize_t n = recv(client->fd, client->text + client->length,
                     sizeof(client->text) - 1 - client->length, MSG_DONTWAIT);

    if (n > 0)
        client->length += (size_t)n;
    else if (n == 0 || errno != EAGAIN)
        client->closed = true;
}

/* Where the socket is full the daemon takes some of it, and as its replies may fill the other way,
 * they are taken, too. */
static void client_send(struct client *client, const char *text, size_t length)
{
    ev_tstamp end = ev_time() + DEADLINE_SECONDS;

    while (length > 0) {
        ssize_t n = send(client->fd, text, length, MSG_NOSIGNAL);

        ck_assert(n > 0 || (n < 0 && errno == EAGAIN && ev_time() < end));
        if (n < 0) {
            turn();
            client_take(client);
            continue;
        }
        text += n;
        length -= (size_t)n;
    }
}

static void client_say(struct client *client, const char *line)
{
    client_send(client, line, strlen(line));
    client_send(client, "\n", 1);
}

/* Turns the loop until the client has so many lines, or the daemon closed it. */
static void client_wait(struct client *client, size_t lines)
{
    ev_tstamp end = ev_time() + DEADLINE_SECONDS;
    size_t have = 0, seen = 0;

    while (!client->closed && have < lines) {
        turn();
        client_take(client);
        for (; seen < client->length; seen++)
            have += client->text[seen] == '\n';
        ck_assert_msg(ev_time() < end, "no reply");
    }
}

static void client_wait_closed(struct client *client)
{
    client_wait(client, SIZE_MAX);
    ck_assert(client->closed);
}

/* Removes the first line that came and returns it as JSON. */
static json_t *client_reply(struct client *client)
{
    char *end;
    json_t *reply;

    client_wait(client, 1);
    end = memchr(client->text, '\n', client->length);
    ck_assert_msg(end != NULL, "closed without a reply");
    reply = json_loadb(client->text, (size_t)(end - client->text), 0, NULL);
    ck_assert_ptr_nonnull(reply);
    client->length -= (size_t)(end + 1 - client->text);
    memmove(client->text, end + 1, client->length);
    return reply;
}

static void check_refused(json_t *reply, const char *error)
{
    const char *text = json_string_value(json_object_get(reply, "error"));

    ck_assert(json_is_false(json_object_get(reply, "ok")));
    ck_assert_ptr_nonnull(text);
    ck_assert_msg(strstr(text, error) != NULL, "\"%s\" does not say \"%s\"", text, error);
    json_decref(reply);
}

static void check_said(json_t *reply, const char *said)
{
    ck_assert(json_is_true(json_object_get(reply, "ok")));
    ck_assert_str_eq(json_string_value(json_object_get(reply, "said")), said);
    json_decref(reply);
}

static void check_serves(void)
{
    struct client *client = client_open();

    client_say(client, "{\"command\":\"echo\",\"say\":\"hello\"}");
    check_said(client_reply(client), "hello");
    client_close(client);
}

/* ---------------------------------------------------------------- the parser */

static const struct {
    const char *line;
    const char *error; /* NULL: ok */
} lines[] = {
    {"{\"command\":\"echo\",\"say\":\"x\"}", NULL},
    {" {\"command\":\"echo\",\"say\":\"x\"} \r", NULL},
    {"", "not JSON"},
    {"{", "not JSON"},
    {"{}", "names no command"},
    {"[]", "not a JSON object"},
    {"[\"command\"]", "not a JSON object"},
    {"\"echo\"", "not JSON"},
    {"{\"command\":1}", "names no command"},
    {"{\"command\":null}", "names no command"},
    {"{\"command\":\"Echo\"}", "there is no command \"Echo\""},
    {"{\"command\":\"\"}", "there is no command"},
    {"{\"command\":\"echo\",\"command\":\"many\"}", "stands twice"},
    {"{\"command\":\"echo\",\"say\":{\"a\":1,\"a\":2}}", "stands twice"},
    {"{\"command\":\"echo\",\"say\":\"x\"} {}", "not JSON"},
    {"{\"command\":\"echo\",\"say\":\"\xff\"}", "not JSON"},
    {"{\"command\":\"echo\",\"say\":\"\\u0000\"}", "not JSON"},
    {"{\"command\":\"refuse\"}", "? is not text"},
    {"{\"command\":\"nothing\"}", "out of memory"},
};

START_TEST(answers)
{
    unsigned calls = 0;
    json_t *reply = control_answer(commands, &calls, lines[_i].line, strlen(lines[_i].line));

    if (lines[_i].error)
        check_refused(reply, lines[_i].error);
    else
        check_said(reply, "x");
    ck_assert_uint_eq(calls, lines[_i].error ? 0 : 1);
}
END_TEST

START_TEST(answers_name_the_field)
{
    static const char line[] = "{\"command\":\"refuse\"}";
    json_t *reply = control_answer(commands, NULL, line, strlen(line));

    ck_assert_str_eq(json_string_value(json_object_get(reply, "field")), "say");
    json_decref(reply);
}
END_TEST

START_TEST(depth_is_bounded)
{
    unsigned calls = 0;
    char line[CONTROL_LINE_MAX];

    memset(line, '[', sizeof(line));
    check_refused(control_answer(commands, &calls, line, sizeof(line)), "nested too deeply");
}
END_TEST

/* What stands in the request is never quoted when it does not parse: it may be a key. */
START_TEST(syntax_errors_quote_nothing)
{
    static const char line[] = "{\"command\":\"sa-add\",\"key\":SECRETSECRET}";
    json_t *reply = control_answer(commands, NULL, line, strlen(line));
    char *text = json_dumps(reply, 0);

    ck_assert_ptr_null(strstr(text, "SECRET"));
    free(text);
    json_decref(reply);
}
END_TEST

static void check_answer(const char *line, size_t length)
{
    unsigned calls = 0;
    char *exact = malloc(length ? length : 1);
    json_t *reply;

    memcpy(exact, line, length);
    reply = control_answer(commands, &calls, exact, length);
    ck_assert(json_is_boolean(json_object_get(reply, "ok")));
    ck_assert(json_is_true(json_object_get(reply, "ok")) ==
              (json_object_get(reply, "error") == NULL));
    ck_assert_uint_eq(calls, json_is_true(json_object_get(reply, "ok")));
    json_decref(reply);
    free(exact);
}

START_TEST(truncated_and_flipped)
{
    static const char line[] = "{\"command\":\"echo\",\"say\":\"x\",\"n\":[1,-2.5e3,true,null]}";
    char flipped[sizeof(line)];

    for (size_t n = 0; n < strlen(line); n++)
        check_answer(line, n);
    for (size_t bit = 0; bit < 8 * strlen(line); bit++) {
        memcpy(flipped, line, sizeof(line));
        flipped[bit / 8] = (char)(flipped[bit / 8] ^ 1 << bit % 8);
        check_answer(flipped, strlen(line));
    }
}
END_TEST

/* ---------------------------------------------------------------- the socket file */

START_TEST(socket_has_mode_and_group)
{
    struct stat st;

    ck_assert_int_eq(lstat(place.path, &st), 0);
    ck_assert(S_ISSOCK(st.st_mode));
    ck_assert_uint_eq(st.st_mode & 07777, 0660);
    ck_assert_uint_eq(st.st_gid, getegid());
    control_close(place.control);
    place.control = NULL;
    ck_assert_int_eq(lstat(place.path, &st), -1);
}
END_TEST

START_TEST(mode_does_not_depend_on_umask)
{
    static const mode_t masks[] = {0, 077, 0777};
    struct control *control;
    mode_t old = umask(masks[_i]);
    struct stat st;
    char path[128];

    snprintf(path, sizeof(path), "%s.2", place.path);
    ck_assert_msg(open_at(&control, path, NULL) == 0, "%s", place.error);
    umask(old);
    ck_assert_int_eq(lstat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0660);
    control_close(control);
}
END_TEST

START_TEST(group_by_name_and_number)
{
    const struct group *own = getgrgid(getegid());
    char number[16], path[128];
    const char *names[] = {number, own ? own->gr_name : number};
    struct control *control;
    struct stat st;

    snprintf(number, sizeof(number), "%u", (unsigned)getegid());
    snprintf(path, sizeof(path), "%s.2", place.path);
    for (int i = 0; i < 2; i++) {
        ck_assert_msg(open_at(&control, path, names[i]) == 0, "%s", place.error);
        ck_assert_int_eq(lstat(path, &st), 0);
        ck_assert_uint_eq(st.st_gid, getegid());
        control_close(control);
    }
}
END_TEST

START_TEST(unknown_group)
{
    struct control *control;
    char path[128];
    struct stat st;

    snprintf(path, sizeof(path), "%s.2", place.path);
    ck_assert_int_eq(open_at(&control, path, "no-such-group"), ERR_NOT_FOUND);
    ck_assert_ptr_null(control);
    ck_assert_ptr_nonnull(strstr(place.error, "no-such-group"));
    ck_assert_int_eq(lstat(path, &st), -1);
}
END_TEST

START_TEST(live_socket_is_left_alone)
{
    struct control *control;

    ck_assert_int_eq(open_at(&control, place.path, NULL), ERR_EXISTS);
    ck_assert_ptr_null(control);
    ck_assert_ptr_nonnull(strstr(place.error, place.path));
    check_serves();
}
END_TEST

static void make_stale_socket(const char *path)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    strcpy(address.sun_path, path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    close(fd);
}

START_TEST(stale_socket_is_replaced)
{
    control_close(place.control);
    make_stale_socket(place.path);
    ck_assert_msg(open_at(&place.control, place.path, NULL) == 0, "%s", place.error);
    check_serves();
}
END_TEST

START_TEST(other_files_are_left_alone)
{
    struct control *control;
    char path[128], text[8] = "";
    int fd;

    snprintf(path, sizeof(path), "%s.2", place.path);
    fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, "mine", 4), 4);
    ck_assert_int_eq(open_at(&control, path, NULL), ERR_EXISTS);
    ck_assert_ptr_nonnull(strstr(place.error, "not a socket"));
    ck_assert_int_eq(pread(fd, text, sizeof(text), 0), 4);
    close(fd);
    ck_assert_int_eq(unlink(path), 0);
}
END_TEST

/* Somebody else's socket that took our place is not ours to remove. */
START_TEST(close_removes_only_its_own)
{
    struct stat st;

    unlink(place.path);
    make_stale_socket(place.path);
    control_close(place.control);
    place.control = NULL;
    ck_assert_int_eq(lstat(place.path, &st), 0);
}
END_TEST

START_TEST(bad_paths)
{
    struct control *control;
    char path[200];

    memset(path, 'x', sizeof(path));
    path[108] = '\0';
    ck_assert_int_eq(open_at(&control, path, NULL), ERR_TOO_LONG);
    ck_assert_int_eq(open_at(&control, "", NULL), ERR_TOO_LONG);
    snprintf(path, sizeof(path), "%s/missing/socket", place.folder);
    ck_assert_int_eq(open_at(&control, path, NULL), ERR_SYSTEM);
    ck_assert_ptr_nonnull(strstr(place.error, "missing/socket"));
    ck_assert_ptr_null(control);
}
END_TEST

/* ---------------------------------------------------------------- clients */

START_TEST(lines_in_one_write_and_octet_by_octet)
{
    static const char two[] =
        "{\"command\":\"echo\",\"say\":\"1\"}\n{\"command\":\"echo\",\"say\":\"2\"}\n";
    struct client *client = client_open();

    client_send(client, two, strlen(two));
    check_said(client_reply(client), "1");
    check_said(client_reply(client), "2");
    for (size_t i = 0; two[i]; i++) {
        client_send(client, two + i, 1);
        turn();
    }
    check_said(client_reply(client), "1");
    check_said(client_reply(client), "2");
    client_close(client);
}
END_TEST

START_TEST(bad_line_does_not_end_the_connection)
{
    struct client *client = client_open();

    client_say(client, "nonsense");
    check_refused(client_reply(client), "not JSON");
    client_say(client, "{\"command\":\"echo\",\"say\":\"3\"}");
    check_said(client_reply(client), "3");
    client_close(client);
}
END_TEST

/* As "nc -N" does: the answers come although nothing more can be asked. */
START_TEST(half_closed_client_gets_its_answers)
{
    struct client *client = client_open();

    client_say(client, "{\"command\":\"many\"}");
    client_say(client, "{\"command\":\"echo\",\"say\":\"4\"}");
    ck_assert_int_eq(shutdown(client->fd, SHUT_WR), 0);
    client_wait_closed(client);
    json_decref(client_reply(client));
    check_said(client_reply(client), "4");
    client_close(client);
}
END_TEST

static size_t padded_line(char *line, size_t length)
{
    static const char request[] = "{\"command\":\"echo\",\"say\":\"long\"}";

    memset(line, ' ', length);
    memcpy(line, request, strlen(request));
    line[length] = '\n';
    return length + 1;
}

START_TEST(longest_line)
{
    static char line[CONTROL_LINE_MAX + 2];
    struct client *client = client_open();

    client_send(client, line, padded_line(line, CONTROL_LINE_MAX));
    check_said(client_reply(client), "long");
    client_send(client, line, padded_line(line, CONTROL_LINE_MAX + 1));
    check_refused(client_reply(client), "longer than 16384 octets");
    client_wait_closed(client);
    ck_assert_uint_eq(place.calls, 1);
    client_close(client);
}
END_TEST

START_TEST(clients_are_bounded)
{
    struct client *clients[CONTROL_CLIENTS_MAX + 1];

    for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        clients[i] = client_open();
        client_say(clients[i], "{\"command\":\"echo\",\"say\":\"in\"}");
        check_said(client_reply(clients[i]), "in");
    }
    clients[CONTROL_CLIENTS_MAX] = client_open();
    check_refused(client_reply(clients[CONTROL_CLIENTS_MAX]), "16 clients");
    client_wait_closed(clients[CONTROL_CLIENTS_MAX]);
    client_close(clients[0]);
    turn();
    check_serves();
    for (int i = 1; i <= CONTROL_CLIENTS_MAX; i++)
        client_close(clients[i]);
}
END_TEST

START_TEST(idle_clients_are_closed)
{
    struct client *client;

    control_set_limits(place.control, 0.02, CONTROL_REPLY_MAX);
    client = client_open();
    client_wait_closed(client);
    ck_assert_uint_eq(client->length, 0);
    client_close(client);
    control_set_limits(place.control, CONTROL_IDLE_SECONDS, CONTROL_REPLY_MAX);
    check_serves();
}
END_TEST

/* A client that asks for much and reads nothing does not stop the others, nor the loop. */
START_TEST(large_reply_waits_for_its_reader)
{
    struct client *client = client_open();
    json_t *reply;

    client_say(client, "{\"command\":\"many\"}");
    client_say(client, "{\"command\":\"echo\",\"say\":\"after\"}");
    for (int i = 0; i < 10; i++)
        check_serves();
    ck_assert_uint_eq(place.calls, 10); /* the line behind the large one waits too */
    reply = client_reply(client);
    ck_assert_uint_eq(json_array_size(json_object_get(reply, "sas")), MANY);
    json_decref(reply);
    check_said(client_reply(client), "after");
    client_close(client);
}
END_TEST

static size_t count_lines(const struct client *client)
{
    size_t count = 0;

    for (size_t i = 0; i < client->length; i++)
        count += client->text[i] == '\n';
    return count;
}

static void client_say_times(struct client *client, const char *line, unsigned times)
{
    while (times-- > 0)
        client_say(client, line);
}

/* However many lines wait, one turn of the loop runs no more of them than it has time for. */
START_TEST(slow_lines_are_run_one_a_turn)
{
    struct client *client = client_open();

    client_say_times(client, "{\"command\":\"slow\"}", 20);
    while (place.calls < 20) {
        unsigned before = place.calls;

        turn();
        ck_assert_uint_le(place.calls, before + 1);
    }
    client_wait(client, 20);
    client_close(client);
}
END_TEST

/* Nor do many clients together, and none of them has to wait for another's last line. */
START_TEST(slow_clients_take_turns)
{
    enum { CLIENTS = 3, LINES = 6 };
    struct client *clients[CLIENTS];
    size_t have[CLIENTS] = {0};

    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = client_open();
        client_say_times(clients[i], "{\"command\":\"slow\"}", LINES);
    }
    while (place.calls < CLIENTS * LINES) {
        unsigned before = place.calls;

        turn();
        ck_assert_uint_le(place.calls, before + 1);
        for (int i = 0; i < CLIENTS; i++) {
            client_take(clients[i]);
            have[i] = count_lines(clients[i]);
        }
        for (int i = 0; i < CLIENTS; i++)
            ck_assert_uint_le(have[i], have[(i + 1) % CLIENTS] + 2);
    }
    for (int i = 0; i < CLIENTS; i++) {
        client_wait(clients[i], LINES);
        client_close(clients[i]);
    }
}
END_TEST

/* A client that is refused its turn and goes does not hold up the others. */
START_TEST(waiting_client_leaves)
{
    struct client *stays = client_open(), *goes = client_open();

    client_say_times(stays, "{\"command\":\"slow\"}", 5);
    client_say_times(goes, "{\"command\":\"slow\"}", 5);
    while (place.calls < 1 + (unsigned)_i)
        turn();
    client_close(goes);
    client_wait(stays, 5);
    client_close(stays);
}
END_TEST

/* The replies of one turn may go out together; each line has its own, in their order. */
START_TEST(many_lines)
{
    struct client *client = client_open();
    const unsigned count = unit_rounds(300);
    char line[64], said[16];

    for (unsigned i = 0; i < count; i++) {
        snprintf(line, sizeof(line), "{\"command\":\"echo\",\"say\":\"%u\"}", i);
        client_say(client, line);
    }
    for (unsigned i = 0; i < count; i++) {
        snprintf(said, sizeof(said), "%u", i);
        check_said(client_reply(client), said);
    }
    ck_assert_uint_eq(place.calls, count);
    client_close(client);
}
END_TEST

/* A client that takes no replies is asked for no more lines once the bound is reached. */
START_TEST(unread_replies_are_bounded)
{
    static const char begin[] = "{\"command\":\"echo\",\"say\":\"";
    char line[8 * 1024];
    struct client *client = client_open();
    unsigned sent = 0, quiet = 0;

    memset(line, 'x', sizeof(line));
    memcpy(line, begin, strlen(begin));
    memcpy(line + sizeof(line) - 3, "\"}\n", 3);
    while (quiet < 20) {
        bool took = send(client->fd, line, sizeof(line), MSG_NOSIGNAL | MSG_DONTWAIT) ==
                    (ssize_t)sizeof(line);

        sent += took;
        quiet = took ? 0 : quiet + 1;
        turn();
        ck_assert_uint_lt(sent, 10000);
    }
    /* What the kernel holds in both directions, and 64 KiB here. */
    ck_assert_uint_lt(place.calls, sent);
    client_wait(client, sent);
    ck_assert_uint_eq(place.calls, sent);
    client_close(client);
}
END_TEST

/* A refusal in its place, and the connection goes on. */
START_TEST(reply_is_bounded)
{
    struct client *client;

    control_set_limits(place.control, CONTROL_IDLE_SECONDS, 1000);
    client = client_open();
    client_say(client, "{\"command\":\"many\"}");
    check_refused(client_reply(client), "too large");
    client_say(client, "{\"command\":\"echo\",\"say\":\"5\"}");
    check_said(client_reply(client), "5");
    client_close(client);
}
END_TEST

START_TEST(client_leaves_in_the_middle)
{
    for (int i = 0; i < CONTROL_CLIENTS_MAX + 2; i++) {
        struct client *client = client_open();

        client_say(client, i % 2 ? "{\"command\":\"many\"}" : "{\"comm");
        turn();
        client_close(client);
        turn();
    }
    check_serves();
}
END_TEST

START_TEST(works_with_wiping_memory)
{
    control_wipe_json();
    check_serves();
    json_set_alloc_funcs(malloc, free);
}
END_TEST

/* ---------------------------------------------------------------- credentials */

static const struct {
    uid_t uid;
    gid_t gid;
    gid_t groups[3];
    size_t group_count;
    bool allowed;
} peers[] = {
    {0, 0, {0}, 0, true},
    {0, 5, {0}, 0, true},
    {100, 5, {0}, 0, true}, /* the daemon's own */
    {101, 5, {0}, 0, false},
    {101, 200, {0}, 0, true}, /* primary group */
    {101, 5, {200}, 1, true},
    {101, 5, {6, 7, 200}, 3, true},
    {101, 5, {6, 7, 200}, 2, false},
    {101, 0, {0}, 1, false}, /* root's group is not root */
    {200, 100, {100}, 1, false},
};

START_TEST(peers_allowed)
{
    struct control_peer peer = {peers[_i].uid, peers[_i].gid, peers[_i].groups,
                                peers[_i].group_count};

    ck_assert_int_eq(control_peer_allowed(&peer, 100, 200), peers[_i].allowed);
}
END_TEST

/* Another user asks; exits 0 when the reply is ok, 1 when it was refused. */
static pid_t ask_as(gid_t group)
{
    pid_t pid = fork();
    char text[512] = "";

    if (pid == 0) {
        struct client *client;

        if (setgroups(group ? 1 : 0, &group) < 0 || setgid(FOREIGN_ID) < 0 ||
            setuid(FOREIGN_ID) < 0)
            _exit(2);
        client = client_open();
        fcntl(client->fd, F_SETFL, 0);
        (void)!send(client->fd, "{\"command\":\"echo\",\"say\":\"x\"}\n", 29, MSG_NOSIGNAL);
        if (recv(client->fd, text, sizeof(text) - 1, 0) <= 0)
            _exit(3);
        _exit(strstr(text, "\"ok\":true") ? 0 : strstr(text, "not allowed") ? 1 : 4);
    }
    return pid;
}

static int wait_for(pid_t pid)
{
    ev_tstamp end = ev_time() + DEADLINE_SECONDS;
    int status = 0;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        ck_assert(ev_time() < end);
        turn();
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Only root can become somebody else; the file's mode is opened so that the credentials decide. */
START_TEST(foreign_users)
{
    ck_assert_int_eq(chmod(place.folder, 0755), 0);
    ck_assert_int_eq(chmod(place.path, 0666), 0);
    ck_assert_int_eq(wait_for(ask_as(0)), 1);
    ck_assert_int_eq(wait_for(ask_as(FOREIGN_ID + 1)), 1);
    control_close(place.control);
    ck_assert_int_eq(open_at(&place.control, place.path, "64322"), 0);
    ck_assert_int_eq(wait_for(ask_as(FOREIGN_ID + 1)), 0);
}
END_TEST

static TCase *parser_case(void)
{
    TCase *tcase = tcase_create("parser");

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, answers, 0, sizeof(lines) / sizeof(lines[0]));
    tcase_add_test(tcase, answers_name_the_field);
    tcase_add_test(tcase, depth_is_bounded);
    tcase_add_test(tcase, syntax_errors_quote_nothing);
    tcase_add_test(tcase, truncated_and_flipped);
    tcase_add_loop_test(tcase, peers_allowed, 0, sizeof(peers) / sizeof(peers[0]));
    return tcase;
}

static TCase *file_case(void)
{
    TCase *tcase = tcase_create("socket file");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, socket_has_mode_and_group);
    tcase_add_loop_test(tcase, mode_does_not_depend_on_umask, 0, 3);
    tcase_add_test(tcase, group_by_name_and_number);
    tcase_add_test(tcase, unknown_group);
    tcase_add_test(tcase, live_socket_is_left_alone);
    tcase_add_test(tcase, stale_socket_is_replaced);
    tcase_add_test(tcase, other_files_are_left_alone);
    tcase_add_test(tcase, close_removes_only_its_own);
    tcase_add_test(tcase, bad_paths);
    return tcase;
}

static TCase *client_case(void)
{
    TCase *tcase = tcase_create("clients");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, lines_in_one_write_and_octet_by_octet);
    tcase_add_test(tcase, bad_line_does_not_end_the_connection);
    tcase_add_test(tcase, half_closed_client_gets_its_answers);
    tcase_add_test(tcase, longest_line);
    tcase_add_test(tcase, clients_are_bounded);
    tcase_add_test(tcase, idle_clients_are_closed);
    tcase_add_test(tcase, large_reply_waits_for_its_reader);
    tcase_add_test(tcase, slow_lines_are_run_one_a_turn);
    tcase_add_test(tcase, slow_clients_take_turns);
    tcase_add_loop_test(tcase, waiting_client_leaves, 0, 4);
    tcase_add_test(tcase, many_lines);
    tcase_add_test(tcase, unread_replies_are_bounded);
    tcase_add_test(tcase, reply_is_bounded);
    tcase_add_test(tcase, client_leaves_in_the_middle);
    tcase_add_test(tcase, works_with_wiping_memory);
    if (geteuid() == 0)
        tcase_add_test(tcase, foreign_users);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("control");

    suite_add_tcase(suite, parser_case());
    suite_add_tcase(suite, file_case());
    suite_add_tcase(suite, client_case());
    return unit_run(suite);
}
