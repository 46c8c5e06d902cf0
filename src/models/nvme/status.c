/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* From errno to NVMe status: the only place that knows both. */
#include "models/nvme/nvme.h"

/* DNR where trying again cannot help. */
uint16_t nvme_status_of_errno(int err, enum block_op op)
{
	switch (err < 0 ? -err : err) {
	case 0:
		return NVME_SC_SUCCESS;
	case EFAULT:			/* the client's memory went away */
		return NVME_SC_DATA_XFER_ERROR;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return NVME_SC_CAP_EXCEEDED;
	case EROFS:
	case EPERM:
		return NVME_SC_NS_WRITE_PROTECTED | NVME_SC_DNR;
	case ENOMEM:
	case EAGAIN:
	case EINTR:
		return NVME_SC_INTERNAL;
	case ENXIO:
	case ENODEV:
	case ESHUTDOWN:
		return NVME_SC_NS_NOT_READY;
	case ECANCELED:
		return NVME_SC_ABORT_REQ;
	case EOPNOTSUPP:
	case EINVAL:
		return NVME_SC_INTERNAL | NVME_SC_DNR;
	default:
		return op == BLOCK_READ ? NVME_SC_READ_ERROR : NVME_SC_WRITE_FAULT;
	}
}
