#include "config.h"

#include "rtp-prime/proxy.h"

#include <ev.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/net/udp.h"
#include "common/rtp/prime.h"
#include "rtp-prime/convert.h"
#include "rtp-prime/fate.h"

enum {
    /* Of one port in one turn of the loop, so that none starves the others. */
    BATCHES_PER_TURN = 8,
    US_PER_S = 1000000,
};

enum side { SIDE_CLIENT, SIDE_RELAY };

struct port {
    struct proxy *proxy;
    enum side side;
    bool rtcp;
    struct udp *udp; /* NULL: the RTCP port, with mux */
    struct port *out;
    ev_io io;
    struct fate_counts counts;
    uint64_t sent_us; /* towards the relay; 0: nothing yet */
    /* Where a packet must come from, and where one goes to. Of the client: as learned. */
    struct addr peer;
};

struct proxy {
    struct ev_loop *loop;
    const struct setup *setup;
    struct convert convert;
    struct port ports[2][2]; /* side, rtcp */
    ev_timer keepalive;
    struct fate_counts keepalives;
};

static const char *const place_names[2][2] = {{"client-rtp", "client-rtcp"},
                                              {"relay-rtp", "relay-rtcp"}};

/* ---------------------------------------------------------------- packets */

static void on_sent(void *ctx, void *tag, int error)
{
    struct fate_counts *counts = tag;

    (void)ctx;
    counts->n[fate_of_sending(error)]++;
}

/* Follows a client that sends from another port, and knows nobody who sent nothing good. */
static void learn_client(struct port *port, const struct addr *source)
{
    if (port->proxy->setup->client.port == 0)
        port->peer = *source;
}

static enum fate take_from_client(struct port *port, const struct udp_packet *packet)
{
    struct proxy *proxy = port->proxy;
    const struct addr *client = &proxy->setup->client;
    uint8_t prime[PRIME_OCTETS + PACKET_MAX_OCTETS];
    uint32_t outer;
    enum fate fate;

    if (client->family != 0 && !addr_ip_equal(&packet->source, client))
        return FATE_STRANGER;
    if (packet->truncated || packet->length > PACKET_MAX_OCTETS)
        return FATE_TOO_BIG;
    fate = convert_from_client(&proxy->convert, port->rtcp, packet->data, packet->length, &outer);
    if (fate != FATE_PASSED)
        return fate;
    learn_client(port, &packet->source);
    prime_write(prime, outer);
    memcpy(prime + PRIME_OCTETS, packet->data, packet->length);
    udp_queue(port->out->udp, &port->out->peer, prime, PRIME_OCTETS + packet->length,
              &port->counts);
    return FATE_PASSED;
}

/* RTCP goes to where the client sends RTCP from; before it did, to the port after that of its RTP.
 */
static struct addr client_address(const struct port *port)
{
    const struct port *rtp = &port->proxy->ports[SIDE_CLIENT][false];

    return port->peer.family != 0 ? port->peer : setup_rtcp(port->proxy->setup, &rtp->peer);
}

static enum fate take_from_relay(struct port *port, const struct udp_packet *packet)
{
    struct addr to;
    enum fate fate;

    if (!addr_equal(&packet->source, &port->peer))
        return FATE_STRANGER;
    if (packet->truncated)
        return FATE_TOO_BIG;
    fate = convert_from_relay(&port->proxy->convert, port->rtcp, packet->data, packet->length);
    if (fate != FATE_PASSED)
        return fate;
    to = client_address(port->out);
    if (to.family == 0)
        return FATE_NO_CLIENT;
    udp_queue(port->out->udp, &to, packet->data + PRIME_OCTETS, packet->length - PRIME_OCTETS,
              &port->counts);
    return FATE_PASSED;
}

/* What is handed on is counted once the system has taken it. */
static void take(struct port *port, const struct udp_packet *packet)
{
    enum fate fate =
        port->side == SIDE_CLIENT ? take_from_client(port, packet) : take_from_relay(port, packet);

    port->counts.received++;
    if (fate != FATE_PASSED)
        port->counts.n[fate]++;
    else if (port->side == SIDE_CLIENT)
        port->out->sent_us = clock_now_us();
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
    struct port *port = io->data;
    struct udp_packet packets[UDP_BATCH];

    (void)loop;
    (void)events;
    for (int batch = 0; batch < BATCHES_PER_TURN; batch++) {
        int count = udp_receive(port->udp, packets);

        for (int i = 0; i < count; i++)
            take(port, &packets[i]);
        udp_flush(port->out->udp);
        if (count < UDP_BATCH)
            return;
    }
}

