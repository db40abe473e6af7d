#include "common/tunnel/frame.h"

#include "common/base/err.h"
#include "common/base/protocol.h"

int frame_parse(const uint8_t *data, size_t length, struct frame *frame)
{
    struct reader r;
    uint16_t body;

    if (length < 2)
        return 0;
    reader_init(&r, data, length);
    body = reader_u16(&r);
    if (body < 1 || body > FRAME_MAX_OCTETS - 2)
        return ERR_PROTOCOL;
    if (length < 2u + body)
        return 0;
    frame->type = reader_u8(&r);
    reader_init(&frame->body, r.at, body - 1u);
    return 2 + body;
}

int frame_media(struct reader *body, uint32_t *label, const uint8_t **packet, size_t *length)
{
    *label = reader_u32(body);
    *length = reader_left(body);
    *packet = reader_take(body, *length);
    if (body->failed || *length == 0 || *length > PACKET_MAX_OCTETS)
        return ERR_PROTOCOL;
    return 0;
}

int frame_twin(struct reader *body, uint32_t *label, uint32_t *number, const uint8_t **packet,
               size_t *length)
{
    *label = reader_u32(body);
    *number = reader_u32(body);
    *length = reader_left(body);
    *packet = reader_take(body, *length);
    if (body->failed || *length == 0 || *length > PACKET_MAX_OCTETS)
        return ERR_PROTOCOL;
    return 0;
}

uint8_t *frame_begin(struct writer *w, uint8_t type)
{
    uint8_t *head = writer_reserve(w, FRAME_HEAD_OCTETS);

    if (head)
        head[2] = type;
    return head;
}

void frame_end(struct writer *w, uint8_t *head)
{
    size_t length;

    if (!head)
        return;
    if (w->failed) {
        w->at = head;
        return;
    }
    length = (size_t)(w->at - head) - 2;
    head[0] = (uint8_t)(length >> 8);
    head[1] = (uint8_t)length;
}
