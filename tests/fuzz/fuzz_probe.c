/*
 * carrier = auto against a hostile other side: PROBE and PROBE-REPORT of any octets, reports of any
 * numbers, TWINs of any numbers, at any times. A packet always takes a way; none is taken twice as
 * long as its number is in the window; what is read is written as it was.
 */
#include <stdlib.h>
#include <string.h>

#include "common/tunnel/ways.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BODY_OCTETS = 64 };

static void expect(bool condition)
{
    if (!condition)
        abort();
}

static void read_bodies(const uint8_t *data, size_t size)
{
    struct choice_report report, again;
    uint8_t memory[BODY_OCTETS];
    uint32_t number;
    struct reader r;
    struct writer w;

    reader_init(&r, data, size);
    (void)probe_get(&r, &number);
    reader_init(&r, data, size);
    if (probe_report_get(&r, &report) < 0)
        return;
    writer_init(&w, memory, sizeof(memory));
    probe_report_put(&w, &report);
    expect(!w.failed);
    reader_init(&r, memory, writer_length(&w));
    expect(probe_report_get(&r, &again) == 0);
    expect(again.number == report.number && again.early == report.early &&
           again.overtook == report.overtook);
}

static void packet(struct choice *choice, uint64_t now_us)
{
    struct choice_ways take = choice_packet(choice, now_us);
    uint32_t number;

    expect(take.stream || take.carrier);
    expect(take.stream || choice->open);
    expect(choice_way_name(choice) && choice_why_text(choice));
    if (!take.carrier)
        return;
    if (choice_wants_hole(choice))
        choice_left_hole(choice);
    (void)choice_probe(choice, now_us, &number);
}

static void twin(struct ways *ways, uint32_t number)
{
    bool came = ways_is_copy(ways, number);

    expect(came || ways->newest - number < WAYS_WINDOW);
    expect(ways_is_copy(ways, number));
}

/* One step of three octets: what, and how long after the one before or which number. */
static void step(struct ways *ways, const uint8_t *data, uint64_t *now_us)
{
    struct choice *choice = &ways->choice;
    uint32_t value = (uint32_t)data[1] << 8 | data[2];
    struct choice_report report = {
        .number = choice->next - data[1] % 80, .early = data[2] & 1, .overtook = data[2] >> 1};

    switch (data[0] % 8) {
    case 0:
        choice_open(choice, value & 1, *now_us);
        break;
    case 1:
        choice_close(choice, *now_us);
        break;
    case 2:
        choice_path(choice, value & 1, value >> 1);
        break;
    case 3:
        (void)choice_reported(choice, &report, *now_us);
        break;
    case 4:
        twin(ways, value << (data[0] >> 3));
        break;
    default:
        *now_us += (uint64_t)value * 10;
        packet(choice, *now_us);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ways ways;
    uint64_t now_us = 1000000;

    read_bodies(data, size);
    ways_init(&ways, NULL);
    for (size_t at = 0; at + 3 <= size; at += 3)
        step(&ways, data + at, &now_us);
    return 0;
}
