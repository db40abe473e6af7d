/*
 * The media queue in front of a tunnel: bounded by age and by octets, the oldest
 * dropped first. Its memory is allocated once.
 */
#ifndef COMMON_TUNNEL_QUEUE_H
#define COMMON_TUNNEL_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/verdict.h"

struct queue {
    uint8_t *memory;
    size_t size;
    size_t head, tail; /* octets; tail is where the next entry goes */
    size_t wrap;       /* where the upper part ends when the entries wrap */
    size_t count;
};

/* What stands in front of each packet in the queue. */
struct queue_entry {
    uint64_t queued_us;
    struct verdict_counts *counts; /* of the place where it was received */
    uint32_t label;
    uint32_t length; /* of the packet, which follows */
    uint32_t number; /* of a twin */
    bool twin;       /* it goes another way, too (ways.h) */
    bool copy;       /* and is counted there: counts is NULL */
};

int queue_init(struct queue *queue, size_t octets);
void queue_fini(struct queue *queue);

/* False when there is no room: drop the oldest first. Copies the packet. */
bool queue_push(struct queue *queue, const struct queue_entry *entry, const uint8_t *packet);
/* The oldest entry and its packet, valid until the next push or pop; NULL when empty. */
const struct queue_entry *queue_peek(const struct queue *queue, const uint8_t **packet);
void queue_pop(struct queue *queue);

#endif
