/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The namespace table: from the host's side, from the guest's (Namespace
 * Management, Attachment, Format), and both while I/O is in flight.
 */
#include <pthread.h>

#include "nvme_rig.h"

#define NS_SIZE (1u << 20)

static struct rig r;
static struct fake_dev fake;
static struct ferry_err err;

static struct nvme_sqe io(uint8_t opcode, uint32_t nsid, uint64_t lba, uint32_t nlb)
{
	return rig_io(&r, opcode, nsid, lba, nlb, RIG_DATA, (uint64_t)nlb << 9, RIG_DATA - 8192);
}

static void setup(void)
{
	rig_init(&r);
	fake_init(&fake, NS_SIZE);
	r.fake = &fake;
}

static void teardown(void)
{
	block_put(&fake.dev);
	rig_fini(&r);
	CHECK(fake.closed);
}

/* ------------------------------------------------------------------ host's side */

static int add(uint64_t size, uint32_t align, unsigned int shift, uint32_t nsid, uint32_t *got)
{
	struct nvme_ns_config cfg = { .nsid = nsid, .lba_shift = shift };

	atomic_store(&fake.dev.size, size);
	fake.dev.align = align;
	return nvme_ns_add(r.ss, &fake.dev, &cfg, got, &err);
}

static void test_ns__add_checks(void)
{
	uint32_t id;

	setup();
	CHECK(add(NS_SIZE, 512, 10, 0, &id) == -EINVAL);
	CHECK(add(NS_SIZE, 4096, 9, 0, &id) == -EINVAL);
	CHECK(add(NS_SIZE + 512, 512, 12, 0, &id) == -EINVAL);
	CHECK(add(0, 512, 9, 0, &id) == -EINVAL);
	CHECK(add(NS_SIZE, 512, 9, 129, &id) == -EINVAL);
	CHECK(add(NS_SIZE, 512, 9, 128, &id) == 0 && id == 128);
	CHECK(add(NS_SIZE, 512, 9, 128, &id) == -EEXIST);
	CHECK(add(NS_SIZE, 4096, 12, 0, &id) == 0 && id == 1);
	CHECK(add(NS_SIZE, 512, 9, 3, &id) == 0 && id == 3);
	CHECK(add(NS_SIZE, 512, 9, 0, &id) == 0 && id == 2);
	while (!add(NS_SIZE, 512, 9, 0, &id))
		;
	CHECK(nvme_ns_list(r.ss, NULL, 0) == 128);
	CHECK(nvme_ns_remove(r.ss, 77, &err) == 0);
	CHECK(add(NS_SIZE, 512, 9, 0, &id) == 0 && id == 77);
	CHECK(nvme_ns_remove(r.ss, 200, &err) == -ENOENT);
	teardown();
}

static void test_ns__attach_detach_remove(void)
{
	struct nvme_ns_info info[2];
	struct nvme_ns_config cfg = { .lba_shift = 9, .name = "a name", .uuid = { 1, 2, 3 } };
	uint32_t id;

	setup();
	CHECK(!nvme_ns_add(r.ss, &fake.dev, &cfg, &id, &err));
	CHECK(nvme_ns_list(r.ss, info, 2) == 1);
	CHECK(info[0].nsid == 1 && info[0].size == NS_SIZE && info[0].lba_shift == 9 &&
	      !info[0].attached && !strcmp(info[0].name, "a name") &&
	      !strcmp(info[0].store, "fake") && info[0].uuid[2] == 3);
	CHECK_STATUS(rig_cmd(&r, 1, io(nvme_cmd_read, id, 0, 1)), NVME_SC_INVALID_FIELD);
	CHECK(nvme_ns_attach(r.ss, id, 2, &err) == -ENOENT);
	CHECK(nvme_ns_attach(r.ss, id + 1, 1, &err) == -ENOENT);
	CHECK(nvme_ns_detach(r.ss, id, 1, &err) == -ENOENT);
	CHECK(!nvme_ns_attach(r.ss, id, 1, &err));
	CHECK(nvme_ns_attach(r.ss, id, 1, &err) == -EEXIST);
	CHECK_STATUS(rig_cmd(&r, 1, io(nvme_cmd_read, id, 0, 1)), 0);
	CHECK(nvme_ns_remove(r.ss, id, &err) == -EBUSY);
	CHECK(!nvme_ns_detach(r.ss, id, 1, &err));
	CHECK_STATUS(rig_cmd(&r, 1, io(nvme_cmd_read, id, 0, 1)), NVME_SC_INVALID_FIELD);
	CHECK(!nvme_ns_remove(r.ss, id, &err));
	CHECK(nvme_ns_list(r.ss, info, 2) == 0);
	teardown();
}

