#define LOG_MODULE "sitemedia"
#include "inner-relay/sitemedia.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/carrier/hkdf.h"
#include "common/srtp/srtp.h"
#include "inner-relay/side.h"
#include "inner-relay/sitemessage.h"

/*
 * The other end may learn of its SA later than we do; after so many times, a second apart at first
 * and each time twice as long, it is at none of the sites that we have.
 */
enum { TRIES_MAX = 7, BUCKETS = 4096, PIECE = 32 };
#define FIRST_PAUSE_US (UINT64_C(1) * 1000 * 1000)

/* One SA that goes to, or comes from, the address of its dmz-relay. */
struct entry {
    struct entry *next, *previous;
    struct entry *next_by_sa, *next_by_media;
    struct site *site; /* NULL: not known */
    uint64_t sa;
    unsigned link;
    uint32_t generation;
    uint32_t label; /* that the SA has there, of one that goes there */
    bool takes;     /* it comes from there */
    bool answered;  /* the other site has said so; of one that comes, since a session came up last
                     */
    unsigned tries; /* of asking, or of waiting to be asked */
    unsigned round; /* of sessions that are up: the last one that it was asked in */
    uint64_t next_us;
    uint8_t media[MESSAGE_MEDIA_OCTETS];
};

struct sitemedia {
    struct inner *inner;
    struct sites *sites;
    struct entry *first, *last, *cursor;
    size_t count;
    size_t open[INNER_LINKS_MAX]; /* for which nobody has said yet GIVES, and we ask on */
    struct {
        const struct site *site;
        size_t count;
    } with[SITES_MAX];
    unsigned round; /* rises with each session that comes up */
    void (*known)(void *ctx, struct sa *sa, struct site *site, uint32_t label); /* NULL: nobody */
    void *known_ctx;
    struct hash_key key;
    struct entry **by_sa, **by_media; /* BUCKETS each */
};

/* ------------------------------------------------------------ what both ends know */

/* One secret for each key, m= line and suite; false where this host does not have the key. */
static bool secret_of(const struct sa *sa, uint8_t secret[HKDF_SECRET_OCTETS])
{
    uint8_t tail[HKDF_SECRET_OCTETS] = {0};
    struct srtp_key key;
    bool ok = srtp_session_key(sa->srtp, SRTP_KEY_MASTER, &key) == 0;

    if (ok) {
        hkdf_extract(key.octets, key.length, secret);
        tail[0] = sa->media_index;
        memcpy(tail + 1, sa->suite->name, strnlen(sa->suite->name, sizeof(tail) - 1));
        hkdf_mac(secret, tail, sizeof(tail), secret);
    }
    wipe(&key, sizeof(key));
    return ok;
}

/* What both know the media by, without the key. */
static bool name_media(const struct sa *sa, uint8_t media[MESSAGE_MEDIA_OCTETS])
{
    uint8_t secret[HKDF_SECRET_OCTETS];
    bool ok = secret_of(sa, secret);

    if (ok)
        hkdf_expand_label(secret, "media-relay media", media, MESSAGE_MEDIA_OCTETS);
    wipe(secret, sizeof(secret));
    return ok;
}

static void put_name(struct writer *w, const char *name)
{
    for (; *name; name++)
        writer_u8(w, (uint8_t)tolower((unsigned char)*name));
    writer_u8(w, 0);
}

/* That who has the key says this, to this site and no other. */
static bool prove(const struct sa *sa, uint8_t type, const char *from, const char *to,
                  uint32_t label, uint8_t proof[MESSAGE_MEDIA_OCTETS])
{
    uint8_t secret[HKDF_SECRET_OCTETS], tag[HKDF_SECRET_OCTETS], text[2 * SITE_SIZE + 8];
    struct writer w;
    bool ok = secret_of(sa, secret);

    writer_init(&w, text, sizeof(text));
    writer_u8(&w, type);
    writer_u32(&w, label);
    put_name(&w, from);
    put_name(&w, to);
    if (ok) {
        hkdf_mac(secret, text, writer_length(&w), tag);
        memcpy(proof, tag, MESSAGE_MEDIA_OCTETS);
    }
    wipe(secret, sizeof(secret));
    return ok && !w.failed;
}

static bool is_proof(const uint8_t *a, const uint8_t *b)
{
    uint8_t differ = 0;

    for (size_t i = 0; i < MESSAGE_MEDIA_OCTETS; i++)
        differ |= a[i] ^ b[i];
    return differ == 0;
}

static const char *own_name(const struct site *site)
{
    return site_link(site)->peer.site;
}

/* ------------------------------------------------------------ which SAs there are */

static struct entry **bucket_of(const struct sitemedia *sitemedia, struct entry **buckets,
                                const void *octets, size_t length)
{
    return &buckets[hash_bytes(&sitemedia->key, octets, length) % BUCKETS];
}

