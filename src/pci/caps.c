/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Capabilities: how they are chained, and the bodies of those that every
 * function has. Registers as in PCI Express Base 6.0, chapter 7, of an endpoint
 * that never wakes anybody, never sees an error of its own and whose link is
 * imaginary.
 */
#include "pci/internal.h"

#define CAP_PM_LEN 8
#define CAP_EXP_LEN 52	/* through Link Control 2 and Link Status 2 */
#define CAP_AER_LEN 0x48	/* with the TLP Prefix Log of version 2 */
#define CAP_DSN_LEN 12
#define ECAP_START PCI_CFG_SPACE_SIZE

/* Extended capability header: id, version, next. */
#define ECAP_NEXT_SHIFT 20

int pci_add_cap(struct pci_function *fn, uint8_t id, uint8_t len)
{
	unsigned int off = fn->cap_end, end = off + ALIGN_UP(MAX(len, 2u), 4u);

	if (fn->config_sealed || end > PCI_CFG_SPACE_SIZE)
		return -ENOSPC;
	fn->state->config[fn->cap_last ? fn->cap_last + PCI_CAP_LIST_NEXT : PCI_CAPABILITY_LIST] =
		(uint8_t)off;
	fn->state->config[off + PCI_CAP_LIST_ID] = id;
	fn->cap_last = (uint16_t)off;
	fn->cap_end = (uint16_t)end;
	return (int)off;
}

int pci_add_ecap(struct pci_function *fn, uint16_t id, uint8_t version, uint16_t len)
{
	unsigned int off = fn->ecap_end, end = off + ALIGN_UP(MAX(len, 4u), 4u);

	if (fn->config_sealed || end > PCI_CONFIG_SIZE || config_rules_grow(fn, end) < 0)
		return -ENOSPC;
	if (fn->ecap_last)
		config_set32(fn, fn->ecap_last, (config_get32(fn, fn->ecap_last) & 0xfffffu) |
							off << ECAP_NEXT_SHIFT);
	config_set32(fn, off, id | (version & 0xfu) << 16);
	fn->ecap_last = (uint16_t)off;
	fn->ecap_end = (uint16_t)end;
	return (int)off;
}

/*
 * No PME, no D1 and D2. No_Soft_Reset is set: a function that returns from
 * D3hot is as it was, as nearly all NVMe drives do it. Nobody has to save and
 * restore it around D3hot then, and a client cannot reset it behind the back
 * of whoever counts resets. A model that wants the other kind clears the bit.
 */
static int pm_build(struct pci_function *fn)
{
	int off = pci_add_cap(fn, PCI_CAP_ID_PM, CAP_PM_LEN);

	if (off < 0)
		return off;
	fn->cap_pm = (uint16_t)off;
	config_set16(fn, fn->cap_pm + PCI_PM_PMC, 3);
	config_set16(fn, fn->cap_pm + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET);
	return 0;	/* the power state has a handler, in config.c */
}

static int msix_build(struct pci_function *fn)
{
	const struct pci_shape *s = &fn->shape;
	int off;

	if (!s->msix_vectors)
		return 0;
	off = pci_add_cap(fn, PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF);
	if (off < 0)
		return off;
	fn->cap_msix = (uint16_t)off;
	config_set16(fn, fn->cap_msix + PCI_MSIX_FLAGS, (uint16_t)(s->msix_vectors - 1));
	config_set32(fn, fn->cap_msix + PCI_MSIX_TABLE, s->msix_off | s->msix_bar);
	config_set32(fn, fn->cap_msix + PCI_MSIX_PBA, s->pba_off | s->pba_bar);
	config_allow(fn, fn->cap_msix + PCI_MSIX_FLAGS,
		     PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL, 2);
	return 0;
}

