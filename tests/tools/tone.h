/* How much of a recording holds one tone, at one level, and little else. */
#ifndef TESTS_TOOLS_TONE_H
#define TESTS_TOOLS_TONE_H

#include <stdbool.h>
#include <stddef.h>

struct wav;

enum { TONE_BLOCKS_PER_SECOND = 10 };

/* 0 dBFS is a sine whose peaks reach full scale. */
struct tone_want {
    double frequency; /* Hz, below half the sample rate */
    double level;     /* dBFS */
    double tolerance; /* dB, up and down */
    double purity;    /* dB that the tone stands over all the rest */
};

struct tone_result {
    double seconds;      /* of the file */
    double tone_seconds; /* in whole blocks that hold the tone in every channel */
    double level;        /* dBFS, mean power of those blocks; -INFINITY when there is none */
};

/* One block of one channel. *level is what was found at the frequency, in dBFS. */
bool tone_in_block(const struct tone_want *want, const struct wav *wav, unsigned channel,
                   size_t first_frame, size_t frames, double *level);
void tone_measure(const struct tone_want *want, const struct wav *wav, struct tone_result *result);

#endif
