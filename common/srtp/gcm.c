#include "common/srtp/gcm.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/protocol.h"

struct gcm {
    EVP_CIPHER *cipher; /* keeps the provider loaded */
    void *context;      /* the provider's */
    size_t key_octets;
    OSSL_FUNC_cipher_newctx_fn *newctx;
    OSSL_FUNC_cipher_freectx_fn *freectx;
    OSSL_FUNC_cipher_decrypt_init_fn *init;
    OSSL_FUNC_cipher_encrypt_init_fn *encrypt_init;
    OSSL_FUNC_cipher_update_fn *update;
    OSSL_FUNC_cipher_final_fn *final;
    OSSL_FUNC_cipher_get_ctx_params_fn *get_params;
};

/* ------------------------------------------------------------ the provider's functions */

static bool take_functions(struct gcm *gcm, const OSSL_DISPATCH *function)
{
    for (; function->function_id != 0; function++) {
        switch (function->function_id) {
        case OSSL_FUNC_CIPHER_NEWCTX:
            gcm->newctx = OSSL_FUNC_cipher_newctx(function);
            break;
        case OSSL_FUNC_CIPHER_FREECTX:
            gcm->freectx = OSSL_FUNC_cipher_freectx(function);
            break;
        case OSSL_FUNC_CIPHER_DECRYPT_INIT:
            gcm->init = OSSL_FUNC_cipher_decrypt_init(function);
            break;
        case OSSL_FUNC_CIPHER_ENCRYPT_INIT:
            gcm->encrypt_init = OSSL_FUNC_cipher_encrypt_init(function);
            break;
        case OSSL_FUNC_CIPHER_GET_CTX_PARAMS:
            gcm->get_params = OSSL_FUNC_cipher_get_ctx_params(function);
            break;
        case OSSL_FUNC_CIPHER_UPDATE:
            gcm->update = OSSL_FUNC_cipher_update(function);
            break;
        case OSSL_FUNC_CIPHER_FINAL:
            gcm->final = OSSL_FUNC_cipher_final(function);
            break;
        default:
            break;
        }
    }
    return gcm->newctx && gcm->freectx && gcm->init && gcm->encrypt_init && gcm->update &&
           gcm->final && gcm->get_params;
}

/* names: all that an algorithm goes by, with colons in between. */
static bool has_name(const char *names, const char *name)
{
    size_t length = strlen(name);

    while (names) {
        if (strncasecmp(names, name, length) == 0 &&
            (names[length] == '\0' || names[length] == ':'))
            return true;
        names = strchr(names, ':');
        if (names)
            names++;
    }
    return false;
}

/* What was fetched shows no functions: they are found in its provider's list, by name. */
static bool find_functions(struct gcm *gcm, const char *name)
{
    const OSSL_PROVIDER *provider = EVP_CIPHER_get0_provider(gcm->cipher);
    const OSSL_ALGORITHM *all, *one;
    bool found = false;
    int no_cache;

    if (!provider)
        return false;
    all = OSSL_PROVIDER_query_operation(provider, OSSL_OP_CIPHER, &no_cache);
    for (one = all; one && one->algorithm_names && !found; one++)
        found = has_name(one->algorithm_names, name) && take_functions(gcm, one->implementation);
    OSSL_PROVIDER_unquery_operation(provider, OSSL_OP_CIPHER, all);
    return found;
}

static bool make_context(struct gcm *gcm)
{
    const OSSL_PROVIDER *provider = EVP_CIPHER_get0_provider(gcm->cipher);

    gcm->context = gcm->newctx(OSSL_PROVIDER_get0_provider_ctx(provider));
    return gcm->context != NULL;
}

struct gcm *gcm_new(size_t key_octets)
{
    const char *name = key_octets == 16 ? "AES-128-GCM" : "AES-256-GCM";
    struct gcm *gcm = calloc(1, sizeof(*gcm));