static void test_ns__remove_waits_for_commands(void)
{
	struct nvme_sqe s;
	uint32_t id;

	setup();
	id = rig_add(&r, &fake.dev, 9);
	fake.slow = true;
	s = io(nvme_cmd_read, id, 0, 8);
	rig_ring(&r, 1, &s);
	while (env_step(r.env, false))
		;
	CHECK(fake.nr_pending == 1);
	CHECK(!nvme_ns_detach(r.ss, id, 1, &err));
	CHECK(nvme_ns_remove(r.ss, id, &err) == -EBUSY);
	CHECK_STATUS(rig_wait(&r, 1), 0);
	CHECK(!nvme_ns_remove(r.ss, id, &err));
	teardown();
}

static void test_ns__resize(void)
{
	uint32_t id;

	setup();
	id = rig_add(&r, &fake.dev, 9);
	CHECK_STATUS(rig_cmd(&r, 1, io(nvme_cmd_verify, id, 1024, 1)), 0);
	atomic_store(&fake.dev.size, NS_SIZE / 2);
	nvme_ns_resized(r.ss, id);
	nvme_ns_resized(r.ss, 99);
	CHECK_STATUS(rig_cmd(&r, 1, io(nvme_cmd_verify, id, 1024, 1)), NVME_SC_LBA_RANGE);
	teardown();
}

/* A control plane that attaches, detaches and removes as fast as it can, against I/O. */
static atomic_bool stop;

static void *churn(void *arg)
{
	struct nvme_ns_config cfg = { .lba_shift = 9 };
	struct block_dev *dev = arg;
	uint32_t id;

	while (!atomic_load(&stop)) {
		if (!nvme_ns_add(r.ss, dev, &cfg, &id, NULL)) {
			nvme_ns_attach(r.ss, id, 1, NULL);
			nvme_ns_detach(r.ss, id, 1, NULL);
		}
		while (nvme_ns_remove(r.ss, 1, NULL) == -EBUSY && !atomic_load(&stop))
			;
	}
	return NULL;
}

static void test_ns__churn_against_io(void)
{
	struct block_dev *dev;
	unsigned int i, ok = 0;
	pthread_t t;

	setup();
	MUST(!block_open("memory", NS_SIZE, 0, &dev, &err));
	atomic_store(&stop, false);
	MUST(!pthread_create(&t, NULL, churn, dev));
	/* Until the two have met often enough, whatever else the machine does. */
	for (i = 0; i < 20000 || (ok < 100 && i < 1000000); i++) {
		uint16_t st = rig_cmd(&r, 1, io(nvme_cmd_read, 1, 0, 8)) & NVME_SC_MASK;

		CHECK(!st || st == NVME_SC_INVALID_FIELD);
		ok += !st;
	}
	atomic_store(&stop, true);
	pthread_join(t, NULL);
	printf("# %u of %u reads found it\n", ok, i);
	block_put(dev);
	teardown();
}

/* ----------------------------------------------------------------- guest's side */

static uint16_t ns_create(uint64_t nsze, uint64_t ncap, uint8_t flbas, uint8_t nmic)
{
	struct nvme_sqe s = { .opcode = nvme_admin_ns_mgmt };
	struct nvme_id_ns *id = (void *)(r.ram_bytes + RIG_DATA);

	memset(id, 0, sizeof(*id));
	id->nsze = le64_of(nsze);
	id->ncap = le64_of(ncap);
	id->flbas = flbas;
	id->nmic = nmic;
	s.prp1 = le64_of(RAM_IOVA + RIG_DATA);
	return rig_cmd(&r, 0, s);
}

static uint16_t ns_delete(uint32_t nsid)
{
	return rig_cmd(&r, 0, (struct nvme_sqe){ .opcode = nvme_admin_ns_mgmt,
		.nsid = le32_of(nsid), .cdw10 = le32_of(NVME_NS_MGMT_SEL_DELETE) });
}

