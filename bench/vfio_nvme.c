/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * A polling NVMe driver over VFIO (group and TYPE1v2), as small as a
 * benchmark can use: it knows nothing of ferry and runs on hardware too.
 *
 *   vfio_nvme BDF read DEPTH SECONDS    4 KiB random reads; prints JSON
 *   vfio_nvme BDF write DEPTH SECONDS
 *   vfio_nvme BDF fill DEPTH SECONDS    every block once, so that reads find memory and not holes
 *   vfio_nvme BDF reg SECONDS           trapped 4-byte reads of VS by pread
 *   vfio_nvme BDF idle SECONDS          enabled, one I/O queue pair, doorbells mapped, does nothing
 *
 * Several BDFs, separated by commas, are set up for idle.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <x86intrin.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <ferry/base.h>
#include <ferry/nvme_spec.h>

#define POOL_SIZE (8ul << 20)
#define IOVA_BASE 0x100000ul
#define Q_ENTRIES 256u
#define BLOCK 4096u

struct dev {
	int fd;
	volatile uint32_t *regs;
	uint64_t config_off, bar_off, bar_size;
	uint8_t *pool;
	uint64_t pool_iova;
	uint64_t nsze;
	unsigned int lba_shift;
	struct nvme_sqe *sq[2];
	volatile struct nvme_cqe *cq[2];
	uint32_t tail[2], head[2];
	bool phase[2];
	uint16_t cid;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int container = -1;
static uint64_t next_iova = IOVA_BASE;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void map_pool(struct dev *d)
{
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map) };
	int fd = memfd_create("vfio_nvme", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, POOL_SIZE))
		die("memfd");
	d->pool = mmap(NULL, POOL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (d->pool == MAP_FAILED)
		die("mmap");
	d->pool_iova = next_iova;
	next_iova += POOL_SIZE;
	map.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
	map.vaddr = (uintptr_t)d->pool;
	map.iova = d->pool_iova;
	map.size = POOL_SIZE;
	if (ioctl(container, VFIO_IOMMU_MAP_DMA, &map))
		die("VFIO_IOMMU_MAP_DMA");
}

static void open_device(struct dev *d, const char *bdf)
{
	struct vfio_region_info reg = { .argsz = sizeof(reg) };
	char path[384], link[256], *slash;
	uint16_t cmd;
	ssize_t n;
	int group;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		die(path);
	link[n] = 0;
	slash = strrchr(link, '/');
	snprintf(path, sizeof(path), "/dev/vfio/%s", slash ? slash + 1 : link);
	group = open(path, O_RDWR | O_CLOEXEC);
	if (group < 0)
		die(path);
	if (container < 0) {
		container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
		if (container < 0)
			die("/dev/vfio/vfio");
		if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) ||
		    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
			die("VFIO_SET_IOMMU");
	} else if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container)) {
		die("VFIO_GROUP_SET_CONTAINER");
	}
	d->fd = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	if (d->fd < 0)
		die("VFIO_GROUP_GET_DEVICE_FD");
	reg.index = VFIO_PCI_CONFIG_REGION_INDEX;
	if (ioctl(d->fd, VFIO_DEVICE_GET_REGION_INFO, &reg))
		die("config region");
	d->config_off = reg.offset;
	reg.index = VFIO_PCI_BAR0_REGION_INDEX;
	if (ioctl(d->fd, VFIO_DEVICE_GET_REGION_INFO, &reg))
		die("BAR0");
	d->bar_off = reg.offset;
	d->bar_size = reg.size;
	if (pread(d->fd, &cmd, 2, (off_t)(d->config_off + PCI_COMMAND)) != 2)
		die("config read");
	cmd |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	if (pwrite(d->fd, &cmd, 2, (off_t)(d->config_off + PCI_COMMAND)) != 2)
		die("config write");
}

static volatile uint32_t *doorbell(struct dev *d, unsigned int idx)
{
	return d->regs + 0x1000 / 4 + idx;
}

static void submit(struct dev *d, unsigned int q, const struct nvme_sqe *sqe, uint32_t entries)
{
	d->sq[q][d->tail[q]] = *sqe;
	if (++d->tail[q] == entries)
		d->tail[q] = 0;
}

static void ring(struct dev *d, unsigned int q)
{
	__atomic_store_n((uint32_t *)(uintptr_t)doorbell(d, 2 * q), d->tail[q], __ATOMIC_RELEASE);
}

/* One completion, or -1; status in *@status. */
static int reap(struct dev *d, unsigned int q, uint32_t entries, uint16_t *status)
{
	volatile struct nvme_cqe *e = &d->cq[q][d->head[q]];
	uint16_t st = __atomic_load_n((const uint16_t *)(uintptr_t)e + 7, __ATOMIC_ACQUIRE);
	int cid;

	if ((st & 1) != d->phase[q])
		return -1;
	cid = *((const volatile uint16_t *)(uintptr_t)e + 6);
	*status = st >> 1;
	if (++d->head[q] == entries) {
		d->head[q] = 0;
		d->phase[q] = !d->phase[q];
	}
	return cid;
}

