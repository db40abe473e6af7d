#include "inner-relay/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/random.h"
#include "common/base/tlv.h"
#include "common/sa/table.h"
#include "common/sa/wire.h"
#include "common/srtp/srtp.h"
#include "common/tunnel/frame.h"

enum state_record {
    RECORD_HEAD = 1,
    RECORD_LINK = 2,
    RECORD_SA = 3,
    RECORD_DELETED = 4,
    RECORD_END = 5,
};

/* In HEAD, LINK and END; SA records have the tags of SA-PUT. */
enum state_tag {
    STATE_TAG_FORMAT = 1,  /* u16 */
    STATE_TAG_WRITTEN = 2, /* u64, microseconds since 1970 */
    STATE_TAG_NEXT_ID = 3, /* u64 */
    STATE_TAG_DMZ = 4,     /* text */
    STATE_TAG_EPOCH = 5,   /* u64 */
    STATE_TAG_VERSION = 6, /* u64 */
    STATE_TAG_RECORDS = 7, /* u64, records before END */
    STATE_TAG_CHECK = 8,   /* u64 */
};

enum {
    STATE_FORMAT = 1,
    /*
     * More ids than a life can have given out after it last saved its state: none is used twice, or
     * a replica would take a new call for an old one.
     */
    RESUME_IDS = 10000,
};

static uint64_t add_check(uint64_t check, const uint8_t *record, size_t length)
{
    struct hash_key key = {check, 0x6d656469612d7374u};

    return hash_bytes(&key, record, length);
}

/* ------------------------------------------------------------ writing */

static void close_record(struct state_writer *state, struct writer *w, uint8_t *head)
{
    frame_end(w, head);
    if (w->failed)
        return;
    state->check = add_check(state->check, head, (size_t)(w->at - head));
    state->records++;
}

void state_begin(struct state_writer *state, struct inner *inner, uint64_t wall_us,
                 struct writer *w)
{
    uint8_t *head = frame_begin(w, RECORD_HEAD);

    *state = (struct state_writer){.inner = inner};
    tlv_put_u16(w, STATE_TAG_FORMAT | TLV_CRITICAL, STATE_FORMAT);
    tlv_put_u64(w, STATE_TAG_WRITTEN | TLV_CRITICAL, wall_us);
    tlv_put_u64(w, STATE_TAG_NEXT_ID | TLV_CRITICAL, inner->next_id);
    close_record(state, w, head);
    for (size_t i = 0; i < inner->link_count; i++) {
        struct inner_link *link = &inner->links[i];

        if (link->forwarder)
            continue;
        head = frame_begin(w, RECORD_LINK);
        tlv_put_text(w, STATE_TAG_DMZ | TLV_CRITICAL, link->name);
        tlv_put_u64(w, STATE_TAG_EPOCH | TLV_CRITICAL, link->authority.epoch);
        tlv_put_u64(w, STATE_TAG_VERSION | TLV_CRITICAL, link->authority.version);
        close_record(state, w, head);
        link->authority.save_next = link->authority.oldest;
    }
}

static void put_sa(struct state_writer *state, const struct inner_link *link, const struct sa *sa,
                   struct writer *w)
{
    uint8_t *head = frame_begin(w, RECORD_SA);

    wire_put_sa(w, sa, WIRE_STATE);
    tlv_put_text(w, SA_TAG_DMZ, link->name);
    close_record(state, w, head);
}

static void put_last(struct state_writer *state, struct writer *w)
{
    uint8_t *head;

    while (state->deleted_count > 0 && writer_room(w) >= FRAME_MAX_OCTETS) {
        head = frame_begin(w, RECORD_DELETED);
        tlv_put_u64(w, SA_TAG_ID | TLV_CRITICAL, state->deleted[--state->deleted_count]);
        close_record(state, w, head);
    }
    if (writer_room(w) < FRAME_MAX_OCTETS)
        return;
    head = frame_begin(w, RECORD_END);
    tlv_put_u64(w, STATE_TAG_RECORDS | TLV_CRITICAL, state->records);
    tlv_put_u64(w, STATE_TAG_CHECK | TLV_CRITICAL, state->check);
    frame_end(w, head);
    state->finished = true;
}

int state_more(struct state_writer *state, struct writer *w)
{
    while (state->link < state->inner->link_count && writer_room(w) >= FRAME_MAX_OCTETS) {
        struct inner_link *link = &state->inner->links[state->link];
        struct sa *sa = link->authority.save_next;

        if (!sa) {
            state->link++;
            continue;
        }
        link->authority.save_next = sa->newer;
        put_sa(state, link, sa, w);
    }
    if (state->link == state->inner->link_count)
        put_last(state, w);
    return w->failed ? ERR_NOMEM : 0;
}

int state_deleted(struct state_writer *state, uint64_t id)
{
    if (state->deleted_count == state->deleted_size) {
        size_t size = state->deleted_size ? 2 * state->deleted_size : 64;
        uint64_t *bigger = realloc(state->deleted, size * sizeof(*bigger));

        if (!bigger)
            return ERR_NOMEM;
        state->deleted = bigger;
        state->deleted_size = size;
    }
    state->deleted[state->deleted_count++] = id;
    return 0;
}

