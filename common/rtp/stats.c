#include "common/rtp/stats.h"

static void update_jitter(struct rtp_stats *stats, uint32_t timestamp, uint64_t now_us)
{
    double waited_us = (double)(int64_t)(now_us - stats->last_arrival_us);
    double difference =
        waited_us * stats->clock_rate / 1e6 - (double)(int32_t)(timestamp - stats->last_timestamp);

    if (difference < 0)
        difference = -difference;
    stats->jitter += (float)((difference - (double)stats->jitter) / 16);
}

void rtp_stats_packet(struct rtp_stats *stats, uint64_t index, uint32_t timestamp, uint64_t now_us)
{
    if (!stats->started) {
        stats->started = true;
        stats->first_index = stats->highest_index = index;
    } else if (stats->clock_rate > 0) {
        update_jitter(stats, timestamp, now_us);
    }
    /* The very first packets may come out of order, too. */
    if (index < stats->first_index)
        stats->first_index = index;
    if (index > stats->highest_index)
        stats->highest_index = index;
    stats->received++;
    stats->last_arrival_us = now_us;
    stats->last_timestamp = timestamp;
}

uint64_t rtp_stats_lost(const struct rtp_stats *stats)
{
    uint64_t expected = stats->started ? stats->highest_index - stats->first_index + 1 : 0;

    return expected > stats->received ? expected - stats->received : 0;
}
