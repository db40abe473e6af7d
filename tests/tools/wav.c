#include "tests/tools/wav.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/reader.h"

enum { TAG_PCM = 1, TAG_EXTENSIBLE = 0xfffe, FILE_MAX_OCTETS = 512 * 1024 * 1024 };

/* WAV is little-endian; the reader of the relays is not. */
static uint16_t le16(struct reader *r)
{
    uint16_t v = reader_u16(r);

    return (uint16_t)(v >> 8 | v << 8);
}

static uint32_t le32(struct reader *r)
{
    uint32_t low = le16(r);

    return (uint32_t)le16(r) << 16 | low;
}

static bool tag_is(const uint8_t *tag, const char *text)
{
    return tag && memcmp(tag, text, 4) == 0;
}

static int read_format(struct wav *wav, struct reader *r, const char **error)
{
    unsigned tag = le16(r), bits;

    wav->channels = le16(r);
    wav->rate = le32(r);
    le32(r); /* octets per second */
    le16(r); /* octets per frame */
    bits = le16(r);
    *error = "is not 16-bit PCM";
    if (tag == TAG_EXTENSIBLE) {
        reader_take(r, 8);
        tag = le16(r);
    }
    if (r->failed || tag != TAG_PCM || bits != 16)
        return ERR_UNSUPPORTED;
    *error = "has neither one nor two channels";
    if (wav->channels < 1 || wav->channels > WAV_CHANNELS_MAX)
        return ERR_UNSUPPORTED;
    *error = "has a sample rate that is not from 1000 to 384000";
    return wav->rate < 1000 || wav->rate > 384000 ? ERR_RANGE : 0;
}

static int read_samples(struct wav *wav, struct reader *r, const char **error)
{
    size_t count;

    *error = "has its data before its format";
    if (wav->channels == 0)
        return ERR_INVALID;
    wav->frames = reader_left(r) / (2 * (size_t)wav->channels);
    count = wav->frames * wav->channels;
    wav->samples = malloc(count ? count * sizeof(*wav->samples) : 1);
    *error = err_text(ERR_NOMEM);
    if (!wav->samples)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++)
        wav->samples[i] = (int16_t)le16(r);
    return 0;
}

static int read_chunks(struct wav *wav, struct reader *r, const char **error)
{
    while (reader_left(r) >= 8) {
        const uint8_t *tag = reader_take(r, 4);
        size_t length = le32(r), left = reader_left(r);
        struct reader body;
        int result;

        length = length > left || (tag_is(tag, "data") && length == 0) ? left : length;
        reader_init(&body, reader_take(r, length), length);
        if (tag_is(tag, "data"))
            return read_samples(wav, &body, error);
        if (tag_is(tag, "fmt ")) {
            result = read_format(wav, &body, error);
            if (result < 0)
                return result;
        }
        if (length % 2 && reader_left(r) > 0)
            reader_take(r, 1);
    }
    *error = "has no data";
    return ERR_TRUNCATED;
}

int wav_parse(struct wav *wav, const uint8_t *data, size_t length, const char **error)
{
    struct reader r;
    const uint8_t *riff, *wave;

    memset(wav, 0, sizeof(*wav));
    reader_init(&r, data, length);
    riff = reader_take(&r, 4);
    le32(&r);
    wave = reader_take(&r, 4);
    *error = "is not a WAV file";
    if (!tag_is(riff, "RIFF") || !tag_is(wave, "WAVE"))
        return ERR_INVALID;
    return read_chunks(wav, &r, error);
}

static int read_stream(FILE *file, uint8_t **data, size_t *length, const char **error)
{
    long size;

    if (fseek(file, 0, SEEK_END) < 0 || (size = ftell(file)) < 0 || fseek(file, 0, SEEK_SET) < 0) {
        *error = "cannot be sought in";
        return ERR_SYSTEM;
    }
    *error = "is too large";
    if (size > FILE_MAX_OCTETS)
        return ERR_TOO_LONG;
    *error = err_text(ERR_NOMEM);
    *data = malloc((size_t)size + 1);
    if (!*data)
        return ERR_NOMEM;
    *length = fread(*data, 1, (size_t)size, file);
    return 0;
}

int wav_read(struct wav *wav, const char *path, const char **error)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t length = 0;
    int result;

    memset(wav, 0, sizeof(*wav));
    if (!file) {
        *error = strerror(errno);
        return ERR_SYSTEM;
    }
    result = read_stream(file, &data, &length, error);
    if (result == 0)
        result = wav_parse(wav, data, length, error);
    free(data);
    fclose(file);
    return result;
}

void wav_free(struct wav *wav)
{
    free(wav->samples);
    wav->samples = NULL;
}
