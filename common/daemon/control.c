#include "config.h"

#define LOG_MODULE "control"

#include "common/daemon/control.h"

#include <errno.h>
#include <ev.h>
#include <grp.h>
#include <jansson.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/daemon/unixsock.h"
#include "common/tunnel/turn.h"

enum {
    ACCEPT_RETRY_SECONDS = 1,
    PEER_GROUPS = 64,
    REFUSAL_SIZE = 1024,
    /* With as many octets of replies unsent a client's next line has to wait. */
    REPLIES_OCTETS = 64 * 1024,
};

/* Lines on their way out; empty when length is 0. */
struct reply {
    char *text;
    size_t length, size, sent;
    size_t begin; /* of the line that is being added */
    size_t max;   /* of one line; stays when the reply is emptied */
};

struct client {
    struct control *control;
    int fd;           /* -1: this place is free */
    bool closing;     /* takes no more lines, is closed when the reply is out */
    uint64_t served;  /* when its last line was run, in lines of all clients */
    unsigned waiting; /* the last turn in which it had a line that was left for the next one */
    ev_io io;
    ev_timer idle;
    struct reply reply;
    size_t held;
    char line[CONTROL_LINE_MAX + 1];
};

struct control {
    struct ev_loop *loop;
    const struct control_command *commands;
    void *ctx;
    struct unixsock sock;
    ev_io accept;
    ev_timer accept_again;
    double idle;
    size_t reply_max;
    uint64_t lines;     /* run so far */
    unsigned line_turn; /* in which the last one was run */
    struct client clients[CONTROL_CLIENTS_MAX];
};

/* ---------------------------------------------------------------- answers */

/* Reply text may quote what somebody sent; jansson takes UTF-8 only. */
static json_t *string_of_any(char *text)
{
    json_t *string = json_string(text);

    if (string)
        return string;
    for (char *c = text; *c; c++) {
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    }
    return json_string(text);
}

struct json_t *control_refuse(const char *field, const char *format, ...)
{
    char text[REFUSAL_SIZE];
    json_t *reply = json_object();
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    if (!reply || json_object_set_new(reply, "ok", json_false()) < 0 ||
        json_object_set_new(reply, "error", string_of_any(text)) < 0 ||
        (field && json_object_set_new(reply, "field", json_string(field)) < 0)) {
        json_decref(reply);
        return NULL;
    }
    return reply;
}

/* jansson's own text quotes the request, which may hold a key; so only what and where. */
static json_t *refuse_syntax(const json_error_t *error)
{
    switch (json_error_code(error)) {
    case json_error_duplicate_key:
        return control_refuse(NULL, "a member of the request stands twice, at octet %d",
                              error->position);
    case json_error_stack_overflow:
        return control_refuse(NULL, "the request is nested too deeply");
    case json_error_out_of_memory:
        return control_refuse(NULL, "out of memory");
    default:
        return control_refuse(NULL,
                              "the request is not JSON, at octet %d; send one object per line",
                              error->position);
    }
}

static json_t *run_command(const struct control_command *commands, void *ctx, const json_t *request)
{
    const char *name = json_string_value(json_object_get(request, "command"));
    json_t *reply;

    if (!json_is_object(request))
        return control_refuse(NULL, "the request is not a JSON object");
    if (!name)
        return control_refuse("command", "the request names no command, as text");
    for (; commands->name; commands++) {
        if (strcmp(commands->name, name) != 0)
            continue;
        reply = commands->run(ctx, request);
        return reply ? reply : control_refuse(NULL, "out of memory");
    }
    return control_refuse("command", "there is no command \"%.40s\"", name);
}

struct json_t *control_answer(const struct control_command *commands, void *ctx, const char *line,
                              size_t length)
{
    json_error_t error;
    json_t *request = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);
    json_t *reply = request ? run_command(commands, ctx, request) : refuse_syntax(&error);

    json_decref(request);
    wipe(&error, sizeof(error));
    return reply;
}

static void wiping_free(void *memory)
{
    if (memory)
        wipe(memory, malloc_usable_size(memory));
    free(memory);
}

void control_wipe_json(void)
{
    json_set_alloc_funcs(malloc, wiping_free);
}

/* ---------------------------------------------------------------- replies */