static struct entry *find_sa(const struct sitemedia *sitemedia, uint64_t id)
{
    struct entry *entry = *bucket_of(sitemedia, sitemedia->by_sa, &id, sizeof(id));

    while (entry && entry->sa != id)
        entry = entry->next_by_sa;
    return entry;
}

static bool is_open(const struct entry *entry)
{
    return !entry->answered && entry->tries < TRIES_MAX;
}

static size_t *count_with(struct sitemedia *sitemedia, const struct site *site)
{
    size_t i = 0;

    while (i < SITES_MAX - 1 && sitemedia->with[i].site && sitemedia->with[i].site != site)
        i++;
    sitemedia->with[i].site = site;
    return &sitemedia->with[i].count;
}

/* Takes it out of the counts, to be put back when it has changed. */
static void uncount(struct sitemedia *sitemedia, const struct entry *entry)
{
    sitemedia->open[entry->link] -= is_open(entry);
    if (entry->site)
        --*count_with(sitemedia, entry->site);
}

static void recount(struct sitemedia *sitemedia, const struct entry *entry)
{
    sitemedia->open[entry->link] += is_open(entry);
    if (entry->site)
        ++*count_with(sitemedia, entry->site);
}

static void remove_entry(struct sitemedia *sitemedia, struct entry *entry)
{
    struct entry **at = bucket_of(sitemedia, sitemedia->by_sa, &entry->sa, sizeof(entry->sa));

    uncount(sitemedia, entry);
    while (*at != entry)
        at = &(*at)->next_by_sa;
    *at = entry->next_by_sa;
    at = bucket_of(sitemedia, sitemedia->by_media, entry->media, sizeof(entry->media));
    while (*at != entry)
        at = &(*at)->next_by_media;
    *at = entry->next_by_media;
    *(entry->previous ? &entry->previous->next : &sitemedia->first) = entry->next;
    *(entry->next ? &entry->next->previous : &sitemedia->last) = entry->previous;
    if (sitemedia->cursor == entry)
        sitemedia->cursor = entry->next;
    sitemedia->count--;
    free(entry);
}

static void add_entry(struct sitemedia *sitemedia, const struct sa *sa)
{
    struct entry *entry = calloc(1, sizeof(*entry)), **at;

    if (!entry || !name_media(sa, entry->media)) {
        free(entry);
        return;
    }
    entry->sa = sa->id;
    entry->link = sa->owner;
    entry->generation = sa->generation;
    entry->takes = sa->side == SA_SIDE_EXTERNAL;
    at = bucket_of(sitemedia, sitemedia->by_sa, &entry->sa, sizeof(entry->sa));
    entry->next_by_sa = *at;
    *at = entry;
    at = bucket_of(sitemedia, sitemedia->by_media, entry->media, sizeof(entry->media));
    entry->next_by_media = *at;
    *at = entry;
    entry->previous = sitemedia->last;
    *(entry->previous ? &entry->previous->next : &sitemedia->first) = entry;
    sitemedia->last = entry;
    sitemedia->count++;
    recount(sitemedia, entry);
}

/* Does it go to, or come from, where another site of the same dmz-relay may be? */
static bool is_between(const struct sitemedia *sitemedia, const struct sa *sa)
{
    const struct addr *far = sa->side == SA_SIDE_EXTERNAL ? &sa->source.rtp : &sa->destination.rtp;

    return !sa->hairpin && sa->srtp && srtp_session_kind(sa->srtp) == SRTP_KEY_MASTER &&
           side_is_self(sitemedia->inner, sa->owner, far);
}

static bool has_site(const struct sitemedia *sitemedia, unsigned link)
{
    for (size_t i = 0; i < sites_count(sitemedia->sites); i++) {
        if (site_link(sites_at(sitemedia->sites, i))->number == link)
            return true;
    }
    return false;
}

/* ------------------------------------------------------------ what is said */

/* ERR_FULL, ERR_CLOSED: later. */
static int say(struct site *site, enum sites_side side, uint8_t type, const struct sa *sa,
               const struct entry *entry, uint64_t now_us)
{
    struct site_message message = {.label = type == MESSAGE_TAKES ? sa->label : 0};
    uint8_t memory[128];
    const char *why;
    struct writer w;

    memcpy(message.media, entry->media, sizeof(message.media));
    if (!prove(sa, type, own_name(site), site_name(site), message.label, message.proof))
        return 0;
    writer_init(&w, memory, sizeof(memory));
    sitemessage_put(&w, type, &message);
    return site_send(site, side, type, memory, writer_length(&w), &why, now_us);
}

