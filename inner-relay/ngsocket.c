#define LOG_MODULE "ng"
#include "inner-relay/ngsocket.h"

#include <errno.h>
#include <ev.h>
#include <stdbool.h>
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
#include "inner-relay/ngmessage.h"

enum {
    REQUEST_MAX = 65536,
    RECEIVE_BUFFER = 1024 * 1024, /* of requests that wait; the kernel may give less */
    ACCEPT_RETRY_SECONDS = 1,
};

/* One of [signalling] ng. */
struct place {
    struct ngsocket *sockets;
    unsigned number;
    int fd; /* UDP; -1: a Unix socket */
    struct unixsock sock;
    ev_io io;
    ev_timer accept_again;
};

/* A connection to a Unix socket: one request, one reply. */
struct client {
    struct ngsocket *sockets;
    unsigned place;
    int fd; /* -1: this one is free */
    ev_io io;
    ev_timer idle;
    size_t held;
    char *request; /* REQUEST_MAX octets */
};

struct ngsocket {
    struct ev_loop *loop;
    struct ngsocket_hooks hooks;
    struct conf_nets allow;
    uint64_t foreign;
    size_t count;
    struct place place[CONF_SOCKETS_MAX];
    struct client client[NGSOCKET_CLIENTS_MAX];
    char datagram[REQUEST_MAX];
};

/* ---------------------------------------------------------------- UDP */

static bool may_ask(const struct ngsocket *sockets, const struct addr *from)
{
    if (addr_kind(from) == ADDR_LOOPBACK)
        return true;
    for (size_t i = 0; i < sockets->allow.count; i++) {
        if (addr_in_net(from, &sockets->allow.net[i]))
            return true;
    }
    return false;
}

/* What the kernel does not take is lost: the proxy asks again, and finds it kept. */
static void reply_to(const struct place *place, const struct sockaddr_storage *to,
                     socklen_t to_length, const char *reply, size_t length)
{
    if (sendto(place->fd, reply, length, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)to,
               to_length) < 0)
        log_debug("a reply was not sent: %s", strerror(errno));
}

static void take_datagram(struct place *place, const struct sockaddr_storage *from,
                          socklen_t from_length, size_t length)
{
    struct ngsocket *sockets = place->sockets;
    struct ng_asker asker = {.socket = place->number,
                             .from = addr_from_sockaddr((const struct sockaddr *)from)};
    size_t reply_length = 0;
    char *reply;

    if (!may_ask(sockets, &asker.from)) {
        sockets->foreign++;
        return;
    }
    reply =
        sockets->hooks.answer(sockets->hooks.ctx, &asker, sockets->datagram, length, &reply_length);
    if (reply)
        reply_to(place, from, from_length, reply, reply_length);
    ng_reply_free(reply, reply_length);
    wipe(sockets->datagram, length);
}

/* One request at least, and others while the turn is not over. */
static void on_datagrams(struct ev_loop *loop, ev_io *io, int events)
{
    struct place *place = io->data;

    (void)events;
    do {
        struct sockaddr_storage from;
        socklen_t from_length = sizeof(from);
        ssize_t n = recvfrom(place->fd, place->sockets->datagram, REQUEST_MAX, MSG_DONTWAIT,
                             (struct sockaddr *)&from, &from_length);

        if (n < 0)
            return; /* none is left, or a port that did not want its reply */
        take_datagram(place, &from, from_length, (size_t)n);
    } while (!turn_is_over(loop));
}