static void reply_fini(struct reply *reply)
{
    free(reply->text);
    *reply = (struct reply){.max = reply->max};
}

static int reply_append(const char *text, size_t length, void *data)
{
    struct reply *reply = data;
    size_t size = reply->size ? reply->size : 512;
    char *larger;

    if (length > reply->max - (reply->length - reply->begin))
        return -1;
    while (size < reply->length + length)
        size *= 2;
    if (size != reply->size) {
        larger = realloc(reply->text, size);
        if (!larger)
            return -1;
        reply->text = larger;
        reply->size = size;
    }
    memcpy(reply->text + reply->length, text, length);
    reply->length += length;
    return 0;
}

/* What has gone makes room, once it is the greater part. */
static void reply_sent(struct reply *reply, size_t octets)
{
    reply->sent += octets;
    if (reply->sent <= reply->length / 2)
        return;
    reply->length -= reply->sent;
    memmove(reply->text, reply->text + reply->sent, reply->length);
    reply->sent = 0;
    if (reply->length == 0)
        reply_fini(reply);
}

/* Adds a line, or nothing. Consumes answer. */
static int reply_add(struct reply *reply, json_t *answer)
{
    int rc = ERR_NOMEM;

    reply->begin = reply->length;
    if (answer && json_dump_callback(answer, reply_append, reply, JSON_COMPACT) == 0 &&
        reply_append("\n", 1, reply) == 0)
        rc = 0;
    json_decref(answer);
    if (rc < 0)
        reply->length = reply->begin;
    return rc;
}

/* A reply that cannot be made becomes a refusal. Negative: not even that. */
static int reply_add_or_refuse(struct reply *reply, json_t *answer)
{
    if (reply_add(reply, answer) == 0)
        return 0;
    return reply_add(reply, control_refuse(NULL, "the reply is too large"));
}

/* ---------------------------------------------------------------- clients */

static void client_close(struct client *client)
{
    ev_io_stop(client->control->loop, &client->io);
    ev_timer_stop(client->control->loop, &client->idle);
    close(client->fd);
    client->fd = -1;
    reply_fini(&client->reply);
    wipe(client->line, sizeof(client->line));
}

static bool client_has_line(const struct client *client)
{
    return memchr(client->line, '\n', client->held) != NULL;
}

