/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Provisioning in any order: sriov_numvfs, Virtualization Management, drivers
 * bound and let go of late, resets and register writes of PF and VFs, the
 * SR-IOV registers themselves. The input is a list of 8-byte operations.
 *
 * Oracle: a VF is on the bus if and only if its controller is in its slot of
 * the subsystem; resources add up; online means that there is a VF with
 * enough of them; every command is answered once; and in the end all VFs go.
 */
#include "../tests/unit/nvme_virt_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond)                                                              \
	do {                                                                    \
		if (!(cond)) {                                                  \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                \
		}                                                               \
	} while (0)

#define VFS 4u

struct op {
	uint8_t what, vf;
	uint16_t a;
	uint32_t b;
};

static struct host pf;
static unsigned int outstanding, nr_held;
static struct pci_unbind *held[VFS];
static bool hold_on;

/* ---------------------------------------------------------- a driver that lets go late */

static void late_remove(struct pci_unbind *u)
{
	if (!hold_on) {
		u->done(u, 0);
		return;
	}
	MUST(nr_held < VFS);
	held[nr_held++] = u;
}

static const struct pci_driver late_driver = { .name = "late", .probe = virt_probe,
					       .remove = late_remove };

static void let_go(void)
{
	pthread_mutex_lock(&the_lock);
	while (nr_held) {
		nr_held--;
		held[nr_held]->done(held[nr_held], 0);
	}
	pthread_mutex_unlock(&the_lock);
}

/* --------------------------------------------------------------------- oracle */

static void check(void)
{
	struct nvme_primary_ctrl_cap cap = { 0 };
	struct nvme_secondary_ctrl_list l = { 0 };
	unsigned int i, vq = 0, vi = 0;

	pthread_mutex_lock(&the_lock);
	nvme_virt_primary_cap(pf.c, &cap);
	nvme_virt_secondary_list(pf.c, 0, &l);
	MUST(l.num == VFS && pci_sriov_numvfs(pf.fn) <= VFS && pci_sriov_enabled(pf.fn) <= VFS);
	for (i = 0; i < VFS; i++) {
		struct pci_function *vf = pci_vf(pf.fn, i);

		MUST((vf ? nvme_ctrl_of(vf) : NULL) == pf.ss->ctrl[pf.c->slot + 1 + i]);
		MUST(!vf || (pci_find(&bus, vf->bdf) == vf && vf->physfn == pf.fn &&
			     i < pci_sriov_numvfs(pf.fn)));
		MUST(!l.entry[i].scs || (vf && le16_get(l.entry[i].nvq) >= 2 &&
					 le16_get(l.entry[i].nvi) >= 1));
		vq += le16_get(l.entry[i].nvq);
		vi += le16_get(l.entry[i].nvi);
	}
	pthread_mutex_unlock(&the_lock);
	MUST(vq == le32_get(cap.vqrfa) && vq + le16_get(cap.vqrfap) <= le32_get(cap.vqfrt));
	MUST(vi == le32_get(cap.virfa) && vi + le16_get(cap.virfap) <= le32_get(cap.vifrt));
}

static void take_all(void)
{
	while (outstanding && host_take(&pf, 0)) {
		const uint16_t status = le16_get(pf.cqe.status) >> 1 & 0x7ff;

		outstanding--;
		MUST(status == 0 || status == NVME_SC_INVALID_FIELD || (status >= 0x11f && status <= 0x122));
		host_ring(&pf, 1, pf.q[0].head);
	}
}

static void settle(void)
{
	MUST(HOST_UNTIL(&pf, (take_all(), !outstanding)));
}

static void pf_again(void)
{
	outstanding = 0;
	host_command(&pf, 0x6);
	if (!(host_csts(&pf) & NVME_CSTS_RDY))
		MUST(host_enable_with(&pf, HOST_CC) == NVME_CSTS_RDY);
}

/* ----------------------------------------------------------------- operations */

static void command(const struct op *op)
{
	static const uint8_t acts[] = { PRIMARY, OFFLINE, ASSIGN, ASSIGN, ASSIGN, ONLINE, ONLINE };
	unsigned int act = op->a & 0x8000 ? op->a >> 8 & 0xf : acts[(op->a >> 8) % ARRAY_SIZE(acts)];

	if (outstanding >= 16)
		settle();
	host_submit(&pf, 0, virt_sqe(act == PRIMARY ? op->vf % 3 : 1 + op->vf % (VFS + 2),
				     op->a & (op->a & 0x80 ? 7 : 1), act, op->b % 16));
	outstanding++;
	take_all();
}

