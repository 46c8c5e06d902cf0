/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Values as people write them: sizes and UUIDs. Shared by ferryd and ferry. */
#ifndef HOST_TEXT_H
#define HOST_TEXT_H

#include <ferry/base.h>

#define TEXT_SIZE_LEN 24
#define TEXT_UUID_LEN 37

/** text_size_parse() - "4096", "64K", "1G": powers of 1024 up to E. 0, -EINVAL, -ERANGE. */
int text_size_parse(const char *text, uint64_t *size);

/** text_size() - the shortest exact form, "1G"; @buf has TEXT_SIZE_LEN bytes. */
const char *text_size(uint64_t size, char *buf);

int text_uuid_parse(const char *text, uint8_t uuid[16]);
const char *text_uuid(const uint8_t uuid[16], char *buf);

/** text_uuid_random() - a version 4 UUID. */
void text_uuid_random(uint8_t uuid[16]);

#endif