/* ---------------------------------------------------------------- keepalives */

/*
 * An empty datagram (RFC 6263 section 4.1): a stateful firewall lets the relay's packets in as
 * replies only, and a client that only listens sends none that they could reply to.
 */
static void keep_alive(struct port *port, uint64_t now_us)
{
    uint64_t silence_us;

    if (!port->udp)
        return;
    silence_us = (uint64_t)port->proxy->setup->keepalive_s * US_PER_S;
    if (port->sent_us != 0 && now_us - port->sent_us < silence_us)
        return;
    port->sent_us = now_us;
    port->proxy->keepalives.received++;
    udp_queue(port->udp, &port->peer, NULL, 0, &port->proxy->keepalives);
    udp_flush(port->udp);
}

static void on_keepalive(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct proxy *proxy = timer->data;
    uint64_t now_us = clock_now_us();

    (void)loop;
    (void)events;
    keep_alive(&proxy->ports[SIDE_RELAY][false], now_us);
    keep_alive(&proxy->ports[SIDE_RELAY][true], now_us);
}

/* ---------------------------------------------------------------- open, close, print */

static int open_port(struct proxy *proxy, enum side side, bool rtcp, char *error, size_t error_size)
{
    const struct setup *setup = proxy->setup;
    const struct addr *local = side == SIDE_CLIENT ? &setup->listen : &setup->from;
    const struct addr *peer = side == SIDE_CLIENT ? &setup->client : &setup->relay;
    struct port *port = &proxy->ports[side][rtcp];
    struct addr address = rtcp ? setup_rtcp(setup, local) : *local;
    int result = udp_open(&port->udp, &address, setup->dscp, error, error_size);

    if (result < 0)
        return result;
    port->proxy = proxy;
    port->side = side;
    port->rtcp = rtcp;
    port->out = &proxy->ports[!side][rtcp];
    if (peer->port > 0)
        port->peer = rtcp ? setup_rtcp(setup, peer) : *peer;
    udp_on_sent(port->udp, on_sent, NULL);
    ev_io_init(&port->io, on_readable, udp_fd(port->udp), EV_READ);
    port->io.data = port;
    ev_io_start(proxy->loop, &port->io);
    return 0;
}

int proxy_open(struct proxy **out, struct ev_loop *loop, const struct setup *setup, char *error,
               size_t error_size)
{
    struct proxy *proxy = calloc(1, sizeof(*proxy));
    int result = 0;

    *out = NULL;
    if (!proxy) {
        snprintf(error, error_size, "%s", err_text(ERR_NOMEM));
        return ERR_NOMEM;
    }
    proxy->loop = loop;
    proxy->setup = setup;
    convert_init(&proxy->convert, setup->mux, setup->ssrc_given ? &setup->ssrc : NULL);
    for (int i = 0; result == 0 && i < (setup->mux ? 2 : 4); i++)
        result = open_port(proxy, i % 2 ? SIDE_RELAY : SIDE_CLIENT, i / 2, error, error_size);
    if (result < 0) {
        proxy_close(proxy);
        return result;
    }
    ev_timer_init(&proxy->keepalive, on_keepalive, 0, 1);
    ev_set_priority(&proxy->keepalive, EV_MINPRI); /* a packet that is there makes it needless */
    proxy->keepalive.data = proxy;
    if (setup->keepalive_s > 0)
        ev_timer_start(loop, &proxy->keepalive);
    *out = proxy;
    return 0;
}

void proxy_close(struct proxy *proxy)
{
    if (!proxy)
        return;
    ev_timer_stop(proxy->loop, &proxy->keepalive);
    for (int i = 0; i < 4; i++) {
        struct port *port = &proxy->ports[i / 2][i % 2];

        ev_io_stop(proxy->loop, &port->io);
        udp_close(port->udp);
    }
    free(proxy);
}

void proxy_print(const struct proxy *proxy, FILE *to)
{
    for (int i = 0; i < 4; i++) {
        const struct port *port = &proxy->ports[i / 2][i % 2];

        if (port->udp)
            fate_print(&port->counts, place_names[i / 2][i % 2], to);
    }
    fate_print(&proxy->keepalives, "keepalive", to);
    fflush(to);
}
