/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Layouts and numbers of NVM Express, no logic. Sources, named by document
 * and figure title: "Base" is the NVM Express Base Specification 2.1, "NVM"
 * the NVM Command Set Specification 1.1, "PCIe" the NVMe over PCIe Transport
 * Specification 1.1. Names are libnvme's where it has one.
 */
#ifndef FERRY_NVME_SPEC_H
#define FERRY_NVME_SPEC_H

#include <ferry/base.h>

#define NVME_VERSION 0x00020100u		/* 2.1 */
#define NVME_NSID_ALL 0xffffffffu
#define NVME_NSID_NONE 0u
#define NVME_IDENTIFY_DATA_SIZE 4096
#define NVME_NQN_LENGTH 256			/* field; the name takes 223 bytes and a NUL */

/* --------------------------------------------------------------- registers */

/* Base, "Property Definition"; PCIe, "PCI Express Specific Property Definitions". */
enum nvme_register_offsets {
	NVME_REG_CAP	= 0x0000,
	NVME_REG_VS	= 0x0008,
	NVME_REG_INTMS	= 0x000c,
	NVME_REG_INTMC	= 0x0010,
	NVME_REG_CC	= 0x0014,
	NVME_REG_CSTS	= 0x001c,
	NVME_REG_NSSR	= 0x0020,
	NVME_REG_AQA	= 0x0024,
	NVME_REG_ASQ	= 0x0028,
	NVME_REG_ACQ	= 0x0030,
	NVME_REG_CMBLOC	= 0x0038,
	NVME_REG_CMBSZ	= 0x003c,
	NVME_REG_BPINFO	= 0x0040,
	NVME_REG_BPRSEL	= 0x0044,
	NVME_REG_BPMBL	= 0x0048,
	NVME_REG_CMBMSC	= 0x0050,
	NVME_REG_CMBSTS	= 0x0058,
	NVME_REG_CMBEBS	= 0x005c,
	NVME_REG_CMBSWTP = 0x0060,
	NVME_REG_NSSD	= 0x0064,
	NVME_REG_CRTO	= 0x0068,
	NVME_REG_PMRCAP	= 0x0e00,
	NVME_REG_PMRCTL	= 0x0e04,
	NVME_REG_PMRSTS	= 0x0e08,
	NVME_REG_PMREBS	= 0x0e0c,
	NVME_REG_PMRSWTP = 0x0e10,
	NVME_REG_PMRMSCL = 0x0e14,
	NVME_REG_PMRMSCU = 0x0e18,
	NVME_REG_DOORBELLS = 0x1000,		/* SQ y tail at 2y, CQ y head at 2y + 1, times 4 << DSTRD */
};

/* Base, "Offset 0h: CAP - Controller Capabilities". */
#define NVME_CAP_MQES_SHIFT	0
#define NVME_CAP_CQR_SHIFT	16
#define NVME_CAP_AMS_SHIFT	17
#define NVME_CAP_TO_SHIFT	24
#define NVME_CAP_DSTRD_SHIFT	32
#define NVME_CAP_NSSRS_SHIFT	36
#define NVME_CAP_CSS_SHIFT	37
#define NVME_CAP_BPS_SHIFT	45
#define NVME_CAP_CPS_SHIFT	46
#define NVME_CAP_MPSMIN_SHIFT	48
#define NVME_CAP_MPSMAX_SHIFT	52
#define NVME_CAP_PMRS_SHIFT	56
#define NVME_CAP_CMBS_SHIFT	57
#define NVME_CAP_NSSS_SHIFT	58
#define NVME_CAP_CRMS_SHIFT	59
#define NVME_CAP_CSS_NVM	(1u << 0)	/* within the CSS field */
#define NVME_CAP_CSS_CSI	(1u << 6)
#define NVME_CAP_CSS_ADMIN	(1u << 7)
#define NVME_CAP_CRMS_CRWMS	(1u << 0)	/* within the CRMS field */
#define NVME_CAP_CRMS_CRIMS	(1u << 1)

/* Base, "Offset 14h: CC - Controller Configuration". */
#define NVME_CC_EN		(1u << 0)
#define NVME_CC_CSS_SHIFT	4
#define NVME_CC_CSS_MASK	0x7u
#define NVME_CC_CSS_NVM		0u
#define NVME_CC_CSS_CSI		6u
#define NVME_CC_CSS_ADMIN	7u
#define NVME_CC_MPS_SHIFT	7
#define NVME_CC_MPS_MASK	0xfu
#define NVME_CC_AMS_SHIFT	11
#define NVME_CC_AMS_MASK	0x7u
#define NVME_CC_SHN_SHIFT	14
#define NVME_CC_SHN_MASK	0x3u
#define NVME_CC_SHN_NONE	0u
#define NVME_CC_SHN_NORMAL	1u
#define NVME_CC_SHN_ABRUPT	2u
#define NVME_CC_IOSQES_SHIFT	16
#define NVME_CC_IOSQES_MASK	0xfu
#define NVME_CC_IOCQES_SHIFT	20
#define NVME_CC_IOCQES_MASK	0xfu
#define NVME_CC_CRIME		(1u << 24)
#define NVME_CC_EN_GET(cc)	((cc) & 1u)
#define NVME_CC_CSS(cc)		((cc) >> NVME_CC_CSS_SHIFT & NVME_CC_CSS_MASK)
#define NVME_CC_MPS(cc)		((cc) >> NVME_CC_MPS_SHIFT & NVME_CC_MPS_MASK)
#define NVME_CC_AMS(cc)		((cc) >> NVME_CC_AMS_SHIFT & NVME_CC_AMS_MASK)
#define NVME_CC_SHN(cc)		((cc) >> NVME_CC_SHN_SHIFT & NVME_CC_SHN_MASK)
#define NVME_CC_IOSQES(cc)	((cc) >> NVME_CC_IOSQES_SHIFT & NVME_CC_IOSQES_MASK)
#define NVME_CC_IOCQES(cc)	((cc) >> NVME_CC_IOCQES_SHIFT & NVME_CC_IOCQES_MASK)

/* Base, "Offset 1Ch: CSTS - Controller Status". */
#define NVME_CSTS_RDY		(1u << 0)
#define NVME_CSTS_CFS		(1u << 1)
#define NVME_CSTS_SHST_SHIFT	2
#define NVME_CSTS_SHST_MASK	0x3u
#define NVME_CSTS_SHST_NORMAL	0u
#define NVME_CSTS_SHST_OCCUR	1u
#define NVME_CSTS_SHST_CMPLT	2u
#define NVME_CSTS_NSSRO		(1u << 4)
#define NVME_CSTS_PP		(1u << 5)
#define NVME_CSTS_ST		(1u << 6)

#define NVME_NSSR_MAGIC		0x4e564d65u	/* "NVMe" */

