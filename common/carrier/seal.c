/*
 * Of the ratchet, only the secret that comes after the newest key is kept: it tells nothing of the
 * keys before it. The receiver has the key of the newest frame that it opened, the one before (late
 * frames) and the one after: to look ahead costs nothing when a frame is forged.
 */
#include "common/carrier/seal.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/random.h"
#include "common/base/vault.h"
#include "common/carrier/hkdf.h"
#include "common/srtp/gcm.h"

enum {
    RECORD_TYPE = 0x17, /* application data, of TLS 1.2 by its number, as in TLS 1.3 */
    RECORD_VERSION = 0x03,
    COUNTER_OCTETS = SEAL_HEAD_OCTETS - SEAL_START_OCTETS,
    LEAST_OCTETS = SEAL_OVER_OCTETS - SEAL_START_OCTETS, /* of length */
    KEYS_HELD = 3,                                       /* of what comes */
    WORD_BITS = 64,
    WINDOW_WORDS = SEAL_WINDOW_FRAMES / WORD_BITS,
};

_Static_assert((int)SEAL_SECRET_OCTETS == (int)HKDF_SECRET_OCTETS, "one block of the ratchet");
_Static_assert((int)SEAL_TAG_OCTETS == (int)GCM_TAG_OCTETS, "one tag");

static const uint64_t no_key = UINT64_MAX;

struct key {
    uint8_t key[GCM_KEY_MAX_OCTETS], iv[GCM_IV_OCTETS];
};

/* A cell of the vault. */
struct secrets {
    struct key out, in[KEYS_HELD]; /* in: key n at n % KEYS_HELD */
    uint8_t out_next[SEAL_SECRET_OCTETS], in_next[SEAL_SECRET_OCTETS]; /* after the newest key */
};

struct seal_store {
    pthread_mutex_t lock;
    struct vault *vault;
};

struct seal {
    struct seal_store *store;
    struct secrets *secrets;
    struct gcm *out, *in;
    size_t key_octets;
    uint64_t out_counter; /* of the next frame */
    uint64_t out_number;  /* of the key that out has; no_key before the first */
    uint64_t in_number;   /* of the key of the newest frame */
    uint64_t in_loaded;   /* of the key that in has; no_key: none */
    uint64_t end;         /* the counter after the highest one that came; 0: none did */
    uint64_t count[SEAL_VERDICT_COUNT];
    uint64_t window[WINDOW_WORDS]; /* of the counters below end: bit c is counter c % FRAMES */
};

/* ---------------------------------------------------------------- the store */

int seal_store_new(struct seal_store **store)
{
    struct seal_store *made = calloc(1, sizeof(*made));

    if (!made || vault_new(&made->vault, sizeof(struct secrets)) < 0) {
        free(made);
        return ERR_NOMEM;
    }
    pthread_mutex_init(&made->lock, NULL);
    *store = made;
    return 0;
}