/* Sends what the socket takes. Negative when the client is gone. */
static int client_flush(struct client *client)
{
    struct reply *reply = &client->reply;

    while (reply->sent < reply->length) {
        ssize_t n = send(client->fd, reply->text + reply->sent, reply->length - reply->sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : ERR_CLOSED;
        reply_sent(reply, (size_t)n);
        ev_timer_again(client->control->loop, &client->idle);
    }
    return 0;
}

/* Called only when the buffer has room: a full one was answered before. */
static int client_receive(struct client *client)
{
    ssize_t n = recv(client->fd, client->line + client->held, sizeof(client->line) - client->held,
                     MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : ERR_CLOSED;
    if (n == 0)
        return ERR_CLOSED;
    client->held += (size_t)n;
    return 0;
}

static int client_run_line(struct client *client, size_t length)
{
    struct control *control = client->control;
    json_t *answer = control_answer(control->commands, control->ctx, client->line, length);
    size_t rest = client->held - length - 1;

    memmove(client->line, client->line + length + 1, rest);
    wipe(client->line + rest, client->held - rest);
    client->held = rest;
    ev_timer_again(control->loop, &client->idle);
    return reply_add_or_refuse(&client->reply, answer);
}

static int client_refuse_line(struct client *client)
{
    wipe(client->line, client->held);
    client->held = 0;
    client->closing = true;
    return reply_add(&client->reply, control_refuse(NULL, "a request line is longer than %d octets",
                                                    CONTROL_LINE_MAX));
}

static bool client_may_go_on(const struct client *client)
{
    return !client->closing && client->reply.length - client->reply.sent < REPLIES_OCTETS &&
           (client_has_line(client) || client->held == sizeof(client->line));
}

/*
 * Who has waited for longest comes first, if it waited in this turn or the last one: others may
 * have gone, or take no replies. The loop calls the clients in the same order in each turn, so that
 * the first of them could use up every one.
 */
static bool client_is_next(const struct client *client, unsigned turn)
{
    const struct control *control = client->control;

    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        const struct client *other = &control->clients[i];

        if (turn - other->waiting <= 1 && other->served < client->served)
            return false;
    }
    return true;
}

/* Of all clients together one line is taken in a turn, and others while it is not over. */
static bool client_has_turn(struct client *client)
{
    struct control *control = client->control;
    unsigned turn = ev_iteration(control->loop);

    if ((control->line_turn == turn && turn_is_over(control->loop)) ||
        !client_is_next(client, turn)) {
        client->waiting = turn;
        return false;
    }
    control->line_turn = turn;
    client->served = ++control->lines;
    return true;
}

/*
 * None while much of the replies waits: a client that sends many lines cannot hold up the media,
 * nor fill the memory.
 */
static int client_work(struct client *client)
{
    int rc = client_flush(client);

    while (rc == 0 && client_may_go_on(client) && client_has_turn(client)) {
        const char *end = memchr(client->line, '\n', client->held);

        rc = end ? client_run_line(client, (size_t)(end - client->line))
                 : client_refuse_line(client);
    }
    return rc < 0 ? rc : client_flush(client);
}

static void client_watch(struct client *client)
{
    bool busy = client->reply.length > 0 || client_has_line(client);

    ev_io_stop(client->control->loop, &client->io);
    ev_io_set(&client->io, client->fd, busy ? EV_WRITE : EV_READ);
    ev_io_start(client->control->loop, &client->io);
}

static void on_client(struct ev_loop *loop, ev_io *io, int events)
{
    struct client *client = io->data;
    int rc = 0;

    (void)loop;
    if (events & EV_ERROR)
        rc = ERR_SYSTEM;
    if (rc == 0 && (events & EV_READ))
        rc = client_receive(client);
    if (rc == 0)
        rc = client_work(client);
    if (rc < 0 || (client->closing && client->reply.length == 0))
        client_close(client);
    else
        client_watch(client);
}

static void on_idle(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    log_debug("a client was idle and is closed");
    client_close(timer->data);
}

static void client_open(struct client *client, int fd)
{
    client->fd = fd;
    client->closing = false;
    client->held = 0;
    client->served = client->control->lines;
    client->waiting = ev_iteration(client->control->loop) - 2;
    client->reply.max = client->control->reply_max;
    ev_io_init(&client->io, on_client, fd, EV_READ);
    ev_timer_init(&client->idle, on_idle, 0., client->control->idle);
    client->io.data = client->idle.data = client;
    ev_io_start(client->control->loop, &client->io);
    ev_timer_again(client->control->loop, &client->idle);
}

/* ---------------------------------------------------------------- who may connect */

bool control_peer_allowed(const struct control_peer *peer, uid_t owner, gid_t group)
{
    if (peer->uid == 0 || peer->uid == owner || peer->gid == group)
        return true;
    for (size_t i = 0; i < peer->group_count; i++) {
        if (peer->groups[i] == group)
            return true;
    }
    return false;
}

/* The peer's supplementary groups into *groups, of *count places; *heap is what to free. */
static int peer_groups(int fd, gid_t **groups, socklen_t *count, gid_t **heap)
{
    socklen_t length = *count * (socklen_t)sizeof(gid_t);
    int rc = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, *groups, &length);

    if (rc < 0 && errno == ERANGE) {
        *heap = *groups = malloc(length);
        if (!*heap)
            return ERR_NOMEM;
        rc = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, *groups, &length);
    }
    *count = length / (socklen_t)sizeof(gid_t);
    return rc < 0 ? ERR_SYSTEM : 0;
}

static bool connection_allowed(const struct control *control, int fd)
{
    gid_t stack[PEER_GROUPS], *groups = stack, *heap = NULL;
    struct ucred credentials;
    socklen_t length = sizeof(credentials), count = PEER_GROUPS;
    struct control_peer peer;
    bool allowed;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0)
        return false;
    if (peer_groups(fd, &groups, &count, &heap) < 0)
        count = 0;
    peer = (struct control_peer){credentials.uid, credentials.gid, groups, count};
    allowed = control_peer_allowed(&peer, geteuid(), control->sock.group);
    if (!allowed)
        log_info("user %u is not allowed to use the control socket", (unsigned)peer.uid);
    free(heap);
    return allowed;
}

