#include "common/rtp/rtcp.h"

#include "tests/unit/unit.h"

#define SR   "80c8 0006 deadbeef 0102030405060708 00000009 0000000a 0000000b"
#define SDES "81ca 0003 deadbeef 01046162 63640000"

static const struct {
    const char *name, *hex;
    bool plain;
} rows[] = {
    {"empty", "", false},
    {"head only", "80c90000", false},
    {"receiver report", "80c90001 deadbeef", true},
    {"sender report", SR, true},
    {"compound", SR SDES, true},
    {"compound, BYE without sources", SR "80cb0000", true},
    {"last packet cut", SR "81ca 0003 deadbeef 01046162 636400", false},
    {"octets behind it", SR "00", false},
    {"index and 80-bit tag behind it", SR "80000001 0102030405060708090a", false},
    {"tag and index behind it (AEAD)", SR "000102030405060708090a0b0c0d0e0f 80000001", false},
    {"second of version 1", SR "41ca 0003 deadbeef 01046162 63640000", false},
    {"second of type 96", SR "8160 0003 deadbeef 01046162 63640000", false},
    {"first of type 191", "80bf0001 deadbeef", false},
    {"length beyond the end", "80c90002 deadbeef", false},
};

START_TEST(test_rows)
{
    uint8_t packet[128];
    size_t length = unit_hex(rows[_i].hex, packet, sizeof(packet));

    ck_assert_msg(rtcp_is_plain(packet, length) == rows[_i].plain, "%s", rows[_i].name);
}
END_TEST

/* Cut anywhere but between two packets it is not plain. */
START_TEST(test_truncated)
{
    uint8_t packet[128];
    size_t length = unit_hex(SR SDES, packet, sizeof(packet));

    for (size_t cut = 0; cut < length; cut++)
        ck_assert_msg(rtcp_is_plain(packet, cut) == (cut == 28), "cut at %zu", cut);
}
END_TEST

/* Flips in the version, the type's upper bits or the length show; others cannot. */
START_TEST(test_bits)
{
    uint8_t packet[128];
    size_t length = unit_hex("80c9 0001 deadbeef", packet, sizeof(packet));

    for (size_t bit = 0; bit < 8 * length; bit++) {
        size_t at = bit / 8;
        unsigned mask = 1u << bit % 8;
        bool shows = (at == 0 && mask >= 0x40) || (at == 1 && mask >= 0x20) || at == 2 || at == 3;

        packet[at] ^= (uint8_t)mask;
        ck_assert_msg(rtcp_is_plain(packet, length) == !shows, "bit %zu", bit);
        packet[at] ^= (uint8_t)mask;
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rtcp");
    TCase *tc = tcase_create("rtcp");

    tcase_add_loop_test(tc, test_rows, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(tc, test_truncated);
    tcase_add_test(tc, test_bits);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
