/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Configuration space as the device sees it. Every byte has a rule: bits that
 * stick when written, bits that a one clears; all others are read-only. Four
 * things happen besides: the power state changes, an FLR begins, COMMAND or
 * the MSI-X control word lets something through that was held back.
 *
 * Reset values are what is in the writable bits when the function is complete
 * (*sealed*): at registration, or when somebody first writes or resets.
 */
#include "pci/internal.h"

#define COMMAND_BITS (PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |	\
		      PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE)
#define STATUS_W1C (PCI_STATUS_PARITY | PCI_STATUS_SIG_TARGET_ABORT |			\
		    PCI_STATUS_REC_TARGET_ABORT | PCI_STATUS_REC_MASTER_ABORT |	\
		    PCI_STATUS_SIG_SYSTEM_ERROR | PCI_STATUS_DETECTED_PARITY)

/* Rules for bytes below @end; they come in blocks of 256. */
int config_rules_grow(struct pci_function *fn, unsigned int end)
{
	unsigned int ruled = ALIGN_UP(end, 256u);
	struct pci_config_rule *rule;

	if (ruled <= fn->config_ruled)
		return 0;
	rule = realloc(fn->config_rule, ruled * sizeof(*rule));
	if (!rule)
		return -ENOMEM;
	memset(rule + fn->config_ruled, 0, (ruled - fn->config_ruled) * sizeof(*rule));
	fn->config_rule = rule;
	fn->config_ruled = (uint16_t)ruled;
	return 0;
}

void config_allow(struct pci_function *fn, unsigned int off, uint32_t bits, unsigned int len)
{
	for (; len; len--, bits >>= 8)
		fn->config_rule[off++].writable |= (uint8_t)bits;
}

void config_w1c(struct pci_function *fn, unsigned int off, uint32_t bits, unsigned int len)
{
	for (; len; len--, bits >>= 8)
		fn->config_rule[off++].w1c |= (uint8_t)bits;
}

void config_sticky(struct pci_function *fn, unsigned int off, uint32_t bits, unsigned int len)
{
	for (; len; len--, bits >>= 8)
		fn->config_rule[off++].sticky |= (uint8_t)bits;
}

uint8_t *pci_config_raw(struct pci_function *fn, uint16_t off)
{
	assert(off < PCI_CONFIG_SIZE);
	return fn->state->config + off;
}

void pci_config_writable(struct pci_function *fn, uint16_t off, const void *mask, uint16_t len)
{
	const uint8_t *bits = mask;
	unsigned int i;

	assert((unsigned int)off + len <= fn->config_ruled && !fn->config_sealed);
	for (i = 0; i < len; i++)
		fn->config_rule[off + i].writable |= bits[i];
}

static void bar_build(struct pci_function *fn, unsigned int bar)
{
	const struct pci_bar *b = &fn->shape.bar[bar];
	unsigned int off = PCI_BASE_ADDRESS_0 + 4 * bar;
	uint64_t bits = ~(b->size - 1);

	if (!b->size)
		return;
	config_set32(fn, off, PCI_BASE_ADDRESS_SPACE_MEMORY |
		     (b->is_64 ? PCI_BASE_ADDRESS_MEM_TYPE_64 : PCI_BASE_ADDRESS_MEM_TYPE_32) |
		     (b->prefetch ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0u));
	config_allow(fn, off, (uint32_t)bits, 4);
	if (b->is_64)
		config_allow(fn, off + 4, (uint32_t)(bits >> 32), 4);
}

void config_header_build(struct pci_function *fn)
{
	const struct pci_shape *s = &fn->shape;
	unsigned int i;

	/* A VF's are its PF's to tell. */
	config_set16(fn, PCI_VENDOR_ID, fn->physfn ? 0xffff : s->vendor);
	config_set16(fn, PCI_DEVICE_ID, fn->physfn ? 0xffff : s->device);
	config_set16(fn, PCI_STATUS, PCI_STATUS_CAP_LIST);
	config_set32(fn, PCI_CLASS_REVISION, s->class_code << 8 | s->revision);
	config_set16(fn, PCI_SUBSYSTEM_VENDOR_ID, s->subsys_vendor);
	config_set16(fn, PCI_SUBSYSTEM_ID, s->subsys_device);
	fn->state->config[PCI_INTERRUPT_PIN] = s->intx ? 1 : 0;

	config_w1c(fn, PCI_STATUS, STATUS_W1C, 2);
	if (fn->physfn) {
		config_allow(fn, PCI_COMMAND, PCI_COMMAND_MASTER, 2);
		return;
	}
	config_allow(fn, PCI_COMMAND, COMMAND_BITS, 2);
	config_allow(fn, PCI_CACHE_LINE_SIZE, 0xff, 1);
	config_allow(fn, PCI_INTERRUPT_LINE, 0xff, 1);
	for (i = 0; i < PCI_BARS; i++)
		bar_build(fn, i);
}