/* The socket is new and empty, so that one line fits; consumes refusal. */
static void turn_away(int fd, json_t *refusal)
{
    struct reply reply = {.max = CONTROL_REPLY_MAX};

    if (reply_add(&reply, refusal) == 0 &&
        send(fd, reply.text, reply.length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_debug("a client left before it was refused: %s", strerror(errno));
    reply_fini(&reply);
    close(fd);
}

static struct client *free_place(struct control *control)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        if (control->clients[i].fd < 0)
            return &control->clients[i];
    }
    return NULL;
}

static void admit(struct control *control, int fd)
{
    struct client *client = free_place(control);

    if (!connection_allowed(control, fd))
        turn_away(fd, control_refuse(NULL, "not allowed: the socket is for root, the daemon's user "
                                           "and members of its group"));
    else if (!client)
        turn_away(fd,
                  control_refuse(NULL, "%d clients are connected already", CONTROL_CLIENTS_MAX));
    else
        client_open(client, fd);
}

/* Without descriptors the socket stays readable: wait, or the loop would spin. */
static void on_accept(struct ev_loop *loop, ev_io *io, int events)
{
    struct control *control = io->data;
    int fd = accept4(control->sock.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    if (fd >= 0) {
        admit(control, fd);
    } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        log_warning("accept: %s", strerror(errno));
        ev_io_stop(loop, &control->accept);
        ev_timer_set(&control->accept_again, ACCEPT_RETRY_SECONDS, 0.);
        ev_timer_start(loop, &control->accept_again);
    }
}

static void on_accept_again(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct control *control = timer->data;

    (void)events;
    ev_io_start(loop, &control->accept);
}

/* ---------------------------------------------------------------- the socket */

static int find_group(const char *name, gid_t *gid, char *error, size_t error_size)
{
    const struct group *group = getgrnam(name);
    size_t digits = strspn(name, "0123456789");

    if (group) {
        *gid = group->gr_gid;
        return 0;
    }
    if (digits > 0 && digits < 10 && name[digits] == '\0') {
        *gid = (gid_t)strtoul(name, NULL, 10);
        return 0;
    }
    snprintf(error, error_size, "there is no group \"%s\"; give the name or number of one", name);
    return ERR_NOT_FOUND;
}

static struct control *control_new(struct ev_loop *loop, const struct control_command *commands,
                                   void *ctx)
{
    struct control *control = calloc(1, sizeof(*control));

    if (!control)
        return NULL;
    control->loop = loop;
    control->commands = commands;
    control->ctx = ctx;
    control->sock.fd = -1;
    control->idle = CONTROL_IDLE_SECONDS;
    control->reply_max = CONTROL_REPLY_MAX;
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        control->clients[i].control = control;
        control->clients[i].fd = -1;
    }
    ev_init(&control->accept, on_accept);
    ev_init(&control->accept_again, on_accept_again);
    control->accept.data = control->accept_again.data = control;
    return control;
}

int control_open(struct control **control, struct ev_loop *loop, const char *path,
                 const char *group, const struct control_command *commands, void *ctx, char *error,
                 size_t error_size)
{
    struct control *made = control_new(loop, commands, ctx);
    gid_t gid = 0;
    int rc;

    *control = NULL;
    if (group && group[0] == '\0')
        group = NULL;
    if (!made) {
        snprintf(error, error_size, "out of memory");
        return ERR_NOMEM;
    }
    rc = group ? find_group(group, &gid, error, error_size) : 0;
    if (rc == 0)
        rc = unixsock_open(&made->sock, path, group, gid, CONTROL_CLIENTS_MAX, error, error_size);
    if (rc < 0) {
        control_close(made);
        return rc;
    }
    ev_io_set(&made->accept, made->sock.fd, EV_READ);
    ev_io_start(loop, &made->accept);
    *control = made;
    return 0;
}

void control_close(struct control *control)
{
    if (!control)
        return;
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        if (control->clients[i].fd >= 0)
            client_close(&control->clients[i]);
    }
    ev_io_stop(control->loop, &control->accept);
    ev_timer_stop(control->loop, &control->accept_again);
    unixsock_close(&control->sock);
    free(control);
}

void control_set_limits(struct control *control, double idle_seconds, size_t reply_octets)
{
    control->idle = idle_seconds;
    control->reply_max = reply_octets;
}
