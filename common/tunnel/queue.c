#include "common/tunnel/queue.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"

int queue_init(struct queue *queue, size_t octets)
{
    memset(queue, 0, sizeof(*queue));
    queue->memory = malloc(octets);
    if (!queue->memory)
        return ERR_NOMEM;
    queue->size = queue->wrap = octets;
    return 0;
}

void queue_fini(struct queue *queue)
{
    free(queue->memory);
    memset(queue, 0, sizeof(*queue));
}

/* Entries are kept aligned, so that the header can be read in place. */
static size_t entry_octets(uint32_t length)
{
    size_t align = _Alignof(struct queue_entry);

    return (sizeof(struct queue_entry) + length + align - 1) / align * align;
}

/* Where the next entry of that size fits without touching the oldest; false when nowhere. */
static bool find_room(struct queue *queue, size_t need)
{
    if (queue->count == 0) {
        queue->head = queue->tail = 0;
        queue->wrap = queue->size;
        return need <= queue->size;
    }
    if (queue->tail > queue->head) {
        if (queue->size - queue->tail >= need)
            return true;
        if (queue->head < need)
            return false;
        queue->wrap = queue->tail;
        queue->tail = 0;
        return true;
    }
    return queue->head - queue->tail >= need;
}

bool queue_push(struct queue *queue, const struct queue_entry *entry, const uint8_t *packet)
{
    size_t need = entry_octets(entry->length);

    if (!find_room(queue, need))
        return false;
    memcpy(queue->memory + queue->tail, entry, sizeof(*entry));
    memcpy(queue->memory + queue->tail + sizeof(*entry), packet, entry->length);
    queue->tail += need;
    queue->count++;
    return true;
}

const struct queue_entry *queue_peek(const struct queue *queue, const uint8_t **packet)
{
    uint8_t *at = queue->memory + queue->head;

    if (queue->count == 0)
        return NULL;
    *packet = at + sizeof(struct queue_entry);
    return (const struct queue_entry *)(void *)at;
}

void queue_pop(struct queue *queue)
{
    const uint8_t *packet;
    const struct queue_entry *entry = queue_peek(queue, &packet);

    if (!entry)
        return;
    queue->head += entry_octets(entry->length);
    queue->count--;
    if (queue->head >= queue->wrap) {
        queue->head = 0;
        queue->wrap = queue->size;
    }
}
