/* OBJS: lib */
/* The vectors of SipHash's authors: key 00 01 .. 0f, input the first n of 00 01 02 ... */
#include "lib/siphash.h"
#include "tests/unit/test.h"

TEST(vectors)
{
	static const struct {
		size_t n;
		uint64_t hash;
	} v[] = {{0, 0x726fdb47dd0e0e31UL}, {1, 0x74f839c593dc67fdUL}, {8, 0x93f5f5799a932462UL},
		{15, 0xa129ca6149be45e5UL}};
	uint8_t key[16], in[16];
	for (uint8_t i = 0; i < 16; i++)
		key[i] = in[i] = i;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		CHECK(siphash(key, in, v[i].n) == v[i].hash);
}