static void drive(struct pci_function *vf, const struct op *op)
{
	switch (op->a & 7) {
	case 0:
		pci_reset(vf, PCI_RESET_FLR, NULL);
		break;
	case 1:
		pci_bar_write(vf, 0, NVME_REG_AQA, 4, 31 | 31 << 16);
		pci_bar_write(vf, 0, NVME_REG_CC, 4, HOST_CC);
		break;
	case 2:
		pci_bar_write(vf, 0, NVME_REG_CC, 4, op->b);
		break;
	case 3:
		pci_bar_write(vf, 0, op->a & 0x1ffc, 4, op->b);
		break;
	case 4:
		pci_config_write(vf, op->a >> 3 & 0x1ff & ~3u, 4, op->b);
		break;
	case 5:
		pci_config_write(vf, 4, 2, 4);
		break;
	case 6:
		(void)pci_bar_read(vf, 0, op->b & 0x3ffc, 4);
		break;
	default:
		pci_reset(vf, PCI_RESET_BUS, NULL);
	}
}

static void on_vf(const struct op *op)
{
	struct pci_function *vf;

	pthread_mutex_lock(&the_lock);
	vf = pci_vf(pf.fn, op->vf % VFS);
	if (vf && op->what % 16 == 3) {
		env_strand_lock(&vf->strand);
		drive(vf, op);
		env_strand_unlock(&vf->strand);
	} else if (vf && op->a & 1) {
		(void)pci_set_driver_override(vf, "late", 4);
		(void)pci_bind(vf, &late_driver, NULL);
	} else if (vf) {
		hold_on = op->a & 2;
		(void)pci_unbind(vf, NULL);
	}
	pthread_mutex_unlock(&the_lock);
}

static void on_pf(const struct op *op)
{
	unsigned int at = 0x100;

	switch (op->a & 3) {
	case 0:
		MUST(host_reset(&pf));
		pf_again();
		break;
	case 1:
		host_write(&pf, NVME_REG_CC, 4, 0);
		MUST(HOST_UNTIL(&pf, !(host_csts(&pf) & NVME_CSTS_RDY)));
		pf_again();
		break;
	default:
		host_lock(&pf);
		while ((pci_config_read(pf.fn, (uint16_t)at, 4) & 0xffff) != 0x10)
			at = pci_config_read(pf.fn, (uint16_t)at, 4) >> 20;
		pci_config_write(pf.fn, (uint16_t)(at + (op->a >> 2 & 0x3c)), 4, op->b);
		host_unlock(&pf);
	}
}

static void run(const struct op *op)
{
	switch (op->what % 16) {
	case 0:
	case 1:
		hold_on = op->a & 0x100;
		(void)virt_set(&pf, op->a & 0x200 ? op->b & 0xffff : op->a % (VFS + 1));
		break;
	case 2:
	case 9:
	case 10:
	case 11:
		command(op);
		break;
	case 3:
	case 4:
		on_vf(op);
		break;
	case 5:
		on_pf(op);
		break;
	case 6:
		let_go();
		break;
	case 7:
		(void)(op->a & 1 ? nvme_ns_attach : nvme_ns_detach)(pf.ss, 1, op->vf % 7, NULL);
		break;
	case 8:
		pthread_mutex_lock(&the_lock);
		pci_sriov_autoprobe_set(pf.fn, op->a & 1);
		pthread_mutex_unlock(&the_lock);
		break;
	default:
		host_step(&pf);
		take_all();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct nvme_ctrl_config cfg = {
		.cntlid = 1, .queues = 4, .vectors = 3, .vfs_max = VFS,
		.vq_flexible = 12, .vi_flexible = 8, .vq_per_vf = 6, .vi_per_vf = 4,
	};
	struct op op;

	log_level_max = LOG_ERROR;
	outstanding = nr_held = 0;
	hold_on = false;
	virt_open(&pf, &cfg);
	pci_driver_register(&bus, &late_driver);
	for (; size >= sizeof(op); data += sizeof(op), size -= sizeof(op)) {
		memcpy(&op, data, sizeof(op));
		run(&op);
		check();
	}
	settle();
	hold_on = false;
	let_go();
	virt_close(&pf);
	return 0;
}
