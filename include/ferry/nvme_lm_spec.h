/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Layouts and numbers of host managed live migration, no logic: TP4159, in
 * Base 2.1 and later; the LBA migration queue is of NVM 1.1. As nvme_spec.h.
 */
#ifndef FERRY_NVME_LM_SPEC_H
#define FERRY_NVME_LM_SPEC_H

#include <ferry/base.h>

/* CDW10: SEL 7:0, MOS (operation specific) 31:16; bits here are those of the whole dword. */
#define NVME_LM_SEL(cdw10)		((cdw10) & 0xffu)

/* Base, "Migration Send - Select". */
enum nvme_lm_send_sel {
	NVME_LM_SEL_SUSPEND		= 0,
	NVME_LM_SEL_RESUME		= 1,
	NVME_LM_SEL_SET_CONTROLLER_STATE = 2,
};
/* Suspend, CDW11: CNTLID 15:0. */
#define NVME_LM_STYPE(cdw11)		((cdw11) >> 16 & 0xffu)
#define NVME_LM_STYPE_NOTIFY		0u
#define NVME_LM_STYPE_SUSPEND		1u
#define NVME_LM_DUDMQ			(1u << 31)
/* Set Controller State. Sequence indicator: CDW10 17:16; CDW11: CNTLID, CSVI, CSUUIDI. */
#define NVME_LM_SEQIND(cdw10)		((cdw10) >> 16 & 3u)
#define NVME_LM_SEQIND_MIDDLE		0u
#define NVME_LM_SEQIND_FIRST		1u
#define NVME_LM_SEQIND_LAST		2u
#define NVME_LM_SEQIND_ONLY		3u
#define NVME_LM_SET_CSVI(cdw11)		((cdw11) >> 16 & 0xffu)
#define NVME_LM_SET_CSUUIDI(cdw11)	((cdw11) >> 24)
/* Migration Receive, Get Controller State: the same are elsewhere. */
#define NVME_LM_SEL_GET_CONTROLLER_STATE 0
#define NVME_LM_GET_CSVI(cdw10)		((cdw10) >> 16 & 0xffu)
#define NVME_LM_GET_CSUUIDI(cdw11)	((cdw11) >> 16 & 0xffu)
#define NVME_LM_CSUP			(1u << 0)	/* DW0 of the completion */

/* Base, "Controller State data structure". Sizes count dwords and have 128 bits, low half first. */
struct nvme_lm_state {
	le16 ver;
	uint8_t csattr;
	uint8_t rsvd3[13];
	le64 nvmecss[2];
	le64 vss[2];
};
SPEC_SIZE(struct nvme_lm_state, 48);
SPEC_OFFSET(struct nvme_lm_state, vss, 32);
#define NVME_LM_CSATTR_SUSPENDED	(1u << 0)

/* Base, "NVMe Controller State data structure", version 0: header, SQs, CQs. */
struct nvme_lm_nvme_state {
	le16 ver, niosq, niocq, rsvd6;
};
SPEC_SIZE(struct nvme_lm_nvme_state, 8);

struct nvme_lm_sq {
	le64 prp1;
	le16 qsize, qid, cqid;		/* qsize: 0-based */
	le16 attr;			/* PC 0, QPRIO 2:1 */
	le16 head, tail;
	le32 rsvd20;
};
SPEC_SIZE(struct nvme_lm_sq, 24);

struct nvme_lm_cq {
	le64 prp1;
	le16 qsize, qid, head, tail;
	le32 attr;			/* PC 0, IEN 1, S0PT 2, IV 31:16 */
	le32 rsvd20;
};
SPEC_SIZE(struct nvme_lm_cq, 24);
#define NVME_LM_SQ_PC			(1u << 0)
#define NVME_LM_SQ_QPRIO(attr)		((attr) >> 1 & 3u)
#define NVME_LM_CQ_PC			(1u << 0)
#define NVME_LM_CQ_IEN			(1u << 1)
#define NVME_LM_CQ_S0PT			(1u << 2)

