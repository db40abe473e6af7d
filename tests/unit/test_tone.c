#include "config.h" /* _GNU_SOURCE */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/tools/tone.h"
#include "tests/tools/wav.h"
#include "tests/unit/unit.h"

static const struct tone_want wanted = {
    .frequency = 1000, .level = -18, .tolerance = 3, .purity = 20};

/* One recording: a sine with a hole in it and noise over it. */
struct recording {
    const char *name;
    unsigned rate, channels;
    double seconds, frequency, level;
    double hole_from, hole_to;    /* seconds of silence */
    double noise;                 /* dBFS of its peaks, 0 = none */
    double offset;                /* of the mean, in parts of full scale */
    double second_channel;        /* dB that the second channel is louder */
    double want_tone, want_level; /* seconds (within 0.2), dBFS (within 0.3) */
};

static const struct recording recordings[] = {
    {"right, 8 kHz", 8000, 1, 10, 1000, -18, 0, 0, 0, 0, 0, 10, -18},
    {"right, 48 kHz, stereo", 48000, 2, 5, 1000, -18, 0, 0, 0, 0, 0, 5, -18},
    {"right, a rate that blocks do not divide", 11025, 1, 5, 1000, -18, 0, 0, 0, 0, 0, 5, -18},
    {"a little louder", 8000, 1, 5, 1000, -16, 0, 0, 0, 0, 0, 5, -16},
    {"a little softer", 8000, 1, 5, 1000, -20, 0, 0, 0, 0, 0, 5, -20},
    {"too loud", 8000, 1, 5, 1000, -14.5, 0, 0, 0, 0, 0, 0, 0},
    {"too soft", 8000, 1, 5, 1000, -21.5, 0, 0, 0, 0, 0, 0, 0},
    {"one channel too loud", 8000, 2, 5, 1000, -18, 0, 0, 0, 0, 6, 0, 0},
    {"one channel silent", 8000, 2, 5, 1000, -18, 0, 0, 0, 0, -90, 0, 0},
    {"wrong frequency", 8000, 1, 5, 900, -18, 0, 0, 0, 0, 0, 0, 0},
    {"slightly wrong frequency", 8000, 1, 5, 1012, -18, 0, 0, 0, 0, 0, 0, 0},
    {"its octave", 8000, 1, 5, 2000, -18, 0, 0, 0, 0, 0, 0, 0},
    {"silence", 8000, 1, 5, 1000, -200, 0, 0, 0, 0, 0, 0, 0},
    {"a gap of a second", 8000, 1, 5, 1000, -18, 2, 3, 0, 0, 0, 4, -18},
    {"begins late", 8000, 1, 5, 1000, -18, 0, 2.5, 0, 0, 0, 2.5, -18},
    {"some noise", 8000, 1, 5, 1000, -18, 0, 0, -45, 0, 0, 5, -18},
    {"much noise", 8000, 1, 5, 1000, -18, 0, 0, -25, 0, 0, 0, 0},
    {"only noise", 8000, 1, 5, 1000, -200, 0, 0, -18, 0, 0, 0, 0},
    {"a mean that is not zero", 8000, 1, 5, 1000, -18, 0, 0, 0, 0.1, 0, 0, 0},
};

static double gain(double decibel)
{
    return pow(10, decibel / 20);
}

static double noise(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return (double)*state / UINT32_MAX * 2 - 1;
}

static int16_t sample(const struct recording *rec, size_t frame, unsigned channel, uint32_t *state)
{
    double t = (double)frame / rec->rate;
    double x = sin(2 * M_PI * rec->frequency * t + 0.3) *
               gain(rec->level + (channel ? rec->second_channel : 0));

    if (t >= rec->hole_from && t < rec->hole_to)
        x = 0;
    if (rec->noise < 0)
        x += noise(state) * gain(rec->noise);
    return (int16_t)lrint((x + rec->offset) * 32767);
}

static void make(struct wav *wav, const struct recording *rec)
{
    uint32_t state = 1;

    *wav = (struct wav){.rate = rec->rate, .channels = rec->channels};
    wav->frames = (size_t)(rec->seconds * rec->rate);
    wav->samples = malloc(wav->frames * wav->channels * sizeof(*wav->samples));
    ck_assert_ptr_nonnull(wav->samples);
    for (size_t i = 0; i < wav->frames * wav->channels; i++)
        wav->samples[i] = sample(rec, i / wav->channels, (unsigned)(i % wav->channels), &state);
}

