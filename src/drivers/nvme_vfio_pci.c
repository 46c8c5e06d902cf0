/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * nvme-vfio-pci: vfio-pci for NVMe functions, with migration where another
 * function controls this one and can suspend, save and restore it. Whom it
 * asks is found by ferry/lm.h; the function itself knows nothing of it.
 * Without such a controller it is vfio-pci, so it can have every function.
 */
#include <ferry/lm.h>
#include <ferry/vfio.h>

#define CLASS_NVME 0x010802

static const struct pci_id ids[] = {
	{ PCI_ANY_ID, PCI_ANY_ID, PCI_ANY_ID, PCI_ANY_ID, .class_code = CLASS_NVME,
	  .class_mask = 0xffffff, .override_only = true },
	{ 0 },
};

/* vfio_pci_remove() can't be used to undo: nobody has bound it yet. */
static int probe(struct pci_function *fn, struct ferry_err *err)
{
	struct lm_controller *lm = lm_find(fn->bus, fn);
	int ret = vfio_pci_probe(fn, err);

	if (ret < 0 || !lm || !lm->migratable)
		return ret;
	if (vfio_mig_enable(fn, lm, NULL) < 0)
		log_msg(LOG_WARN, PCI_BDF_FMT ": no memory for migration; it is given away without",
			PCI_BDF_ARG(fn->bdf));
	return 0;
}

const struct pci_driver nvme_vfio_pci_driver = {
	.name = "nvme-vfio-pci",
	.module = "nvme_vfio_pci",
	.alias = "vfio_pci",
	.ids = ids,
	.probe = probe,
	.remove = vfio_pci_remove,
};