/* The session that there is; ours is opened by sites.h, since is_wanted() says so. */
static int say_takes(struct sitemedia *sitemedia, struct entry *entry, const struct sa *sa,
                     uint64_t now_us)
{
    int said = ERR_CLOSED;

    for (size_t i = 0; i < sites_count(sitemedia->sites); i++) {
        struct site *site = sites_at(sitemedia->sites, i);
        int result = ERR_CLOSED;

        if (site_link(site)->number != sa->owner || (entry->site && entry->site != site))
            continue;
        for (int side = SITES_THEIRS; side >= SITES_OURS && result < 0; side--) {
            if (site_is_up(site, (enum sites_side)side))
                result = say(site, (enum sites_side)side, MESSAGE_TAKES, sa, entry, now_us);
        }
        if (result == 0 || result == ERR_FULL)
            said = result;
    }
    return said;
}

/* Who sends has nothing to say, but wants a session, too: the other site may not open one. */
static void say_again(struct sitemedia *sitemedia, struct entry *entry, const struct sa *sa,
                      uint64_t now_us)
{
    bool fresh = entry->takes && entry->round != sitemedia->round;

    if (!fresh && (now_us < entry->next_us || !is_open(entry)))
        return;
    uncount(sitemedia, entry);
    if (fresh) {
        entry->answered = false;
        entry->tries = 0;
    }
    if (!entry->takes || say_takes(sitemedia, entry, sa, now_us) != ERR_FULL) {
        entry->round = sitemedia->round;
        entry->next_us = now_us + (FIRST_PAUSE_US << entry->tries);
        entry->tries++;
    }
    recount(sitemedia, entry);
}

/* ------------------------------------------------------------ what is heard */

static void set_site(struct sitemedia *sitemedia, struct entry *entry, struct site *site)
{
    if (entry->site != site)
        log_debug("SA %llu %s site %s", (unsigned long long)entry->sa,
                  entry->takes ? "comes from" : "goes to", site_name(site));
    uncount(sitemedia, entry);
    entry->site = site;
    entry->answered = true;
    recount(sitemedia, entry);
}

static void tell(const struct sitemedia *sitemedia, const struct entry *entry, struct sa *sa)
{
    if (sitemedia->known)
        sitemedia->known(sitemedia->known_ctx, sa, entry->site, entry->label);
}

static int on_message(void *ctx, struct site *site, enum sites_side side, uint8_t type,
                      struct reader *body, uint64_t now_us)
{
    struct sitemedia *sitemedia = ctx;
    struct site_message message;
    struct entry *entry;
    int result;

    if (type != MESSAGE_TAKES && type != MESSAGE_GIVES)
        return ERR_UNSUPPORTED;
    result = sitemessage_get(type, body, &message);
    if (result < 0)
        return result;
    entry = *bucket_of(sitemedia, sitemedia->by_media, message.media, sizeof(message.media));
    for (; entry; entry = entry->next_by_media) {
        struct sa *sa;
        uint8_t proof[MESSAGE_MEDIA_OCTETS];

        if (entry->takes == (type == MESSAGE_TAKES) ||
            memcmp(entry->media, message.media, sizeof(message.media)) != 0)
            continue;
        sa = table_by_id(sitemedia->inner->table, site_link(site)->number, entry->sa);
        if (!sa || sa->generation != entry->generation ||
            !prove(sa, type, site_name(site), own_name(site), message.label, proof) ||
            !is_proof(proof, message.proof))
            continue;
        set_site(sitemedia, entry, site);
        if (type == MESSAGE_TAKES) {
            entry->label = message.label;
            (void)say(site, side, MESSAGE_GIVES, sa, entry, now_us);
        }
        tell(sitemedia, entry, sa);
    }
    return 0;
}

static void on_up(void *ctx, struct site *site, enum sites_side side, uint64_t now_us)
{
    struct sitemedia *sitemedia = ctx;

    (void)site;
    (void)side;
    (void)now_us;
    sitemedia->round++;
}

/* One session is enough: that of the site whose name comes first, if both have one. */
static bool is_wanted(void *ctx, const struct site *site, enum sites_side side)
{
    const struct sitemedia *sitemedia = ctx;
    bool other_up = site_is_up(site, side == SITES_OURS ? SITES_THEIRS : SITES_OURS);
    bool first = strcasecmp(own_name(site), site_name(site)) < 0;

    if (other_up && first != (side == SITES_OURS))
        return false;
    return sitemedia->open[site_link(site)->number] > 0 || sitemedia_count(sitemedia, site) > 0;
}

/* Nothing is with it any more: the last one takes its place. */
static void forget_count(struct sitemedia *sitemedia, const struct site *site)
{
    size_t last = SITES_MAX, i = SITES_MAX;

    for (size_t n = 0; n < SITES_MAX && sitemedia->with[n].site; n++) {
        if (sitemedia->with[n].site == site)
            i = n;
        last = n;
    }
    if (i == SITES_MAX)
        return;
    sitemedia->with[i] = sitemedia->with[last];
    sitemedia->with[last].site = NULL;
    sitemedia->with[last].count = 0;
}

