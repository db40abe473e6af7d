#define LOG_MODULE "tunnel"
#include "common/tunnel/listening.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/tunnel/turn.h"

enum { BACKLOG = 64, ACCEPTS_PER_TURN = 16 };

static const double PAUSE_S = 0.1;

int listening_open(const struct addr *local, const char *section, char *error, size_t error_size)
{
    struct sockaddr_storage storage;
    socklen_t length = addr_to_sockaddr(local, &storage);
    char text[ADDR_TEXT_SIZE];
    int on = 1;
    int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        bind(fd, (struct sockaddr *)&storage, length) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    snprintf(error, error_size,
             "cannot listen on %s: %s; %s listen has to be an address of this host and a free port",
             addr_format(local, text, sizeof(text)), strerror(errno), section);
    if (fd >= 0)
        close(fd);
    return ERR_SYSTEM;
}

/* The socket stays readable: without a pause the loop would do nothing else. */
static void pause_accepting(struct listening *listening)
{
    int number = errno;

    if (listening->hooks->may_log(listening->ctx))
        log_error("%s: no connection can be accepted for now: %s", listening->section,
                  strerror(number));
    ev_io_stop(listening->loop, &listening->io);
    ev_timer_set(&listening->pause, PAUSE_S, 0.);
    ev_timer_start(listening->loop, &listening->pause);
}

static void on_pause_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct listening *listening = timer->data;

    (void)events;
    ev_io_start(loop, &listening->io);
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
    struct listening *listening = io->data;

    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN && (i == 0 || !turn_is_over(loop)); i++) {
        struct sockaddr_storage storage = {0};
        socklen_t length = sizeof(storage);
        struct addr client;
        int fd = accept4(listening->fd, (struct sockaddr *)&storage, &length,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                pause_accepting(listening);
            return;
        }
        client = addr_from_sockaddr((struct sockaddr *)&storage);
        listening->hooks->accepted(listening->ctx, fd, &client);
    }
}

void listening_start(struct listening *listening, struct ev_loop *loop, int fd, const char *section,
                     const struct listening_hooks *hooks, void *ctx)
{
    *listening =
        (struct listening){.loop = loop, .section = section, .hooks = hooks, .ctx = ctx, .fd = fd};
    ev_io_init(&listening->io, on_readable, fd, EV_READ);
    ev_timer_init(&listening->pause, on_pause_over, 0., 0.);
    listening->io.data = listening->pause.data = listening;
    ev_io_start(loop, &listening->io);
}

void listening_stop(struct listening *listening)
{
    ev_io_stop(listening->loop, &listening->io);
    ev_timer_stop(listening->loop, &listening->pause);
    close(listening->fd);
}
