/*
 * SAs with their sessions, and packets that were prepared for them, in the order in which they
 * come: every SA once, in an order that no cache can foresee, then every SA once more, and so on.
 *
 * A packet is copied to where the media socket would have received it before the clock runs: the
 * kernel leaves packets in the cache, too.
 */
#ifndef TESTS_BENCH_LOAD_H
#define TESTS_BENCH_LOAD_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/net/path.h"
#include "common/rtp/classify.h"
#include "common/sa/sa.h"
#include "common/srtp/srtp.h"
#include "tests/unit/reference.h"

struct table;

enum { LOAD_BATCH = UDP_BATCH, LOAD_LINE_OCTETS = 64 };

struct load_plan {
    struct srtp_engine *engine; /* outlives the load */
    const struct suite *suite;
    enum rtp_shape shape;
    bool forged;  /* a bit of each tag is wrong */
    bool learned; /* sources and SSRCs are, and so each SA may send another SSRC yet */
    size_t size;  /* octets of a packet before it is protected */
    unsigned sas;
    unsigned packets; /* of each SA; they come again, as fresh as before, when all have come */
    bool only_once;   /* they do not: the engine remembers them itself */
};

/* Where a packet is received, and what verifies it. */
struct load_slot {
    struct srtp_session *session;
    struct srtp_index *index;
    struct rtp_view view;
    uint8_t iv[12]; /* of an AEAD suite */
    alignas(LOAD_LINE_OCTETS) uint8_t data[PACKET_ROOM_OCTETS];
};

/* Beside the SA, which is to be as cold as it is in a relay. */
struct load_sender {
    struct srtp_session *session;
    struct srtp_index *index;
};

struct load {
    struct load_plan plan;
    struct table *table;
    struct path path;
    struct load_sender *sender;  /* of each SA */
    struct reference_keys *keys; /* of each SA */
    unsigned *order;             /* of the SAs in a pass */
    uint8_t *octets;             /* all packets, in the order in which they come */
    size_t stride, length;       /* of a packet there; protected */
    unsigned next, count;
    uint64_t now_us;
    struct srtp_index fresh; /* where a stream stands before its first packet */
    struct load_slot slot[LOAD_BATCH];
    struct udp_packet packet[LOAD_BATCH]; /* what is in the slots */
};

/* Ends the program when something cannot be had. */
struct load *load_new(const struct load_plan *plan);
void load_free(struct load *load);
/* The next LOAD_BATCH packets into the slots. A load that is used only once must have so many. */
void load_receive(struct load *load);

#endif