void seal_store_free(struct seal_store *store)
{
    if (!store)
        return;
    vault_free(store->vault);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

static struct secrets *take_secrets(struct seal_store *store)
{
    struct secrets *secrets;

    pthread_mutex_lock(&store->lock);
    secrets = vault_take(store->vault);
    pthread_mutex_unlock(&store->lock);
    return secrets;
}

static void give_secrets(struct seal_store *store, struct secrets *secrets)
{
    pthread_mutex_lock(&store->lock);
    vault_give(store->vault, secrets);
    pthread_mutex_unlock(&store->lock);
}

/* ---------------------------------------------------------------- keys */

/* The next key of the ratchet; its secret makes room for the one after it. */
static void turn(const struct seal *seal, uint8_t next[SEAL_SECRET_OCTETS], struct key *key)
{
    hkdf_expand_label(next, "sealed key", key->key, seal->key_octets);
    hkdf_expand_label(next, "sealed iv", key->iv, sizeof(key->iv));
    hkdf_expand_label(next, "sealed next", next, SEAL_SECRET_OCTETS);
}

static struct key *in_key(const struct seal *seal, uint64_t number)
{
    return &seal->secrets->in[number % KEYS_HELD];
}

/* The key before the last one is no more; the one after this number is ready. */
static void advance_in(struct seal *seal, uint64_t number)
{
    while (seal->in_number < number) {
        seal->in_number++;
        turn(seal, seal->secrets->in_next, in_key(seal, seal->in_number + 1));
    }
}

static bool load_out(struct seal *seal, uint64_t number)
{
    if (seal->out_number == number)
        return true;
    while (seal->out_number != number) {
        turn(seal, seal->secrets->out_next, &seal->secrets->out);
        seal->out_number++; /* no_key + 1 is 0 */
    }
    if (gcm_set_key(seal->out, seal->secrets->out.key))
        return true;
    seal->out_counter = (uint64_t)1 << SEAL_COUNTER_BITS;
    return false;
}

static bool load_in(struct seal *seal, uint64_t number)
{
    if (seal->in_loaded == number)
        return true;
    seal->in_loaded = gcm_set_key(seal->in, in_key(seal, number)->key) ? number : no_key;
    return seal->in_loaded == number;
}

int seal_new(struct seal **seal, struct seal_store *store, size_t key_octets,
             const uint8_t out_secret[SEAL_SECRET_OCTETS],
             const uint8_t in_secret[SEAL_SECRET_OCTETS])
{
    struct seal *made = calloc(1, sizeof(*made));

    if (!made)
        return ERR_NOMEM;
    made->store = store;
    made->key_octets = key_octets;
    made->out_number = made->in_loaded = no_key;
    made->secrets = take_secrets(store);
    made->out = gcm_new(key_octets);
    made->in = gcm_new(key_octets);
    if (!made->secrets || !made->out || !made->in) {
        int result = made->secrets ? ERR_CRYPTO : ERR_NOMEM;

        seal_free(made);
        return result;
    }
    memcpy(made->secrets->out_next, out_secret, SEAL_SECRET_OCTETS);
    memcpy(made->secrets->in_next, in_secret, SEAL_SECRET_OCTETS);
    turn(made, made->secrets->in_next, in_key(made, 0));
    turn(made, made->secrets->in_next, in_key(made, 1));
    *seal = made;
    return 0;
}

void seal_free(struct seal *seal)
{
    if (!seal)
        return;
    gcm_free(seal->out);
    gcm_free(seal->in);
    give_secrets(seal->store, seal->secrets);
    free(seal);
}

/* ---------------------------------------------------------------- heads */

static void make_iv(const struct key *key, const uint8_t *frame, uint8_t iv[GCM_IV_OCTETS])
{
    memcpy(iv, key->iv, GCM_IV_OCTETS);
    for (int i = 0; i < COUNTER_OCTETS; i++)
        iv[GCM_IV_OCTETS - COUNTER_OCTETS + i] ^= frame[SEAL_START_OCTETS + i];
}

static void put_head(uint8_t *frame, size_t length, uint64_t counter)
{
    frame[0] = RECORD_TYPE;
    frame[1] = frame[2] = RECORD_VERSION;
    frame[3] = (uint8_t)(length >> 8);
    frame[4] = (uint8_t)length;
    for (int i = 0; i < COUNTER_OCTETS; i++)
        frame[SEAL_START_OCTETS + i] = (uint8_t)(counter >> (8 * (COUNTER_OCTETS - 1 - i)));
}

int seal_length(const uint8_t *data, size_t length)
{
    static const uint8_t start[] = {RECORD_TYPE, RECORD_VERSION, RECORD_VERSION};
    size_t seen = length < sizeof(start) ? length : sizeof(start), follows;

    if (seen > 0 && memcmp(data, start, seen) != 0)
        return ERR_PROTOCOL;
    if (length < SEAL_START_OCTETS)
        return 0;
    follows = (size_t)data[3] << 8 | data[4];
    if (follows < LEAST_OCTETS || follows > SEAL_FRAME_MAX_OCTETS - SEAL_START_OCTETS)
        return ERR_PROTOCOL;
    return (int)(SEAL_START_OCTETS + follows);
}

uint64_t seal_counter_of(const uint8_t *frame)
{
    uint64_t counter = 0;

    for (int i = 0; i < COUNTER_OCTETS; i++)
        counter = counter << 8 | frame[SEAL_START_OCTETS + i];
    return counter;
}

/* ---------------------------------------------------------------- what goes out */

int seal_put(struct seal *seal, uint8_t type, uint32_t label, const uint8_t *packet, size_t length,
             uint8_t *frame)
{
    uint8_t *text = frame + SEAL_HEAD_OCTETS, iv[GCM_IV_OCTETS];
    size_t inside = SEAL_INSIDE_OCTETS + length;

    if (length > PACKET_MAX_OCTETS)
        return ERR_TOO_LONG;
    if (seal->out_counter >> SEAL_COUNTER_BITS)
        return ERR_RANGE;
    if (!load_out(seal, seal->out_counter >> SEAL_KEY_BITS))
        return ERR_CRYPTO;
    put_head(frame, SEAL_OVER_OCTETS - SEAL_START_OCTETS + length, seal->out_counter);
    text[0] = type;
    for (int i = 0; i < 4; i++)
        text[1 + i] = (uint8_t)(label >> (24 - 8 * i));
    if (length > 0)
        memcpy(text + SEAL_INSIDE_OCTETS, packet, length);
    make_iv(&seal->secrets->out, frame, iv);
    /* Whatever comes of it, no second frame has this counter. */
    seal->out_counter++;
    if (!gcm_seal(seal->out, iv, frame, SEAL_HEAD_OCTETS, text, inside, text, text + inside))
        return ERR_CRYPTO;
    return (int)(SEAL_OVER_OCTETS + length);
}

uint64_t seal_next_counter(const struct seal *seal)
{
    return seal->out_counter;
}

void seal_skip(struct seal *seal, uint64_t frames)
{
    seal->out_counter += frames;
}

/* ---------------------------------------------------------------- what comes in */

static bool is_marked(const struct seal *seal, uint64_t counter)
{
    uint64_t bit = counter % SEAL_WINDOW_FRAMES;

    return seal->window[bit / WORD_BITS] >> bit % WORD_BITS & 1;
}

static bool is_old(const struct seal *seal, uint64_t counter)
{
    return counter + SEAL_WINDOW_FRAMES < seal->end;
}

/* The bits from that counter on to before the other, which have been those of older counters. */
static void clear(struct seal *seal, uint64_t from, uint64_t to)
{
    if (to - from >= SEAL_WINDOW_FRAMES) {
        memset(seal->window, 0, sizeof(seal->window));
        return;
    }
    while (from < to) {
        uint64_t bit = from % SEAL_WINDOW_FRAMES;

        if (bit % WORD_BITS == 0 && to - from >= WORD_BITS) {
            seal->window[bit / WORD_BITS] = 0;
            from += WORD_BITS;
        } else {
            seal->window[bit / WORD_BITS] &= ~((uint64_t)1 << bit % WORD_BITS);
            from++;
        }
    }
}

static void mark(struct seal *seal, uint64_t counter)
{
    uint64_t bit = counter % SEAL_WINDOW_FRAMES;

    if (counter >= seal->end) {
        clear(seal, seal->end, counter + 1);
        seal->end = counter + 1;
    }
    seal->window[bit / WORD_BITS] |= (uint64_t)1 << bit % WORD_BITS;
}

static bool decrypt(struct seal *seal, const uint8_t *frame, size_t length, uint8_t *text)
{
    uint64_t number = seal_counter_of(frame) >> SEAL_KEY_BITS;
    size_t inside = length - SEAL_HEAD_OCTETS - SEAL_TAG_OCTETS;
    uint8_t iv[GCM_IV_OCTETS];

    /* The key of a frame within the window is there; but one from far ahead is no honest one. */
    if (number > seal->in_number + 1 || number + 1 < seal->in_number || !load_in(seal, number))
        return false;
    make_iv(in_key(seal, number), frame, iv);
    return gcm_open(seal->in, iv, frame, SEAL_HEAD_OCTETS, frame + SEAL_HEAD_OCTETS, inside, text,
                    frame + length - SEAL_TAG_OCTETS);
}

static enum seal_verdict judge(struct seal *seal, const uint8_t *frame, size_t length,
                               uint8_t *text)
{
    int whole = seal_length(frame, length);
    uint64_t counter;

    if (whole < 0)
        return SEAL_MALFORMED;
    if (whole == 0 || (size_t)whole != length)
        return SEAL_TRUNCATED;
    counter = seal_counter_of(frame);
    if (is_old(seal, counter))
        return SEAL_OLD;
    if (counter < seal->end && is_marked(seal, counter))
        return SEAL_REPLAYED;
    if (!decrypt(seal, frame, length, text))
        return SEAL_FORGED;
    mark(seal, counter);
    advance_in(seal, counter >> SEAL_KEY_BITS);
    return SEAL_OPENED;
}

enum seal_verdict seal_open(struct seal *seal, const uint8_t *frame, size_t length, uint8_t *text,
                            struct seal_opened *opened)
{
    enum seal_verdict verdict = judge(seal, frame, length, text);

    seal->count[verdict]++;
    if (verdict != SEAL_OPENED)
        return verdict;
    opened->type = text[0];
    opened->label =
        (uint32_t)text[1] << 24 | (uint32_t)text[2] << 16 | (uint32_t)text[3] << 8 | text[4];
    opened->packet = text + SEAL_INSIDE_OCTETS;
    opened->length = length - SEAL_OVER_OCTETS;
    opened->counter = seal_counter_of(frame);
    return SEAL_OPENED;
}

bool seal_is_genuine(struct seal *seal, const uint8_t *frame, size_t length, uint8_t *text)
{
    int whole = seal_length(frame, length);

    return whole > 0 && (size_t)whole == length && decrypt(seal, frame, length, text);
}

bool seal_has(const struct seal *seal, uint64_t counter)
{
    return counter < seal->end && (is_old(seal, counter) || is_marked(seal, counter));
}

uint64_t seal_count(const struct seal *seal, enum seal_verdict verdict)
{
    return seal->count[verdict];
}

const char *seal_verdict_name(enum seal_verdict verdict)
{
    static const char *const names[] = {
#define X(name, word, text) [SEAL_##name] = word,
        SEAL_VERDICT_LIST(X)
#undef X
    };

    return names[verdict];
}
