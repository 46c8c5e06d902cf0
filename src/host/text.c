/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "host/text.h"

static const char suffixes[] = "KMGTPE";

int text_size_parse(const char *text, uint64_t *size)
{
	const char *s;
	uint64_t v = 0;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	for (; *text >= '0' && *text <= '9'; text++)
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*text - '0'), &v))
			return -ERANGE;
	if (*text) {
		char c = *text >= 'a' && *text <= 'z' ? (char)(*text - 'a' + 'A') : *text;

		s = strchr(suffixes, c);
		if (!s || (text[1] && strcmp(text + 1, "iB") && strcmp(text + 1, "i")))
			return -EINVAL;
		if (__builtin_mul_overflow(v, UINT64_C(1) << (10 * (s - suffixes + 1)), &v))
			return -ERANGE;
	}
	*size = v;
	return 0;
}

const char *text_size(uint64_t size, char *buf)
{
	unsigned int k = 0;

	while (size && !(size % 1024) && k < sizeof(suffixes) - 1) {
		size /= 1024;
		k++;
	}
	snprintf(buf, TEXT_SIZE_LEN, "%" PRIu64 "%.1s", size, k ? &suffixes[k - 1] : "");
	return buf;
}

int text_uuid_parse(const char *text, uint8_t uuid[16])
{
	unsigned int i, n = 0;
	int end = 0;

	if (strlen(text) != TEXT_UUID_LEN - 1)
		return -EINVAL;
	for (i = 0; i < 16; i++) {
		unsigned int v;

		if (i == 4 || i == 6 || i == 8 || i == 10)
			if (text[n++] != '-')
				return -EINVAL;
		if (strspn(text + n, "0123456789abcdefABCDEF") < 2 ||
		    sscanf(text + n, "%2x%n", &v, &end) != 1 || end != 2)
			return -EINVAL;
		uuid[i] = (uint8_t)v;
		n += 2;
	}
	return 0;
}

const char *text_uuid(const uint8_t u[16], char *buf)
{
	snprintf(buf, TEXT_UUID_LEN,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1],
		 u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14],
		 u[15]);
	return buf;
}

void text_uuid_random(uint8_t uuid[16])
{
	if (getrandom(uuid, 16, 0) != 16)
		memset(uuid, 0x5a, 16);
	uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
	uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}