static uint16_t ns_attach(uint32_t nsid, unsigned int sel, unsigned int num, uint16_t id0,
			  uint16_t id1)
{
	struct nvme_sqe s = { .opcode = nvme_admin_ns_attach, .nsid = le32_of(nsid) };
	le16 *list = (void *)(r.ram_bytes + RIG_DATA);

	memset(list, 0, 4096);
	list[0] = le16_of((uint16_t)num);
	list[1] = le16_of(id0);
	list[2] = le16_of(id1);
	s.cdw10 = le32_of(sel);
	s.prp1 = le64_of(RAM_IOVA + RIG_DATA);
	return rig_cmd(&r, 0, s);
}

static void test_ns_mgmt__create_and_delete(void)
{
	uint32_t a, b;

	setup();
	CHECK_STATUS(ns_create(0, 0, 0, 0), NVME_SC_INVALID_FIELD);
	CHECK_STATUS(ns_create(2048, 2049, 0, 0), NVME_SC_INVALID_FIELD);
	CHECK_STATUS(ns_create(2048, 2047, 0, 0), NVME_SC_THIN_PROV_NOT_SUPP);
	CHECK_STATUS(ns_create(2048, 2048, 2, 0), NVME_SC_INVALID_FORMAT);
	CHECK_STATUS(ns_create(2048, 2048, 0x21, 0), NVME_SC_INVALID_FORMAT);
	CHECK_STATUS(ns_create(UINT64_MAX, UINT64_MAX, 1, 0), NVME_SC_NS_INSUFFICIENT_CAP);
	CHECK_STATUS(ns_create(131073, 131073, 0, 0), NVME_SC_NS_INSUFFICIENT_CAP);
	CHECK_STATUS(ns_create(65536, 65536, 0, 0), 0);		/* half of the 64 MiB */
	a = r.dw0;
	CHECK_STATUS(ns_create(8192, 8192, 1, 1), 0);		/* the other half */
	b = r.dw0;
	CHECK(a == 1 && b == 2 && r.ss->unallocated == 0);
	CHECK_STATUS(ns_create(1, 1, 0, 0), NVME_SC_NS_INSUFFICIENT_CAP);
	CHECK_STATUS(rig_cmd(&r, 1, io(nvme_cmd_read, a, 0, 1)), NVME_SC_INVALID_FIELD);
	CHECK_STATUS(ns_delete(0), NVME_SC_INVALID_NS);
	CHECK_STATUS(ns_delete(129), NVME_SC_INVALID_NS);
	CHECK_STATUS(ns_delete(3), NVME_SC_INVALID_FIELD);
	CHECK_STATUS(ns_delete(a), 0);
	CHECK(r.ss->unallocated == 32u << 20);
	CHECK_STATUS(ns_create(1, 1, 0, 0), 0);
	CHECK(r.dw0 == a);
	CHECK_STATUS(ns_delete(NVME_NSID_ALL), 0);
	CHECK_STATUS(ns_delete(NVME_NSID_ALL), 0);
	CHECK(r.ss->unallocated == 64u << 20 && nvme_ns_list(r.ss, NULL, 0) == 0);
	CHECK_STATUS(rig_cmd(&r, 0, (struct nvme_sqe){ .opcode = nvme_admin_ns_mgmt,
		.cdw10 = le32_of(5) }), NVME_SC_INVALID_FIELD);
	CHECK_STATUS(rig_cmd(&r, 0, (struct nvme_sqe){ .opcode = nvme_admin_ns_mgmt,
		.cdw11 = le32_of(2u << 24) }), NVME_SC_IOCS_NOT_SUPPORTED);
	teardown();
}

static void test_ns_mgmt__nsids_run_out(void)
{
	unsigned int i;

	setup();
	for (i = 1; i <= NVME_NSID_MAX; i++)
		CHECK_STATUS(ns_create(8, 8, 0, 0), 0);
	CHECK_STATUS(ns_create(8, 8, 0, 0), NVME_SC_NS_ID_UNAVAILABLE);
	CHECK(r.ss->unallocated == (64u << 20) - 128 * 4096);
	teardown();
}

