/*
 * Takes a connected TCP socket out of the kernel's hands without a privilege: what the connection's
 * numbers are, then a kernel that hears nothing of it any more, and therefore says nothing, and in
 * the end one that closes it in silence. In between the connection is a raw socket's (track.h), or
 * nobody's. The socket must stay open for as long.
 *
 * In this order: deaf_saw() for what comes; deaf_note() when the peer is known to have sent
 * nothing behind what was read; nothing is written any more; deaf_is_quiet(); deaf_make(); and in
 * the end deaf_reset() until deaf_is_over(), then close().
 */
#ifndef COMMON_CARRIER_DEAF_H
#define COMMON_CARRIER_DEAF_H

#include <stdbool.h>
#include <stdint.h>

struct addr;
struct rawsocket;
struct segment;
struct track_start;

struct deaf {
    bool seen;
    uint32_t ack, end; /* the highest that came: so far the peer has, and has sent */
    uint32_t timestamp;
    bool noted;
    uint32_t noted_end;      /* all before it had been received when so many octets */
    uint64_t noted_received; /* of the connection had been */
    bool made;
    uint32_t receive_next; /* of the kernel, for ever */
};

/* A segment of the peer that held a genuine frame: nobody else's numbers are believed. */
void deaf_saw(struct deaf *deaf, const struct segment *segment);
/*
 * All that the peer has sent was seen, and the kernel has it: where the kernel's stream is can be
 * told from then on, whatever follows. 0, ERR_AGAIN: nothing was seen; ERR_SYSTEM, also where this
 * is no connection any more.
 */
int deaf_note(struct deaf *deaf, int fd);
/* Has the peer acknowledged all that was written? */
bool deaf_is_quiet(int fd);
/*
 * The kernel hears nothing of it from here on: IP_MINTTL, IPV6_MINHOPCOUNT. What it still holds is
 * thrown away, and an acknowledgement that it owes goes out now. Fills in start, but for the rate.
 * ERR_AGAIN: nothing was noted, or it is not quiet; ERR_SYSTEM.
 */
int deaf_make(struct deaf *deaf, int fd, struct track_start *start);
/*
 * Makes the kernel believe that the peer has reset it, so that close() says nothing. local and peer
 * are its addresses. It may take the kernel a moment: deaf_is_over() tells.
 */
int deaf_reset(const struct deaf *deaf, struct rawsocket *raw, const struct addr *local,
               const struct addr *peer);
/* Will close() be silent? */
bool deaf_is_over(int fd);

#endif