/* Base, "Offset 24h: AQA - Admin Queue Attributes". Both 0-based. */
#define NVME_AQA_ASQS(aqa)	((aqa) & 0xfffu)
#define NVME_AQA_ACQS(aqa)	((aqa) >> 16 & 0xfffu)

/* Base, "Offset 68h: CRTO - Controller Ready Timeouts". 500 ms units. */
#define NVME_CRTO_CRWMT_SHIFT	0
#define NVME_CRTO_CRIMT_SHIFT	16

/* ----------------------------------------------------------- queue entries */

/* Base, "Common Command Format". */
struct nvme_sqe {
	uint8_t opcode;
	uint8_t flags;			/* FUSE 1:0, PSDT 7:6 */
	le16 cid;
	le32 nsid;
	le32 cdw2, cdw3;
	le64 mptr;
	le64 prp1, prp2;		/* or one SGL descriptor: struct nvme_sgl_desc */
	le32 cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
SPEC_SIZE(struct nvme_sqe, 64);
SPEC_OFFSET(struct nvme_sqe, nsid, 4);
SPEC_OFFSET(struct nvme_sqe, mptr, 16);
SPEC_OFFSET(struct nvme_sqe, prp1, 24);
SPEC_OFFSET(struct nvme_sqe, cdw10, 40);

#define NVME_SQE_FUSE(flags)	((flags) & 0x3u)
#define NVME_SQE_PSDT(flags)	((flags) >> 6 & 0x3u)
#define NVME_PSDT_PRP		0u
#define NVME_PSDT_SGL		1u	/* metadata: one contiguous buffer */
#define NVME_PSDT_SGL_MSGL	2u	/* metadata: an SGL */

/* Base, "Common Completion Queue Entry Layout". */
struct nvme_cqe {
	le32 dw0, dw1;
	le16 sqhd, sqid;
	le16 cid;
	le16 status;			/* P 0, SC 8:1, SCT 11:9, CRD 13:12, M 14, DNR 15 */
};
SPEC_SIZE(struct nvme_cqe, 16);
SPEC_OFFSET(struct nvme_cqe, sqhd, 8);
SPEC_OFFSET(struct nvme_cqe, status, 14);

#define NVME_CQE_PHASE		1u
#define NVME_CQE_STATUS(s)	((uint16_t)((s) << 1))	/* of an NVME_SC_*, phase 0 */

#define NVME_SQES		6	/* log2 of the entry sizes */
#define NVME_CQES		4

/* Base, "SGL Descriptor Format" and its descriptor types. */
struct nvme_sgl_desc {
	le64 addr;
	le32 len;
	uint8_t rsvd12[3];
	uint8_t id;			/* type 7:4, subtype 3:0 */
};
SPEC_SIZE(struct nvme_sgl_desc, 16);
SPEC_OFFSET(struct nvme_sgl_desc, id, 15);

#define NVME_SGL_TYPE(id)	((id) >> 4)
#define NVME_SGL_SUBTYPE(id)	((id) & 0xfu)
enum nvme_sgl_type {
	NVME_SGL_DATA		= 0x0,
	NVME_SGL_BIT_BUCKET	= 0x1,
	NVME_SGL_SEGMENT	= 0x2,
	NVME_SGL_LAST_SEGMENT	= 0x3,
	NVME_SGL_KEYED_DATA	= 0x4,
	NVME_SGL_TRANSPORT	= 0x5,
	NVME_SGL_VENDOR		= 0xf,
};

/* ----------------------------------------------------------------- opcodes */

/* Base, "Opcodes for Admin Commands". */
enum nvme_admin_opcode {
	nvme_admin_delete_sq		= 0x00,
	nvme_admin_create_sq		= 0x01,
	nvme_admin_get_log_page		= 0x02,
	nvme_admin_delete_cq		= 0x04,
	nvme_admin_create_cq		= 0x05,
	nvme_admin_identify		= 0x06,
	nvme_admin_abort_cmd		= 0x08,
	nvme_admin_set_features		= 0x09,
	nvme_admin_get_features		= 0x0a,
	nvme_admin_async_event		= 0x0c,
	nvme_admin_ns_mgmt		= 0x0d,
	nvme_admin_fw_commit		= 0x10,
	nvme_admin_fw_download		= 0x11,
	nvme_admin_dev_self_test	= 0x14,
	nvme_admin_ns_attach		= 0x15,
	nvme_admin_keep_alive		= 0x18,
	nvme_admin_directive_send	= 0x19,
	nvme_admin_directive_recv	= 0x1a,
	nvme_admin_virtual_mgmt		= 0x1c,
	nvme_admin_nvme_mi_send		= 0x1d,
	nvme_admin_nvme_mi_recv		= 0x1e,
	nvme_admin_capacity_mgmt	= 0x20,
	nvme_admin_lockdown		= 0x24,
	nvme_admin_track_send		= 0x3d,
	nvme_admin_track_receive	= 0x3e,
	nvme_admin_migration_send	= 0x41,
	nvme_admin_migration_receive	= 0x42,
	nvme_admin_ctrl_data_queue	= 0x45,
	nvme_admin_dbbuf		= 0x7c,
	nvme_admin_fabrics		= 0x7f,
	nvme_admin_format_nvm		= 0x80,
	nvme_admin_security_send	= 0x81,
	nvme_admin_security_recv	= 0x82,
	nvme_admin_sanitize_nvm		= 0x84,
	nvme_admin_get_lba_status	= 0x86,
};

/* NVM, "Opcodes for NVM Commands". */
enum nvme_io_opcode {
	nvme_cmd_flush		= 0x00,
	nvme_cmd_write		= 0x01,
	nvme_cmd_read		= 0x02,
	nvme_cmd_write_uncor	= 0x04,
	nvme_cmd_compare	= 0x05,
	nvme_cmd_write_zeroes	= 0x08,
	nvme_cmd_dsm		= 0x09,
	nvme_cmd_verify		= 0x0c,
	nvme_cmd_resv_register	= 0x0d,
	nvme_cmd_resv_report	= 0x0e,
	nvme_cmd_resv_acquire	= 0x11,
	nvme_cmd_io_mgmt_recv	= 0x12,
	nvme_cmd_resv_release	= 0x15,
	nvme_cmd_cancel		= 0x18,
	nvme_cmd_copy		= 0x19,
	nvme_cmd_io_mgmt_send	= 0x1d,
};

/* Bits of CDW12 of Read, Write, Compare, Verify, Write Zeroes. NVM, "Command Dword 12". */
#define NVME_IO_NLB(cdw12)	((cdw12) & 0xffffu)	/* 0-based */
#define NVME_IO_STC		(1u << 24)
#define NVME_IO_DEAC		(1u << 25)	/* Write Zeroes */
#define NVME_IO_PRINFO(cdw12)	((cdw12) >> 26 & 0xfu)
#define NVME_IO_PRACT		(1u << 29)
#define NVME_IO_FUA		(1u << 30)
#define NVME_IO_LR		(1u << 31)
#define NVME_IO_DTYPE(cdw12)	((cdw12) >> 20 & 0xfu)

/* ------------------------------------------------------------ status codes */

/*
 * SC 7:0, SCT 10:8, as in bits 11:1 of the CQE's status. Base, "Generic
 * Command Status Values", "Command Specific Status Values"; NVM likewise and
 * "Media and Data Integrity Error Values".
 */
enum nvme_status_code {
	NVME_SC_SUCCESS			= 0x000,
	NVME_SC_INVALID_OPCODE		= 0x001,
	NVME_SC_INVALID_FIELD		= 0x002,
	NVME_SC_CMDID_CONFLICT		= 0x003,
	NVME_SC_DATA_XFER_ERROR		= 0x004,
	NVME_SC_POWER_LOSS		= 0x005,
	NVME_SC_INTERNAL		= 0x006,
	NVME_SC_ABORT_REQ		= 0x007,
	NVME_SC_ABORT_QUEUE		= 0x008,
	NVME_SC_FUSED_FAIL		= 0x009,
	NVME_SC_FUSED_MISSING		= 0x00a,
	NVME_SC_INVALID_NS		= 0x00b,
	NVME_SC_CMD_SEQ_ERROR		= 0x00c,
	NVME_SC_SGL_INVALID_LAST	= 0x00d,	/* Invalid SGL Segment Descriptor */
	NVME_SC_SGL_INVALID_COUNT	= 0x00e,	/* Invalid Number of SGL Descriptors */
	NVME_SC_SGL_INVALID_DATA	= 0x00f,	/* Data SGL Length Invalid */
	NVME_SC_SGL_INVALID_METADATA	= 0x010,
	NVME_SC_SGL_INVALID_TYPE	= 0x011,
	NVME_SC_CMB_INVALID_USE		= 0x012,
	NVME_SC_PRP_INVALID_OFFSET	= 0x013,
	NVME_SC_AWU_EXCEEDED		= 0x014,
	NVME_SC_OP_DENIED		= 0x015,
	NVME_SC_SGL_INVALID_OFFSET	= 0x016,
	NVME_SC_HOSTID_FORMAT		= 0x018,
	NVME_SC_KAT_EXPIRED		= 0x019,
	NVME_SC_KAT_INVALID		= 0x01a,
	NVME_SC_CMD_ABORTED_PREEMPT	= 0x01b,
	NVME_SC_SANITIZE_FAILED		= 0x01c,
	NVME_SC_SANITIZE_IN_PROGRESS	= 0x01d,
	NVME_SC_SGL_INVALID_GRANULARITY	= 0x01e,
	NVME_SC_CMD_IN_CMBQ_NOT_SUPP	= 0x01f,
	NVME_SC_NS_WRITE_PROTECTED	= 0x020,
	NVME_SC_CMD_INTERRUPTED		= 0x021,
	NVME_SC_TRAN_TPORT_ERROR	= 0x022,
	NVME_SC_PROHIBITED_BY_CMD_AND_FEAT = 0x023,
	NVME_SC_ADMIN_CMD_MEDIA_NOT_READY = 0x024,
	NVME_SC_LBA_RANGE		= 0x080,
	NVME_SC_CAP_EXCEEDED		= 0x081,
	NVME_SC_NS_NOT_READY		= 0x082,
	NVME_SC_RESERVATION_CONFLICT	= 0x083,
	NVME_SC_FORMAT_IN_PROGRESS	= 0x084,

