/* Frames of the tunnel: "u16 length | u8 type | body"; length counts type and body. */
#ifndef COMMON_TUNNEL_FRAME_H
#define COMMON_TUNNEL_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/protocol.h"
#include "common/base/reader.h"
#include "common/base/writer.h"

struct frame {
    uint8_t type;
    struct reader body; /* points into the input */
};

/* Its body begins with a label. */
static inline bool frame_has_label(uint8_t type)
{
    return type == FRAME_MEDIA || type == FRAME_TWIN;
}

/*
 * Takes the first frame of data. Returns its whole length, 0 when it is not
 * complete yet, ERR_PROTOCOL for a length that no frame may have.
 */
int frame_parse(const uint8_t *data, size_t length, struct frame *frame);

/* The label and the packet of a media frame's body; ERR_PROTOCOL when it is too short or too long.
 */
int frame_media(struct reader *body, uint32_t *label, const uint8_t **packet, size_t *length);

/* The same of a packet that goes two ways, with its number. */
int frame_twin(struct reader *body, uint32_t *label, uint32_t *number, const uint8_t **packet,
               size_t *length);

/* Leaves room for the head, returns its place for frame_end; NULL when there is no room. */
uint8_t *frame_begin(struct writer *w, uint8_t type);
/* Writes the length. When the writer failed since frame_begin, the frame is taken back. */
void frame_end(struct writer *w, uint8_t *head);

#endif