void state_end(struct state_writer *state)
{
    free(state->deleted);
    *state = (struct state_writer){0};
}

/* ------------------------------------------------------------ reading */

struct reading {
    struct inner *inner;
    uint64_t max_age_us, wall_us, now_us;
    uint64_t check, records, next_id;
    bool has_head, has_end;
    uint64_t epoch[INNER_LINKS_MAX], version[INNER_LINKS_MAX];
    struct sa *first, *last; /* chained by newer until they are installed */
    char *error;
    size_t error_size;
};

static int refuse(struct reading *reading, int code, const char *text)
{
    snprintf(reading->error, reading->error_size, "%s", text);
    return code;
}

static int read_head(struct reading *reading, struct reader *r)
{
    struct tlv field;
    uint16_t format = 0;
    uint64_t written = 0;
    bool ok = true;

    while (ok && tlv_next(r, &field)) {
        if (field.tag == STATE_TAG_FORMAT)
            ok = tlv_get_u16(&field, &format);
        else if (field.tag == STATE_TAG_WRITTEN)
            ok = tlv_get_u64(&field, &written);
        else if (field.tag == STATE_TAG_NEXT_ID)
            ok = tlv_get_u64(&field, &reading->next_id);
        else
            ok = !field.critical;
    }
    if (!ok || !reader_done(r) || reading->has_head || reading->next_id == 0 ||
        reading->next_id >= UINT64_MAX / 2)
        return refuse(reading, ERR_PROTOCOL, "its head cannot be read");
    reading->has_head = true;
    if (format != STATE_FORMAT)
        return refuse(reading, ERR_UNSUPPORTED, "it is of another version's format");
    if (written > reading->wall_us)
        return refuse(reading, ERR_TOO_OLD, "it was written in the future: the clock was set back");
    if (reading->wall_us - written > reading->max_age_us)
        return refuse(reading, ERR_TOO_OLD, "it is older than [state] max-age");
    return 0;
}

static struct inner_link *link_by_name(struct inner *inner, const char *name)
{
    return name[0] ? inner_find_link(inner, name) : NULL;
}

static int read_link(struct reading *reading, struct reader *r)
{
    struct inner_link *link;
    struct tlv field;
    char name[NAME_SIZE] = "";
    uint64_t epoch = 0, version = 0;
    bool ok = true;

    while (ok && tlv_next(r, &field)) {
        if (field.tag == STATE_TAG_DMZ)
            ok = tlv_get_text(&field, name, sizeof(name));
        else if (field.tag == STATE_TAG_EPOCH)
            ok = tlv_get_u64(&field, &epoch);
        else if (field.tag == STATE_TAG_VERSION)
            ok = tlv_get_u64(&field, &version);
        else
            ok = !field.critical;
    }
    if (!ok || !reader_done(r) || !name[0] || epoch == 0)
        return refuse(reading, ERR_PROTOCOL, "a record of a dmz-relay cannot be read");
    link = link_by_name(reading->inner, name);
    if (link) {
        reading->epoch[link->number] = epoch;
        reading->version[link->number] = version;
    }
    return 0;
}

/* The name stands behind the fields that wire_get_sa knows; it skips it as not critical. */
static struct inner_link *link_of_sa(struct inner *inner, struct reader r)
{
    char name[NAME_SIZE] = "";
    struct tlv field;

    while (tlv_next(&r, &field)) {
        if (field.tag == SA_TAG_DMZ && !tlv_get_text(&field, name, sizeof(name)))
            return NULL;
    }
    return link_by_name(inner, name);
}

static void forget(struct reading *reading, uint64_t id)
{
    struct sa *kept = NULL, *next;

    for (struct sa *sa = reading->first; sa; sa = next) {
        next = sa->newer;
        if (sa->id != id) {
            kept = sa;
            continue;
        }
        *(kept ? &kept->newer : &reading->first) = next;
        sa_free(sa);
    }
    reading->last = kept;
}

/* Takes sa over; key is what its record had. */
static int take_sa(struct reading *reading, const struct inner_link *link, struct sa *sa,
                   const struct srtp_key *key)
{
    bool assigned = sa_is_assigned(sa);

    if (key->kind != (assigned ? SRTP_KEY_NONE : SRTP_KEY_MASTER) || sa->id == 0 ||
        sa->id >= UINT64_MAX / 2) {
        sa_free(sa);
        return refuse(reading, ERR_PROTOCOL, "a record of an SA cannot be read");
    }
    /* SAs that were added while the file was written have ids from the head's next one on. */
    if (link && sa->id >= reading->next_id)
        reading->next_id = sa->id + 1;
    /* Its [dmz NAME] may be no longer in the ini file. */
    if (!link || (!assigned && sa_open(sa, reading->inner->options.engine, key) < 0)) {
        sa_free(sa);
        return 0;
    }
    sa->owner = link->number;
    sa->installed_us = reading->now_us;
    *(reading->last ? &reading->last->newer : &reading->first) = sa;
    reading->last = sa;
    return 0;
}

