#include "common/carrier/hkdf.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

#include "tests/unit/unit.h"

/* RFC 8448 section 3, and labels of RFC 9001 appendix A.1. */
static const struct {
    const char *secret, *label, *output;
} vectors[] = {
    /* the server's handshake traffic secret makes its key and IV */
    {"b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38", "key",
     "3fce516009c21727d0f2e4e86ee403bc"},
    {"b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38", "iv",
     "5d313eb2671276ee13000b30"},
    /* QUIC's client_initial_secret */
    {"c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea", "quic key",
     "1f369613dd76d5467730efcbe3b1a22d"},
    {"c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea", "quic hp",
     "9f50449e04a0e810283a1e9933adedd2"},
};

START_TEST(test_vectors)
{
    uint8_t secret[HKDF_SECRET_OCTETS], wanted[HKDF_SECRET_OCTETS], got[HKDF_SECRET_OCTETS];
    size_t length = unit_hex(vectors[_i].output, wanted, sizeof(wanted));

    ck_assert_uint_eq(unit_hex(vectors[_i].secret, secret, sizeof(secret)), sizeof(secret));
    hkdf_expand_label(secret, vectors[_i].label, got, length);
    ck_assert_mem_eq(got, wanted, length);
}
END_TEST

static void by_openssl(const uint8_t *secret, const char *label, uint8_t *out, size_t length)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", NULL);
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
    char digest[] = "SHA256", prefix[] = "tls13 ";
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    OSSL_PARAM params[] = {
        OSSL_PARAM_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret, HKDF_SECRET_OCTETS),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_PREFIX, prefix, 6),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_LABEL, (void *)(uintptr_t)label, strlen(label)),
        OSSL_PARAM_END,
    };

    ck_assert_int_eq(EVP_KDF_derive(context, out, length, params), 1);
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
}

/* Every length, and labels up to the longest. */
START_TEST(test_as_openssl_does)
{
    uint8_t secret[HKDF_SECRET_OCTETS], wanted[HKDF_SECRET_OCTETS], got[HKDF_SECRET_OCTETS + 1];
    char label[HKDF_LABEL_MAX + 1] = "";

    for (size_t i = 0; i < sizeof(secret); i++)
        secret[i] = (uint8_t)(i * 37 + 5);
    for (size_t length = 1; length <= HKDF_SECRET_OCTETS; length++) {
        memset(label, 'a' + (int)(length % 26), length);
        by_openssl(secret, label, wanted, length);
        got[length] = 0x5a;
        hkdf_expand_label(secret, label, got, length);
        ck_assert_mem_eq(got, wanted, length);
        ck_assert_uint_eq(got[length], 0x5a);
    }
}
END_TEST

START_TEST(test_in_place)
{
    uint8_t secret[HKDF_SECRET_OCTETS] = {1, 2, 3}, wanted[HKDF_SECRET_OCTETS];

    hkdf_expand_label(secret, "next", wanted, sizeof(wanted));
    hkdf_expand_label(secret, "next", secret, sizeof(secret));
    ck_assert_mem_eq(secret, wanted, sizeof(wanted));
}
END_TEST

/* RFC 5869 A.3 */
START_TEST(test_extract)
{
    uint8_t material[22], wanted[HKDF_SECRET_OCTETS], got[HKDF_SECRET_OCTETS];

    memset(material, 0x0b, sizeof(material));
    (void)unit_hex("19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04", wanted,
                   sizeof(wanted));
    hkdf_extract(material, sizeof(material), got);
    ck_assert_mem_eq(got, wanted, sizeof(wanted));
}
END_TEST

/* RFC 4231 section 4.3: HMAC fills up a shorter key with zeros, too. */
START_TEST(test_mac)
{
    static const uint8_t text[] = "what do ya want for nothing?";
    uint8_t secret[HKDF_SECRET_OCTETS] = "Jefe", wanted[HKDF_SECRET_OCTETS];

    (void)unit_hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", wanted,
                   sizeof(wanted));
    hkdf_mac(secret, text, sizeof(text) - 1, secret);
    ck_assert_mem_eq(secret, wanted, sizeof(wanted));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hkdf");
    TCase *tc = tcase_create("hkdf");

    tcase_add_loop_test(tc, test_vectors, 0, sizeof(vectors) / sizeof(vectors[0]));
    tcase_add_test(tc, test_as_openssl_does);
    tcase_add_test(tc, test_in_place);
    tcase_add_test(tc, test_extract);
    tcase_add_test(tc, test_mac);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
