/*
 * Senders outside, their SAs in a table, and one socket pair that they send to: what path.c and
 * learn.c make of real SRTP under a clock that only the test moves. Any packet can be made again,
 * octet for octet, so that anybody can send a copy of it from anywhere.
 *
 * What must hold after every packet, whatever it was, is checked in world_datagram(): aborts.
 */
#ifndef TESTS_UNIT_LEARNWORLD_H
#define TESTS_UNIT_LEARNWORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/net/path.h"
#include "common/sa/table.h"

enum {
    WORLD_SENDERS_MAX = 400,
    WORLD_SSRC = 0x1000, /* of sender n, unless it says otherwise: this + n */
    WORLD_PACKET_OCTETS = 256,

    /* Of a sender's SA. */
    WORLD_NAMED = 1, /* its SSRC is signalled */
    WORLD_MUX = 2,
    WORLD_PRIME = 4,
    WORLD_KEYLESS = 8,
    WORLD_SHORT_TAG = 16,
    WORLD_ONE_SSRC = 32, /* WORLD_SSRC, as all that say so */

    /* Of a packet. */
    WORLD_RTCP = 1,
    WORLD_RTCP_PORT = 2,
    WORLD_FORGED = 4, /* its tag is wrong */
    WORLD_OUTER = 8,  /* RTP': with this SSRC in front */
};

/* One sender, and what is signalled of it. Texts are addresses, "" or NULL: none. */
struct world_who {
    enum source_policy policy; /* 0: hinted */
    const char *source;        /* RTCP: the next port */
    const char *hint;
    unsigned flags;
    unsigned key; /* senders with the same number have the same; 0: one of its own */
    unsigned owner;
};

struct world_packet {
    unsigned who;   /* whose key, and SSRC where none is given */
    uint32_t ssrc;  /* 0: the sender's */
    uint64_t index; /* of RTP or of SRTCP, from 1 */
    unsigned flags;
    uint32_t outer;
};

/* The engine must have been started (sample_engine_start). Ends the world before. */
void world_begin(void);
void world_end(void);
struct table *world_table(void);
struct budget *world_budget(void);
struct target_rules *world_rules(void);
uint64_t world_now_us(void);
void world_pass(uint64_t duration_us);
/* This address sends RTP'. */
void world_add_peer(const char *address);
/*
 * Returns its number. The SA of the other direction, which has no destination of its own, is made
 * with it.
 */
unsigned world_add(const struct world_who *who);
struct sa *world_sa(unsigned who);
struct sa *world_reverse(unsigned who);
/* Another key for this sender: its packets come under it from now on, its SA knows it, too. */
void world_rekey(unsigned who);
/* The packets that follow are made with the key before. */
void world_use_old_key(unsigned who, bool old);

/* Writes the datagram, RTP' where its flags say so; returns its length. */
size_t world_make(const struct world_packet *packet, uint8_t octets[WORLD_PACKET_OCTETS]);
/* *found: NULL, or whose it was taken for. found may be NULL. */
enum verdict world_datagram(const struct addr *from, bool rtcp_port, const uint8_t *octets,
                            size_t length, struct sa **found);
/* The two in one. */
enum verdict world_send(const struct world_packet *packet, const char *from, struct sa **found);

#endif
