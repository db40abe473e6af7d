#include "common/tunnel/sealed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/base/writer.h"
#include "common/carrier/again.h"
#include "common/tunnel/frame.h"
#include "common/tunnel/session.h"

enum {
    INPUT_OCTETS = 64 * 1024 + SEAL_FRAME_MAX_OCTETS,
    OUTPUT_OCTETS = 32 * 1024,
    SEGMENT_OCTETS = 1200, /* what passes nearly everywhere */
    SEGMENT_LEAST_OCTETS = 256,
    /* What one call opens: the caller looks at the clock in between. */
    INPUT_HELPING = 32,
    LENGTH_OCTETS = 2, /* of a plain frame */
    /* So many octets that are no frames, and nothing genuine in between, end the connection. */
    STRAY_MAX_OCTETS = 64 * 1024,
};

struct sealed {
    struct seal *seal;
    struct early early;
    struct again *again;   /* NULL: nothing is asked for, or sent, again */
    enum sealed_kind kind; /* of the segment that is being opened */
    bool checks_copies;
    bool broken;     /* an AGAIN cannot be read */
    uint64_t offset; /* in the connection's octets, of input_at */
    uint64_t discarded;
    size_t stray; /* octets since the last genuine frame */
    size_t input_at, input_length;
    bool pending;
    size_t segment; /* octets */
    size_t plain_at, plain_length;
    size_t output_length, output_sent;
    size_t ends[SEALED_SEGMENTS_MAX]; /* of the segments in output */
    size_t count;
    uint8_t input[INPUT_OCTETS];
    uint8_t plain[RECORD_MAX_OCTETS]; /* frames as the session makes them */
    uint8_t output[OUTPUT_OCTETS];
};

struct sealed *sealed_new(struct seal *seal)
{
    struct sealed *sealed = calloc(1, sizeof(*sealed));

    if (!sealed) {
        seal_free(seal);
        return NULL;
    }
    sealed->seal = seal;
    early_init(&sealed->early);
    sealed->segment = SEGMENT_OCTETS;
    return sealed;
}

void sealed_free(struct sealed *sealed)
{
    if (!sealed)
        return;
    seal_free(sealed->seal);
    again_free(sealed->again);
    free(sealed);
}

/* Without memory TCP alone repeats. */
void sealed_repeats(struct sealed *sealed)
{
    if (!sealed->again)
        sealed->again = again_new();
}

/* ------------------------------------------------------------ what comes */

uint8_t *sealed_space(struct sealed *sealed, size_t *size)
{
    size_t left = sealed->input_length - sealed->input_at;

    if (sealed->input_at > 0) {
        memmove(sealed->input, sealed->input + sealed->input_at, left);
        sealed->input_at = 0;
        sealed->input_length = left;
    }
    *size = INPUT_OCTETS - left;
    return sealed->input + left;
}

/* True: it is an AGAIN, which is no business of the session's; without memory nobody's. */
static bool take_again(struct sealed *sealed, const struct seal_opened *opened, uint64_t now_us)
{
    struct reader body;

    if (sealed->again)
        again_came(sealed->again, opened->counter, now_us);
    if (opened->type != FRAME_AGAIN)
        return false;
    reader_init(&body, opened->packet, opened->length);
    if (sealed->again && again_asked(sealed->again, &body) < 0)
        sealed->broken = true;
    return true;
}

/*
 * As a plain frame, which a sealed one of media is but for its length; the label of others is left
 * out. *octets is how many it has, 0: it is passed by. out has room for the frame's octets.
 */
static enum seal_verdict open_one(struct sealed *sealed, const uint8_t *frame, size_t length,
                                  uint8_t *out, size_t *octets, uint64_t now_us)
{
    uint8_t *text = out + LENGTH_OCTETS;
    struct seal_opened opened;
    enum seal_verdict verdict = seal_open(sealed->seal, frame, length, text, &opened);
    size_t inside;

    *octets = 0;
    if (verdict != SEAL_OPENED)
        return verdict;
    if (take_again(sealed, &opened, now_us))
        return verdict;
    inside = SEAL_INSIDE_OCTETS + opened.length;
    if (!frame_has_label(opened.type)) {
        memmove(text + 1, opened.packet, opened.length);
        inside = 1 + opened.length;
    }
    out[0] = (uint8_t)(inside >> 8);
    out[1] = (uint8_t)inside;
    *octets = LENGTH_OCTETS + inside;
    return verdict;
}