START_TEST(recording)
{
    const struct recording *rec = &recordings[_i];
    struct tone_result result;
    struct wav wav;

    make(&wav, rec);
    tone_measure(&wanted, &wav, &result);
    ck_assert_msg(fabs(result.seconds - rec->seconds) < 0.01, "%s: %g s", rec->name,
                  result.seconds);
    ck_assert_msg(fabs(result.tone_seconds - rec->want_tone) < 0.2, "%s: tone %g s, not %g",
                  rec->name, result.tone_seconds, rec->want_tone);
    if (rec->want_tone > 0)
        ck_assert_msg(fabs(result.level - rec->want_level) < 0.3, "%s: %g dBFS", rec->name,
                      result.level);
    else
        ck_assert_msg(isinf(result.level), "%s: %g dBFS", rec->name, result.level);
    wav_free(&wav);
}
END_TEST

/* A tone that does not fit into a block a whole number of times is as good. */
START_TEST(any_frequency)
{
    for (double f = 433.7; f < 3900; f += 311.3) {
        struct recording rec = {"", 8000, 1, 2, f, -18, 0, 0, 0, 0, 0, 2, -18};
        struct tone_want want = wanted;
        struct tone_result result;
        struct wav wav;

        make(&wav, &rec);
        want.frequency = f;
        tone_measure(&want, &wav, &result);
        ck_assert_msg(fabs(result.tone_seconds - 2) < 0.01, "%g Hz: %g s", f, result.tone_seconds);
        wav_free(&wav);
    }
}
END_TEST

START_TEST(shorter_than_a_block)
{
    const struct recording rec = {"", 8000, 1, 0.09, 1000, -18, 0, 0, 0, 0, 0, 0, 0};
    struct tone_result result;
    struct wav wav;

    make(&wav, &rec);
    tone_measure(&wanted, &wav, &result);
    ck_assert(result.tone_seconds <= 0);
    wav_free(&wav);
}
END_TEST

/* ---------------------------------------------------------------- files */

/* Two frames of stereo, behind a chunk of odd length that nobody knows. */
static const char good_hex[] = "52494646 40000000 57415645"
                               "4c495354 03000000 414243 00"
                               "666d7420 10000000 0100 0200 401f0000 007d0000 0400 1000"
                               "64617461 08000000 0100 ffff 0080 ff7f";
enum { GOOD_OCTETS = 12 + 12 + 24 + 16, FORMAT_AT = 12 + 12 + 8, DATA_AT = FORMAT_AT + 16 };

static int parse(const uint8_t *data, size_t length, struct wav *wav)
{
    const char *error = NULL;
    uint8_t *copy = malloc(length ? length : 1); /* its end is the end of the memory, for ASan */
    int result;

    ck_assert_ptr_nonnull(copy);
    if (length > 0)
        memcpy(copy, data, length);
    result = wav_parse(wav, copy, length, &error);
    ck_assert(result == 0 || error != NULL);
    free(copy);
    return result;
}

START_TEST(wav_good)
{
    uint8_t data[GOOD_OCTETS];
    struct wav wav;

    ck_assert_uint_eq(unit_hex(good_hex, data, sizeof(data)), GOOD_OCTETS);
    ck_assert_int_eq(parse(data, sizeof(data), &wav), 0);
    ck_assert_uint_eq(wav.rate, 8000);
    ck_assert_uint_eq(wav.channels, 2);
    ck_assert_uint_eq(wav.frames, 2);
    ck_assert_int_eq(wav.samples[0], 1);
    ck_assert_int_eq(wav.samples[1], -1);
    ck_assert_int_eq(wav.samples[2], INT16_MIN);
    ck_assert_int_eq(wav.samples[3], INT16_MAX);
    wav_free(&wav);
}
END_TEST

/* What a writer that was stopped leaves: lengths of 0 or of all ones. */
START_TEST(wav_unfinished)
{
    static const uint8_t lengths[] = {0x00, 0xff};
    uint8_t data[GOOD_OCTETS];
    struct wav wav;

    unit_hex(good_hex, data, sizeof(data));
    memset(data + DATA_AT + 4, lengths[_i], 4);
    ck_assert_int_eq(parse(data, sizeof(data), &wav), 0);
    ck_assert_uint_eq(wav.frames, 2);
    wav_free(&wav);
}
END_TEST

static const struct {
    size_t at;
    uint8_t value;
} wrong[] = {
    {0, 'X'},             /* not RIFF */
    {8, 'X'},             /* not WAVE */
    {FORMAT_AT, 3},       /* floating point */
    {FORMAT_AT + 2, 0},   /* no channel */
    {FORMAT_AT + 2, 3},   /* three */
    {FORMAT_AT + 5, 0},   /* 64 samples per second */
    {FORMAT_AT + 7, 1},   /* 16 million */
    {FORMAT_AT + 14, 8},  /* bits */
    {FORMAT_AT - 8, 'x'}, /* no format */
    {DATA_AT, 'x'},       /* no data */
    {FORMAT_AT - 4, 8},   /* half a format */
};