/* Base, "Track Send - Select"; CDW10 19:16 LACT, or bit 16 TACT. */
enum nvme_track_sel {
	NVME_TRACK_SEL_LOG_USER_DATA	= 0,
	NVME_TRACK_SEL_MEMORY		= 1,
};
#define NVME_TRACK_LACT(cdw10)		((cdw10) >> 16 & 0xfu)
#define NVME_TRACK_TACT(cdw10)		((cdw10) >> 16 & 1u)
#define NVME_TRACK_SEL_REPORT		0	/* Track Receive: Tracked Memory Changes */

/* Base, "Track Memory Changes data structure". */
struct nvme_track_mem {
	uint8_t ver, rsvd1[2], rmrtg;
	le32 rnmrtd;
};
SPEC_SIZE(struct nvme_track_mem, 8);

struct nvme_track_range {
	le64 saddr;
	le32 len;			/* granules */
} __attribute__((packed));
SPEC_SIZE(struct nvme_track_range, 12);

/* Base, "Tracked Memory Changes data structure". */
struct nvme_track_report {
	uint8_t ver, attrb;
	le16 cntlid;
	le32 ntmcd;
	le16 rpmpg;
	uint8_t rsvd10[6];
};
SPEC_SIZE(struct nvme_track_report, 16);
#define NVME_TRACK_MTR			(1u << 0)
#define NVME_TRACK_SUSP			(1u << 1)

struct nvme_track_changed {
	le64 saddr;
	le32 len;			/* granules */
	le32 rsvd12;
};
SPEC_SIZE(struct nvme_track_changed, 16);

/* Base, "Controller Data Queue - Select"; create: QT in CDW10 23:16. */
enum nvme_cdq_sel {
	NVME_CDQ_SEL_CREATE		= 0,
	NVME_CDQ_SEL_DELETE		= 1,
};
#define NVME_CDQ_QT(cdw10)		((cdw10) >> 16 & 0xffu)
#define NVME_CDQ_QT_USER_DATA		0u
#define NVME_CDQ_PC			(1u << 0)	/* CDW11 */

/* NVM, "LBA Migration Queue Entry Type 0". */
struct nvme_lba_migration {
	le32 nsid, nlb;			/* nlb: 0-based */
	le64 slba;
	uint8_t rsvd16[15];
	uint8_t attr;
};
SPEC_SIZE(struct nvme_lba_migration, 32);
SPEC_OFFSET(struct nvme_lba_migration, attr, 31);
#define NVME_LBAMQ_PHASE		(1u << 0)
#define NVME_LBAMQ_ESA(esa)		((esa) << 1)
#define NVME_LBAMQ_ESA_GET(attr)	((attr) >> 1 & 7u)
#define NVME_LBAMQ_DEALLOCATED		(1u << 5)
#define NVME_LBAMQ_NO_RANGE		(2u << 6)	/* LBACIR */
enum nvme_lbamq_esa {
	NVME_LBAMQ_ESA_NONE		= 0,
	NVME_LBAMQ_ESA_FIRST		= 1,	/* since logging started, or since resume */
	NVME_LBAMQ_ESA_STOPPED		= 2,
	NVME_LBAMQ_ESA_SUSPENDED	= 3,
	NVME_LBAMQ_ESA_FULL		= 7,	/* logging has stopped: changes are lost */
};

/* Base, "Controller Data Queue - Set Features". CDW11: CDQID 15:0. */
#define NVME_FEAT_CDQ_ETPT		(1u << 31)
struct nvme_feat_cdq {
	le32 hp, tpt;
	uint8_t rsvd8[504];
};
SPEC_SIZE(struct nvme_feat_cdq, 512);

/* Base, "Identify Controller": TRATTR. */
#define NVME_TRATTR_THMCS		(1u << 0)
#define NVME_TRATTR_TUDCS		(1u << 1)

#endif