static int end(struct session *session, const char *reason)
{
    session_bye(session, reason);
    return ERR_CLOSED;
}

/* Nobody can tell where the next one begins. */
static int no_frame(struct session *session)
{
    return end(session, "protocol error: what came is no sealed frame");
}

static int check_again(const struct sealed *sealed, struct session *session)
{
    return sealed->broken ? end(session, "protocol error: AGAIN cannot be read") : 0;
}

/* Opens the frame at input_at, in the connection's order. Returns the octets of the plain one. */
static size_t take_one(struct sealed *sealed, size_t length, uint8_t *out, uint64_t now_us)
{
    const uint8_t *frame = sealed->input + sealed->input_at;
    size_t octets;

    if (open_one(sealed, frame, length, out, &octets, now_us) != SEAL_FORGED) {
        early_kernel_frame(&sealed->early, sealed->offset, seal_counter_of(frame));
        sealed->stray = 0;
    }
    sealed->input_at += length;
    sealed->offset += length;
    return octets;
}

/*
 * What is no frame was added by somebody on the way, where other octets belonged. What was opened
 * early behind it tells where the frames go on; until then all is passed by. False: nobody can
 * tell.
 */
static bool pass_stray(struct sealed *sealed)
{
    size_t left = sealed->input_length - sealed->input_at;
    size_t octets = early_next_place(&sealed->early, sealed->offset);

    if (!sealed->early.anchored || sealed->stray > STRAY_MAX_OCTETS)
        return false;
    if (octets == 0 || octets > left)
        octets = left;
    early_stray(&sealed->early, octets);
    sealed->stray += octets;
    sealed->input_at += octets;
    sealed->offset += octets;
    return true;
}

int sealed_received(struct sealed *sealed, struct session *session, size_t count, uint64_t now_us)
{
    size_t room, used = 0;
    uint8_t *space = session_space(session, &room);
    int whole = 0;
    unsigned opened = 0;
    bool full = false;

    sealed->input_length += count;
    sealed->pending = false;
    for (; opened < INPUT_HELPING; opened++) {
        const uint8_t *frame = sealed->input + sealed->input_at;
        size_t left = sealed->input_length - sealed->input_at;

        whole = seal_length(frame, left);
        if (whole < 0 && pass_stray(sealed)) {
            whole = 0;
            continue;
        }
        if (whole <= 0 || (size_t)whole > left)
            break;
        full = room - used < (size_t)whole;
        if (full)
            break;
        used += take_one(sealed, (size_t)whole, space + used, now_us);
    }
    early_advance(&sealed->early, sealed->offset);
    sealed->pending = opened == INPUT_HELPING || full;
    if (used > 0 && session_received(session, used, now_us) < 0)
        return ERR_CLOSED;
    return whole < 0 ? no_frame(session) : check_again(sealed, session);
}

bool sealed_pending(const struct sealed *sealed)
{
    return sealed->pending;
}

/* ------------------------------------------------------------ what comes early */

static bool is_copy(struct sealed *sealed, enum seal_verdict verdict, const uint8_t *frame,
                    size_t length, uint8_t *scratch)
{
    return verdict == SEAL_REPLAYED && sealed->checks_copies &&
           seal_is_genuine(sealed->seal, frame, length, scratch);
}

static void note_kind(struct sealed *sealed, enum seal_verdict verdict,
                      const struct early_walk *walk, const uint8_t *frame, size_t length,
                      uint8_t *scratch)
{
    if (verdict == SEAL_OPENED) {
        sealed->kind = SEALED_NEW;
    } else if (is_copy(sealed, verdict, frame, length, scratch)) {
        early_copied(&sealed->early, walk->sequence, seal_counter_of(frame));
        early_advance(&sealed->early, sealed->offset);
        if (sealed->kind == SEALED_NOTHING)
            sealed->kind = SEALED_COPY;
    }
}

/* Frames as far as there is room and a helping goes. Returns the octets of the plain ones. */
static size_t open_early(struct sealed *sealed, struct early_walk *walk, uint8_t *space,
                         size_t room, bool *more, uint64_t now_us)
{
    size_t used = 0;

    *more = true;
    for (unsigned i = 0; i < INPUT_HELPING && room - used >= SEAL_FRAME_MAX_OCTETS; i++) {
        size_t length, octets;
        const uint8_t *frame = early_next(walk, &length);
        enum seal_verdict verdict;
        uint64_t counter;

        if (!frame) {
            *more = false;
            break;
        }
        counter = seal_counter_of(frame);
        verdict = open_one(sealed, frame, length, space + used, &octets, now_us);
        note_kind(sealed, verdict, walk, frame, length, space + used);
        early_judge(walk, verdict, counter);
        used += octets;
    }
    return used;
}