static void on_gone(void *ctx, struct site *site)
{
    struct sitemedia *sitemedia = ctx;

    for (struct entry *entry = sitemedia->first; entry; entry = entry->next) {
        struct sa *sa;

        if (entry->site != site)
            continue;
        uncount(sitemedia, entry);
        entry->site = NULL;
        sa = inner_find_sa(sitemedia->inner, entry->sa);
        if (sa)
            tell(sitemedia, entry, sa);
        entry->answered = false;
        entry->tries = 0;
        entry->next_us = 0;
        recount(sitemedia, entry);
    }
    forget_count(sitemedia, site);
}

static const struct sites_hooks hooks = {
    .up = on_up, .message = on_message, .wanted = is_wanted, .gone = on_gone};

/* ------------------------------------------------------------ rounds */

static void on_seen(void *ctx, const struct sa *sa)
{
    struct sitemedia *sitemedia = ctx;

    if (is_between(sitemedia, sa) && !find_sa(sitemedia, sa->id) && has_site(sitemedia, sa->owner))
        add_entry(sitemedia, sa);
}

static void look(struct sitemedia *sitemedia, struct entry *entry, uint64_t now_us)
{
    struct sa *sa = inner_find_sa(sitemedia->inner, entry->sa);
    bool stays = sa && sa->generation == entry->generation && is_between(sitemedia, sa) &&
                 has_site(sitemedia, sa->owner);

    if (stays)
        say_again(sitemedia, entry, sa, now_us);
    if (!stays) {
        uncount(sitemedia, entry);
        entry->site = NULL;
        recount(sitemedia, entry);
    }
    if (sa)
        tell(sitemedia, entry, sa);
    if (!stays)
        remove_entry(sitemedia, entry);
}

void sitemedia_tick(struct sitemedia *sitemedia)
{
    if (!sitemedia->cursor)
        sitemedia->cursor = sitemedia->first;
}

bool sitemedia_work(struct sitemedia *sitemedia, uint64_t now_us)
{
    for (int i = 0; i < PIECE && sitemedia->cursor; i++) {
        struct entry *entry = sitemedia->cursor;

        sitemedia->cursor = entry->next;
        look(sitemedia, entry, now_us);
    }
    return sitemedia->cursor != NULL;
}

struct sitemedia *sitemedia_new(struct inner *inner, struct sites *sites)
{
    struct sitemedia *sitemedia = calloc(1, sizeof(*sitemedia));

    if (!sitemedia)
        return NULL;
    sitemedia->by_sa = calloc(BUCKETS, sizeof(*sitemedia->by_sa));
    sitemedia->by_media = calloc(BUCKETS, sizeof(*sitemedia->by_media));
    if (!sitemedia->by_sa || !sitemedia->by_media) {
        free(sitemedia->by_sa);
        free(sitemedia->by_media);
        free(sitemedia);
        return NULL;
    }
    sitemedia->inner = inner;
    sitemedia->sites = sites;
    sitemedia->key = hash_key_random();
    sites_add_hooks(sites, &hooks, sitemedia);
    inner->media = (struct inner_seen){.seen = on_seen, .ctx = sitemedia};
    return sitemedia;
}

void sitemedia_set_hook(struct sitemedia *sitemedia,
                        void (*known)(void *ctx, struct sa *sa, struct site *site, uint32_t label),
                        void *ctx)
{
    sitemedia->known = known;
    sitemedia->known_ctx = ctx;
}

void sitemedia_free(struct sitemedia *sitemedia)
{
    if (!sitemedia)
        return;
    sitemedia->inner->media = (struct inner_seen){.seen = NULL};
    while (sitemedia->first)
        remove_entry(sitemedia, sitemedia->first);
    free(sitemedia->by_sa);
    free(sitemedia->by_media);
    free(sitemedia);
}

struct site *sitemedia_find(const struct sitemedia *sitemedia, const struct sa *sa, uint32_t *label)
{
    const struct entry *entry = find_sa(sitemedia, sa->id);

    if (!entry || entry->generation != sa->generation)
        return NULL;
    if (label)
        *label = entry->label;
    return entry->site;
}

size_t sitemedia_count(const struct sitemedia *sitemedia, const struct site *site)
{
    for (size_t i = 0; i < SITES_MAX && sitemedia->with[i].site; i++) {
        if (sitemedia->with[i].site == site)
            return sitemedia->with[i].count;
    }
    return 0;
}

size_t sitemedia_held(const struct sitemedia *sitemedia)
{
    return sitemedia->count;
}