static int read_sa(struct reading *reading, struct reader *r)
{
    struct inner_link *link = link_of_sa(reading->inner, *r);
    struct srtp_key key = {0};
    struct sa *sa = sa_new();
    int result = sa ? wire_get_saved_sa(r, sa, &key) : ERR_NOMEM;

    if (result == 0) {
        result = take_sa(reading, link, sa, &key);
    } else {
        sa_free(sa);
        result = refuse(reading, result == ERR_NOMEM ? result : ERR_PROTOCOL,
                        result == ERR_NOMEM ? "out of memory" : "a record of an SA cannot be read");
    }
    wipe(&key, sizeof(key));
    return result;
}

static int read_deleted(struct reading *reading, struct reader *r)
{
    struct tlv field;
    uint64_t id = 0;

    if (!tlv_next(r, &field) || field.tag != SA_TAG_ID || !tlv_get_u64(&field, &id) ||
        !reader_done(r))
        return refuse(reading, ERR_PROTOCOL, "a record of a deleted SA cannot be read");
    forget(reading, id);
    return 0;
}

static int read_end(struct reading *reading, struct reader *r)
{
    struct tlv field;
    uint64_t records = 0, check = 0;
    bool ok = true;

    while (ok && tlv_next(r, &field)) {
        /* The sum does not cover this record: it has to be as it was written, bit by bit. */
        if (field.critical && field.tag == STATE_TAG_RECORDS)
            ok = tlv_get_u64(&field, &records);
        else
            ok = field.critical && field.tag == STATE_TAG_CHECK && tlv_get_u64(&field, &check);
    }
    reading->has_end = ok && reader_done(r) && records == reading->records &&
                       check == reading->check && reading->has_head;
    return reading->has_end ? 0
                            : refuse(reading, ERR_PROTOCOL,
                                     "its check sum is wrong: it was "
                                     "altered, or not written to its end");
}

static int read_record(struct reading *reading, struct frame *record)
{
    if (!reading->has_head && record->type != RECORD_HEAD)
        return refuse(reading, ERR_PROTOCOL, "it is no state file");
    switch (record->type) {
    case RECORD_HEAD:
        return read_head(reading, &record->body);
    case RECORD_LINK:
        return read_link(reading, &record->body);
    case RECORD_SA:
        return read_sa(reading, &record->body);
    case RECORD_DELETED:
        return read_deleted(reading, &record->body);
    case RECORD_END:
        return read_end(reading, &record->body);
    default:
        return refuse(reading, ERR_PROTOCOL, "a record is of an unknown type");
    }
}

static int read_records(struct reading *reading, const uint8_t *data, size_t length)
{
    size_t at = 0;

    while (at < length) {
        struct frame record;
        int taken = frame_parse(data + at, length - at, &record);
        int result;

        if (taken <= 0 || reading->has_end)
            return refuse(reading, ERR_PROTOCOL, "it is truncated or not a state file");
        result = read_record(reading, &record);
        if (result < 0)
            return result;
        if (!reading->has_end) {
            reading->check = add_check(reading->check, data + at, (size_t)taken);
            reading->records++;
        }
        at += (size_t)taken;
    }
    return reading->has_end ? 0 : refuse(reading, ERR_TRUNCATED, "it is not whole");
}

/* An SA that changed while the file was written stands in it twice: the later record counts. */
static void make_room(struct inner *inner, const struct sa *sa)
{
    struct sa *held = table_by_id(inner->table, sa->owner, sa->id);

    if (!held)
        return;
    authority_forget(&inner->links[sa->owner].authority, held);
    table_remove(inner->table, held);
    sa_free(held);
}

static size_t install(struct reading *reading)
{
    struct inner *inner = reading->inner;

    for (size_t i = 0; i < inner->link_count; i++) {
        if (reading->epoch[i])
            authority_resume(&inner->links[i].authority, reading->epoch[i], reading->version[i]);
    }
    inner->next_id = (reading->next_id / RESUME_IDS + 1) * RESUME_IDS;
    while (reading->first) {
        struct sa *sa = reading->first;

        reading->first = sa->newer;
        sa->newer = NULL;
        make_room(inner, sa);
        if (table_insert(inner->table, sa) == 0)
            authority_restored(&inner->links[sa->owner].authority, sa);
        else
            sa_free(sa);
    }
    return table_count(inner->table);
}

int state_read(struct inner *inner, const uint8_t *data, size_t length, uint64_t max_age_us,
               uint64_t wall_us, uint64_t now_us, size_t *count, char *error, size_t error_size)
{
    struct reading reading = {.inner = inner,
                              .max_age_us = max_age_us,
                              .wall_us = wall_us,
                              .now_us = now_us,
                              .error = error,
                              .error_size = error_size};
    int result = read_records(&reading, data, length);

    if (result == 0)
        *count = install(&reading);
    while (reading.first) {
        struct sa *sa = reading.first;

        reading.first = sa->newer;
        sa_free(sa);
    }
    return result;
}
