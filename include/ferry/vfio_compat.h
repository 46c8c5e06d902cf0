/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * VFIO and iommufd constants that are newer than Linux 6.12's headers, each
 * under a guard. Structures that grew have names of their own here.
 * Source: Linux 7.2 include/uapi/linux/vfio.h, iommufd.h.
 */
#ifndef FERRY_VFIO_COMPAT_H
#define FERRY_VFIO_COMPAT_H

#include <linux/iommufd.h>
#include <linux/vfio.h>

#include <ferry/base.h>

/* VFIO_DEVICE_BIND_IOMMUFD with a token. */
#ifndef VFIO_DEVICE_BIND_FLAG_TOKEN
#define VFIO_DEVICE_BIND_FLAG_TOKEN (1 << 0)
#endif
struct vfio_bind_full {
	uint32_t argsz, flags;
	int32_t iommufd;
	uint32_t out_devid;
	uint64_t token_uuid_ptr;
};
SPEC_SIZE(struct vfio_bind_full, 24);

/* VFIO_DEVICE_ATTACH_IOMMUFD_PT, VFIO_DEVICE_DETACH_IOMMUFD_PT with a PASID. */
#ifndef VFIO_DEVICE_ATTACH_PASID
#define VFIO_DEVICE_ATTACH_PASID (1 << 0)
#endif
#ifndef VFIO_DEVICE_DETACH_PASID
#define VFIO_DEVICE_DETACH_PASID (1 << 0)
#endif
struct vfio_attach_full {
	uint32_t argsz, flags, pt_id, pasid;
};
SPEC_SIZE(struct vfio_attach_full, 16);
struct vfio_detach_full {
	uint32_t argsz, flags, pasid;
};
SPEC_SIZE(struct vfio_detach_full, 12);

#ifndef VFIO_DEVICE_FEATURE_DMA_BUF
#define VFIO_DEVICE_FEATURE_DMA_BUF 11
#endif
#ifndef VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2
#define VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 12
#endif

/* Commands of iommufd after FAULT_QUEUE_ALLOC (0x8e), as whole request numbers. */
#define FERRY_IOMMU_CMD(nr) (0x3b00u + (nr))
#ifndef IOMMU_IOAS_MAP_FILE
#define IOMMU_IOAS_MAP_FILE FERRY_IOMMU_CMD(0x8f)
struct iommu_ioas_map_file {
	uint32_t size, flags, ioas_id;
	int32_t fd;
	uint64_t start, length, iova;
};
#endif
SPEC_SIZE(struct iommu_ioas_map_file, 40);
#ifndef IOMMU_VIOMMU_ALLOC
#define IOMMU_VIOMMU_ALLOC FERRY_IOMMU_CMD(0x90)
#endif
#ifndef IOMMU_VDEVICE_ALLOC
#define IOMMU_VDEVICE_ALLOC FERRY_IOMMU_CMD(0x91)
#endif
#ifndef IOMMU_IOAS_CHANGE_PROCESS
#define IOMMU_IOAS_CHANGE_PROCESS FERRY_IOMMU_CMD(0x92)
struct iommu_ioas_change_process {
	uint32_t size, __reserved;
};
#endif
#ifndef IOMMU_VEVENTQ_ALLOC
#define IOMMU_VEVENTQ_ALLOC FERRY_IOMMU_CMD(0x93)
#endif
#ifndef IOMMU_HW_QUEUE_ALLOC
#define IOMMU_HW_QUEUE_ALLOC FERRY_IOMMU_CMD(0x94)
#endif

#endif