	NVME_SC_CQ_INVALID		= 0x100,
	NVME_SC_QID_INVALID		= 0x101,
	NVME_SC_QUEUE_SIZE		= 0x102,
	NVME_SC_ABORT_LIMIT		= 0x103,
	NVME_SC_ASYNC_LIMIT		= 0x105,
	NVME_SC_FIRMWARE_SLOT		= 0x106,
	NVME_SC_FIRMWARE_IMAGE		= 0x107,
	NVME_SC_INVALID_VECTOR		= 0x108,
	NVME_SC_INVALID_LOG_PAGE	= 0x109,
	NVME_SC_INVALID_FORMAT		= 0x10a,
	NVME_SC_FW_NEEDS_CONV_RESET	= 0x10b,
	NVME_SC_INVALID_QUEUE		= 0x10c,	/* Invalid Queue Deletion */
	NVME_SC_FEATURE_NOT_SAVEABLE	= 0x10d,
	NVME_SC_FEATURE_NOT_CHANGEABLE	= 0x10e,
	NVME_SC_FEATURE_NOT_PER_NS	= 0x10f,
	NVME_SC_FW_NEEDS_SUBSYS_RESET	= 0x110,
	NVME_SC_FW_NEEDS_RESET		= 0x111,
	NVME_SC_FW_NEEDS_MAX_TIME	= 0x112,
	NVME_SC_FW_ACTIVATE_PROHIBITED	= 0x113,
	NVME_SC_OVERLAPPING_RANGE	= 0x114,
	NVME_SC_NS_INSUFFICIENT_CAP	= 0x115,
	NVME_SC_NS_ID_UNAVAILABLE	= 0x116,
	NVME_SC_NS_ALREADY_ATTACHED	= 0x118,
	NVME_SC_NS_IS_PRIVATE		= 0x119,
	NVME_SC_NS_NOT_ATTACHED		= 0x11a,
	NVME_SC_THIN_PROV_NOT_SUPP	= 0x11b,
	NVME_SC_CTRL_LIST_INVALID	= 0x11c,
	NVME_SC_SELF_TEST_IN_PROGRESS	= 0x11d,
	NVME_SC_BP_WRITE_PROHIBITED	= 0x11e,
	NVME_SC_INVALID_CTRL_ID		= 0x11f,
	NVME_SC_INVALID_SEC_CTRL_STATE	= 0x120,
	NVME_SC_INVALID_CTRL_RESOURCES	= 0x121,
	NVME_SC_INVALID_RESOURCE_ID	= 0x122,
	NVME_SC_NS_ATTACHMENT_LIMIT_EXCEEDED = 0x127,
	NVME_SC_IOCS_NOT_SUPPORTED	= 0x129,
	NVME_SC_IOCS_NOT_ENABLED	= 0x12a,
	NVME_SC_IOCS_COMBINATION_REJECTED = 0x12b,
	NVME_SC_INVALID_IOCS		= 0x12c,
	NVME_SC_ID_UNAVAILABLE		= 0x12d,
	NVME_SC_INVALID_CDQ		= 0x137,	/* Invalid Controller Data Queue */
	NVME_SC_NOT_ENOUGH_RESOURCES	= 0x138,
	NVME_SC_SUSPENDED		= 0x139,	/* Controller Suspended */
	NVME_SC_NOT_SUSPENDED		= 0x13a,	/* Controller Not Suspended */
	NVME_SC_CDQ_FULL		= 0x13b,	/* Controller Data Queue Full */
	NVME_SC_BAD_ATTRIBUTES		= 0x180,	/* Conflicting Attributes */
	NVME_SC_INVALID_PI		= 0x181,
	NVME_SC_READ_ONLY		= 0x182,	/* Attempted Write to Read Only Range */
	NVME_SC_CMD_SIZE_LIMIT_EXCEEDED	= 0x183,
	NVME_SC_INCOMPATIBLE_NS		= 0x185,
	NVME_SC_FAST_COPY_NOT_POSSIBLE	= 0x186,
	NVME_SC_OVERLAPPING_IO_RANGE	= 0x187,
	NVME_SC_INSUFFICIENT_RESOURCES	= 0x189,