static void exp_device_build(struct pci_function *fn, unsigned int exp)
{
	config_set16(fn, exp + PCI_EXP_FLAGS, 2 | PCI_EXP_TYPE_ENDPOINT << 4);
	config_set32(fn, exp + PCI_EXP_DEVCAP, 1 /* payload of 256 bytes */ |
		     PCI_EXP_DEVCAP_EXT_TAG | PCI_EXP_DEVCAP_RBER | PCI_EXP_DEVCAP_FLR);

	config_w1c(fn, exp + PCI_EXP_DEVSTA, PCI_EXP_DEVSTA_CED | PCI_EXP_DEVSTA_NFED |
		   PCI_EXP_DEVSTA_FED | PCI_EXP_DEVSTA_URD, 2);
	/* What controls a VF, but for its FLR, is its PF's. */
	if (fn->physfn)
		return;

	/* Initiate FLR has a handler and reads zero. */
	config_set16(fn, exp + PCI_EXP_DEVCTL,
		     PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_READRQ_512B);
	config_allow(fn, exp + PCI_EXP_DEVCTL,
		     PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE | PCI_EXP_DEVCTL_FERE |
		     PCI_EXP_DEVCTL_URRE | PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_PAYLOAD |
		     PCI_EXP_DEVCTL_EXT_TAG | PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_READRQ, 2);
	config_sticky(fn, exp + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_PAYLOAD, 2);

	config_set32(fn, exp + PCI_EXP_DEVCAP2,
		     PCI_EXP_DEVCAP2_COMP_TMOUT_DIS | 0xf /* all time-out ranges */);
	config_allow(fn, exp + PCI_EXP_DEVCTL2,
		     PCI_EXP_DEVCTL2_COMP_TIMEOUT | PCI_EXP_DEVCTL2_COMP_TMOUT_DIS, 2);
}

/* 8 GT/s, x4. FLR leaves link control alone: it is the link's, not the function's. */
static void exp_link_build(struct pci_function *fn, unsigned int exp)
{
	const uint16_t link_control = PCI_EXP_LNKCTL_ASPMC | PCI_EXP_LNKCTL_RCB |
				      PCI_EXP_LNKCTL_CCC | PCI_EXP_LNKCTL_ES;
	const uint16_t link_control2 = PCI_EXP_LNKCTL2_TLS | PCI_EXP_LNKCTL2_ENTER_COMP |
				       PCI_EXP_LNKCTL2_HASD;

	config_set32(fn, exp + PCI_EXP_LNKCAP, PCI_EXP_LNKCAP_SLS_8_0GB | 4 << 4 |
		     1u << 22 /* ASPM Optionality Compliance */);
	config_set32(fn, exp + PCI_EXP_LNKCAP2, PCI_EXP_LNKCAP2_SLS_2_5GB |
		     PCI_EXP_LNKCAP2_SLS_5_0GB | PCI_EXP_LNKCAP2_SLS_8_0GB);
	if (fn->physfn)
		return;		/* as above */
	config_allow(fn, exp + PCI_EXP_LNKCTL, link_control, 2);
	config_sticky(fn, exp + PCI_EXP_LNKCTL, link_control, 2);
	config_set16(fn, exp + PCI_EXP_LNKSTA,
		     PCI_EXP_LNKSTA_CLS_8_0GB | PCI_EXP_LNKSTA_NLW_X4 | PCI_EXP_LNKSTA_SLC);

	config_set16(fn, exp + PCI_EXP_LNKCTL2, PCI_EXP_LNKCTL2_TLS_8_0GT);
	config_allow(fn, exp + PCI_EXP_LNKCTL2, link_control2, 2);
	config_sticky(fn, exp + PCI_EXP_LNKCTL2, link_control2, 2);
}

static int exp_build(struct pci_function *fn)
{
	int off = pci_add_cap(fn, PCI_CAP_ID_EXP, CAP_EXP_LEN);

	if (off < 0)
		return off;
	fn->cap_exp = (uint16_t)off;
	exp_device_build(fn, fn->cap_exp);
	exp_link_build(fn, fn->cap_exp);
	return 0;
}

