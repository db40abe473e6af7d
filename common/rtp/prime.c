#include "common/rtp/prime.h"

#include "common/base/reader.h"
#include "common/base/writer.h"

bool prime_read(const uint8_t *data, size_t length, uint32_t *outer)
{
    struct reader r;

    *outer = 0;
    if (length <= PRIME_OCTETS)
        return false;
    reader_init(&r, data, length);
    *outer = reader_u32(&r);
    return true;
}

void prime_write(uint8_t head[PRIME_OCTETS], uint32_t outer)
{
    struct writer w;

    writer_init(&w, head, PRIME_OCTETS);
    writer_u32(&w, outer);
}
