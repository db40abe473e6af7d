/*
 * Both cores in one process: real SAs, real SRTP, real sessions, over a scripted
 * link and under a clock that only the test moves. What lies between in the
 * daemons (sockets, TLS, the event loop) is this library's few lines: octets
 * are carried, what ends is closed, the inner side connects again.
 *
 * Every check aborts the test through libcheck.
 */
#ifndef TESTS_PAIR_PAIR_H
#define TESTS_PAIR_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dmz-relay/dmz.h"
#include "inner-relay/admit.h"
#include "inner-relay/inner.h"
#include "tests/unit/protect.h"

enum {
    PAIR_SITES_MAX = 2,
    PAIR_TUNNELS_MAX = 3,
    PAIR_PIPE_OCTETS = 8 * 1024 * 1024,
    PAIR_CHUNKS_MAX = 16384,
    PAIR_SENT_MAX = 8192,
    PAIR_STATE_OCTETS = 1024 * 1024,
};

#define PAIR_MS     UINT64_C(1000)
#define PAIR_SECOND UINT64_C(1000000)

/* A packet that left one of the relays, towards a client. */
struct pair_packet {
    struct addr to;
    unsigned listener;
    bool rtcp_port;
    size_t length;
    uint64_t at_us;
    uint8_t data[PACKET_MAX_OCTETS];
};

/* All that left on one side since it was last looked at. */
struct pair_out {
    struct pair_packet *sent; /* PAIR_SENT_MAX */
    size_t count;
    int error; /* that sending gives from now on; 0: none */

    /* What waits for flush: the tag must live until then. */
    void *tag[64];
    unsigned listener[64];
    bool rtcp_port[64];
    size_t waiting;
    void (*told)(void *core, unsigned listener, bool rtcp_port, void *tag, int error);
    void *core;
    const struct table *table; /* of the core */
    const uint64_t *now_us;
};

/* One direction of a connection. */
struct pair_pipe {
    uint8_t *octets;
    size_t length; /* written, but for what was read and forgotten */
    size_t read;
    struct {
        size_t end; /* these octets up to here */
        uint64_t due_us;
    } chunk[PAIR_CHUNKS_MAX];
    size_t chunk_count, chunk_read;
    uint64_t free_us; /* when the line has sent what it has */
};

struct pair;

struct pair_tunnel {
    struct pair *pair;
    unsigned site;
    struct inner_link *link;
    struct session *inner; /* NULL: closed on that side */
    struct dmz_link *dmz;  /* NULL: closed on that side, or not there: a scripted dmz-relay */
    struct pair_pipe to_dmz, to_inner;
    bool scripted;
    char inner_reason[192], dmz_reason[192]; /* why it was closed */
};

struct pair_site {
    const char *name;
    struct inner *inner; /* NULL: not running */
    struct pair_out out;
    bool reconnect;      /* the inner-relay connects whenever it has no connection */
    uint64_t connect_us; /* not before */
    unsigned connects;
};

struct pair {
    uint64_t now_us, ticked_us;
    struct dmz *dmz; /* NULL: not running */
    struct pair_out out;
    struct pair_site site[PAIR_SITES_MAX];
    unsigned site_count;
    struct pair_tunnel *tunnel[PAIR_TUNNELS_MAX];

    /* The network between them. */
    bool cut; /* nothing comes through, and nobody is told */
    uint64_t delay_us;
    uint64_t bandwidth;      /* octets per second each way, 0: no bound */
    uint64_t bandwidth_back; /* towards the inner-relay, when not 0 */
    size_t piece;            /* octets that are received at once */
    struct dmz_options dmz_options;
    struct inner_options inner_options;
};

/* A relay pair of one or two sites, connected and synced. */
struct pair *pair_new(unsigned sites);
/* The same, but nothing is connected, so that options can be changed. */
struct pair *pair_new_unconnected(unsigned sites);
/* Checks the verdict sums, then ends everything. */
void pair_free(struct pair *pair);