static int finish_session(struct session *session, uint64_t now_us)
{
    while (session_pending(session)) {
        if (session_received(session, 0, now_us) < 0)
            return ERR_CLOSED;
    }
    return 0;
}

int sealed_segment(struct sealed *sealed, struct session *session, uint32_t sequence, uint8_t *data,
                   size_t length, uint64_t now_us)
{
    struct early_walk walk;
    bool more = true;

    sealed->kind = SEALED_NOTHING;
    early_segment(&walk, &sealed->early, sequence, data, length);
    while (more) {
        size_t room, used;
        uint8_t *space = session_space(session, &room);

        if (room < SEAL_FRAME_MAX_OCTETS)
            return 0; /* a frame of the session is not complete yet */
        used = open_early(sealed, &walk, space, room, &more, now_us);
        session_set_early(session, true, sealed->early.counts[EARLY_OVERTOOK]);
        if (used > 0 &&
            (session_received(session, used, now_us) < 0 || finish_session(session, now_us) < 0))
            return ERR_CLOSED;
    }
    return check_again(sealed, session);
}

enum sealed_kind sealed_kind(const struct sealed *sealed)
{
    return sealed->kind;
}

void sealed_check_copies(struct sealed *sealed, bool check)
{
    sealed->checks_copies = check;
}

enum sealed_kind sealed_judge(struct sealed *sealed, uint32_t sequence, uint8_t *data,
                              size_t length)
{
    struct early_walk walk;
    bool more = true;

    sealed->kind = SEALED_NOTHING;
    early_segment(&walk, &sealed->early, sequence, data, length);
    while (more)
        (void)open_early(sealed, &walk, sealed->input, sizeof(sealed->input), &more, 0);
    return sealed->kind;
}

bool sealed_place(const struct sealed *sealed, uint32_t *sequence)
{
    return early_place(&sealed->early, sequence);
}

void sealed_is_alone(struct sealed *sealed)
{
    again_free(sealed->again);
    sealed->again = NULL;
    sealed->input_at = sealed->input_length = 0;
    early_is_alone(&sealed->early);
}

size_t sealed_skip(const struct sealed *sealed)
{
    if (sealed->input_at < sealed->input_length)
        return 0;
    return early_skip(&sealed->early, sealed->offset);
}

void sealed_skipped(struct sealed *sealed, size_t count)
{
    sealed->offset += count;
    sealed->discarded += count;
    sealed->stray = 0;
    early_advance(&sealed->early, sealed->offset);
}

uint64_t sealed_discarded(const struct sealed *sealed)
{
    return sealed->discarded;
}

uint64_t sealed_wait_us(const struct sealed *sealed, uint64_t now_us)
{
    return sealed->again ? again_wait_us(sealed->again, now_us) : UINT64_MAX;
}

uint64_t sealed_asked_for(const struct sealed *sealed)
{
    return sealed->again ? again_asked_for(sealed->again) : 0;
}

uint64_t sealed_repeated(const struct sealed *sealed)
{
    return sealed->again ? again_repeated(sealed->again) : 0;
}

uint64_t sealed_early_count(const struct sealed *sealed, enum early_count which)
{
    return sealed->early.counts[which];
}

/* ------------------------------------------------------------ what goes */

void sealed_set_segment(struct sealed *sealed, size_t octets)
{
    sealed->segment = octets < SEGMENT_LEAST_OCTETS ? SEGMENT_LEAST_OCTETS : octets;
}

static void add_to_segment(struct sealed *sealed, size_t octets)
{
    size_t begin = sealed->count > 1 ? sealed->ends[sealed->count - 2] : 0;

    sealed->output_length += octets;
    if (sealed->count > 0 && sealed->output_length - begin <= sealed->segment)
        sealed->ends[sealed->count - 1] = sealed->output_length;
    else
        sealed->ends[sealed->count++] = sealed->output_length;
}

