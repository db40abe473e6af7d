#define LOG_MODULE "media"
#include "common/daemon/media.h"

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/net/steer.h"
#include "common/tunnel/turn.h"

enum {
    /* Batches per turn of the loop: one busy socket does not starve the tunnel. */
    BATCHES_PER_TURN = 8,
    WANTED_BUFFER_OCTETS = 4 * 1024 * 1024,
};

struct port {
    struct media *media;
    unsigned listener;
    bool rtcp;
    struct udp *udp;
    ev_io io;
    bool queued;        /* something waits in its send batch */
    uint64_t overflows; /* that have been told */
};

struct media {
    struct ev_loop *loop;
    const struct media_hooks *hooks;
    void *ctx;
    uint64_t received;
    size_t port_count;
    struct port ports[2 * SETTINGS_LISTENERS_MAX];
};

static struct port *port_of(struct media *media, unsigned listener, bool rtcp)
{
    return &media->ports[2 * listener + rtcp];
}

static void on_sent(void *ctx, void *tag, int error)
{
    struct port *port = ctx;

    port->media->hooks->sent(port->media->ctx, port->listener, port->rtcp, tag, error);
}

static void on_failed(void *ctx, const struct addr *to, const uint8_t *data, size_t length,
                      int error)
{
    struct port *port = ctx;

    (void)error;
    port->media->hooks->failed(port->media->ctx, port->rtcp, to, data, length, clock_now_us());
}

static void tell_overflow(struct port *port)
{
    uint64_t count = udp_overflows(port->udp) - port->overflows;

    if (count == 0)
        return;
    port->overflows += count;
    port->media->hooks->overflow(port->media->ctx, port->listener, port->rtcp, count);
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
    struct port *port = io->data;
    struct media *media = port->media;
    struct udp_packet packets[UDP_BATCH];
    int count;

    (void)events;
    for (int batch = 0; batch < BATCHES_PER_TURN; batch++) {
        uint64_t now_us = clock_now_us();

        count = udp_receive(port->udp, packets);
        media->received += (uint64_t)count;
        tell_overflow(port);
        if (count > 0)
            media->hooks->packets(media->ctx, port->listener, port->rtcp, packets, (size_t)count,
                                  now_us);
        if (count < UDP_BATCH || turn_is_over(loop))
            return;
    }
}

static int open_port(struct media *media, const struct listener_settings *settings,
                     unsigned listener, bool rtcp, bool shared, char *error, size_t error_size)
{
    struct port *port = port_of(media, listener, rtcp);
    struct addr local = settings->address;
    char why[256];
    int result;

    local.port = (uint16_t)(settings->rtp_port + rtcp);
    result =
        (shared ? udp_open_shared : udp_open)(&port->udp, &local, settings->dscp, why, sizeof(why));
    if (result < 0) {
        snprintf(error, error_size, "[listener %s] %s", settings->name, why);
        return result;
    }
    port->media = media;
    port->listener = listener;
    port->rtcp = rtcp;
    udp_on_sent(port->udp, on_sent, port);
    if (media->hooks->failed)
        udp_on_failed(port->udp, on_failed, port);
    ev_io_init(&port->io, on_readable, udp_fd(port->udp), EV_READ);
    port->io.data = port;
    media->port_count++;
    return 0;
}

static void warn(const char *kind, const char *limit, int got)
{
    if (got < WANTED_BUFFER_OCTETS)
        log_warning("the kernel gives %d octets of UDP %s buffer where %d are wanted: raise "
                    "net.core.%s (sysctl.d/50-media-relay.conf)",
                    got, kind, WANTED_BUFFER_OCTETS, limit);
}

void media_warn_about_buffers(const struct media *media)
{
    warn("receive", "rmem_max", udp_receive_buffer(media->ports[0].udp));
    warn("send", "wmem_max", udp_send_buffer(media->ports[0].udp));
}

int media_open(struct media **out, struct ev_loop *loop, const struct listener_settings *listeners,
               size_t count, bool shared, const struct media_hooks *hooks, void *ctx, char *error,
               size_t error_size)
{
    struct media *media = calloc(1, sizeof(*media));

    if (!media)
        return ERR_NOMEM;
    media->loop = loop;
    media->hooks = hooks;
    media->ctx = ctx;
    for (unsigned i = 0; i < 2 * count; i++) {
        int result = open_port(media, &listeners[i / 2], i / 2, i % 2, shared, error, error_size);

        if (result < 0) {
            media_close(media);
            return result;
        }
    }
    *out = media;
    return 0;
}

int media_share(struct media *media, char *error, size_t error_size)
{
    char text[ADDR_TEXT_SIZE];

    for (size_t i = 0; i < media->port_count; i++) {
        struct udp *udp = media->ports[i].udp;

        if (udp_share(udp) == 0)
            continue;
        snprintf(error, error_size, "cannot set SO_REUSEPORT on %s: %s",
                 addr_format(udp_local(udp), text, sizeof(text)), strerror(errno));
        return ERR_SYSTEM;
    }
    return 0;
}

static int steer_port(struct port *port, struct steer *steer, char *error, size_t error_size)
{
    struct sock_filter code[STEER_MAX];
    struct sock_fprog program = {.filter = code};
    char text[ADDR_TEXT_SIZE];

    steer->family = udp_local(port->udp)->family;
    program.len = (unsigned short)steer_make(steer, code);
    if (udp_steer(port->udp, &program) == 0)
        return 0;
    snprintf(error, error_size, "cannot set SO_ATTACH_REUSEPORT_CBPF on %s: %s",
             addr_format(udp_local(port->udp), text, sizeof(text)), strerror(errno));
    return ERR_SYSTEM;
}

int media_steer(struct media *media, unsigned threads, const struct peers *peers, bool prime,
                char *error, size_t error_size)
{
    struct steer steer = {.count = threads, .prime = prime, .peers = peers};
    int result = 0;

    for (size_t i = 0; result == 0 && i < media->port_count; i++)
        result = steer_port(&media->ports[i], &steer, error, error_size);
    return result;
}

void media_start(struct media *media)
{
    for (size_t i = 0; i < media->port_count; i++)
        ev_io_start(media->loop, &media->ports[i].io);
}

void media_close(struct media *media)
{
    if (!media)
        return;
    for (size_t i = 0; i < media->port_count; i++) {
        ev_io_stop(media->loop, &media->ports[i].io);
        udp_close(media->ports[i].udp);
    }
    free(media);
}

void media_send(struct media *media, unsigned listener, bool rtcp_port, const struct addr *to,
                const uint8_t *packet, size_t length, void *tag)
{
    struct port *port = port_of(media, listener, rtcp_port);

    udp_queue(port->udp, to, packet, length, tag);
    port->queued = true;
}

void media_flush(struct media *media)
{
    for (size_t i = 0; i < media->port_count; i++) {
        if (media->ports[i].queued)
            udp_flush(media->ports[i].udp);
        media->ports[i].queued = false;
    }
}

uint64_t media_received(void *ctx)
{
    const struct media *media = ctx;

    return media->received;
}

void media_describe(const struct listener_settings *settings, struct path_listener *listener)
{
    memset(listener, 0, sizeof(*listener));
    memcpy(listener->name, settings->name, sizeof(listener->name));
    listener->address = settings->address;
    listener->advertise = settings->advertise;
    listener->address.port = listener->advertise.port = (uint16_t)settings->rtp_port;
    listener->m_line = settings->m_line;
}