/* Errors that an endpoint can report, and those of them that are fatal at first. */
#define AER_UNCOR (PCI_ERR_UNC_DLP | PCI_ERR_UNC_POISON_TLP | PCI_ERR_UNC_FCP |		\
		   PCI_ERR_UNC_COMP_TIME | PCI_ERR_UNC_COMP_ABORT | PCI_ERR_UNC_UNX_COMP |	\
		   PCI_ERR_UNC_RX_OVER | PCI_ERR_UNC_MALF_TLP | PCI_ERR_UNC_ECRC |		\
		   PCI_ERR_UNC_UNSUP)
#define AER_UNCOR_FATAL (PCI_ERR_UNC_DLP | PCI_ERR_UNC_FCP | PCI_ERR_UNC_RX_OVER |		\
			 PCI_ERR_UNC_MALF_TLP)
#define AER_COR (PCI_ERR_COR_RCVR | PCI_ERR_COR_BAD_TLP | PCI_ERR_COR_BAD_DLLP |		\
		 PCI_ERR_COR_REP_ROLL | PCI_ERR_COR_REP_TIMER | PCI_ERR_COR_ADV_NFAT)
#define AER_ECRC_EN (PCI_ERR_CAP_ECRC_GENE | PCI_ERR_CAP_ECRC_CHKE)

static int aer_build(struct pci_function *fn)
{
	int off = pci_add_ecap(fn, PCI_EXT_CAP_ID_ERR, 2, CAP_AER_LEN);
	unsigned int aer = (unsigned int)off;
	static const struct { uint8_t off; bool w1c; uint32_t bits, reset; } regs[] = {
		{ PCI_ERR_UNCOR_STATUS, true, AER_UNCOR, 0 },
		{ PCI_ERR_UNCOR_MASK, false, AER_UNCOR, 0 },
		{ PCI_ERR_UNCOR_SEVER, false, AER_UNCOR, AER_UNCOR_FATAL },
		{ PCI_ERR_COR_STATUS, true, AER_COR, 0 },
		{ PCI_ERR_COR_MASK, false, AER_COR, PCI_ERR_COR_ADV_NFAT },
		{ PCI_ERR_CAP, false, AER_ECRC_EN, PCI_ERR_CAP_ECRC_GENC | PCI_ERR_CAP_ECRC_CHKC },
	};
	unsigned int i;

	if (off < 0)
		return off;
	fn->cap_aer = (uint16_t)off;
	for (i = 0; i < ARRAY_SIZE(regs); i++) {
		config_set32(fn, aer + regs[i].off, regs[i].reset);
		(regs[i].w1c ? config_w1c : config_allow)(fn, aer + regs[i].off, regs[i].bits, 4);
		config_sticky(fn, aer + regs[i].off, regs[i].bits, 4);
	}
	return 0;
}

static int dsn_build(struct pci_function *fn)
{
	int off;

	if (!fn->shape.serial)
		return 0;
	off = pci_add_ecap(fn, PCI_EXT_CAP_ID_DSN, 1, CAP_DSN_LEN);
	if (off < 0)
		return off;
	fn->cap_dsn = (uint16_t)off;
	config_set32(fn, fn->cap_dsn + 4u, (uint32_t)fn->shape.serial);
	config_set32(fn, fn->cap_dsn + 8u, (uint32_t)(fn->shape.serial >> 32));
	return 0;
}

int pci_caps_build(struct pci_function *fn)
{
	static int (*const build[])(struct pci_function *) = {
		pm_build, msix_build, exp_build, aer_build, dsn_build,
	};
	static int (*const build_vf[])(struct pci_function *) = {
		pm_build, msix_build, exp_build, sriov_ari_build, dsn_build,
	};
	unsigned int i;

	fn->cap_end = PCI_STD_HEADER_SIZEOF;
	fn->ecap_end = ECAP_START;
	for (i = 0; i < ARRAY_SIZE(build); i++)
		if ((fn->physfn ? build_vf : build)[i](fn) < 0)
			return -ENOMEM;	/* there is space for all of these */
	return 0;
}