static int put(struct sealed *sealed, const struct frame *frame)
{
    struct reader body = frame->body;
    uint32_t label = frame_has_label(frame->type) ? reader_u32(&body) : 0;
    size_t length = reader_left(&body);
    int result = seal_put(sealed->seal, frame->type, label, reader_take(&body, length), length,
                          sealed->output + sealed->output_length);

    if (result <= 0)
        return result;
    if (sealed->again)
        again_keep(sealed->again, seal_next_counter(sealed->seal) - 1,
                   sealed->output + sealed->output_length, (size_t)result);
    add_to_segment(sealed, (size_t)result);
    return result;
}

static bool has_room(const struct sealed *sealed)
{
    return sealed->count < SEALED_SEGMENTS_MAX &&
           OUTPUT_OCTETS - sealed->output_length >= SEAL_FRAME_MAX_OCTETS;
}

/*
 * An AGAIN of our own, and the frames of the other side's, octet for octet: these take half of what
 * the path has room for, the rest is for what is new.
 */
static int put_again(struct sealed *sealed, size_t room, uint64_t now_us)
{
    uint8_t memory[AGAIN_RUNS * 8];
    struct frame frame = {.type = FRAME_AGAIN};
    struct writer w;
    const uint8_t *kept;
    size_t length;
    int result = 0;

    writer_init(&w, memory, sizeof(memory));
    if (again_ask(sealed->again, sealed->seal, &w, now_us)) {
        reader_init(&frame.body, memory, writer_length(&w));
        result = put(sealed, &frame);
    }
    while (result >= 0 && has_room(sealed) && sealed->output_length <= room / 2 &&
           (kept = again_next(sealed->again, &length))) {
        memcpy(sealed->output + sealed->output_length, kept, length);
        add_to_segment(sealed, length);
    }
    return result;
}

/* Of what the session made, as much as there is room for. 0 or negative. */
static int seal_plain(struct sealed *sealed)
{
    int result = 0;

    while (result >= 0 && has_room(sealed)) {
        struct frame frame;
        int taken = frame_parse(sealed->plain + sealed->plain_at,
                                sealed->plain_length - sealed->plain_at, &frame);

        if (taken <= 0)
            return taken;
        result = put(sealed, &frame);
        sealed->plain_at += (size_t)taken;
    }
    return result < 0 ? result : 0;
}

int sealed_fill(struct sealed *sealed, struct session *session, uint64_t now_us)
{
    size_t left = sealed->plain_length - sealed->plain_at;
    int result;

    sealed->output_length = sealed->output_sent = sealed->count = 0;
    memmove(sealed->plain, sealed->plain + sealed->plain_at, left);
    sealed->plain_at = 0;
    sealed->plain_length = left;
    /* A frame may go on behind the end of a helping, and many small ones need more room sealed. */
    if (sizeof(sealed->plain) - left >= 2 * (size_t)FRAME_MAX_OCTETS)
        sealed->plain_length +=
            session_output(session, sealed->plain + left, sizeof(sealed->plain) - left, now_us);
    result = sealed->again ? put_again(sealed, session_room(session), now_us) : 0;
    if (result >= 0)
        result = seal_plain(sealed);
    return result < 0 ? result : (int)sealed->output_length;
}

size_t sealed_segments(const struct sealed *sealed, struct iovec segments[SEALED_SEGMENTS_MAX])
{
    size_t begin = sealed->output_sent, count = 0;

    for (size_t i = 0; i < sealed->count; i++) {
        if (sealed->ends[i] <= begin)
            continue;
        segments[count].iov_base = (void *)(uintptr_t)(sealed->output + begin);
        segments[count++].iov_len = sealed->ends[i] - begin;
        begin = sealed->ends[i];
    }
    return count;
}

size_t sealed_segment_count(const struct sealed *sealed)
{
    return sealed->count;
}

void sealed_sent(struct sealed *sealed, size_t octets)
{
    sealed->output_sent += octets;
}

size_t sealed_bye(struct sealed *sealed, const char *reason, uint8_t *frame)
{
    char text[BYE_REASON_SIZE];
    uint8_t body[BYE_REASON_SIZE + 16];
    struct writer w;
    int result;

    snprintf(text, sizeof(text), "%s", reason);
    writer_init(&w, body, sizeof(body));
    bye_put(&w, text);
    result = seal_put(sealed->seal, FRAME_BYE, 0, body, writer_length(&w), frame);
    return result > 0 ? (size_t)result : 0;
}

uint64_t sealed_count(const struct sealed *sealed, enum seal_verdict verdict)
{
    return seal_count(sealed->seal, verdict);
}
