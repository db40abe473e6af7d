/*
 * What some firewalls do with TCP: they give connections other initial sequence numbers, or they
 * put segments in order before they let them pass. Pure: Ethernet frames with IPv4 or IPv6 in, the
 * same out.
 */
#ifndef TESTS_TOOLS_TCPBOX_H
#define TESTS_TOOLS_TCPBOX_H

#include <stddef.h>
#include <stdint.h>

enum { TCPBOX_HELD = 64 }; /* segments of one direction that wait for a hole to be filled */

/* Of one direction; a connection goes by them from its SYN of that direction on. */
struct tcpbox_settings {
    uint64_t isn; /* initial sequence number that is put in place of the sender's; 0: it stays */
    uint64_t in_order; /* 1: a segment waits until all before it have passed */
};

struct tcpbox_counters {
    uint64_t shifted;                 /* segments whose numbers were changed */
    uint64_t held, held_max, dropped; /* dropped: TCPBOX_HELD waited already */
};

struct tcpbox;

struct tcpbox *tcpbox_new(void);
void tcpbox_free(struct tcpbox *box);
/* direction: 0 or 1. */
struct tcpbox_settings *tcpbox_settings(struct tcpbox *box, unsigned direction);
const struct tcpbox_counters *tcpbox_counters(const struct tcpbox *box, unsigned direction);

/*
 * A frame that goes in this direction; it is changed in place. Whatever passes is given to out():
 * nothing, this one, or this one and those that waited for it.
 */
typedef void tcpbox_out(void *data, uint8_t *frame, size_t length);
void tcpbox_pass(struct tcpbox *box, unsigned direction, uint8_t *frame, size_t length,
                 tcpbox_out *out, void *data);

#endif