    if (!gcm)
        return NULL;
    gcm->key_octets = key_octets;
    gcm->cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    if (gcm->cipher && find_functions(gcm, name) && make_context(gcm))
        return gcm;
    gcm_free(gcm);
    return NULL;
}

void gcm_free(struct gcm *gcm)
{
    if (!gcm)
        return;
    if (gcm->context)
        gcm->freectx(gcm->context);
    EVP_CIPHER_free(gcm->cipher);
    free(gcm);
}

/* ------------------------------------------------------------ messages */

bool gcm_is_right(struct gcm *gcm, const uint8_t *key, const struct gcm_message *message)
{
    uint8_t text[PACKET_MAX_OCTETS], tag[GCM_TAG_OCTETS];
    OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, sizeof(tag)),
        OSSL_PARAM_END,
    };
    size_t written;

    memcpy(tag, message->tag, sizeof(tag)); /* a parameter is not const */
    return gcm->init(gcm->context, key, gcm->key_octets, message->iv, sizeof(message->iv),
                     params) &&
           gcm->update(gcm->context, NULL, &written, message->aad_octets, message->aad,
                       message->aad_octets) &&
           gcm->update(gcm->context, NULL, &written, message->more_aad_octets, message->more_aad,
                       message->more_aad_octets) &&
           gcm->update(gcm->context, text, &written, sizeof(text), message->text,
                       message->text_octets) &&
           gcm->final(gcm->context, text, &written, sizeof(text));
}

/* ------------------------------------------------------------ one key, many messages */

bool gcm_set_key(struct gcm *gcm, const uint8_t *key)
{
    static const uint8_t zero[GCM_IV_OCTETS]; /* each message brings its own */
    const OSSL_PARAM none[] = {OSSL_PARAM_END};

    return gcm->encrypt_init(gcm->context, key, gcm->key_octets, zero, sizeof(zero), none);
}

/* Between init and tag, either way. */
static bool work(struct gcm *gcm, const uint8_t *aad, size_t aad_octets, const uint8_t *from,
                 size_t octets, uint8_t *text)
{
    size_t written;

    return gcm->update(gcm->context, NULL, &written, aad_octets, aad, aad_octets) &&
           gcm->update(gcm->context, text, &written, octets, from, octets) &&
           gcm->final(gcm->context, text, &written, octets);
}

bool gcm_seal(struct gcm *gcm, const uint8_t iv[GCM_IV_OCTETS], const uint8_t *aad,
              size_t aad_octets, const uint8_t *from, size_t octets, uint8_t *text,
              uint8_t tag[GCM_TAG_OCTETS])
{
    const OSSL_PARAM none[] = {OSSL_PARAM_END};
    OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, GCM_TAG_OCTETS),
        OSSL_PARAM_END,
    };

    return gcm->encrypt_init(gcm->context, NULL, 0, iv, GCM_IV_OCTETS, none) &&
           work(gcm, aad, aad_octets, from, octets, text) && gcm->get_params(gcm->context, params);
}

bool gcm_open(struct gcm *gcm, const uint8_t iv[GCM_IV_OCTETS], const uint8_t *aad,
              size_t aad_octets, const uint8_t *from, size_t octets, uint8_t *text,
              const uint8_t tag[GCM_TAG_OCTETS])
{
    uint8_t copy[GCM_TAG_OCTETS]; /* a parameter is not const */
    OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, copy, sizeof(copy)),
        OSSL_PARAM_END,
    };

    memcpy(copy, tag, sizeof(copy));
    return gcm->init(gcm->context, NULL, 0, iv, GCM_IV_OCTETS, params) &&
           work(gcm, aad, aad_octets, from, octets, text);
}

/* The next message would overwrite the same. */
void gcm_forget(struct gcm *gcm)
{
    static const uint8_t zero[GCM_KEY_MAX_OCTETS];
    const struct gcm_message nothing = {.aad = zero, .aad_octets = sizeof(zero), .tag = zero};

    (void)gcm_is_right(gcm, zero, &nothing);
}
