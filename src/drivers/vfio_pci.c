/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* vfio-pci: gives any function away as it is. Bound only when named by driver_override. */
#include <ferry/vfio.h>

static const struct pci_id ids[] = {
	{ PCI_ANY_ID, PCI_ANY_ID, PCI_ANY_ID, PCI_ANY_ID, .override_only = true },
	{ 0 },
};

const struct pci_driver vfio_pci_driver = {
	.name = "vfio-pci",
	.module = "vfio_pci",
	.alias = "vfio_pci",
	.ids = ids,
	.probe = vfio_pci_probe,
	.remove = vfio_pci_remove,
};