START_TEST(wav_wrong)
{
    uint8_t data[GOOD_OCTETS];
    struct wav wav;

    unit_hex(good_hex, data, sizeof(data));
    data[wrong[_i].at] = wrong[_i].value;
    ck_assert_int_lt(parse(data, sizeof(data), &wav), 0);
    wav_free(&wav);
}
END_TEST

START_TEST(wav_truncated_and_flipped)
{
    uint8_t data[GOOD_OCTETS];
    struct wav wav;

    unit_hex(good_hex, data, sizeof(data));
    for (size_t length = 0; length < sizeof(data); length++) {
        ck_assert_int_eq(parse(data, length, &wav) == 0, length >= DATA_AT + 8);
        wav_free(&wav);
    }
    for (size_t bit = 0; bit < 8 * sizeof(data); bit++) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (parse(data, sizeof(data), &wav) == 0)
            ck_assert_uint_le(wav.frames * wav.channels, sizeof(data) / 2);
        wav_free(&wav);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}
END_TEST

/* ---------------------------------------------------------------- the program */

static void put(FILE *file, uint32_t value, unsigned octets)
{
    for (unsigned i = 0; i < octets; i++)
        fputc((int)(value >> (8 * i) & 0xff), file);
}

static void write_wav(const char *path, const struct recording *rec)
{
    FILE *file = fopen(path, "wb");
    struct wav wav;

    ck_assert_ptr_nonnull(file);
    make(&wav, rec);
    fputs("RIFF", file);
    put(file, 36 + (uint32_t)wav.frames * 2, 4);
    fputs("WAVEfmt ", file);
    put(file, 16, 4);
    put(file, 1, 2);
    put(file, 1, 2);
    put(file, wav.rate, 4);
    put(file, wav.rate * 2, 4);
    put(file, 2, 2);
    put(file, 16, 2);
    fputs("data", file);
    put(file, (uint32_t)wav.frames * 2, 4);
    for (size_t i = 0; i < wav.frames; i++)
        put(file, (uint16_t)wav.samples[i], 2);
    ck_assert_int_eq(fclose(file), 0);
    wav_free(&wav);
}

static const struct {
    double seconds, hole;
    const char *options;
    int status;
} runs[] = {
    {10, 0, "--level -18 --expect-seconds 10", 0},
    {10, 0.4, "--level -18 --expect-seconds 10", 0},
    {10, 0.7, "--level -18 --expect-seconds 10", 1},
    {10, 0.7, "--level -18 --expect-seconds 10 --min 0.9", 0},
    {9, 0, "--level -18 --expect-seconds 10", 1}, /* too short */
    {9, 0, "--level -18", 0},
    {12, 1, "--level -18 --expect-seconds 10", 0}, /* the tone is there for long enough */
    {10, 0, "--level -18 --frequency 440 --expect-seconds 10", 1},
    {10, 0, "--level -12 --expect-seconds 10", 1},
    {0, 0, "--level -18", 1}, /* empty */
    {0, 0, "--level -18 --min 0", 1},
    {10, 0, "--frequency 4000", 2},
    {10, 0, "--min 2", 2},
    {10, 0, "--nonsense", 2},
    {10, 0, "/nonexistent.wav", 2},
};

START_TEST(exit_status)
{
    const char *top = getenv("TEST_TOP_BUILDDIR");
    struct recording rec = {"", 8000, 1, runs[_i].seconds, 1000, -18, 0, runs[_i].hole, 0, 0,
                            0,  0,    0};
    char path[] = "/tmp/test_tone.XXXXXX", command[512];
    int fd = mkstemp(path), status;

    ck_assert_int_ge(fd, 0);
    close(fd);
    write_wav(path, &rec);
    snprintf(command, sizeof(command), "%s/tests/tools/toneck %s %s >/dev/null 2>&1",
             top ? top : ".", runs[_i].options, path);
    status = system(command);
    unlink(path);
    ck_assert(WIFEXITED(status));
    ck_assert_msg(WEXITSTATUS(status) == runs[_i].status, "%s: status %d", command,
                  WEXITSTATUS(status));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tone");
    TCase *tcase = tcase_create("tone");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, recording, 0, sizeof(recordings) / sizeof(recordings[0]));
    tcase_add_test(tcase, any_frequency);
    tcase_add_test(tcase, shorter_than_a_block);
    tcase_add_test(tcase, wav_good);
    tcase_add_loop_test(tcase, wav_unfinished, 0, 2);
    tcase_add_loop_test(tcase, wav_wrong, 0, sizeof(wrong) / sizeof(wrong[0]));
    tcase_add_test(tcase, wav_truncated_and_flipped);
    tcase_add_loop_test(tcase, exit_status, 0, sizeof(runs) / sizeof(runs[0]));
    suite_add_tcase(suite, tcase);
    return unit_run(suite);
}