static void admin(struct dev *d, struct nvme_sqe *sqe)
{
	uint64_t end = now_ns() + 10000000000u;
	uint16_t status;

	sqe->cid = le16_of(d->cid++);
	submit(d, 0, sqe, 32);
	ring(d, 0);
	while (reap(d, 0, 32, &status) < 0)
		if (now_ns() > end) {
			fprintf(stderr, "admin command %02x: no completion in 10 s\n", sqe->opcode);
			exit(1);
		}
	*doorbell(d, 1) = d->head[0];
	if (status) {
		fprintf(stderr, "admin command %02x: status %03x\n", sqe->opcode, status);
		exit(1);
	}
}

static void bring_up(struct dev *d)
{
	uint64_t end = now_ns() + 20000000000u, iova;
	struct nvme_sqe sqe = { 0 };
	unsigned int q;
	uint8_t *p;

	d->regs = mmap(NULL, d->bar_size, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd,
		       (off_t)d->bar_off);
	if (d->regs == MAP_FAILED)
		die("mmap of BAR0");
	map_pool(d);
	p = d->pool;
	iova = d->pool_iova;
	/* Pages 0 and 1: admin queues; 2: identify; 16 and up: I/O queues; 64 and up: data. */
	d->sq[0] = (void *)p;
	d->cq[0] = (void *)(p + 4096);
	d->sq[1] = (void *)(p + 16 * 4096);
	d->cq[1] = (void *)(p + 32 * 4096);
	for (q = 0; q < 2; q++)
		d->phase[q] = true;
	d->regs[0x14 / 4] = 0;
	while (d->regs[0x1c / 4] & 1)
		if (now_ns() > end)
			die("CSTS.RDY stays 1");
	d->regs[0x24 / 4] = 31 | 31 << 16;
	d->regs[0x28 / 4] = (uint32_t)iova;
	d->regs[0x2c / 4] = (uint32_t)(iova >> 32);
	d->regs[0x30 / 4] = (uint32_t)(iova + 4096);
	d->regs[0x34 / 4] = (uint32_t)((iova + 4096) >> 32);
	d->regs[0x14 / 4] = 6u << 16 | 4u << 20 | 1;
	while (!(d->regs[0x1c / 4] & 1))
		if (now_ns() > end)
			die("CSTS.RDY stays 0");

	sqe.opcode = 0x06;
	sqe.nsid = le32_of(1);
	sqe.prp1 = le64_of(iova + 2 * 4096);
	admin(d, &sqe);
	memcpy(&d->nsze, p + 2 * 4096, 8);
	d->lba_shift = p[2 * 4096 + 128 + 4 * (p[2 * 4096 + 26] & 15) + 2];

	memset(&sqe, 0, sizeof(sqe));
	sqe.opcode = 0x05;
	sqe.prp1 = le64_of(iova + 32 * 4096);
	sqe.cdw10 = le32_of((Q_ENTRIES - 1) << 16 | 1);
	sqe.cdw11 = le32_of(1);
	admin(d, &sqe);
	sqe.opcode = 0x01;
	sqe.prp1 = le64_of(iova + 16 * 4096);
	sqe.cdw11 = le32_of(1 << 16 | 1);
	admin(d, &sqe);
}

static int cmp_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t rng = 88172645463325252u;

