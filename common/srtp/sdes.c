#include "common/srtp/sdes.h"

#include <string.h>

#include "common/base/base64.h"
#include "common/base/err.h"
#include "common/base/random.h"
#include "common/base/words.h"

enum {
    TAG_MAX_DIGITS = 9,
    SUITE_NAME_SIZE = 32,
    /* Octets of key and salt that are taken apart, to tell too many from no base64. */
    MATERIAL_MAX_OCTETS = 2 * SUITE_KEY_MAX_OCTETS,
    MATERIAL_TEXT_SIZE = (MATERIAL_MAX_OCTETS + 2) / 3 * 4 + 1,
};

/* ---------------------------------------------------------------- inline */

static enum sdes_wrong read_lifetime(struct words part, struct sdes_inline *out)
{
    bool power = words_skip(&part, "2^");
    uint64_t number;

    if (out->lifetime)
        return SDES_TWO_LIFETIMES;
    if (!words_number(&part, power ? 48 : SRTP_LIFETIME_MAX, &number) || (!power && number == 0))
        return SDES_WRONG_LIFETIME;
    out->lifetime = power ? (uint64_t)1 << number : number;
    return SDES_RIGHT;
}

/*
 * Nine digits at a time, in 32 bits each, the lowest first: an offer may have a hundred numbers of
 * 384 digits, and all of it is one turn of the event loop.
 */
struct big {
    uint32_t limb[SRTP_MKI_MAX_OCTETS / 4 + 1];
    size_t used;
};

/* big * factor + add; false: it has more than SRTP_MKI_MAX_OCTETS. */
static bool big_append(struct big *big, uint32_t factor, uint32_t add)
{
    uint64_t carry = add;

    for (size_t i = 0; i < big->used; i++) {
        carry += (uint64_t)big->limb[i] * factor;
        big->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry && big->used == sizeof(big->limb) / sizeof(big->limb[0]))
        return false;
    if (carry)
        big->limb[big->used++] = (uint32_t)carry;
    return true;
}

static bool big_read(struct big *big, const struct words *text)
{
    uint32_t factor = 1, digits = 0;

    for (size_t i = 0; i < text->length; i++) {
        unsigned digit = (unsigned)(unsigned char)text->at[i] - '0';

        if (digit > 9)
            return false;
        digits = digits * 10 + digit;
        factor *= 10;
        if (factor == 1000000000 || i + 1 == text->length) {
            if (!big_append(big, factor, digits))
                return false;
            factor = 1;
            digits = 0;
        }
    }
    return true;
}

/* The number may have up to 1,024 bits: it is counted in the octets that it is sent in. */
static bool read_big_number(const struct words *text, uint8_t *octets, size_t length)
{
    struct big big = {.used = 0};

    if (text->length == 0 || text->length > 3 * length || !big_read(&big, text))
        return false;
    memset(octets, 0, length);
    for (size_t i = 0; i < big.used * 4; i++) {
        uint8_t octet = (uint8_t)(big.limb[i / 4] >> i % 4 * 8);

        if (i < length)
            octets[length - 1 - i] = octet;
        else if (octet)
            return false;
    }
    return true;
}

/* "1:4": a number, and the octets that it is written in. */
static enum sdes_wrong read_mki(struct words part, struct sdes_inline *out)
{
    struct words number = words_until(&part, ':');
    uint64_t octets;

    if (out->mki_length)
        return SDES_TWO_MKIS;
    if (!words_number(&part, SRTP_MKI_MAX_OCTETS, &octets) || octets == 0 ||
        !read_big_number(&number, out->mki, (size_t)octets))
        return SDES_WRONG_MKI;
    out->mki_length = (size_t)octets;
    return SDES_RIGHT;
}

enum sdes_wrong sdes_read_inline(const char *text, size_t length, struct sdes_inline *out)
{
    struct words rest = {text, length}, key = words_until(&rest, '|');
    bool more = key.length < length;
    enum sdes_wrong wrong = SDES_RIGHT;

    memset(out, 0, sizeof(*out));
    out->key = key.at;
    out->key_length = key.length;
    while (more && wrong == SDES_RIGHT) {
        size_t before = rest.length;
        struct words part = words_until(&rest, '|');

        more = part.length < before;
        wrong = part.length && memchr(part.at, ':', part.length) ? read_mki(part, out)
                                                                 : read_lifetime(part, out);
    }
    return wrong;
}

/* ---------------------------------------------------------------- keys */

/* Its time does not depend on the key. */
static bool is_zero(const uint8_t *octets, size_t length)
{
    uint8_t any = 0;

    for (size_t i = 0; i < length; i++)
        any |= octets[i];
    return any == 0;
}