	NVME_SC_WRITE_FAULT		= 0x280,
	NVME_SC_READ_ERROR		= 0x281,	/* Unrecovered Read Error */
	NVME_SC_GUARD_CHECK		= 0x282,
	NVME_SC_APPTAG_CHECK		= 0x283,
	NVME_SC_REFTAG_CHECK		= 0x284,
	NVME_SC_COMPARE_FAILED		= 0x285,
	NVME_SC_ACCESS_DENIED		= 0x286,
	NVME_SC_UNWRITTEN_BLOCK		= 0x287,

	NVME_SC_MASK			= 0x7ff,	/* SC and SCT */
	NVME_SC_CRD			= 0x1800,
	NVME_SC_MORE			= 0x2000,
	NVME_SC_DNR			= 0x4000,
};

/* ---------------------------------------------------------------- identify */

/* Base, "Identify - CNS Values". */
enum nvme_identify_cns {
	NVME_IDENTIFY_CNS_NS			= 0x00,
	NVME_IDENTIFY_CNS_CTRL			= 0x01,
	NVME_IDENTIFY_CNS_NS_ACTIVE_LIST	= 0x02,
	NVME_IDENTIFY_CNS_NS_DESC_LIST		= 0x03,
	NVME_IDENTIFY_CNS_NVMSET_LIST		= 0x04,
	NVME_IDENTIFY_CNS_CSI_NS		= 0x05,
	NVME_IDENTIFY_CNS_CSI_CTRL		= 0x06,
	NVME_IDENTIFY_CNS_CSI_NS_ACTIVE_LIST	= 0x07,
	NVME_IDENTIFY_CNS_CSI_INDEPENDENT_ID_NS	= 0x08,
	NVME_IDENTIFY_CNS_NS_USER_DATA_FORMAT	= 0x09,
	NVME_IDENTIFY_CNS_CSI_NS_USER_DATA_FORMAT = 0x0a,
	NVME_IDENTIFY_CNS_ALLOCATED_NS_LIST	= 0x10,
	NVME_IDENTIFY_CNS_ALLOCATED_NS		= 0x11,
	NVME_IDENTIFY_CNS_NS_CTRL_LIST		= 0x12,
	NVME_IDENTIFY_CNS_CTRL_LIST		= 0x13,
	NVME_IDENTIFY_CNS_PRIMARY_CTRL_CAP	= 0x14,
	NVME_IDENTIFY_CNS_SECONDARY_CTRL_LIST	= 0x15,
	NVME_IDENTIFY_CNS_NS_GRANULARITY	= 0x16,
	NVME_IDENTIFY_CNS_UUID_LIST		= 0x17,
	NVME_IDENTIFY_CNS_DOMAIN_LIST		= 0x18,
	NVME_IDENTIFY_CNS_ENDURANCE_GROUP_ID	= 0x19,
	NVME_IDENTIFY_CNS_CSI_ALLOCATED_NS_LIST	= 0x1a,
	NVME_IDENTIFY_CNS_CSI_ID_NS_DATA_STRUCTURE = 0x1b,
	NVME_IDENTIFY_CNS_COMMAND_SET_STRUCTURE	= 0x1c,
	NVME_IDENTIFY_CNS_UNDERLYING_NS_LIST	= 0x1d,
	NVME_IDENTIFY_CNS_PORTS_LIST		= 0x1e,
	NVME_IDENTIFY_CNS_IOCS_IND_ID_ALLOC_NS	= 0x1f,
	NVME_IDENTIFY_CNS_SUPPORTED_CTRL_STATE_FORMATS = 0x20,
};

/* Base, "I/O Command Set Identifiers". */
#define NVME_CSI_NVM 0

/* Base, "Identify - Primary Controller Capabilities Structure". */
struct nvme_primary_ctrl_cap {
	le16 cntlid, portid;
	uint8_t crt;
	uint8_t rsvd5[27];
	le32 vqfrt, vqrfa;
	le16 vqrfap, vqprt, vqfrsm, vqgran;
	uint8_t rsvd48[16];
	le32 vifrt, virfa;
	le16 virfap, viprt, vifrsm, vigran;
	uint8_t rsvd80[4016];
};
SPEC_SIZE(struct nvme_primary_ctrl_cap, 4096);
SPEC_OFFSET(struct nvme_primary_ctrl_cap, vqfrt, 32);
SPEC_OFFSET(struct nvme_primary_ctrl_cap, vifrt, 64);
SPEC_OFFSET(struct nvme_primary_ctrl_cap, vigran, 78);

#define NVME_CRT_VQ (1u << 0)
#define NVME_CRT_VI (1u << 1)

/* Base, "Identify - Secondary Controller Entry" and "Secondary Controller List". */
struct nvme_secondary_ctrl {
	le16 scid, pcid;
	uint8_t scs;			/* bit 0: online */
	uint8_t rsvd5[3];
	le16 vfn, nvq, nvi;		/* vfn: from 1 */
	uint8_t rsvd14[18];
};
SPEC_SIZE(struct nvme_secondary_ctrl, 32);
SPEC_OFFSET(struct nvme_secondary_ctrl, vfn, 8);

struct nvme_secondary_ctrl_list {
	uint8_t num;
	uint8_t rsvd1[31];
	struct nvme_secondary_ctrl entry[127];
};
SPEC_SIZE(struct nvme_secondary_ctrl_list, 4096);

/* Base, "Virtualization Management - Command Dword 10". */
enum nvme_virt_mgmt_act {
	NVME_VIRT_MGMT_ACT_PRIMARY_ALLOC = 0x1,
	NVME_VIRT_MGMT_ACT_OFFLINE	= 0x7,
	NVME_VIRT_MGMT_ACT_ASSIGN	= 0x8,
	NVME_VIRT_MGMT_ACT_ONLINE	= 0x9,
};

enum nvme_virt_mgmt_rt {
	NVME_VIRT_MGMT_RT_VQ		= 0x0,
	NVME_VIRT_MGMT_RT_VI		= 0x1,
};

/* Base, "Identify - Power State Descriptor Data Structure". */
struct nvme_id_psd {
	le16 mp;			/* centiwatts, or 0.0001 W with MXPS in @flags */
	uint8_t rsvd2, flags;
	le32 enlat, exlat;
	uint8_t rrt, rrl, rwt, rwl;
	le16 idlp;
	uint8_t ips, rsvd19;
	le16 actp;
	uint8_t apws;
	uint8_t rsvd23[9];
};
SPEC_SIZE(struct nvme_id_psd, 32);
SPEC_OFFSET(struct nvme_id_psd, rrt, 12);

/* Base, "Identify - Identify Controller Data Structure, I/O Command Set Independent". */
struct nvme_id_ctrl {
	le16 vid, ssvid;
	char sn[20], mn[40], fr[8];	/* padded with spaces, no NUL */
	uint8_t rab;
	uint8_t ieee[3];
	uint8_t cmic;
	uint8_t mdts;
	le16 cntlid;
	le32 ver;
	le32 rtd3r, rtd3e;
	le32 oaes, ctratt;
	le16 rrls;
	uint8_t bpcap, rsvd103;
	le32 nssl;
	uint8_t rsvd108[2];
	uint8_t plsi;
	uint8_t cntrltype;
	uint8_t fguid[16];
	le16 crdt1, crdt2, crdt3;
	uint8_t crcap;
	uint8_t rsvd135[118];
	uint8_t nvmsr, vwci, mec;
	le16 oacs;
	uint8_t acl, aerl, frmw, lpa, elpe, npss, avscc, apsta;
	le16 wctemp, cctemp, mtfa;
	le32 hmpre, hmmin;
	uint8_t tnvmcap[16], unvmcap[16];
	le32 rpmbs;
	le16 edstt;
	uint8_t dsto, fwug;
	le16 kas, hctma, mntmt, mxtmt;
	le32 sanicap, hmminds;
	le16 hmmaxd, nsetidmax, endgidmax;
	uint8_t anatt, anacap;
	le32 anagrpmax, nanagrpid, pels;
	le16 domainid;
	uint8_t kpioc, rsvd359;
	le16 mptfawr;
	uint8_t rsvd362[6];
	uint8_t megcap[16];
	uint8_t tmpthha, rsvd385;
	le16 cqt;
	uint8_t rsvd388[124];
	uint8_t sqes, cqes;
	le16 maxcmd;
	le32 nn;
	le16 oncs, fuses;
	uint8_t fna, vwc;
	le16 awun, awupf;
	uint8_t icsvscc, nwpc;
	le16 acwu, ocfs;
	le32 sgls, mnan;
	uint8_t maxdna[16];
	le32 maxcna, oaqd;
	uint8_t rhiri, hirt;
	le16 cmmrtd, nmmrtd;
	uint8_t minmrtg, maxmrtg, trattr, rsvd577;
	le16 mcudmq, mnsudmq, mcmr, nmcmr, mcdqpc;
	uint8_t rsvd588[180];
	char subnqn[NVME_NQN_LENGTH];	/* filled up with NULs */
	uint8_t rsvd1024[768];
	uint8_t fabrics[256];
	struct nvme_id_psd psd[32];
	uint8_t vs[1024];
};
SPEC_SIZE(struct nvme_id_ctrl, 4096);
SPEC_OFFSET(struct nvme_id_ctrl, cmic, 76);
SPEC_OFFSET(struct nvme_id_ctrl, ver, 80);
SPEC_OFFSET(struct nvme_id_ctrl, cntrltype, 111);
SPEC_OFFSET(struct nvme_id_ctrl, oacs, 256);
SPEC_OFFSET(struct nvme_id_ctrl, tnvmcap, 280);
SPEC_OFFSET(struct nvme_id_ctrl, kas, 320);
SPEC_OFFSET(struct nvme_id_ctrl, nanagrpid, 348);
SPEC_OFFSET(struct nvme_id_ctrl, cqt, 386);
SPEC_OFFSET(struct nvme_id_ctrl, sqes, 512);
SPEC_OFFSET(struct nvme_id_ctrl, sgls, 536);
SPEC_OFFSET(struct nvme_id_ctrl, mcdqpc, 586);
SPEC_OFFSET(struct nvme_id_ctrl, subnqn, 768);
SPEC_OFFSET(struct nvme_id_ctrl, psd, 2048);

#define NVME_CMIC_MULTI_PORT	(1u << 0)
#define NVME_CMIC_MULTI_CTRL	(1u << 1)
#define NVME_CMIC_MULTI_SRIOV	(1u << 2)
#define NVME_CMIC_MULTI_ANA	(1u << 3)
#define NVME_OAES_NA		(1u << 8)	/* attached namespace attribute notices */
#define NVME_OAES_FA		(1u << 9)
#define NVME_OAES_ANA		(1u << 11)
#define NVME_CTRLTYPE_IO	1
#define NVME_CTRATT_HOST_ID_128	(1u << 0)	/* 128-bit host identifier */
#define NVME_OACS_SECURITY	(1u << 0)
#define NVME_OACS_FORMAT	(1u << 1)
#define NVME_OACS_FIRMWARE	(1u << 2)
#define NVME_OACS_NS_MGMT	(1u << 3)
#define NVME_OACS_SELF_TEST	(1u << 4)
#define NVME_OACS_DIRECTIVES	(1u << 5)
#define NVME_OACS_VIRT_MGMT	(1u << 7)
#define NVME_OACS_DBBUF_CFG	(1u << 8)
#define NVME_OACS_HMLM		(1u << 11)	/* host managed live migration */
#define NVME_FRMW_SLOT1_RO	(1u << 0)
#define NVME_FRMW_NSLOTS_SHIFT	1
#define NVME_LPA_SMART_PER_NS	(1u << 0)
#define NVME_LPA_CMD_EFFECTS	(1u << 1)
#define NVME_LPA_EXTENDED	(1u << 2)
#define NVME_LPA_TELEMETRY	(1u << 3)
#define NVME_LPA_PERSISTENT_EVENT (1u << 4)
#define NVME_LPA_MISC		(1u << 5)	/* logs 00h, 12h, 13h */
#define NVME_ONCS_COMPARE	(1u << 0)
#define NVME_ONCS_WRITE_UNCORRECTABLE (1u << 1)
#define NVME_ONCS_DSM		(1u << 2)
#define NVME_ONCS_WRITE_ZEROES	(1u << 3)
#define NVME_ONCS_SAVE_FEATURES	(1u << 4)
#define NVME_ONCS_RESERVATIONS	(1u << 5)
#define NVME_ONCS_TIMESTAMP	(1u << 6)
#define NVME_ONCS_VERIFY	(1u << 7)
#define NVME_ONCS_COPY		(1u << 8)
#define NVME_FNA_FMT_ALL	(1u << 0)	/* Format changes all namespaces */
#define NVME_FNA_SEC_ALL	(1u << 1)	/* so does secure erase */
#define NVME_FNA_CRYPTO_ERASE	(1u << 2)
#define NVME_FNA_BCNSID		(1u << 3)	/* NSID FFFFFFFFh is not supported */
#define NVME_VWC_PRESENT	(1u << 0)
#define NVME_VWC_FLUSH_ALL	(3u << 1)	/* Flush accepts NSID FFFFFFFFh */
#define NVME_OCFS_FORMAT0	(1u << 0)
#define NVME_SGLS_BYTE_ALIGNED	1u
#define NVME_SGLS_BIT_BUCKET	(1u << 16)
#define NVME_SGLS_OVERSIZED	(1u << 18)
#define NVME_SGLS_OFFSET	(1u << 20)

/* NVM, "LBA Format Data Structure". */
struct nvme_lbaf {
	le16 ms;
	uint8_t ds;			/* log2 of the data size */
	uint8_t rp;
};
SPEC_SIZE(struct nvme_lbaf, 4);

/* NVM, "Identify Namespace Data Structure, NVM Command Set". */
struct nvme_id_ns {
	le64 nsze, ncap, nuse;
	uint8_t nsfeat, nlbaf, flbas, mc, dpc, dps, nmic, rescap, fpi, dlfeat;
	le16 nawun, nawupf, nacwu, nabsn, nabo, nabspf, noiob;
	uint8_t nvmcap[16];
	le16 npwg, npwa, npdg, npda, nows;
	le16 mssrl;
	le32 mcl;
	uint8_t msrc;
	uint8_t kpios, nulbaf, rsvd83;
	le32 kpiodaag;
	uint8_t rsvd88[4];
	le32 anagrpid;
	uint8_t rsvd96[3];
	uint8_t nsattr;
	le16 nvmsetid, endgid;
	uint8_t nguid[16], eui64[8];
	struct nvme_lbaf lbaf[64];
	uint8_t vs[3712];
};
SPEC_SIZE(struct nvme_id_ns, 4096);
SPEC_OFFSET(struct nvme_id_ns, flbas, 26);
SPEC_OFFSET(struct nvme_id_ns, dlfeat, 33);
SPEC_OFFSET(struct nvme_id_ns, nvmcap, 48);
SPEC_OFFSET(struct nvme_id_ns, mssrl, 74);
SPEC_OFFSET(struct nvme_id_ns, msrc, 80);
SPEC_OFFSET(struct nvme_id_ns, nsattr, 99);
SPEC_OFFSET(struct nvme_id_ns, nguid, 104);
SPEC_OFFSET(struct nvme_id_ns, lbaf, 128);

#define NVME_NSFEAT_THIN	(1u << 0)
#define NVME_NSFEAT_DAE		(1u << 2)	/* reading deallocated blocks may fail */
#define NVME_NSFEAT_UIDREUSE	(1u << 3)	/* NGUID and EUI64 are never reused */
#define NVME_NSFEAT_OPTPERF	(1u << 4)
#define NVME_NMIC_SHARED	(1u << 0)
#define NVME_DLFEAT_RB_ZEROES	1u
#define NVME_DLFEAT_WRITE_ZEROES (1u << 3)
#define NVME_NSATTR_WRITE_PROTECTED (1u << 0)
#define NVME_FLBAS_LOWER(f)	((f) & 0xfu)
#define NVME_FLBAS_META_EXT	(1u << 4)
#define NVME_FLBAS_HIGHER(f)	((f) >> 5 & 0x3u)

/* Base, "Identify - I/O Command Set Independent Identify Namespace Data Structure" (CNS 08h). */
struct nvme_id_ns_indep {
	uint8_t nsfeat, nmic, rescap, fpi;
	le32 anagrpid;
	uint8_t nsattr, rsvd9;
	le16 nvmsetid, endgid;
	uint8_t nstat, kpios;
	le16 maxkt;
	uint8_t rsvd18[2];
	le32 rgrpid;
	uint8_t rsvd24[4072];
};
SPEC_SIZE(struct nvme_id_ns_indep, 4096);
SPEC_OFFSET(struct nvme_id_ns_indep, nsattr, 8);
SPEC_OFFSET(struct nvme_id_ns_indep, nstat, 14);

#define NVME_NSTAT_NRDY (1u << 0)		/* ready */

/* NVM, "I/O Command Set Specific Identify Namespace Data Structure" (CNS 05h, CSI 0). */
struct nvme_nvm_id_ns {
	le64 lbstm;
	uint8_t pic, pifa, rsvd10[2];
	le32 elbaf[64];
	le32 npdgl, nprg, npra, nors, npdal, lbapss, tlbaag;
	uint8_t rsvd296[3800];
};
SPEC_SIZE(struct nvme_nvm_id_ns, 4096);
SPEC_OFFSET(struct nvme_nvm_id_ns, npdgl, 268);

/* NVM, "I/O Command Set Specific Identify Controller Data Structure" (CNS 06h, CSI 0). */
struct nvme_id_nvm {
	uint8_t vsl, wzsl, wusl, dmrl;
	le32 dmrsl;
	le64 dmsl;
	uint8_t kpiocap, wzdsl;
	le16 aocs;
	le32 ver;
	uint8_t lbamqf;
	uint8_t rsvd25[4071];
};
SPEC_SIZE(struct nvme_id_nvm, 4096);
SPEC_OFFSET(struct nvme_id_nvm, dmsl, 8);
SPEC_OFFSET(struct nvme_id_nvm, lbamqf, 24);

/* Base, "Identify - Namespace Identification Descriptor". */
struct nvme_ns_id_desc {
	uint8_t nidt, nidl;
	uint8_t rsvd2[2];
	uint8_t nid[];
};
SPEC_SIZE(struct nvme_ns_id_desc, 4);

enum nvme_nidt {
	NVME_NIDT_EUI64 = 1,		/* 8 bytes */
	NVME_NIDT_NGUID = 2,		/* 16 */
	NVME_NIDT_UUID = 3,		/* 16 */
	NVME_NIDT_CSI = 4,		/* 1 */
};

/* Base, "Namespace List Format". */
struct nvme_ns_list {
	le32 ns[1024];
};
SPEC_SIZE(struct nvme_ns_list, 4096);

/* Base, "Controller List Format". */
struct nvme_ctrl_list {
	le16 num;
	le16 identifier[2047];
};
SPEC_SIZE(struct nvme_ctrl_list, 4096);

/* Base, "Identify - I/O Command Set data structure" (CNS 1Ch). */
struct nvme_id_iocs {
	le64 iocsc[512];
};
SPEC_SIZE(struct nvme_id_iocs, 4096);

/* ---------------------------------------------------------------- features */

/* Base, "Feature Identifiers". */
enum nvme_features_id {
	NVME_FEAT_FID_ARBITRATION	= 0x01,
	NVME_FEAT_FID_POWER_MGMT	= 0x02,
	NVME_FEAT_FID_LBA_RANGE		= 0x03,
	NVME_FEAT_FID_TEMP_THRESH	= 0x04,
	NVME_FEAT_FID_ERR_RECOVERY	= 0x05,
	NVME_FEAT_FID_VOLATILE_WC	= 0x06,
	NVME_FEAT_FID_NUM_QUEUES	= 0x07,
	NVME_FEAT_FID_IRQ_COALESCE	= 0x08,
	NVME_FEAT_FID_IRQ_CONFIG	= 0x09,
	NVME_FEAT_FID_WRITE_ATOMIC	= 0x0a,
	NVME_FEAT_FID_ASYNC_EVENT	= 0x0b,
	NVME_FEAT_FID_AUTO_PST		= 0x0c,
	NVME_FEAT_FID_HOST_MEM_BUF	= 0x0d,
	NVME_FEAT_FID_TIMESTAMP		= 0x0e,
	NVME_FEAT_FID_KATO		= 0x0f,
	NVME_FEAT_FID_HCTM		= 0x10,
	NVME_FEAT_FID_NOPSC		= 0x11,
	NVME_FEAT_FID_HOST_BEHAVIOR	= 0x16,
	NVME_FEAT_FID_IOCS_PROFILE	= 0x19,
	NVME_FEAT_FID_CDQ		= 0x21,
	NVME_FEAT_FID_SW_PROGRESS	= 0x80,
	NVME_FEAT_FID_HOST_ID		= 0x81,
	NVME_FEAT_FID_RESV_MASK		= 0x82,
	NVME_FEAT_FID_RESV_PERSIST	= 0x83,
	NVME_FEAT_FID_WRITE_PROTECT	= 0x84,
};

/* Base, "Get Features - Select", CDW10 10:8. */
enum nvme_get_features_sel {
	NVME_GET_FEATURES_SEL_CURRENT	= 0,
	NVME_GET_FEATURES_SEL_DEFAULT	= 1,
	NVME_GET_FEATURES_SEL_SAVED	= 2,
	NVME_GET_FEATURES_SEL_SUPPORTED	= 3,
};
#define NVME_FEAT_SAVE		(1u << 31)	/* Set Features CDW10 */
#define NVME_FEAT_CAP_SAVEABLE	(1u << 0)	/* capabilities, SEL 3 */
#define NVME_FEAT_CAP_PER_NS	(1u << 1)
#define NVME_FEAT_CAP_CHANGEABLE (1u << 2)

#define NVME_FEAT_VWC_WCE	(1u << 0)	/* Volatile Write Cache Enable */
#define NVME_FEAT_ERROR_DULBE	(1u << 16)

/* Base, "Timestamp - Data Structure for Get Features". */
struct nvme_timestamp {
	uint8_t timestamp[6];		/* milliseconds, little endian */
	uint8_t attr;			/* bit 0 synch, 3:1 origin */
	uint8_t rsvd;
};
SPEC_SIZE(struct nvme_timestamp, 8);

/* --------------------------------------------------------------------- logs */

/* Base, "Log Page Identifiers". */
enum nvme_cmd_get_log_lid {
	NVME_LOG_LID_SUPPORTED_LOG_PAGES = 0x00,
	NVME_LOG_LID_ERROR		= 0x01,
	NVME_LOG_LID_SMART		= 0x02,
	NVME_LOG_LID_FW_SLOT		= 0x03,
	NVME_LOG_LID_CHANGED_NS		= 0x04,
	NVME_LOG_LID_CMD_EFFECTS	= 0x05,
	NVME_LOG_LID_DEVICE_SELF_TEST	= 0x06,
	NVME_LOG_LID_TELEMETRY_HOST	= 0x07,
	NVME_LOG_LID_TELEMETRY_CTRL	= 0x08,
	NVME_LOG_LID_ANA		= 0x0c,
	NVME_LOG_LID_PERSISTENT_EVENT	= 0x0d,
	NVME_LOG_LID_FID_SUPPORTED_EFFECTS = 0x12,
	NVME_LOG_LID_MI_CMD_SUPPORTED_EFFECTS = 0x13,
	NVME_LOG_LID_RESERVATION	= 0x80,
	NVME_LOG_LID_SANITIZE		= 0x81,
};

/* Base, "Supported Log Pages Log Page": one LID Supported and Effects dword per LID. */
struct nvme_supported_log_pages {
	le32 lid_support[256];
};
SPEC_SIZE(struct nvme_supported_log_pages, 1024);
#define NVME_LID_LSUPP		(1u << 0)
#define NVME_LID_IOS		(1u << 1)

/* Base, "Error Information Log Entry". */
struct nvme_error_entry {
	le64 error_count;
	le16 sqid, cmdid;
	le16 status_field;		/* as in the CQE, phase in bit 0 */
	le16 parm_error_location;	/* byte 7:0, bit 10:8; FFFFh: not one field */
	le64 lba;
	le32 nsid;
	uint8_t vs, trtype, csi, opcode;
	le64 cs;
	le16 trtype_spec_info;
	uint8_t rsvd42[21];
	uint8_t log_page_version;
};
SPEC_SIZE(struct nvme_error_entry, 64);
SPEC_OFFSET(struct nvme_error_entry, parm_error_location, 14);
SPEC_OFFSET(struct nvme_error_entry, nsid, 24);
SPEC_OFFSET(struct nvme_error_entry, cs, 32);

/* Base, "SMART / Health Information Log Page". */
struct nvme_smart_log {
	uint8_t critical_warning;
	uint8_t temperature[2];		/* kelvin */
	uint8_t avail_spare, spare_thresh, percent_used;
	uint8_t endu_grp_crit_warn_sumry;
	uint8_t rsvd7[25];
	uint8_t data_units_read[16], data_units_written[16];	/* 1000 * 512 bytes, rounded up */
	uint8_t host_reads[16], host_writes[16];
	uint8_t ctrl_busy_time[16];
	uint8_t power_cycles[16], power_on_hours[16], unsafe_shutdowns[16];
	uint8_t media_errors[16], num_err_log_entries[16];
	le32 warning_temp_time, critical_comp_time;
	le16 temp_sensor[8];
	le32 thm_temp1_trans_count, thm_temp2_trans_count;
	le32 thm_temp1_total_time, thm_temp2_total_time;
	uint8_t rsvd232[280];
};
SPEC_SIZE(struct nvme_smart_log, 512);
SPEC_OFFSET(struct nvme_smart_log, data_units_read, 32);
SPEC_OFFSET(struct nvme_smart_log, num_err_log_entries, 176);
SPEC_OFFSET(struct nvme_smart_log, temp_sensor, 200);

/* Base, "Firmware Slot Information Log Page". */
struct nvme_firmware_slot {
	uint8_t afi;
	uint8_t rsvd1[7];
	char frs[7][8];
	uint8_t rsvd64[448];
};
SPEC_SIZE(struct nvme_firmware_slot, 512);

/* Base, "Commands Supported and Effects Log Page". */
struct nvme_cmd_effects_log {
	le32 acs[256];
	le32 iocs[256];
	uint8_t rsvd2048[2048];
};
SPEC_SIZE(struct nvme_cmd_effects_log, 4096);
#define NVME_CMD_EFFECTS_CSUPP	(1u << 0)
#define NVME_CMD_EFFECTS_LBCC	(1u << 1)	/* logical block content change */
#define NVME_CMD_EFFECTS_NCC	(1u << 2)	/* namespace capability change */
#define NVME_CMD_EFFECTS_NIC	(1u << 3)	/* namespace inventory change */
#define NVME_CMD_EFFECTS_CCC	(1u << 4)	/* controller capability change */
#define NVME_CMD_EFFECTS_CSE_SHIFT 16		/* 1: one at a time per namespace, 2: at all */

/* Base, "Feature Identifiers Supported and Effects Log Page". */
struct nvme_fid_effects_log {
	le32 fid_support[256];
};
SPEC_SIZE(struct nvme_fid_effects_log, 1024);
#define NVME_FID_FSUPP		(1u << 0)
#define NVME_FID_UDCC		(1u << 1)
#define NVME_FID_NCC		(1u << 2)
#define NVME_FID_NIC		(1u << 3)
#define NVME_FID_CCC		(1u << 4)
#define NVME_FID_FSP_SHIFT	20		/* scope: bit 20 namespace, 21 controller, ... */

/* ------------------------------------------------------ asynchronous events */

/* Base, "Asynchronous Event Request - Completion Queue Entry Dword 0" and the tables it names. */
enum nvme_ae_type {
	NVME_AER_ERROR		= 0,
	NVME_AER_SMART		= 1,
	NVME_AER_NOTICE		= 2,
	NVME_AER_IMMEDIATE	= 3,
	NVME_AER_ONESHOT	= 4,
	NVME_AER_CSS		= 6,
	NVME_AER_VS		= 7,
};
enum nvme_ae_info {
	NVME_AER_ERROR_INVALID_DB_REG	= 0x00,
	NVME_AER_ERROR_INVALID_DB_VAL	= 0x01,
	NVME_AER_ERROR_DIAG_FAILURE	= 0x02,
	NVME_AER_ERROR_PERSISTENT_INTERNAL_ERROR = 0x03,
	NVME_AER_ERROR_TRANSIENT_INTERNAL_ERROR = 0x04,
	NVME_AER_SMART_SUBSYSTEM_RELIABILITY = 0x00,
	NVME_AER_SMART_TEMPERATURE_THRESHOLD = 0x01,
	NVME_AER_SMART_SPARE_THRESHOLD	= 0x02,
	NVME_AER_ONESHOT_CDQ_TAIL	= 0x00,
	NVME_AER_ONESHOT_CDQ_FULL	= 0x01,
	NVME_AER_NOTICE_NS_CHANGED	= 0x00,
	NVME_AER_NOTICE_FW_ACT_STARTING	= 0x01,
	NVME_AER_NOTICE_ANA		= 0x03,
};

/* ------------------------------------------------------- data of I/O commands */

/* NVM, "Dataset Management - Range Definition". */
struct nvme_dsm_range {
	le32 cattr;
	le32 nlb;			/* 1-based */
	le64 slba;
};
SPEC_SIZE(struct nvme_dsm_range, 16);
#define NVME_DSM_NR(cdw10)	((cdw10) & 0xffu)	/* 0-based */
#define NVME_DSMGMT_IDR		(1u << 0)
#define NVME_DSMGMT_IDW		(1u << 1)
#define NVME_DSMGMT_AD		(1u << 2)
#define NVME_DSM_MAX_RANGES	256

/* NVM, "Copy - Source Range Entries Copy Descriptor Format 0h". */
struct nvme_copy_range {
	uint8_t rsvd0[8];
	le64 slba;
	le16 nlb;			/* 0-based */
	uint8_t rsvd18[6];
	le32 eilbrt;
	le16 elbat, elbatm;
};
SPEC_SIZE(struct nvme_copy_range, 32);
SPEC_OFFSET(struct nvme_copy_range, slba, 8);
SPEC_OFFSET(struct nvme_copy_range, nlb, 16);
SPEC_OFFSET(struct nvme_copy_range, elbatm, 30);
/* Copy CDW12. */
#define NVME_COPY_NR(cdw12)	((cdw12) & 0xffu)	/* 0-based */
#define NVME_COPY_DESFMT(cdw12)	((cdw12) >> 8 & 0xfu)
#define NVME_COPY_PRINFOR(cdw12) ((cdw12) >> 12 & 0xfu)
#define NVME_COPY_DTYPE(cdw12)	((cdw12) >> 20 & 0xfu)

/* ------------------------------------------------------- namespace commands */

/* Base, "Namespace Management" and "Namespace Attachment", CDW10 SEL. */
enum nvme_ns_mgmt_sel {
	NVME_NS_MGMT_SEL_CREATE = 0,
	NVME_NS_MGMT_SEL_DELETE = 1,
};
enum nvme_ns_attach_sel {
	NVME_NS_ATTACH_SEL_CTRL_ATTACH = 0,
	NVME_NS_ATTACH_SEL_CTRL_DEATTACH = 1,
};

/* Base, "Format NVM - Command Dword 10". */
#define NVME_FORMAT_LBAF(cdw10)	(((cdw10) & 0xfu) | ((cdw10) >> 8 & 0x30u))
#define NVME_FORMAT_MSET(cdw10)	((cdw10) >> 4 & 0x1u)
#define NVME_FORMAT_PI(cdw10)	((cdw10) >> 5 & 0x7u)
#define NVME_FORMAT_PIL(cdw10)	((cdw10) >> 8 & 0x1u)
#define NVME_FORMAT_SES(cdw10)	((cdw10) >> 9 & 0x7u)
enum nvme_cmd_format_ses {
	NVME_FORMAT_SES_NONE = 0,
	NVME_FORMAT_SES_USER_DATA_ERASE = 1,
	NVME_FORMAT_SES_CRYPTO_ERASE = 2,
};

#endif