static uint64_t rand64(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

static void io_bench(struct dev *d, const char *op, unsigned int depth, double seconds)
{
	enum { SAMPLES = 1 << 20 };
	uint32_t *lat = calloc(SAMPLES, sizeof(*lat));
	uint64_t start_at[Q_ENTRIES], blocks = (d->nsze << d->lba_shift) / BLOCK;
	uint64_t t0, t1, c0, done = 0, nr_lat = 0, end, n, errors = 0, next = 0;
	bool fill = !strcmp(op, "fill"), write = fill || !strcmp(op, "write");
	double ns_per_tick;
	unsigned int i, inflight = 0;

	if (!lat || depth > Q_ENTRIES - 1 || !blocks) {
		fprintf(stderr, "bad depth or namespace\n");
		exit(2);
	}
	struct nvme_sqe sqe = { .opcode = write ? 0x01 : 0x02, .nsid = le32_of(1) };
	sqe.cdw12 = le32_of((BLOCK >> d->lba_shift) - 1);

	uint16_t free_cid[Q_ENTRIES];
	unsigned int nr_free = 0;

	for (i = 0; i < depth; i++)
		free_cid[nr_free++] = (uint16_t)i;
	t0 = now_ns();
	c0 = __rdtsc();
	end = t0 + (uint64_t)(seconds * 1e9);
	for (n = 0;; n++) {
		uint16_t status;
		bool rung = false;
		int cid;

		if (((n & 255) == 0 && now_ns() > end) || (fill && next >= blocks && !inflight))
			break;
		while (nr_free && !(fill && next >= blocks)) {
			uint16_t c = free_cid[--nr_free];
			uint64_t lba = (fill ? next++ : rand64() % blocks) * (BLOCK >> d->lba_shift);

			sqe.cid = le16_of(c);
			sqe.prp1 = le64_of(d->pool_iova + (64u + c) * 4096u);
			sqe.cdw10 = le32_of((uint32_t)lba);
			sqe.cdw11 = le32_of((uint32_t)(lba >> 32));
			start_at[c] = __rdtsc();
			submit(d, 1, &sqe, Q_ENTRIES);
			inflight++;
			rung = true;
		}
		if (rung)
			ring(d, 1);
		while ((cid = reap(d, 1, Q_ENTRIES, &status)) >= 0) {
			errors += status != 0;
			if (nr_lat < SAMPLES)
				lat[nr_lat++] = (uint32_t)(__rdtsc() - start_at[cid]);
			free_cid[nr_free++] = (uint16_t)cid;
			inflight--;
			done++;
		}
		if (nr_free)
			__atomic_store_n((uint32_t *)(uintptr_t)doorbell(d, 3), d->head[1],
					 __ATOMIC_RELEASE);
	}
	t1 = now_ns();
	ns_per_tick = (double)(t1 - t0) / (double)(__rdtsc() - c0);
	if (!nr_lat) {
		fprintf(stderr, "nothing completed\n");
		exit(1);
	}
	qsort(lat, nr_lat, sizeof(*lat), cmp_u32);
	printf("{\"op\":\"%s\",\"depth\":%u,\"iops\":%.0f,\"median_us\":%.3f,\"p99_us\":%.3f,\"errors\":%" PRIu64 "}\n",
	       op, depth, (double)done * 1e9 / (double)(t1 - t0),
	       lat[nr_lat / 2] * ns_per_tick / 1000, lat[nr_lat * 99 / 100] * ns_per_tick / 1000,
	       errors);
	free(lat);
}

static void reg_bench(struct dev *d, double seconds)
{
	enum { SAMPLES = 1 << 20 };
	uint32_t *lat = calloc(SAMPLES, sizeof(*lat)), vs;
	uint64_t t0 = now_ns(), c0 = __rdtsc(), end = t0 + (uint64_t)(seconds * 1e9), n = 0;
	double ns_per_tick;

	while (lat && n < SAMPLES && now_ns() < end) {
		uint64_t c = __rdtsc();

		if (pread(d->fd, &vs, 4, (off_t)(d->bar_off + 8)) != 4)
			die("pread of VS");
		lat[n++] = (uint32_t)(__rdtsc() - c);
	}
	ns_per_tick = (double)(now_ns() - t0) / (double)(__rdtsc() - c0);
	if (!n)
		exit(1);
	qsort(lat, n, sizeof(*lat), cmp_u32);
	printf("{\"op\":\"reg\",\"median_us\":%.3f,\"p99_us\":%.3f,\"cpu\":%d}\n",
	       lat[n / 2] * ns_per_tick / 1000, lat[n * 99 / 100] * ns_per_tick / 1000,
	       sched_getcpu());
	free(lat);
}

int main(int argc, char **argv)
{
	static struct dev devs[64];
	char *list, *bdf, *save;
	unsigned int n = 0;

	if (argc < 4) {
		fprintf(stderr, "usage: vfio_nvme BDF[,BDF...] read|write|fill DEPTH SECONDS | reg|idle SECONDS\n");
		return 2;
	}
	list = strdup(argv[1]);
	for (bdf = strtok_r(list, ",", &save); bdf && n < ARRAY_SIZE(devs);
	     bdf = strtok_r(NULL, ",", &save))
		open_device(&devs[n++], bdf);
	if (!strcmp(argv[2], "reg")) {
		reg_bench(&devs[0], atof(argv[3]));
	} else if (!strcmp(argv[2], "idle")) {
		struct timespec ts = { .tv_sec = atol(argv[3]) };
		unsigned int i;

		for (i = 0; i < n; i++)
			bring_up(&devs[i]);
		printf("ready\n");
		fflush(stdout);
		nanosleep(&ts, NULL);
	} else if (argc == 5) {
		bring_up(&devs[0]);
		io_bench(&devs[0], argv[2], (unsigned int)atoi(argv[3]), atof(argv[4]));
	} else {
		return 2;
	}
	free(list);
	return 0;
}
