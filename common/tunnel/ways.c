#include "common/tunnel/ways.h"

#include <string.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/base/tlv.h"
#include "common/tunnel/session.h"

enum {
    /* On a way as short as this a lost segment is soon there again, and few are lost. */
    SHORT_RTT_US = 5000,
    GAIN_US = 600 * 1000 * 1000,
};

static const char gave_up[] = "raw segments do not get through";

void ways_init(struct ways *ways, struct session *stream)
{
    memset(ways, 0, sizeof(*ways));
    choice_init(&ways->choice);
    ways->stream = stream;
}

void ways_fini(struct ways *ways)
{
    ways->stream = NULL;
    ways->carrier = NULL;
}

void ways_join(struct ways *ways, struct session *stream)
{
    ways->stream = stream;
    ways->lost[0] = 0;
}

void ways_open(struct ways *ways, struct session *carrier, uint64_t now_us)
{
    if (ways->carrier)
        choice_close(&ways->choice, now_us);
    ways->carrier = carrier;
    ways->lost[1] = 0;
    choice_open(&ways->choice, session_take(carrier) == SESSION_TAKE_DONE, now_us);
}

void ways_close(struct ways *ways, const struct session *media, uint64_t now_us)
{
    if (media && ways->stream == media)
        ways->stream = NULL;
    if (!media || ways->carrier != media)
        return;
    ways->carrier = NULL;
    choice_close(&ways->choice, now_us);
}

/* ------------------------------------------------------------ what goes */

bool ways_gave_up(const char *reason)
{
    return strstr(reason, gave_up) != NULL;
}

/* The dmz-relay's is up before it is taken over, and then has to prove itself again: by a hole. */
static void note_taken(struct ways *ways, uint64_t now_us)
{
    if (ways->carrier && !ways->choice.holes && session_take(ways->carrier) == SESSION_TAKE_DONE)
        choice_open(&ways->choice, true, now_us);
}

static struct choice_ways choose(struct ways *ways, uint64_t now_us)
{
    uint64_t falls = ways->choice.counts[CHOICE_COUNT_FALLS];
    struct choice_ways take;

    note_taken(ways, now_us);
    take = choice_packet(&ways->choice, now_us);

    if (falls != ways->choice.counts[CHOICE_COUNT_FALLS] && ways->choice.holes && ways->carrier)
        session_bye(ways->carrier, gave_up);
    if (!ways->stream || !ways->carrier || session_state(ways->carrier) != SESSION_UP) {
        take.stream = ways->stream != NULL;
        take.carrier = !take.stream;
    }
    return take;
}

bool ways_are_there(const struct ways *ways)
{
    return ways->stream || ways->carrier;
}

void ways_media(struct ways *ways, uint32_t label, const uint8_t *packet, size_t length,
                struct verdict_counts *counts, uint64_t now_us)
{
    struct choice_ways take = choose(ways, now_us);
    struct session_mark mark = {.twin = false};

    /* One that no segment takes. */
    if (!take.stream && ways->stream)
        take.stream = session_for(ways->carrier, ways->stream, length) == ways->stream;
    mark.twin = take.stream && take.carrier && length + FRAME_TWIN_OCTETS <= PACKET_MAX_OCTETS &&
                session_takes(ways->carrier, length + FRAME_TWIN_OCTETS);
    if (!mark.twin) {
        session_queue(take.stream ? ways->stream : ways->carrier, label, packet, length, counts,
                      NULL, now_us);
        return;
    }
    mark.number = ways->number++;
    ways->doubled++;
    session_queue(ways->stream, label, packet, length, counts, &mark, now_us);
    mark.copy = true;
    session_queue(ways->carrier, label, packet, length, NULL, &mark, now_us);
}

