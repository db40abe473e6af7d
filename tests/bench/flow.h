/*
 * One direction of the bench: SRTP streams from many senders to one sink. All
 * packets are protected before the run, so that it measures the relays and not
 * the generator.
 */
#ifndef TESTS_BENCH_FLOW_H
#define TESTS_BENCH_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/base/addr.h"
#include "tests/tools/cli.h"

enum { FLOW_DELAYS = 1000 * 1000 }; /* microseconds; the last also counts all longer ones */

/* What all flows of a run have in common. */
struct flow_plan {
    unsigned streams;
    unsigned sources; /* IP addresses that stream n % sources comes from */
    unsigned sinks;   /* IP addresses that stream n % sinks goes to: one socket has them all */
    double rate;      /* packets per second and stream */
    unsigned window; /* instead of a rate: so many are on their way at a time; 0: the rate counts */
    uint64_t per_stream;     /* packets */
    uint64_t uncounted;      /* of each stream: the first ones, which no delay is told of */
    size_t size;             /* octets of payload */
    double forged, replayed; /* shares of the packets */
    bool plain;              /* RTP has to arrive, not SRTP */
    struct cli_key key;
};

struct flow {
    const struct flow_plan *plan;
    const char *name;       /* "in" or "back" */
    struct addr from, sink; /* of the first source and sink; the next ones have the next IPs */
    const char *from_netns, *sink_netns; /* network namespaces of both ends, NULL: this one */
    uint32_t first_ssrc;
    struct flow_target *to; /* of each stream: flow_aim() */
    int fd, sink_fd;

    uint8_t *packets; /* packet n is at n * length: number n / streams of stream n % streams */
    size_t length;
    uint64_t total;
    uint8_t *kind;     /* enum flow_kind of each packet */
    uint64_t *sent_ns; /* real time, as the kernel's time stamps; 0: not sent */
    uint8_t *arrived;  /* copies, up to 255 */

    uint64_t next; /* packet to be sent */
    uint64_t sent, refused, bursts;
    uint64_t good_sent, forged_sent, replayed_sent;
    uint64_t received, distinct, forged, altered, strange;
    uint64_t written_off, stuck_ns; /* of a window: taken for lost; since when nothing came */
    uint64_t late_ns;               /* the most that a packet went out behind its time */
    uint32_t *delays;               /* FLOW_DELAYS counts */
    uint64_t max_delay_us;
    uint64_t *last_ns; /* when each stream's last packet came; 0: none yet */
    uint64_t max_gap_us;
};

/* plan, name, from, sink, first_ssrc and the namespaces are set. Ends the program when it cannot be
 * done. */
void flow_open(struct flow *flow);
void flow_close(struct flow *flow);
/* Addresses of stream n. */
struct addr flow_source(const struct flow *flow, unsigned n);
struct addr flow_sink(const struct flow *flow, unsigned n);
/* Where stream n is sent to; all have to be set before flow_send. */
void flow_aim(struct flow *flow, unsigned n, const struct addr *to);
/* Sends what is due elapsed_ns after the start, or what the window lets pass. Returns how many. */
unsigned flow_send(struct flow *flow, uint64_t elapsed_ns);
/* When the next packet is due; meaningless with a window, or when all are sent. */
uint64_t flow_due_ns(const struct flow *flow);
bool flow_all_sent(const struct flow *flow);
/* Takes what is there without waiting; returns how many. */
unsigned flow_receive(struct flow *flow);
/* Has the receiver of the packets read what came? Seen where its socket is bound to an IPv4 address
 * of this network namespace; true elsewhere. */
bool flow_is_read(const struct flow *flow);
/* Delay that this share (0.5, 0.99, ...) of the packets of these flows did not exceed, in
 * microseconds. */
uint64_t flow_percentile(const struct flow *flows, unsigned count, double share);
/* Packets that came within so many microseconds, and those that could: without the uncounted ones.
 */
uint64_t flow_within(const struct flow *flow, uint64_t us);
uint64_t flow_counted(const struct flow *flow);
/* Of the good packets that were sent. */
uint64_t flow_lost(const struct flow *flow);
/* Packets that came more than once, replayed ones that were let through among them. */
uint64_t flow_duplicates(const struct flow *flow);

#endif
