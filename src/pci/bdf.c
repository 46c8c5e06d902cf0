/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Names of functions: domain:bus:device.function. */
#include <string.h>

#include <ferry/pci.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Exactly @digits of them, then @end. Moves @text past both; -1 if it is anything else. */
static int hex_field(const char **text, unsigned int digits, char end)
{
	int v = 0;

	for (; digits; digits--, (*text)++) {
		int d = hex_digit(**text);

		if (d < 0)
			return -1;
		v = v << 4 | d;
	}
	if (**text != end)
		return -1;
	(*text)++;
	return v;
}

int pci_bdf_parse(const char *text, struct pci_bdf *bdf)
{
	int domain = 0, bus, dev, func;

	if (strlen(text) == PCI_BDF_LEN - 1)
		domain = hex_field(&text, 4, ':');
	if (domain < 0)
		return -EINVAL;
	bus = hex_field(&text, 2, ':');
	if (bus < 0)
		return -EINVAL;
	dev = hex_field(&text, 2, '.');
	if (dev < 0 || dev > 0x1f)
		return -EINVAL;
	func = hex_field(&text, 1, '\0');
	if (func < 0 || func > 7)
		return -EINVAL;
	*bdf = (struct pci_bdf){
		.domain = (uint16_t)domain,
		.bus = (uint8_t)bus,
		.devfn = (uint8_t)(dev << 3 | func),
	};
	return 0;
}
