/*
 * Sealed frames out of the segments of a connection, in the order in which these come: the kernel
 * waits for a lost segment, and what came after it need not. Each frame comes once more in the
 * kernel's order; the replay window of seal.h knows it then. Where that was opened early lies in
 * the kernel's stream is known as soon as one frame came both ways: there it need not be read.
 *
 * Writers begin a segment with a frame (MSG_EOR). A segment that begins inside of one is read from
 * the end of that frame on, if that is known, and else left to the kernel's order.
 *
 * Pure. Nobody is believed: octets that are no frames cost two tries of a tag for each segment at
 * most. The same frame may come under another number, too, where it was asked for again (again.h):
 * only one that is newer than all others tells where the kernel's order is. Who can send a copy of
 * such a one, before the frame itself comes, can make the kernel's reader skip the wrong octets: he
 * stands on the way, and can break any TCP.
 */
#ifndef COMMON_CARRIER_EARLY_H
#define COMMON_CARRIER_EARLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/carrier/seal.h"

#define EARLY_COUNT_LIST(X)                                                                        \
    X(SEGMENTS, "segments", "with data, of this connection")                                       \
    X(LATE, "late", "segments of what the kernel's order had passed already")                      \
    X(OPENED, "opened", "frames that were opened before the kernel's order reached them")          \
    X(OVERTOOK, "overtook", "of those, that came before the frame in front of them")               \
    X(COPIES, "copies", "frames that had come before")                                             \
    X(FORGED, "forged", "what looked like a frame and is none")                                    \
    X(UNALIGNED, "unaligned", "segments that begin inside a frame whose end is not known")         \
    X(PARTIAL, "partial", "segments that end inside a frame")                                      \
    X(CROWDED, "crowded", "frames whose place was not kept: the kernel's copy will be read")       \
    X(STRAY, "stray", "octets in the kernel's order that belong to no frame")

enum early_count {
#define X(name, word, text) EARLY_##name,
    EARLY_COUNT_LIST(X)
#undef X
        EARLY_COUNTS
};

/* The word for a counter: "late". */
const char *early_count_name(enum early_count which);

enum { EARLY_RANGES = 128, EARLY_STARTS = 16, EARLY_RECENT = 64 };

/* Octets of the kernel's stream, from its first sealed frame on. */
struct early_range {
    uint64_t start, end;
};

struct early_recent {
    uint64_t counter;
    uint32_t sequence;
};

struct early {
    /* Where frames begin that come after one which reaches over the end of its segment. */
    uint32_t starts[EARLY_STARTS];
    uint8_t start_count, start_next;
    /* Until one frame came both ways: the newest that were opened. */
    struct early_recent recent[EARLY_RECENT];
    uint8_t recent_count, recent_next;
    bool alone;      /* there is no kernel's order any more */
    bool begun;      /* one was opened, and */
    uint64_t newest; /* this is the highest counter */
    bool anchored;
    bool kernel_first; /* the newest frame of the kernel's order, while not anchored: */
    uint64_t kernel_offset, kernel_counter;
    uint32_t sequence; /* of position */
    uint64_t position; /* how far the kernel's stream was read */
    size_t range_count;
    struct early_range ranges[EARLY_RANGES]; /* opened, in order, apart from each other */
    uint64_t counts[EARLY_COUNTS];
};

/* One walk through a segment. */
struct early_walk {
    struct early *early;
    const uint8_t *at;
    size_t left;
    uint32_t sequence; /* of at */
    size_t length;     /* of the frame that is tried */
    bool jumped;
};

void early_init(struct early *early);
/*
 * Begins with what a segment holds. Several of a row in one, as a host merges them, are taken apart
 * by the lengths of the frames. data must last as long as the walk.
 */
void early_segment(struct early_walk *walk, struct early *early, uint32_t sequence,
                   const uint8_t *data, size_t length);
/*
 * The next frame to be tried, all of it; NULL: no more. For each seal_open() and early_judge(). It
 * may be opened in place.
 */
const uint8_t *early_next(struct early_walk *walk, size_t *length);
/* counter: of a frame that was opened; of no meaning with other verdicts. */
void early_judge(struct early_walk *walk, enum seal_verdict verdict, uint64_t counter);

/*
 * The kernel's order has come to offset, and there is a frame with this counter, genuine (opened,
 * or a copy of one that was).
 */
void early_kernel_frame(struct early *early, uint64_t offset, uint64_t counter);
/* The connection was taken over from the kernel: nothing of its order is kept any more. */
void early_is_alone(struct early *early);
/* Up to which sequence number the kernel's stream was read; false: it is not known. */
bool early_place(const struct early *early, uint32_t *sequence);
/*
 * A frame that is known to be genuine came early, at this sequence number, after the kernel's order
 * had it: early_advance() is to follow.
 */
void early_copied(struct early *early, uint32_t sequence, uint64_t counter);
/* The kernel's stream was read, or discarded, as far as this. */
void early_advance(struct early *early, uint64_t offset);
/*
 * How many octets of the kernel's stream from offset on belong to frames that were opened already,
 * so that they can be discarded; 0: none, or not known. Asked when all that was read is taken
 * apart; where fewer could be discarded the rest must be before anything is read.
 */
size_t early_skip(const struct early *early, uint64_t offset);
/*
 * At offset the kernel has what is no frame: somebody has added it, at the number of what belongs
 * there. How many octets on is the next place where a frame begins or ends that was opened; 0: none
 * is known.
 */
size_t early_next_place(const struct early *early, uint64_t offset);
/* Octets of that kind were passed by. */
void early_stray(struct early *early, size_t octets);

#endif
