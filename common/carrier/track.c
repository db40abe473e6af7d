#include "common/carrier/track.h"

#include <string.h>

#include "common/base/err.h"
#include "common/carrier/segment.h"

enum {
    BURST_US = 20 * 1000,     /* so much of the rate may go out at once */
    BURST_MIN_OCTETS = 65535, /* but one segment always */
    PLAUSIBLE_MIN = 66000,    /* as lenient as connection tracking with small windows */
    TIMESTAMP_US = 1000,      /* Linux counts milliseconds */
    HEADS_OCTETS = SEGMENT_IP4_OCTETS + SEGMENT_TCP_OCTETS,
    WINDOW_PARTS = 4, /* of our window may come before an ACK goes out at once */
};

static const uint64_t MILLION = 1000000;

const char *track_count_name(enum track_count which)
{
    static const char *const names[] = {
#define X(name, word, text) word,
        TRACK_COUNT_LIST(X)
#undef X
    };

    return names[which];
}

void track_init(struct track *track, const struct track_start *start, uint64_t now_us)
{
    memset(track, 0, sizeof(*track));
    track->start = *start;
    track->started_us = now_us;
    track->send_next = track->send_high = track->acked = start->send_next;
    track->receive = track->ack_sent = start->receive_next;
    track->echo = start->timestamp_echo;
    track->window = start->peer_window;
    track->sent_us = track->tokens_at_us = track->waiting_us = now_us;
    track->tokens = UINT64_MAX;
}

/* ---------------------------------------------------------------- receiving */

static bool all_is_acked(const struct track *track)
{
    return !segment_is_after(track->send_high, track->acked);
}

/* Of what was sent, and no older than a window. */
static bool ack_is_plausible(const struct track *track, uint32_t ack)
{
    return !segment_is_after(ack, track->send_high) &&
           segment_is_after(ack, track->acked - PLAUSIBLE_MIN);
}

static uint32_t own_window(const struct track *track)
{
    return (uint32_t)TRACK_WINDOW << track->start.own_scale;
}

/*
 * The peer's numbers jump back to what it knows to be acknowledged: half of our window at most, and
 * by as much as we acknowledged in the meantime. They are ahead of what we know by a window.
 */
static bool sequence_is_plausible(const struct track *track, uint32_t sequence)
{
    uint32_t span = own_window(track) > PLAUSIBLE_MIN ? own_window(track) : PLAUSIBLE_MIN;

    return !segment_is_after(sequence, track->receive + span) &&
           segment_is_after(sequence, track->receive - span);
}

static void take_ack(struct track *track, const struct segment *segment, uint64_t now_us)
{
    if (!segment_is_after(segment->ack, track->acked))
        return;
    track->acked = segment->ack;
    track->waiting_us = now_us;
    track->stopped = false;
    /* What was sent before a rewind has come after all. */
    if (segment_is_after(track->acked, track->send_next))
        track->send_next = track->acked;
}

static void take_timestamp(struct track *track, const struct segment *segment)
{
    if (track->start.timestamps && segment->has_timestamps &&
        segment_is_after(segment->timestamp, track->echo))
        track->echo = segment->timestamp;
}

static void take_fin(struct track *track, uint64_t now_us)
{
    track->peer_fin = true;
    track->ack_now = true;
    if (track->state == TRACK_FINISHING) {
        track->state = TRACK_LINGERING;
        track->ended_us = now_us;
    }
}

/* Its numbers are the peer's own, whatever they are. */
static void take_genuine(struct track *track, const struct segment *segment, uint64_t now_us)
{
    uint32_t end = segment_end(segment);

    if (segment_is_after(end, track->receive))
        track->receive = end;
    /* So that the peer stays within what a firewall believes that we take. */
    if (track->receive - track->ack_sent >= own_window(track) / WINDOW_PARTS)
        track->ack_now = true;
    if (segment->flags & SEGMENT_ACK && !segment_is_after(segment->ack, track->send_high)) {
        track->window = (uint32_t)segment->window << track->start.peer_scale;
        take_ack(track, segment, now_us);
    }
    take_timestamp(track, segment);
    if (segment->flags & SEGMENT_FIN)
        take_fin(track, now_us);
}

