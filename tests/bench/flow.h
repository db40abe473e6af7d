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

#include "common/base/addr.h"
#include "tests/tools/cli.h"

enum { FLOW_DELAYS = 1000 * 1000 }; /* microseconds; the last also counts all longer ones */

/* What all flows of a run have in common. */
struct flow_plan {
    unsigned streams, sources; /* streams is a multiple of sources */
    double rate;               /* packets per second and stream */
    uint64_t per_stream;       /* packets */
    size_t size;               /* octets of payload */
    struct cli_key key;
};

struct flow {
    const struct flow_plan *plan;
    const char *name; /* "in" or "back" */
    struct addr from; /* of the first source; source n has port + 2 * n */
    struct addr sink;
    uint32_t first_ssrc;
    struct addr to; /* where the senders send: set before flow_send */
    int *fds;
    int sink_fd;

    uint8_t *packets; /* packet n is at n * length: number n / streams of stream n % streams */
    size_t length;
    uint64_t total;
    uint64_t *sent_ns; /* real time, as the kernel's time stamps; 0: not sent */
    uint8_t *arrived;  /* copies, up to 255 */

    uint64_t next; /* packet to be sent */
    uint64_t sent, refused, received, distinct, altered, strange;
    uint64_t late_ns; /* the most that a packet went out behind its time */
    uint32_t *delays; /* FLOW_DELAYS counts */
    uint64_t max_delay_us;
    uint64_t *last_ns; /* when each stream's last packet came; 0: none yet */
    uint64_t max_gap_us;
};

/* plan, name, from, sink and first_ssrc are set. Ends the program when it cannot be done. */
void flow_open(struct flow *flow);
void flow_close(struct flow *flow);
/* Sends what is due elapsed_ns after the start. */
void flow_send(struct flow *flow, uint64_t elapsed_ns);
bool flow_all_sent(const struct flow *flow);
/* Takes what is there without waiting; returns how many. */
unsigned flow_receive(struct flow *flow);
/* Delay that this share (0.5, 0.99, ...) of the packets did not exceed, in microseconds. */
uint64_t flow_percentile(const struct flow *flow, double share);

#endif