/* NULL, or why it is no key of this suite. */
static const char *decode_key(const struct sdes_inline *parts, const struct suite *suite,
                              uint8_t octets[MATERIAL_MAX_OCTETS])
{
    struct words key = {parts->key, parts->key_length};
    char text[MATERIAL_TEXT_SIZE];
    int length;

    if (key.length >= sizeof(text))
        return "its key is too long for the suite";
    length = words_copy(&key, text, sizeof(text)) ? base64_decode(text, octets, MATERIAL_MAX_OCTETS)
                                                  : ERR_INVALID;
    wipe(text, sizeof(text));
    if (length == ERR_INVALID)
        return "its key is not base64";
    if (length < 0 || (size_t)length > suite_material_octets(suite))
        return "its key is too long for the suite";
    if ((size_t)length < suite_material_octets(suite))
        return "its key is too short for the suite";
    return is_zero(octets, (size_t)length) ? "its key is all zeros" : NULL;
}

static const char *read_material(const struct sdes_inline *parts, const struct suite *suite,
                                 struct srtp_key *key)
{
    uint8_t octets[MATERIAL_MAX_OCTETS] = {0};
    const char *why = decode_key(parts, suite, octets);

    if (!why) {
        key->kind = SRTP_KEY_MASTER;
        key->length = suite_material_octets(suite);
        memcpy(key->octets, octets, key->length);
        memcpy(key->mki, parts->mki, parts->mki_length);
        key->mki_length = parts->mki_length;
        key->lifetime = parts->lifetime ? parts->lifetime : SRTP_LIFETIME_MAX;
    }
    wipe(octets, sizeof(octets));
    return why;
}

static const char *wrong_text(enum sdes_wrong wrong)
{
    switch (wrong) {
    case SDES_WRONG_LIFETIME:
        return "what stands behind its key is no lifetime such as 2^31, and no MKI such as 1:4";
    case SDES_WRONG_MKI:
        return "its MKI is none such as 1:4, a number and its length of 1 to 128 octets";
    case SDES_TWO_LIFETIMES:
        return "it has two lifetimes";
    case SDES_TWO_MKIS:
        return "it has two MKIs";
    case SDES_RIGHT:
        break;
    }
    return NULL;
}

/* "inline:...", one of them: of several keys under one line packets would need to say which. */
static const char *read_key(struct words word, const struct suite *suite, struct srtp_key *key)
{
    struct sdes_inline parts;
    const char *why;

    if (!words_skip(&word, "inline:"))
        return "its key does not begin with inline:";
    if (word.length && memchr(word.at, ';', word.length))
        return "it has several keys";
    why = wrong_text(sdes_read_inline(word.at, word.length, &parts));
    return why ? why : read_material(&parts, suite, key);
}

/* ---------------------------------------------------------------- session parameters */

/*
 * RFC 4568 section 6.3. A window size is advice, and of FEC_ORDER only the default is what is
 * verified here. What begins with "-" may be passed over by who does not know it.
 */
static const char *read_parameter(struct words word, struct sdes *out)
{
    if (words_are(&word, "UNENCRYPTED_SRTP")) {
        out->unencrypted = true;
        return out->suite->aead ? "UNENCRYPTED_SRTP does not go with an AEAD suite" : NULL;
    }
    if (words_are(&word, "UNENCRYPTED_SRTCP"))
        return "UNENCRYPTED_SRTCP is not supported";
    if (words_are(&word, "UNAUTHENTICATED_SRTP"))
        return "UNAUTHENTICATED_SRTP leaves nothing to verify";
    if (words_skip(&word, "KDR="))
        return "KDR (key derivation rate) is not supported";
    if (words_skip(&word, "FEC_KEY="))
        return "FEC_KEY is not supported";
    if (words_skip(&word, "FEC_ORDER="))
        return words_are(&word, "FEC_SRTP") ? NULL : "of FEC_ORDER only FEC_SRTP is supported";
    if (words_skip(&word, "WSH=") || words_skip(&word, "-"))
        return NULL;
    return "it has an unknown session parameter";
}

static const char *read_parameters(struct words *rest, struct sdes *out)
{
    struct words word = words_next(rest);
    const char *why = NULL;

    while (word.length && !why) {
        why = read_parameter(word, out);
        word = words_next(rest);
    }
    return why;
}

/* ---------------------------------------------------------------- the line */

static const struct suite *find_suite(const struct words *word)
{
    char name[SUITE_NAME_SIZE];

    return words_copy(word, name, sizeof(name)) ? suite_find(name) : NULL;
}

static const char *read_behind_tag(struct words *rest, struct sdes *out)
{
    struct words suite = words_next(rest), key = words_next(rest);
    const char *why;

    out->suite = find_suite(&suite);
    if (!out->suite)
        return "its suite is unknown";
    why = read_key(key, out->suite, &out->key);
    return why ? why : read_parameters(rest, out);
}

int sdes_read(const char *text, size_t length, struct sdes *out)
{
    struct words rest = {text, length}, tag;
    uint64_t number;

    memset(out, 0, sizeof(*out));
    tag = words_next(&rest);
    if (tag.at != text || tag.length > TAG_MAX_DIGITS || !words_number(&tag, UINT32_MAX, &number))
        return ERR_INVALID;
    out->tag = (uint32_t)number;
    out->unusable = read_behind_tag(&rest, out);
    if (out->unusable)
        wipe(&out->key, sizeof(out->key));
    return 0;
}