static enum track_count judge(const struct track *track, const struct segment *segment,
                              bool genuine)
{
    if (segment->flags & (SEGMENT_RST | SEGMENT_SYN))
        return TRACK_RESET;
    if (genuine)
        return TRACK_GENUINE;
    if (segment->flags & SEGMENT_FIN)
        return TRACK_RESET;
    if (segment->length > 0)
        return TRACK_FOREIGN;
    if (!(segment->flags & SEGMENT_ACK) || !ack_is_plausible(track, segment->ack) ||
        !sequence_is_plausible(track, segment->sequence))
        return TRACK_OUTSIDE;
    return TRACK_BARE;
}

enum track_count track_received(struct track *track, const struct segment *segment, bool genuine,
                                uint64_t now_us)
{
    enum track_count count = judge(track, segment, genuine);

    track->counts[count]++;
    if (count == TRACK_GENUINE) {
        take_genuine(track, segment, now_us);
    } else if (count == TRACK_BARE) {
        /* Its timestamp may be anybody's, and one of the future would stay. */
        take_ack(track, segment, now_us);
    }
    return count;
}

/* ---------------------------------------------------------------- rate */

static uint64_t bucket_size(const struct track *track)
{
    uint64_t burst = (uint64_t)track->start.rate * BURST_US;

    return burst > BURST_MIN_OCTETS * MILLION ? burst : BURST_MIN_OCTETS * MILLION;
}

static void fill_bucket(struct track *track, uint64_t now_us)
{
    uint64_t size = bucket_size(track), passed = now_us - track->tokens_at_us;

    track->tokens_at_us = now_us;
    if (track->tokens >= size || passed >= MILLION * MILLION ||
        size - track->tokens <= passed * track->start.rate)
        track->tokens = size;
    else
        track->tokens += passed * track->start.rate;
}

static bool take_tokens(struct track *track, size_t octets, uint64_t now_us)
{
    if (track->start.rate == 0)
        return true;
    fill_bucket(track, now_us);
    if (track->tokens < octets * MILLION)
        return false;
    track->tokens -= octets * MILLION;
    return true;
}

/* ---------------------------------------------------------------- sending */

static void fill(struct track *track, struct segment *segment, uint8_t flags, uint64_t now_us)
{
    segment->sequence = track->send_next;
    segment->ack = track->ack_sent = track->receive;
    segment->window = TRACK_WINDOW;
    segment->flags = flags;
    segment->has_timestamps = track->start.timestamps;
    segment->timestamp =
        track->start.timestamp + (uint32_t)((now_us - track->started_us) / TIMESTAMP_US);
    segment->timestamp_echo = track->echo;
    track->ack_now = false;
    track->sent_us = now_us;
}

static void advance(struct track *track, uint32_t octets, uint64_t now_us)
{
    if (all_is_acked(track))
        track->waiting_us = now_us;
    track->send_next += octets;
    if (segment_is_after(track->send_next, track->send_high))
        track->send_high = track->send_next;
}

/* An outage longer than the window must not leave us outside of it for ever. */
static void rewind_if_due(struct track *track, size_t length)
{
    uint32_t ahead = track->send_next + (uint32_t)length - track->acked;

    if (ahead <= track->window / 2 || track->send_next == track->acked)
        return;
    track->send_next = track->acked;
    track->rewinds++;
}

bool track_is_stopped(const struct track *track, uint64_t now_us)
{
    return !all_is_acked(track) && now_us - track->waiting_us >= TRACK_STOP_US;
}

