/*
 * How much bulk (syncs, reports, streams) may go beside calls. A queue on the path is one that
 * media waits in as well, and nobody but TCP itself sees it: so while there are calls bulk goes at
 * a rate that becomes lower when the queue is long, and higher as long as it is short. Before there
 * has been a long queue, and without calls, it takes what the path gives. Pure: octets and times.
 */
#ifndef COMMON_TUNNEL_BULK_H
#define COMMON_TUNNEL_BULK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero is a start. */
struct bulk {
    uint64_t rate;  /* octets per second; 0: no long queue was seen yet */
    int64_t tokens; /* octets that may go now; what went beyond is owed */
    uint64_t filled_us, lowered_us, raised_us;
    bool used_up; /* since it was raised last there was more than it allowed */
};

/* How many octets may go now; a frame that begins within them goes as a whole. */
size_t bulk_room(struct bulk *bulk, bool calls, bool long_queue, uint32_t rtt_us, uint64_t now_us);
void bulk_took(struct bulk *bulk, size_t octets);

#endif