static void test_ns_attachment__statuses(void)
{
	uint32_t id;

	setup();
	CHECK_STATUS(ns_create(2048, 2048, 0, 0), 0);
	id = r.dw0;
	CHECK_STATUS(ns_attach(id, 0, 0, 0, 0), NVME_SC_CTRL_LIST_INVALID);
	CHECK_STATUS(ns_attach(id, 0, 2048, 1, 0), NVME_SC_CTRL_LIST_INVALID);
	CHECK_STATUS(ns_attach(id, 0, 0xffff, 1, 0), NVME_SC_CTRL_LIST_INVALID);
	CHECK_STATUS(ns_attach(id, 0, 1, 9, 0), NVME_SC_CTRL_LIST_INVALID);
	CHECK_STATUS(ns_attach(id, 0, 2, 1, 1), NVME_SC_CTRL_LIST_INVALID);
	CHECK_STATUS(ns_attach(id, 2, 1, 1, 0), NVME_SC_INVALID_FIELD);
	CHECK_STATUS(ns_attach(0, 0, 1, 1, 0), NVME_SC_INVALID_NS);
	CHECK_STATUS(ns_attach(NVME_NSID_ALL, 0, 1, 1, 0), NVME_SC_INVALID_NS);
	CHECK_STATUS(ns_attach(99, 0, 1, 1, 0), NVME_SC_INVALID_FIELD);
	CHECK_STATUS(ns_attach(id, 1, 1, 1, 0), NVME_SC_NS_NOT_ATTACHED);
	CHECK_STATUS(ns_attach(id, 0, 1, 1, 0), 0);
	CHECK_STATUS(ns_attach(id, 0, 1, 1, 0), NVME_SC_NS_ALREADY_ATTACHED);
	CHECK_STATUS(rig_cmd(&r, 1, io(nvme_cmd_write, id, 0, 8)), 0);
	CHECK_STATUS(ns_attach(id, 1, 1, 1, 0), 0);
	CHECK_STATUS(rig_cmd(&r, 1, io(nvme_cmd_write, id, 0, 8)), NVME_SC_INVALID_FIELD);
	/* Private, and held by another controller. */
	atomic_store(&r.ss->ns[id]->attached[0], 1ull << 5);
	CHECK_STATUS(ns_attach(id, 0, 1, 1, 0), NVME_SC_NS_IS_PRIVATE);
	atomic_store(&r.ss->ns[id]->attached[0], 0);
	teardown();
}

static void test_ns_mgmt__delete_waits_for_io(void)
{
	struct nvme_sqe s, del = { .opcode = nvme_admin_ns_mgmt,
				   .cdw10 = le32_of(NVME_NS_MGMT_SEL_DELETE) };
	struct nvme_cqe cqe;
	unsigned int i;
	uint32_t id;

	setup();
	id = rig_add(&r, &fake.dev, 9);
	fake.slow = true;
	s = io(nvme_cmd_read, id, 0, 8);
	rig_ring(&r, 1, &s);
	del.nsid = le32_of(id);
	rig_ring(&r, 0, &del);
	for (i = 0; i < 5; i++)
		env_step(r.env, true);
	CHECK(fake.nr_pending == 1 && !rig_reap(&r, 0, &cqe));
	CHECK_STATUS(rig_cmd(&r, 2, io(nvme_cmd_flush, 99, 0, 1)), NVME_SC_INVALID_FIELD);
	CHECK_STATUS(rig_wait(&r, 1), 0);
	CHECK_STATUS(rig_wait(&r, 0), 0);
	CHECK(nvme_ns_list(r.ss, NULL, 0) == 0);
	teardown();
}

/* ----------------------------------------------------------------------- format */

static uint16_t format(uint32_t nsid, uint32_t cdw10)
{
	return rig_cmd(&r, 0, (struct nvme_sqe){ .opcode = nvme_admin_format_nvm,
		.nsid = le32_of(nsid), .cdw10 = le32_of(cdw10) });
}

static void test_format__statuses(void)
{
	uint32_t id;

	setup();
	id = rig_add(&r, &fake.dev, 9);
	CHECK_STATUS(format(0, 0), NVME_SC_INVALID_NS);
	CHECK_STATUS(format(129, 0), NVME_SC_INVALID_NS);
	CHECK_STATUS(format(99, 0), NVME_SC_INVALID_FIELD);
	CHECK_STATUS(format(id, 2), NVME_SC_INVALID_FORMAT);
	CHECK_STATUS(format(id, 1 << 12), NVME_SC_INVALID_FORMAT);	/* LBAFU */
	CHECK_STATUS(format(id, 1 << 5), NVME_SC_INVALID_FORMAT);	/* PI */
	CHECK_STATUS(format(id, 2 << 9), NVME_SC_INVALID_FIELD);	/* crypto erase */
	fake.dev.read_only = true;
	CHECK_STATUS(format(id, 0), NVME_SC_NS_WRITE_PROTECTED);
	fake.dev.read_only = false;
	fake.dev.align = 4096;
	CHECK_STATUS(format(id, 0), NVME_SC_INVALID_FORMAT);
	fake.dev.align = 512;
	atomic_store(&fake.dev.size, NS_SIZE - 512);
	CHECK_STATUS(format(id, 1), NVME_SC_INVALID_FORMAT);
	teardown();
}