void ways_path(struct ways *ways, const struct session *session, const struct session_path *path,
               uint64_t now_us)
{
    unsigned which = session == ways->carrier;

    if (session != ways->stream && session != ways->carrier)
        return;
    if (path->rtt_us >= SHORT_RTT_US || path->lost != ways->lost[which])
        ways->gain_us = now_us;
    ways->lost[which] = path->lost;
    choice_path(&ways->choice, ways->gain_us > 0 && now_us - ways->gain_us < GAIN_US,
                ways->lost[1]);
}

/* ------------------------------------------------------------ what comes */

static uint64_t *word_of(struct ways *ways, uint32_t number, uint64_t *bit)
{
    uint32_t at = number % WAYS_WINDOW;

    *bit = (uint64_t)1 << at % WAYS_WORD_BITS;
    return &ways->window[at / WAYS_WORD_BITS];
}

static void forget_up_to(struct ways *ways, uint32_t number)
{
    uint64_t bit;

    if (number - ways->newest >= WAYS_WINDOW) {
        memset(ways->window, 0, sizeof(ways->window));
    } else {
        for (uint32_t n = ways->newest + 1; n != number + 1; n++)
            *word_of(ways, n, &bit) &= ~bit;
    }
    ways->newest = number;
}

bool ways_is_copy(struct ways *ways, uint32_t number)
{
    uint64_t bit, *word;
    bool came;

    if (!ways->begun)
        ways->newest = number - WAYS_WINDOW;
    ways->begun = true;
    if ((int32_t)(number - ways->newest) > 0)
        forget_up_to(ways, number);
    word = word_of(ways, number, &bit);
    /* One that is as old as that is much later than its twin. */
    came = ways->newest - number >= WAYS_WINDOW || *word & bit;
    *word |= ways->newest - number < WAYS_WINDOW ? bit : 0;
    ways->copies += came;
    return came;
}

/* ------------------------------------------------------------ PROBE, PROBE-REPORT */

#define BIT(tag) (1u << PROBE_TAG_##tag)

void probe_put(struct writer *w, uint32_t number)
{
    tlv_put_u32(w, PROBE_TAG_NUMBER | TLV_CRITICAL, number);
}

void probe_report_put(struct writer *w, const struct choice_report *report)
{
    tlv_put_u32(w, PROBE_TAG_NUMBER | TLV_CRITICAL, report->number);
    tlv_put_u8(w, PROBE_TAG_EARLY, report->early);
    tlv_put_u64(w, PROBE_TAG_OVERTOOK, report->overtook);
}

static bool get_field(const struct tlv *field, struct choice_report *report)
{
    uint8_t early;

    switch (field->tag) {
    case PROBE_TAG_NUMBER:
        return tlv_get_u32(field, &report->number);
    case PROBE_TAG_EARLY:
        if (!tlv_get_u8(field, &early) || early > 1)
            return false;
        report->early = early;
        return true;
    default: /* PROBE_TAG_OVERTOOK */
        return tlv_get_u64(field, &report->overtook);
    }
}

/* fields: those that may come, and must. */
static int get(struct reader *r, unsigned fields, struct choice_report *report)
{
    unsigned got = 0;
    struct tlv field;

    *report = (struct choice_report){.number = 0};
    while (tlv_next(r, &field)) {
        bool known = field.tag >= PROBE_TAG_NUMBER && field.tag <= PROBE_TAG_OVERTOOK &&
                     fields & 1u << field.tag;

        if (!known && !field.critical)
            continue;
        if (!known || (got & 1u << field.tag) || !get_field(&field, report))
            return ERR_PROTOCOL;
        got |= 1u << field.tag;
    }
    return reader_done(r) && got == fields ? 0 : ERR_PROTOCOL;
}

int probe_get(struct reader *r, uint32_t *number)
{
    struct choice_report report;
    int result = get(r, BIT(NUMBER), &report);

    *number = report.number;
    return result;
}

int probe_report_get(struct reader *r, struct choice_report *report)
{
    return get(r, BIT(NUMBER) | BIT(EARLY) | BIT(OVERTOOK), report);
}
