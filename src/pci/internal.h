/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* What the files of src/pci share. Everything here runs with the strand held. */
#ifndef PCI_INTERNAL_H
#define PCI_INTERNAL_H

#include <string.h>

#include <linux/pci_regs.h>

#include <ferry/pci.h>

#define PCI_PAGE 4096u

static inline uint16_t config_get16(const struct pci_function *fn, unsigned int off)
{
	le16 v;

	memcpy(&v, fn->state->config + off, sizeof(v));
	return le16_get(v);
}

static inline uint32_t config_get32(const struct pci_function *fn, unsigned int off)
{
	le32 v;

	memcpy(&v, fn->state->config + off, sizeof(v));
	return le32_get(v);
}

static inline void config_set16(struct pci_function *fn, unsigned int off, uint16_t val)
{
	le16 v = le16_of(val);

	memcpy(fn->state->config + off, &v, sizeof(v));
}

static inline void config_set32(struct pci_function *fn, unsigned int off, uint32_t val)
{
	le32 v = le32_of(val);

	memcpy(fn->state->config + off, &v, sizeof(v));
}

static inline uint16_t config_command(const struct pci_function *fn)
{
	return config_get16(fn, PCI_COMMAND);
}

/* Only D0 and D3hot exist. */
static inline bool config_in_d0(const struct pci_function *fn)
{
	return (fn->state->config[fn->cap_pm + PCI_PM_CTRL] & PCI_PM_CTRL_STATE_MASK) == 0;
}

/* All ones of an access of @len bytes: what nobody answers. */
static inline uint64_t pci_ones(unsigned int len)
{
	return len >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * len)) - 1;
}

/* caps.c */
int pci_caps_build(struct pci_function *fn);

/* config.c */
int config_rules_grow(struct pci_function *fn, unsigned int end);
void config_header_build(struct pci_function *fn);
void config_allow(struct pci_function *fn, unsigned int off, uint32_t bits, unsigned int len);
void config_w1c(struct pci_function *fn, unsigned int off, uint32_t bits, unsigned int len);
void config_sticky(struct pci_function *fn, unsigned int off, uint32_t bits, unsigned int len);
/* Takes what is in writable bits now as the reset values, once. */
void config_seal(struct pci_function *fn);
void config_reset(struct pci_function *fn, enum pci_reset_kind kind);

/* msix.c */
bool msix_table_hit(const struct pci_function *fn, unsigned int bar, uint64_t off);
bool msix_pba_hit(const struct pci_function *fn, unsigned int bar, uint64_t off);
uint64_t msix_table_read(const struct pci_function *fn, uint64_t off, unsigned int len);
uint64_t msix_pba_read(const struct pci_function *fn, uint64_t off, unsigned int len);
void msix_table_write(struct pci_function *fn, uint64_t off, unsigned int len, uint64_t val);
void msix_reset(struct pci_function *fn);
/* Something that holds back messages may have changed: send what can be sent. */
void msix_flush(struct pci_function *fn);

/* intx.c */
bool intx_asserted(const struct pci_function *fn);
/* Tell the listener if the pin rose since it was @was. */
void intx_edge(struct pci_function *fn, bool was);
void intx_reset(struct pci_function *fn);

/* sriov.c: the registers of a PF, strand held; */
void sriov_written(struct pci_function *pf);
void sriov_reset(struct pci_function *pf);
void sriov_release(struct pci_function *pf);
int sriov_ari_build(struct pci_function *fn);
/* does a VF decode memory, by its PF's registers? Any lock; */
bool sriov_vf_decodes(const struct pci_function *vf);
/* and the bus, host lock: room for the VFs of @pf; the end of a room that overlaps, or 0; binding. */
int sriov_reserve(const struct pci_bus *bus, struct pci_function *pf);
uint32_t sriov_reserved(const struct pci_bus *bus, unsigned int domain, uint32_t first, uint32_t last);
bool sriov_vf_going(const struct pci_function *vf);
bool sriov_vf_may_probe(const struct pci_function *fn);
/* Any lock: somebody should look after VFs that are going. */
void sriov_kick(struct pci_bus *bus);

/* dma.c */
int dma_init(struct pci_function *fn);
void dma_release(struct pci_function *fn);
bool dma_busy(const struct pci_function *fn);

#endif