static void test_format__changes_and_erases(void)
{
	uint32_t id;
	unsigned int i, slow;

	setup();
	id = rig_add(&r, &fake.dev, 9);
	for (slow = 0; slow < 2; slow++) {
		fake.slow = slow;
		fake.no_discard = slow;
		memset(fake.data, 0x55, NS_SIZE);
		CHECK_STATUS(format(id, 1 | 1 << 9), 0);
		CHECK(atomic_load(&r.ss->ns[id]->lba_shift) == 12);
		CHECK(atomic_load(&r.ss->ns[id]->nsze) == NS_SIZE >> 12);
		for (i = 0; i < NS_SIZE && !fake.data[i]; i++)
			;
		CHECK(i == NS_SIZE);
		CHECK_STATUS(rig_cmd(&r, 1, io(nvme_cmd_verify, id, NS_SIZE >> 12, 1)),
			     NVME_SC_LBA_RANGE);
		CHECK_STATUS(format(NVME_NSID_ALL, 0), 0);
		CHECK(atomic_load(&r.ss->ns[id]->nsze) == NS_SIZE >> 9);
	}
	fake.slow = fake.no_discard = false;
	fake.fail = -EIO;
	fake.fail_in = 0;
	CHECK_STATUS(format(id, 1), NVME_SC_WRITE_FAULT);
	CHECK(atomic_load(&r.ss->ns[id]->lba_shift) == 9);
	CHECK_STATUS(rig_cmd(&r, 1, io(nvme_cmd_read, id, 0, 8)), 0);
	teardown();
}

static void test_format__waits_and_keeps_io_out(void)
{
	struct nvme_sqe s, f = { .opcode = nvme_admin_format_nvm, .cdw10 = le32_of(1) };
	struct nvme_cqe cqe;
	unsigned int i;
	uint32_t id;

	setup();
	id = rig_add(&r, &fake.dev, 9);
	f.nsid = le32_of(id);
	fake.slow = true;
	s = io(nvme_cmd_read, id, 0, 8);
	rig_ring(&r, 1, &s);
	rig_ring(&r, 0, &f);
	for (i = 0; i < 5; i++)
		env_step(r.env, true);
	CHECK(fake.nr_pending == 1 && !fake.ops[BLOCK_DISCARD]);
	r.fake = NULL;				/* hold the read back */
	CHECK_STATUS(rig_cmd(&r, 2, io(nvme_cmd_write, id, 0, 8)), NVME_SC_FORMAT_IN_PROGRESS);
	CHECK_STATUS(rig_cmd(&r, 2, io(nvme_cmd_flush, id, 0, 8)), NVME_SC_FORMAT_IN_PROGRESS);
	CHECK_STATUS(rig_cmd(&r, 2, io(nvme_cmd_flush, NVME_NSID_ALL, 0, 8)),
		     NVME_SC_FORMAT_IN_PROGRESS);
	CHECK_STATUS(format(id, 0), NVME_SC_FORMAT_IN_PROGRESS);
	r.fake = &fake;
	CHECK_STATUS(rig_wait(&r, 1), 0);
	CHECK_STATUS(rig_wait(&r, 0), 0);
	CHECK(atomic_load(&r.ss->ns[id]->lba_shift) == 12);
	/* Reset in the middle. */
	rig_ring(&r, 0, &f);
	for (i = 0; i < 5 && !fake.nr_pending; i++)
		env_step(r.env, true);
	CHECK(!rig_reap(&r, 0, &cqe) && fake.nr_pending == 1);
	rig_disable(&r);
	CHECK(!atomic_load(&r.ss->ns[id]->formatting) && !r.c->nr_executing);
	teardown();
}

int main(void)
{
	RUN(test_ns__add_checks);
	RUN(test_ns__attach_detach_remove);
	RUN(test_ns__remove_waits_for_commands);
	RUN(test_ns__resize);
	RUN(test_ns__churn_against_io);
	RUN(test_ns_mgmt__create_and_delete);
	RUN(test_ns_mgmt__nsids_run_out);
	RUN(test_ns_attachment__statuses);
	RUN(test_ns_mgmt__delete_waits_for_io);
	RUN(test_format__statuses);
	RUN(test_format__changes_and_erases);
	RUN(test_format__waits_and_keeps_io_out);
	return tap_end();
}
