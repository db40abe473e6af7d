/*
 * The state file. An input is read as it is, and once more with a last record
 * that fits: no engine guesses a check sum.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/protocol.h"
#include "common/base/tlv.h"
#include "common/sa/table.h"
#include "common/tunnel/frame.h"
#include "inner-relay/state.h"
#include "tests/unit/core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SAS_MAX = 8, INPUT_MAX = 32 * 1024, RECORD_END = 5, TAG_RECORDS = 7, TAG_CHECK = 8 };

static const uint64_t WRITTEN_US = 1700000000000000; /* as the corpus has it */
static const uint64_t MAX_AGE_US = 600000000;

/* All of it, or nothing. */
static void read_it(const uint8_t *data, size_t size)
{
    char error[192] = "";
    size_t count = 0;
    struct core core;

    if (!core_init(&core, SAS_MAX))
        abort();
    if (state_read(&core.inner, data, size, MAX_AGE_US, WRITTEN_US + 1, 1, &count, error,
                   sizeof(error)) == 0) {
        if (count != table_count(core.inner.table) || count > SAS_MAX || core.inner.next_id <= 1)
            abort();
    } else if (!error[0] || table_count(core.inner.table) != 0 || core.inner.next_id != 1 ||
               core.inner.links[0].authority.version != 0) {
        abort();
    }
    core_fini(&core);
}

/* The records up to what cannot be one, and an end that says so. */
static void read_with_end(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + FRAME_MAX_OCTETS), *head;
    uint64_t check = 0, records = 0;
    struct frame frame;
    struct writer w;
    size_t at = 0;
    int taken;

    if (!copy)
        abort();
    while ((taken = frame_parse(data + at, size - at, &frame)) > 0 && frame.type != RECORD_END) {
        struct hash_key key = {check, 0x6d656469612d7374u};

        check = hash_bytes(&key, data + at, (size_t)taken);
        records++;
        at += (size_t)taken;
    }
    if (at > 0)
        memcpy(copy, data, at);
    writer_init(&w, copy + at, FRAME_MAX_OCTETS);
    head = frame_begin(&w, RECORD_END);
    tlv_put_u64(&w, TAG_RECORDS | TLV_CRITICAL, records);
    tlv_put_u64(&w, TAG_CHECK | TLV_CRITICAL, check);
    frame_end(&w, head);
    read_it(copy, at + writer_length(&w));
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;

    if (!started && !core_start_engine())
        abort();
    started = true;
    log_set_level(LOG_LEVEL_ERROR);
    if (size > INPUT_MAX)
        return 0;
    read_it(data, size);
    read_with_end(data, size);
    return 0;
}
