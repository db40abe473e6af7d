#include "tests/unit/protect.h"

#include <srtp2/srtp.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/protocol.h"
#include "common/base/writer.h"
#include "common/srtp/srtp.h"

struct protect {
    srtp_t context;
    uint32_t ssrc;
};

static void set_crypto(srtp_policy_t *policy, enum suite_id id)
{
    srtp_profile_t profile = srtp_profile_aes128_cm_sha1_80;

    if (id == SUITE_AES_CM_128_HMAC_SHA1_32)
        profile = srtp_profile_aes128_cm_sha1_32;
    else if (id == SUITE_AEAD_AES_128_GCM)
        profile = srtp_profile_aead_aes_128_gcm;
    else if (id == SUITE_AEAD_AES_256_GCM)
        profile = srtp_profile_aead_aes_256_gcm;
    srtp_crypto_policy_set_from_profile_for_rtp(&policy->rtp, profile);
    srtp_crypto_policy_set_from_profile_for_rtcp(&policy->rtcp, profile);
    if (id == SUITE_AES_256_CM_HMAC_SHA1_80) { /* has no DTLS profile */
        srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(&policy->rtp);
        srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(&policy->rtcp);
    }
}

static struct srtp_engine *engine;
static struct protect *kept;

int protect_start(void)
{
    static const uint8_t material[30] = {1};

    /* The library is started once per process, and the relay's engine counts who uses it. */
    if (srtp_engine_new(&engine, SRTP_ENGINE_LIBSRTP2) < 0)
        return -1;
    kept = protect_new(suite_get(SUITE_AES_CM_128_HMAC_SHA1_80), material, 1);
    return kept ? 0 : -1;
}

void protect_stop(void)
{
    protect_free(kept);
    kept = NULL;
    srtp_engine_free(engine);
}

struct protect *protect_new(const struct suite *suite, const uint8_t *material, uint32_t ssrc)
{
    struct protect *sender = calloc(1, sizeof(*sender));
    uint8_t key[SUITE_KEY_MAX_OCTETS];
    srtp_policy_t policy;

    if (!sender)
        return NULL;
    memset(&policy, 0, sizeof(policy));
    memcpy(key, material, suite_material_octets(suite));
    set_crypto(&policy, suite->id);
    policy.ssrc.type = ssrc_specific;
    policy.ssrc.value = ssrc;
    policy.key = key;
    sender->ssrc = ssrc;
    if (srtp_create(&sender->context, &policy) != srtp_err_status_ok) {
        free(sender);
        return NULL;
    }
    return sender;
}

void protect_free(struct protect *sender)
{
    if (sender)
        srtp_dealloc(sender->context);
    free(sender);
}

size_t protect_make_rtp(uint8_t *out, size_t size, uint8_t payload_type, uint16_t sequence,
                        uint32_t timestamp, uint32_t ssrc, const void *payload, size_t length)
{
    struct writer w;

    writer_init(&w, out, size);
    writer_u8(&w, 0x80);
    writer_u8(&w, payload_type);
    writer_u16(&w, sequence);
    writer_u32(&w, timestamp);
    writer_u32(&w, ssrc);
    writer_copy(&w, payload, length);
    return w.failed ? 0 : writer_length(&w);
}

static size_t run(struct protect *sender, srtp_err_status_t (*call)(srtp_t, void *, int *),
                  uint8_t *packet, size_t length, size_t size)
{
    alignas(8) uint8_t copy[PACKET_ROOM_OCTETS];
    int octets = (int)length;

    if (length > PACKET_MAX_OCTETS)
        return 0;
    memcpy(copy, packet, length);
    if (call(sender->context, copy, &octets) != srtp_err_status_ok || (size_t)octets > size)
        return 0;
    memcpy(packet, copy, (size_t)octets);
    return (size_t)octets;
}

size_t protect_rtp(struct protect *sender, uint64_t index, uint8_t *packet, size_t length,
                   size_t size)
{
    if (length < PROTECT_HEADER_OCTETS)
        return 0;
    packet[2] = (uint8_t)(index >> 8);
    packet[3] = (uint8_t)index;
    /* Given for every packet: one that is left from the last would be wrong after a wrap. */
    if (srtp_set_stream_roc(sender->context, sender->ssrc, (uint32_t)(index >> 16)) !=
        srtp_err_status_ok)
        return 0;
    return run(sender, srtp_protect, packet, length, size);
}

size_t protect_rtcp(struct protect *sender, uint8_t *packet, size_t length, size_t size)
{
    return run(sender, srtp_protect_rtcp, packet, length, size);
}