void config_seal(struct pci_function *fn)
{
	unsigned int i;

	if (fn->config_sealed)
		return;
	for (i = 0; i < fn->config_ruled; i++)
		fn->config_rule[i].reset = fn->state->config[i];
	fn->config_sealed = true;
}

void config_reset(struct pci_function *fn, enum pci_reset_kind kind)
{
	unsigned int i;

	for (i = 0; i < fn->config_ruled; i++) {
		const struct pci_config_rule *r = &fn->config_rule[i];
		uint8_t *byte = &fn->state->config[i];
		unsigned int bits = r->writable | r->w1c;

		if (kind != PCI_RESET_BUS)
			bits &= ~(unsigned int)r->sticky;
		*byte = (uint8_t)((*byte & ~bits) | (r->reset & bits));
	}
	fn->state->config[fn->cap_pm + PCI_PM_CTRL] &= (uint8_t)~PCI_PM_CTRL_STATE_MASK;
}

static bool config_access_ok(uint16_t off, unsigned int len)
{
	return (len == 1 || len == 2 || len == 4) && IS_ALIGNED(off, len) &&
	       off + len <= PCI_CONFIG_SIZE;
}

uint32_t pci_config_read(struct pci_function *fn, uint16_t off, unsigned int len)
{
	uint32_t val = 0;
	unsigned int i;

	if (!config_access_ok(off, len) || fn->resetting)
		return (uint32_t)pci_ones(MIN(len, 4u));
	for (i = 0; i < len; i++)
		val |= (uint32_t)fn->state->config[off + i] << (8 * i);
	return val;
}

/* D1 and D2 do not exist: asking for them changes nothing. */
static bool power_write(struct pci_function *fn, uint8_t val)
{
	uint8_t *byte = &fn->state->config[fn->cap_pm + PCI_PM_CTRL];
	unsigned int to = val & PCI_PM_CTRL_STATE_MASK;

	if ((to != 0 && to != 3) || to == (*byte & PCI_PM_CTRL_STATE_MASK))
		return false;
	*byte = (uint8_t)((*byte & ~(unsigned int)PCI_PM_CTRL_STATE_MASK) | to);
	return to == 0 && !(*byte & PCI_PM_CTRL_NO_SOFT_RESET);
}

static void byte_write(struct pci_function *fn, unsigned int off, uint8_t val)
{
	const struct pci_config_rule *r = &fn->config_rule[off];
	uint8_t *byte = &fn->state->config[off];

	*byte = (uint8_t)((*byte & ~r->writable) | (val & r->writable));
	*byte &= (uint8_t)~(val & r->w1c);
}

void pci_config_write(struct pci_function *fn, uint16_t off, unsigned int len, uint32_t val)
{
	unsigned int flr_at = fn->cap_exp + PCI_EXP_DEVCTL + 1u, i;
	bool flr = false, lost = false, was_d0, was_asserted;
	uint16_t was_command;

	if (!config_access_ok(off, len) || fn->resetting || off >= fn->config_ruled)
		return;
	config_seal(fn);
	was_d0 = config_in_d0(fn);
	was_command = config_command(fn);
	was_asserted = intx_asserted(fn);

	for (i = off; i < off + len; i++, val >>= 8) {
		byte_write(fn, i, (uint8_t)val);
		if (i == fn->cap_pm + PCI_PM_CTRL + 0u)
			lost = power_write(fn, (uint8_t)val);
		else if (i == flr_at)
			flr = val & (PCI_EXP_DEVCTL_BCR_FLR >> 8);
	}

	if (flr || lost) {
		pci_reset(fn, flr ? PCI_RESET_FLR : PCI_RESET_D3HOT, NULL);
		return;
	}
	if ((was_command != config_command(fn) || was_d0 != config_in_d0(fn)) &&
	    fn->ops->config_changed)
		fn->ops->config_changed(fn);
	if (fn->sriov)
		sriov_written(fn);
	intx_edge(fn, was_asserted);
	msix_flush(fn);
}

bool pci_mem_enabled(const struct pci_function *fn)
{
	return (fn->physfn ? sriov_vf_decodes(fn) : config_command(fn) & PCI_COMMAND_MEMORY) &&
	       config_in_d0(fn);
}

bool pci_bus_master(const struct pci_function *fn)
{
	return (config_command(fn) & PCI_COMMAND_MASTER) && config_in_d0(fn);
}
