#include "common/srtp/suite.h"

#include <string.h>

#include "tests/unit/unit.h"

/* RFC 4568 section 6.2, RFC 6188 section 5.2, RFC 7714 section 14.1. */
static const struct {
    const char *name;
    size_t material, rtp_tag, rtcp_tag;
    bool aead;
} rows[] = {
    {"AES_CM_128_HMAC_SHA1_80", 30, 10, 10, false}, {"AES_CM_128_HMAC_SHA1_32", 30, 4, 10, false},
    {"AES_256_CM_HMAC_SHA1_80", 46, 10, 10, false}, {"AEAD_AES_128_GCM", 28, 16, 16, true},
    {"AEAD_AES_256_GCM", 44, 16, 16, true},
};

START_TEST(test_known)
{
    const struct suite *suite = suite_find(rows[_i].name);

    ck_assert_ptr_nonnull(suite);
    ck_assert_str_eq(suite->name, rows[_i].name);
    ck_assert_uint_eq(suite_material_octets(suite), rows[_i].material);
    ck_assert_uint_le(suite_material_octets(suite), SUITE_KEY_MAX_OCTETS);
    ck_assert_uint_eq(suite->rtp_tag_octets, rows[_i].rtp_tag);
    ck_assert_uint_eq(suite->rtcp_tag_octets, rows[_i].rtcp_tag);
    ck_assert(suite->aead == rows[_i].aead);
    ck_assert_ptr_eq(suite_get(suite->id), suite);
    ck_assert_ptr_nonnull(strstr(suite_names(), rows[_i].name));
}
END_TEST

START_TEST(test_unknown)
{
    static const char *const names[] = {"",
                                        "aes_cm_128_hmac_sha1_80",
                                        "AES_CM_128_HMAC_SHA1_8",
                                        "AES_CM_128_HMAC_SHA1_800",
                                        "F8_128_HMAC_SHA1_80",
                                        " AEAD_AES_128_GCM"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        ck_assert_msg(suite_find(names[i]) == NULL, "\"%s\"", names[i]);
    ck_assert_ptr_null(suite_get(SUITE_COUNT));
}
END_TEST

START_TEST(test_every_id)
{
    for (unsigned i = 0; i < SUITE_COUNT; i++)
        ck_assert_uint_eq(suite_get((enum suite_id)i)->id, i);
    ck_assert_uint_eq(SUITE_COUNT, sizeof(rows) / sizeof(rows[0]));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("suite");
    TCase *tc = tcase_create("suite");

    tcase_add_loop_test(tc, test_known, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tc, test_unknown);
    tcase_add_test(tc, test_every_id);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