static int open_udp(struct place *place, const struct addr *addr, char *error, size_t error_size)
{
    struct sockaddr_storage name;
    socklen_t length = addr_to_sockaddr(addr, &name);
    int buffer = RECEIVE_BUFFER;
    char text[ADDR_TEXT_SIZE];

    place->fd = socket(name.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (place->fd < 0 || bind(place->fd, (const struct sockaddr *)&name, length) < 0) {
        snprintf(error, error_size, "[signalling] ng: udp:%s cannot be opened: %s",
                 addr_format(addr, text, sizeof(text)), strerror(errno));
        return ERR_SYSTEM;
    }
    (void)setsockopt(place->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
    ev_io_init(&place->io, on_datagrams, place->fd, EV_READ);
    place->io.data = place;
    ev_io_start(place->sockets->loop, &place->io);
    return 0;
}

/* ---------------------------------------------------------------- clients of Unix sockets */

static void client_close(struct client *client)
{
    ev_io_stop(client->sockets->loop, &client->io);
    ev_timer_stop(client->sockets->loop, &client->idle);
    close(client->fd);
    client->fd = -1;
    wipe(client->request, client->held);
    free(client->request);
    client->request = NULL;
}

/* The socket is new and empty, so that a reply fits. */
static void client_answer(struct client *client)
{
    struct ngsocket *sockets = client->sockets;
    struct ng_asker asker = {.socket = client->place, .stream = true};
    size_t length = 0;
    char *reply =
        sockets->hooks.answer(sockets->hooks.ctx, &asker, client->request, client->held, &length);

    if (reply && send(client->fd, reply, length, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)length)
        log_debug("a client did not take its reply");
    ng_reply_free(reply, length);
    client_close(client);
}

static void on_client(struct ev_loop *loop, ev_io *io, int events)
{
    struct client *client = io->data;
    ssize_t n =
        recv(client->fd, client->request + client->held, REQUEST_MAX - client->held, MSG_DONTWAIT);

    (void)loop;
    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0 || (n == 0 && client->held == 0)) {
        client_close(client);
        return;
    }
    client->held += (size_t)n;
    /* Behind its end nothing can come that would make it right: the answer says what is wrong. */
    if (n == 0 || client->held == REQUEST_MAX || ngmessage_is_whole(client->request, client->held))
        client_answer(client);
}

static void on_idle(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    client_close(timer->data);
}

static struct client *free_client(struct ngsocket *sockets)
{
    for (size_t i = 0; i < NGSOCKET_CLIENTS_MAX; i++) {
        if (sockets->client[i].fd < 0)
            return &sockets->client[i];
    }
    return NULL;
}

static void client_open(struct place *place, int fd)
{
    struct ngsocket *sockets = place->sockets;
    struct client *client = free_client(sockets);
    char *request = client ? malloc(REQUEST_MAX) : NULL;

    if (!request) {
        log_debug("a client is turned away: %d are connected already", NGSOCKET_CLIENTS_MAX);
        close(fd);
        return;
    }
    client->place = place->number;
    client->fd = fd;
    client->held = 0;
    client->request = request;
    ev_io_init(&client->io, on_client, fd, EV_READ);
    ev_timer_init(&client->idle, on_idle, NGSOCKET_IDLE_SECONDS, 0.);
    client->io.data = client->idle.data = client;
    ev_io_start(sockets->loop, &client->io);
    ev_timer_start(sockets->loop, &client->idle);
}

/* Without descriptors the socket stays readable: wait, or the loop would spin. */
static void on_accept(struct ev_loop *loop, ev_io *io, int events)
{
    struct place *place = io->data;
    int fd = accept4(place->sock.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    if (fd >= 0) {
        client_open(place, fd);
    } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        log_warning("accept: %s", strerror(errno));
        ev_io_stop(loop, &place->io);
        ev_timer_set(&place->accept_again, ACCEPT_RETRY_SECONDS, 0.);
        ev_timer_start(loop, &place->accept_again);
    }
}

static void on_accept_again(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct place *place = timer->data;

    (void)events;
    ev_io_start(loop, &place->io);
}

static int open_unix(struct place *place, const char *path, char *error, size_t error_size)
{
    char why[256];
    int rc = unixsock_open(&place->sock, path, NULL, 0, NGSOCKET_CLIENTS_MAX, why, sizeof(why));

    if (rc < 0) {
        snprintf(error, error_size, "[signalling] ng: unix:%s", why);
        return rc;
    }
    ev_io_init(&place->io, on_accept, place->sock.fd, EV_READ);
    ev_init(&place->accept_again, on_accept_again);
    place->io.data = place->accept_again.data = place;
    ev_io_start(place->sockets->loop, &place->io);
    return 0;
}

/* ---------------------------------------------------------------- all of them */

static int open_place(struct ngsocket *sockets, const struct conf_socket *settings, char *error,
                      size_t error_size)
{
    struct place *place = &sockets->place[sockets->count];

    place->sockets = sockets;
    place->number = (unsigned)sockets->count++;
    place->fd = place->sock.fd = -1;
    if (settings->addr.family != 0)
        return open_udp(place, &settings->addr, error, error_size);
    return open_unix(place, settings->path, error, error_size);
}

int ngsocket_open(struct ngsocket **sockets, struct ev_loop *loop,
                  const struct conf_sockets *settings, const struct conf_nets *allow,
                  const struct ngsocket_hooks *hooks, char *error, size_t error_size)
{
    struct ngsocket *made = calloc(1, sizeof(*made));
    int rc = 0;

    *sockets = NULL;
    if (!made) {
        snprintf(error, error_size, "%s", err_text(ERR_NOMEM));
        return ERR_NOMEM;
    }
    made->loop = loop;
    made->hooks = *hooks;
    made->allow = *allow;
    for (size_t i = 0; i < NGSOCKET_CLIENTS_MAX; i++) {
        made->client[i].sockets = made;
        made->client[i].fd = -1;
    }
    for (size_t i = 0; rc == 0 && i < settings->count; i++)
        rc = open_place(made, &settings->socket[i], error, error_size);
    if (rc < 0) {
        ngsocket_close(made);
        return rc;
    }
    *sockets = made;
    return 0;
}

static void close_place(struct ngsocket *sockets, struct place *place)
{
    ev_io_stop(sockets->loop, &place->io);
    ev_timer_stop(sockets->loop, &place->accept_again);
    if (place->fd >= 0)
        close(place->fd);
    else
        unixsock_close(&place->sock);
}

void ngsocket_close(struct ngsocket *sockets)
{
    if (!sockets)
        return;
    for (size_t i = 0; i < NGSOCKET_CLIENTS_MAX; i++) {
        if (sockets->client[i].fd >= 0)
            client_close(&sockets->client[i]);
    }
    for (size_t i = 0; i < sockets->count; i++)
        close_place(sockets, &sockets->place[i]);
    free(sockets);
}

void ngsocket_set_allow(struct ngsocket *sockets, const struct conf_nets *allow)
{
    sockets->allow = *allow;
}

uint64_t ngsocket_foreign(const struct ngsocket *sockets)
{
    return sockets->foreign;
}
