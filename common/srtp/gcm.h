/*
 * AES-GCM without allocation. Checks tags with another key for each message if need be: all keys
 * take turns in one context, so that a key takes no more memory than its octets. Or seals and opens
 * many messages with one key, which stays in the context.
 *
 * To key the context takes 0.1 us. A context for each key would be 976 octets, 16 lines that mostly
 * have to come from memory where many keys take turns. What it would save there is half of that.
 *
 * OpenSSL's provider is called through its dispatch table (provider-cipher(7)), as EVP does it:
 * EVP's own way through five calls takes as long as the keying.
 */
#ifndef COMMON_SRTP_GCM_H
#define COMMON_SRTP_GCM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GCM_KEY_MAX_OCTETS = 32, GCM_IV_OCTETS = 12, GCM_TAG_OCTETS = 16 };

struct gcm; /* for keys of one length */

struct gcm_message {
    uint8_t iv[GCM_IV_OCTETS];
    const uint8_t *aad, *more_aad, *text, *tag;
    size_t aad_octets, more_aad_octets, text_octets; /* text: at most PACKET_MAX_OCTETS */
};

/* For keys of 16 or 32 octets; NULL: not to be had. */
struct gcm *gcm_new(size_t key_octets);
/* Wipes the last key. Accepts NULL. */
void gcm_free(struct gcm *gcm);

/* Has the message this tag under this key? The plain text is not given. */
bool gcm_is_right(struct gcm *gcm, const uint8_t *key, const struct gcm_message *message);
/*
 * For the messages of gcm_seal() and gcm_open() from now on, until gcm_is_right(), gcm_forget() or
 * another call of this. False: OpenSSL refused.
 */
bool gcm_set_key(struct gcm *gcm, const uint8_t *key);
/* text, as long as from, may be the same memory. False: OpenSSL refused; what was written is of no
 * use. */
bool gcm_seal(struct gcm *gcm, const uint8_t iv[GCM_IV_OCTETS], const uint8_t *aad,
              size_t aad_octets, const uint8_t *from, size_t octets, uint8_t *text,
              uint8_t tag[GCM_TAG_OCTETS]);
/* The other way. False: the tag is wrong; what was written is of no use and must not be looked at.
 */
bool gcm_open(struct gcm *gcm, const uint8_t iv[GCM_IV_OCTETS], const uint8_t *aad,
              size_t aad_octets, const uint8_t *from, size_t octets, uint8_t *text,
              const uint8_t tag[GCM_TAG_OCTETS]);
/* Wipes what is left of the last message and its key. */
void gcm_forget(struct gcm *gcm);

#endif