/* Moves the clock, in steps of 1 ms; everything that is due happens. */
void pair_run(struct pair *pair, uint64_t duration_us);
/* The same, until the sites are synced; at most 30 s. Returns how long it took. */
uint64_t pair_run_until_synced(struct pair *pair);
bool pair_synced(const struct pair *pair, unsigned site);

/* The tunnel of a site that is up on both sides; NULL when none is. */
struct pair_tunnel *pair_tunnel(struct pair *pair, unsigned site);
/* One more connection, beside those that there are. Its place in pair->tunnel is the result. */
struct pair_tunnel *pair_connect(struct pair *pair, unsigned site);
/* The inner-relay of the site connects to a dmz-relay that the test plays. It is up afterwards. */
struct pair_tunnel *pair_connect_scripted(struct pair *pair, unsigned site);
/* Writes a frame into the connection, towards the inner-relay or the dmz-relay. */
void pair_inject(struct pair_tunnel *tunnel, bool to_inner, uint8_t type, const void *body,
                 size_t length);
void pair_inject_media(struct pair_tunnel *tunnel, bool to_inner, uint32_t label,
                       const uint8_t *packet, size_t length);
/* Both ends learn at once that the connection is gone. */
void pair_reset(struct pair_tunnel *tunnel);

/* SIGKILL and start of a daemon: nothing is kept but the state file. */
void pair_restart_dmz(struct pair *pair);
void pair_kill_inner(struct pair *pair, unsigned site);
/* state NULL: without a state file. */
void pair_start_inner(struct pair *pair, unsigned site, const uint8_t *state, size_t length);
size_t pair_save_state(struct pair *pair, unsigned site, uint8_t *memory, size_t size);

/* Every place of every core: received == queued + sum of verdicts. */
void pair_check_sums(struct pair *pair);

/* --- calls */

/* What a client sends, under one SA. */
struct pair_sender {
    struct pair *pair;
    unsigned site;
    enum sa_side side;
    uint64_t id; /* of its SA */
    struct admit_request request;
    struct protect *protect;
    uint64_t index; /* of the next RTP packet */
    uint32_t timestamp;
    unsigned listener;
    uint8_t packet[PACKET_MAX_OCTETS]; /* the last one */
    size_t length;
};

/* Numbers are addresses, SSRC and key: each n is another client, and another receiver. */
void pair_request(struct admit_request *request, enum sa_side side, unsigned n);
/* Admits an SA; returns its id. */
uint64_t pair_admit(struct pair *pair, unsigned site, const struct admit_request *request);
/* Admits it, too. An SSRC that was assigned is used, and stands in the sender's request then. */
struct pair_sender *pair_sender_new(struct pair *pair, unsigned site,
                                    const struct admit_request *request);
void pair_sender_free(struct pair_sender *sender);

/* Makes the next packet of 160 octets of payload, and gives it to the relay. */
void pair_send_rtp(struct pair_sender *sender);
void pair_send_rtcp(struct pair_sender *sender);
/* Only make it. */
void pair_make_rtp(struct pair_sender *sender);
void pair_make_rtcp(struct pair_sender *sender);
/* Gives octets to the relay of that side, from an address. */
void pair_datagram(struct pair *pair, enum sa_side side, unsigned site, unsigned listener,
                   bool rtcp_port, const struct addr *source, const uint8_t *data, size_t length);

/* What left on the side where packets of this sender go out. */
struct pair_out *pair_receiver(struct pair_sender *sender);
/* The newest packet that left there is the last one of this sender, at its receiver's address. */
void pair_expect_received(struct pair_sender *sender, bool rtcp);
/* Sends one each way of RTP and RTCP, and expects each at its receiver within 100 ms. */
void pair_expect_call(struct pair_sender *a, struct pair_sender *b);
void pair_expect_one_way(struct pair_sender *sender);

/* Counters of one verdict, over both ports of all listeners. */
uint64_t pair_dmz_verdict(const struct pair *pair, enum verdict verdict);
uint64_t pair_inner_verdict(const struct pair *pair, unsigned site, enum verdict verdict);

#endif
