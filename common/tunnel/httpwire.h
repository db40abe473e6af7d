/*
 * The framing of the way over plain HTTP: the octets of TLS as the body of a request or of a reply
 * that does not end, in chunks (RFC 9112 section 7.1). Pure.
 */
#ifndef COMMON_TUNNEL_HTTPWIRE_H
#define COMMON_TUNNEL_HTTPWIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { HTTPWIRE_PARTS = 3, HTTPWIRE_MARK_OCTETS = 12 };

enum httpwire_state {
    HTTPWIRE_SIZE, /* the digits of a chunk's size */
    HTTPWIRE_EXTENSION,
    HTTPWIRE_SIZE_LF,
    HTTPWIRE_DATA,
    HTTPWIRE_DATA_CR,
    HTTPWIRE_DATA_LF,
    HTTPWIRE_ENDED, /* the last chunk came; what follows means nothing */
    HTTPWIRE_BROKEN,
};

/* All zero at the beginning. */
struct httpwire_reader {
    enum httpwire_state state;
    unsigned line; /* octets of the line of the size */
    bool digits;   /* it has one */
    uint64_t left; /* octets of the chunk that are to come; while its size is read, the size */
};

/* All zero at the beginning. */
struct httpwire_writer {
    uint8_t mark[HTTPWIRE_MARK_OCTETS]; /* framing that is to go out before anything else */
    size_t mark_at, mark_length;
    size_t left; /* octets of the chunk under way that are to come */
};

/*
 * Takes the framing out of what came, in place. Returns the octets of the body that are left at
 * data, 0 to length; ERR_INVALID for what are no chunks, at that call and all later ones.
 */
int httpwire_read(struct httpwire_reader *reader, uint8_t *data, size_t length);
/* What came are no chunks. */
static inline bool httpwire_broken(const struct httpwire_reader *reader)
{
    return reader->state == HTTPWIRE_BROKEN;
}
/* Nothing comes any more. */
static inline bool httpwire_ended(const struct httpwire_reader *reader)
{
    return reader->state == HTTPWIRE_ENDED;
}

/*
 * What is to be written for length octets, at least one, of data: returns the number of parts.
 * Until the chunk that it begins has been sent whole, data must go on with the same octets.
 */
size_t httpwire_frame(struct httpwire_writer *writer, const void *data, size_t length,
                      struct iovec parts[HTTPWIRE_PARTS]);
/* So many octets of those parts were taken: how many of data are among them. */
size_t httpwire_sent(struct httpwire_writer *writer, size_t count);

#endif
