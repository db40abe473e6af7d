/* WAV files of 16-bit PCM, as ffmpeg and GStreamer write them. */
#ifndef TESTS_TOOLS_WAV_H
#define TESTS_TOOLS_WAV_H

#include <stddef.h>
#include <stdint.h>

enum { WAV_CHANNELS_MAX = 2 };

struct wav {
    unsigned rate;     /* samples per second and channel */
    unsigned channels; /* 1 or 2 */
    size_t frames;     /* one sample of each channel */
    int16_t *samples;  /* frames * channels, interleaved */
};

/*
 * Reads a whole file from memory. A data chunk that claims more than there is
 * (a writer that was stopped, or wrote to a pipe) is taken to reach to the end.
 * On failure the result is negative and *error a constant text. wav_free afterwards.
 */
int wav_parse(struct wav *wav, const uint8_t *data, size_t length, const char **error);
int wav_read(struct wav *wav, const char *path, const char **error);
void wav_free(struct wav *wav);

#endif
