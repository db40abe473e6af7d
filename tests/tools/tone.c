#include "config.h" /* _GNU_SOURCE */

#include "tests/tools/tone.h"

#include <math.h>

#include "tests/tools/wav.h"

static const double full_scale = 32768.0;

/* Sums of the products of the samples and of the tone's two phases. */
struct sums {
    double cc, ss, cs; /* of the phases with each other */
    double xc, xs, xx; /* of the samples with the phases, and with themselves */
};

static struct sums add_up(const struct wav *wav, unsigned channel, size_t first, size_t frames,
                          double step)
{
    struct sums sums = {0};

    for (size_t i = 0; i < frames; i++) {
        double x = wav->samples[(first + i) * wav->channels + channel] / full_scale;
        double c = cos(step * (double)i), s = sin(step * (double)i);

        sums.cc += c * c;
        sums.ss += s * s;
        sums.cs += c * s;
        sums.xc += x * c;
        sums.xs += x * s;
        sums.xx += x * x;
    }
    return sums;
}

static double decibel(double power_ratio)
{
    return power_ratio > 0 ? 10 * log10(power_ratio) : -INFINITY;
}

/*
 * Goertzel's question, answered by least squares, so that the tone need not
 * fit into the block a whole number of times: which a * cos + b * sin comes
 * nearest to the samples, and how much of them is left without it.
 */
bool tone_in_block(const struct tone_want *want, const struct wav *wav, unsigned channel,
                   size_t first_frame, size_t frames, double *level)
{
    double step = 2 * M_PI * want->frequency / wav->rate;
    struct sums sums = add_up(wav, channel, first_frame, frames, step);
    double det = sums.cc * sums.ss - sums.cs * sums.cs;
    double a, b, tone, rest;

    *level = -INFINITY;
    if (fabs(det) < 1e-9)
        return false;
    a = (sums.xc * sums.ss - sums.xs * sums.cs) / det;
    b = (sums.xs * sums.cc - sums.xc * sums.cs) / det;
    tone = a * sums.xc + b * sums.xs;
    rest = sums.xx - tone;
    *level = decibel(a * a + b * b);
    return fabs(*level - want->level) <= want->tolerance &&
           (rest <= 0 || decibel(tone / rest) >= want->purity);
}

static bool in_all_channels(const struct tone_want *want, const struct wav *wav, size_t first,
                            size_t frames, double *power)
{
    double level;

    *power = 0;
    for (unsigned channel = 0; channel < wav->channels; channel++) {
        if (!tone_in_block(want, wav, channel, first, frames, &level))
            return false;
        *power += pow(10, level / 10) / wav->channels;
    }
    return true;
}

void tone_measure(const struct tone_want *want, const struct wav *wav, struct tone_result *result)
{
    size_t frames = wav->rate / TONE_BLOCKS_PER_SECOND, held = 0;
    double total = 0, power;

    for (size_t first = 0; first + frames <= wav->frames; first += frames)
        if (in_all_channels(want, wav, first, frames, &power)) {
            held++;
            total += power;
        }
    result->seconds = (double)wav->frames / wav->rate;
    result->tone_seconds = (double)(held * frames) / wav->rate;
    result->level = held ? decibel(total / (double)held) : -INFINITY;
}
