#include "inner-relay/passprobe.h"

#include "common/base/err.h"
#include "common/base/random.h"
#include "common/carrier/hkdf.h"

_Static_assert((int)PASSPROBE_SECRET_OCTETS == (int)HKDF_SECRET_OCTETS,
               "secrets are those of hkdf_mac()");

enum { FIELDS_OCTETS = PASSPROBE_OCTETS - PASSPROBE_TAG_OCTETS };

static unsigned side_of(bool ours)
{
    return ours ? 0 : 1;
}

void passprobe_keys_add(struct passprobe_keys *keys, bool ours,
                        const uint8_t secret[2][PASSPROBE_SECRET_OCTETS], uint64_t now_us)
{
    struct passprobe_key *newest = &keys->newest[side_of(ours)];

    if (newest->made)
        keys->former[side_of(ours)] = *newest;
    newest->made = true;
    newest->since_us = now_us;
    memcpy(newest->out, secret[ours ? 0 : 1], sizeof(newest->out));
    memcpy(newest->in, secret[ours ? 1 : 0], sizeof(newest->in));
}

static bool has_rested(const struct passprobe_key *key, uint64_t now_us)
{
    return key->made && now_us - key->since_us >= PASSPROBE_REST_US;
}

void passprobe_keys_end(struct passprobe_keys *keys, bool ours, uint64_t now_us)
{
    struct passprobe_key *newest = &keys->newest[side_of(ours)];

    if (!newest->made || has_rested(newest, now_us))
        return;
    *newest = keys->former[side_of(ours)];
    wipe(&keys->former[side_of(ours)], sizeof(*newest));
}

/* The newest that the other site has for certain, else any. NULL: there is none. */
static const struct passprobe_key *key_to_use(const struct passprobe_keys *keys, uint64_t now_us,
                                              uint8_t *side)
{
    const struct passprobe_key *best = NULL;
    bool rested = false;

    for (uint8_t i = 0; i < 4; i++) {
        const struct passprobe_key *key = i < 2 ? &keys->newest[i] : &keys->former[i - 2];
        bool has = has_rested(key, now_us);

        if (!key->made ||
            (best && (has < rested || (has == rested && key->since_us <= best->since_us))))
            continue;
        best = key;
        rested = has;
        *side = i % 2;
    }
    return best;
}

bool passprobe_put(struct writer *w, const struct passprobe_keys *keys,
                   const struct passprobe *probe, uint64_t now_us)
{
    uint8_t tag[HKDF_SECRET_OCTETS], side = 0;
    const struct passprobe_key *key = key_to_use(keys, now_us, &side);
    uint8_t *at = w->at;

    if (!key || writer_room(w) < PASSPROBE_OCTETS)
        return false;
    writer_u8(w, side);
    writer_u64(w, probe->clock_us);
    writer_u64(w, probe->echo_us);
    writer_u32(w, probe->held_us);
    writer_u32(w, probe->taken);
    hkdf_mac(key->out, at, FIELDS_OCTETS, tag);
    writer_copy(w, tag, PASSPROBE_TAG_OCTETS);
    return true;
}

static bool is_tag(const struct passprobe_key *key, const uint8_t *text, size_t length,
                   const uint8_t *tag)
{
    uint8_t right[HKDF_SECRET_OCTETS], differ = 0;

    if (!key->made)
        return false;
    hkdf_mac(key->in, text, length, right);
    for (size_t i = 0; i < PASSPROBE_TAG_OCTETS; i++)
        differ |= right[i] ^ tag[i];
    return differ == 0;
}

static int check(const struct passprobe_keys *keys, unsigned side, const uint8_t *text,
                 size_t length)
{
    const uint8_t *tag = text + length;

    if (!keys->newest[side].made)
        return ERR_NOT_FOUND;
    return is_tag(&keys->newest[side], text, length, tag) ||
                   is_tag(&keys->former[side], text, length, tag)
               ? 0
               : ERR_FORBIDDEN;
}

int passprobe_get(struct reader *r, const struct passprobe_keys *keys, struct passprobe *probe)
{
    size_t length = reader_left(r);
    const uint8_t *text = r->at;
    uint8_t side = reader_u8(r);

    *probe = (struct passprobe){.clock_us = reader_u64(r)};
    probe->echo_us = reader_u64(r);
    probe->held_us = reader_u32(r);
    probe->taken = reader_u32(r);
    /* What is between these and the tag is of a later version. */
    if (length < PASSPROBE_OCTETS || side > 1 || probe->clock_us == 0)
        return ERR_PROTOCOL;
    /* What its sender has opened, we have not. */
    return check(keys, 1 - side, text, length - PASSPROBE_TAG_OCTETS);
}