static bool may_send(struct track *track, size_t length, uint64_t now_us)
{
    if (track_is_stopped(track, now_us)) {
        track->stops += !track->stopped;
        track->stopped = true;
        if (now_us - track->probed_us < TRACK_PROBE_US)
            return false;
        track->probed_us = now_us;
    }
    return take_tokens(track, length + HEADS_OCTETS, now_us);
}

size_t track_room(const struct track *track)
{
    size_t options = track->start.timestamps ? SEGMENT_TIMESTAMP_OCTETS : 0;

    return track->start.mss > options ? track->start.mss - options : 0;
}

int track_send(struct track *track, size_t length, struct segment *segment, uint64_t now_us)
{
    if (track->state != TRACK_OPEN || track->fin_sent)
        return ERR_CLOSED;
    if (length == 0 || length > track_room(track))
        return ERR_TOO_LONG;
    if (!may_send(track, length, now_us)) {
        track->refused++;
        return ERR_AGAIN;
    }
    rewind_if_due(track, length);
    fill(track, segment, SEGMENT_ACK | SEGMENT_PSH, now_us);
    advance(track, (uint32_t)length, now_us);
    return 0;
}

/* ---------------------------------------------------------------- ACK, FIN, time */

/* When both have said FIN, silence is what is right. */
static uint64_t ack_due_us(const struct track *track)
{
    if (track->ack_now)
        return track->sent_us;
    return track->state == TRACK_LINGERING ? UINT64_MAX : track->sent_us + TRACK_SILENCE_US;
}

bool track_ack(struct track *track, struct segment *segment, uint64_t now_us)
{
    if (track_state(track, now_us) == TRACK_OVER || now_us < ack_due_us(track))
        return false;
    fill(track, segment, SEGMENT_ACK, now_us);
    return true;
}

/* It comes behind all that was ever sent: what was rewound is not taken for it. */
static void place_fin(struct track *track, uint64_t now_us)
{
    track->fin_sent = true;
    track->fin = track->send_high;
    track->state = track->peer_fin ? TRACK_LINGERING : TRACK_FINISHING;
    track->ended_us = now_us;
}

int track_finish(struct track *track, size_t length, struct segment *segment, uint64_t now_us)
{
    if (track->state == TRACK_OVER)
        return ERR_CLOSED;
    if (length > track_room(track))
        return ERR_TOO_LONG;
    if (!track->fin_sent)
        place_fin(track, now_us);
    track->send_next = track->fin;
    fill(track, segment, SEGMENT_ACK | SEGMENT_PSH | SEGMENT_FIN, now_us);
    advance(track, (uint32_t)length + 1, now_us);
    track->fin_us = now_us;
    return 0;
}

static bool waits_for_fin(const struct track *track)
{
    return track->fin_sent && track->state != TRACK_OVER && !all_is_acked(track);
}

bool track_fin_is_due(const struct track *track, uint64_t now_us)
{
    return waits_for_fin(track) && now_us - track->fin_us >= TRACK_FIN_AGAIN_US;
}

bool track_is_answered(const struct track *track)
{
    return track->state == TRACK_LINGERING && all_is_acked(track);
}

static uint64_t end_us(const struct track *track)
{
    return track->ended_us + (track->state == TRACK_FINISHING ? TRACK_FINISH_US : TRACK_LINGER_US);
}

enum track_state track_state(struct track *track, uint64_t now_us)
{
    if ((track->state == TRACK_FINISHING || track->state == TRACK_LINGERING) &&
        now_us >= end_us(track))
        track->state = TRACK_OVER;
    return track->state;
}

uint64_t track_wake_us(const struct track *track)
{
    uint64_t wake = ack_due_us(track);

    if (track->state == TRACK_OVER)
        return UINT64_MAX;
    if (waits_for_fin(track) && track->fin_us + TRACK_FIN_AGAIN_US < wake)
        wake = track->fin_us + TRACK_FIN_AGAIN_US;
    if (track->state != TRACK_OPEN && end_us(track) < wake)
        wake = end_us(track);
    return wake;
}
