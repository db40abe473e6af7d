#include "common/tunnel/httpwire.h"

#include <stdio.h>
#include <string.h>

#include "common/base/err.h"

enum { LINE_OCTETS = 256 }; /* of a chunk's size and what stands behind it */

static const char chunk_end[] = "\r\n";
enum { CHUNK_END_OCTETS = 2, CHUNK_SIZE_MAX = INT32_MAX };

/* ---------------------------------------------------------------- reading */

static int digit_of(uint8_t octet)
{
    if (octet >= '0' && octet <= '9')
        return octet - '0';
    octet |= 0x20;
    return octet >= 'a' && octet <= 'f' ? octet - 'a' + 10 : -1;
}

static enum httpwire_state read_digit(struct httpwire_reader *reader, uint8_t octet)
{
    int digit = digit_of(octet);

    if (digit >= 0) {
        reader->left = reader->left * 16 + (unsigned)digit;
        reader->digits = true;
        return reader->left > CHUNK_SIZE_MAX ? HTTPWIRE_BROKEN : HTTPWIRE_SIZE;
    }
    if (!reader->digits)
        return HTTPWIRE_BROKEN;
    if (octet == '\r')
        return HTTPWIRE_SIZE_LF;
    return octet == ';' || octet == ' ' || octet == '\t' ? HTTPWIRE_EXTENSION : HTTPWIRE_BROKEN;
}

/* The next state after an octet that is no data. */
static enum httpwire_state read_framing(struct httpwire_reader *reader, uint8_t octet)
{
    if (reader->state <= HTTPWIRE_EXTENSION && ++reader->line > LINE_OCTETS)
        return HTTPWIRE_BROKEN;
    switch (reader->state) {
    case HTTPWIRE_SIZE:
        return read_digit(reader, octet);
    case HTTPWIRE_EXTENSION:
        if (octet == '\r')
            return HTTPWIRE_SIZE_LF;
        return octet == '\t' || octet >= 0x20 ? HTTPWIRE_EXTENSION : HTTPWIRE_BROKEN;
    case HTTPWIRE_SIZE_LF:
        reader->line = 0;
        reader->digits = false;
        if (octet != '\n')
            return HTTPWIRE_BROKEN;
        return reader->left > 0 ? HTTPWIRE_DATA : HTTPWIRE_ENDED;
    case HTTPWIRE_DATA_CR:
        return octet == '\r' ? HTTPWIRE_DATA_LF : HTTPWIRE_BROKEN;
    case HTTPWIRE_DATA_LF:
        return octet == '\n' ? HTTPWIRE_SIZE : HTTPWIRE_BROKEN;
    default:
        return reader->state;
    }
}

int httpwire_read(struct httpwire_reader *reader, uint8_t *data, size_t length)
{
    size_t at = 0, body = 0;

    while (at < length && reader->state < HTTPWIRE_ENDED) {
        size_t count = length - at;

        if (reader->state != HTTPWIRE_DATA) {
            reader->state = read_framing(reader, data[at++]);
            continue;
        }
        if (count > reader->left)
            count = (size_t)reader->left;
        memmove(data + body, data + at, count);
        at += count;
        body += count;
        reader->left -= count;
        if (reader->left == 0)
            reader->state = HTTPWIRE_DATA_CR;
    }
    return reader->state == HTTPWIRE_BROKEN ? ERR_INVALID : (int)body;
}

/* ---------------------------------------------------------------- writing */

static void set_mark(struct httpwire_writer *writer, const char *text, size_t length)
{
    memcpy(writer->mark, text, length);
    writer->mark_at = 0;
    writer->mark_length = length;
}

/* The end of the last chunk, where it did not fit, and the size of this one. */
static void begin_chunk(struct httpwire_writer *writer, size_t length)
{
    char text[2 * HTTPWIRE_MARK_OCTETS];
    size_t before = writer->mark_length - writer->mark_at;
    int count;

    memcpy(text, writer->mark + writer->mark_at, before);
    count = snprintf(text + before, sizeof(text) - before, "%zx\r\n", length);
    set_mark(writer, text, before + (size_t)count);
    writer->left = length;
}

size_t httpwire_frame(struct httpwire_writer *writer, const void *data, size_t length,
                      struct iovec parts[HTTPWIRE_PARTS])
{
    size_t count = 0;

    if (length > CHUNK_SIZE_MAX)
        length = CHUNK_SIZE_MAX;
    if (writer->left == 0)
        begin_chunk(writer, length);
    if (writer->mark_at < writer->mark_length)
        parts[count++] =
            (struct iovec){writer->mark + writer->mark_at, writer->mark_length - writer->mark_at};
    if (length > writer->left)
        length = writer->left;
    parts[count++] = (struct iovec){(void *)(uintptr_t)data, length};
    if (length == writer->left)
        parts[count++] = (struct iovec){(void *)(uintptr_t)chunk_end, CHUNK_END_OCTETS};
    return count;
}

size_t httpwire_sent(struct httpwire_writer *writer, size_t count)
{
    size_t mark = writer->mark_length - writer->mark_at, body;

    if (count < mark) {
        writer->mark_at += count;
        return 0;
    }
    count -= mark;
    writer->mark_at = writer->mark_length = 0;
    body = count < writer->left ? count : writer->left;
    writer->left -= body;
    if (body > 0 && writer->left == 0) {
        set_mark(writer, chunk_end, CHUNK_END_OCTETS);
        writer->mark_at = count - body;
    }
    return body;
}
