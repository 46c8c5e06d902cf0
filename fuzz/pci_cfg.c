/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * A hostile driver of one function: configuration writes, BAR, MSI-X table and
 * PBA accesses, FLR, D3hot, resets that end at once or later, DMA, table
 * changes and holds in any order. The input is a list of 12-byte operations
 * (struct op); its first byte chooses the device.
 *
 * Besides what the sanitizers see: capability lists never loop, read-only bits
 * stay, nobody answers while decoding is off or during a reset, an interrupt
 * never comes through a closed gate, the fences of all unmaps complete.
 */
#include "../tests/unit/pci_fake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond)                                                              \
	do {                                                                    \
		if (!(cond)) {                                                  \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                \
		}                                                               \
	} while (0)

#define HOLDS 4
#define FENCES 8

struct op {
	uint8_t what, len, bar, reserved;
	uint16_t off;
	uint16_t low;		/* with @val: 48 bits */
	uint32_t val;
};

static struct fake f;
static struct naive_rules rules;
static uint8_t first[PCI_CONFIG_SIZE];
static struct dma_hold *holds[HOLDS];
static struct dma_fence fences[FENCES];
static unsigned int nr_fences, nr_done;

static void open_gates(void *arg, unsigned int v)
{
	(void)arg;
	MUST(pci_msix_enabled(&f.fn) && pci_bus_master(&f.fn) && v < FAKE_VECTORS);
	MUST(!(f.fn.state->msix[v].ctrl & 1));
	MUST(!(f.fn.state->config[f.fn.cap_msix + 3] & 0x40));
	MUST(!(f.fn.state->pba[v / 64] >> (v % 64) & 1));
	f.irqs[v]++;
	if (f.irqs[v] % 16 == 15)
		pci_msix_mask(&f.fn, v ^ 1, true);
}

static void open_pin(void *arg, unsigned int v)
{
	(void)arg, (void)v;
	MUST(f.fn.intx_level && !(f.fn.state->config[5] & 4));
}

static void fence_done(struct dma_fence *fence)
{
	MUST(atomic_load(&fence->pending) == 0);
	nr_done++;
}

static void check_lists(void)
{
	unsigned int nr;

	if (pci_reset_busy(&f.fn))
		return;
	MUST(naive_cap(&f.fn, 0x10, &nr) > 0 && nr == 3);
	MUST(naive_ecap(&f.fn, 0x01, &nr) == 0x100 && nr == 2);
}

static void check_read_only(void)
{
	unsigned int off;

	for (off = 0; off < PCI_CONFIG_SIZE; off++) {
		unsigned int may = rules.rw[off];

		if (off == 6)
			may |= 8;	/* interrupt status */
		if (off == f.fn.cap_pm + 4u)
			may |= 3;	/* power state */
		MUST(((f.fn.state->config[off] ^ first[off]) & ~may) == 0);
	}
	MUST((f.fn.state->config[f.fn.cap_pm + 4] & 3) % 3 == 0);
}

static void bar_read(const struct op *op)
{
	unsigned int calls = f.reads;
	bool answers = pci_mem_enabled(&f.fn) && !pci_reset_busy(&f.fn);
	uint64_t val = pci_bar_read(&f.fn, op->bar & 7, op->off, op->len & 15);

	if (!answers) {
		MUST(f.reads == calls);
		MUST(!(op->len & 15) || (val & 0xff) == 0xff);
	}
}

static void bar_write(const struct op *op)
{
	unsigned int calls = f.writes;
	bool answers = pci_mem_enabled(&f.fn) && !pci_reset_busy(&f.fn);

	pci_bar_write(&f.fn, op->bar & 7, op->off, op->len & 15, op->val | (uint64_t)op->low << 32);
	MUST(answers || f.writes == calls);
}

static void table_set(const struct op *op)
{
	struct dma_table *t = NULL;

	if (op->len & 1) {
		t = dma_table_alloc(2);
		t->r[0] = (struct dma_range){ .iova = op->off, .last = op->off + 0xffff, .perm = op->bar & 3,
					      .mem = ferry_mem_alloc(0x10000) };
		t->r[1] = (struct dma_range){ .iova = UINT64_MAX - 0xfff, .last = UINT64_MAX, .perm = 3,
					      .mem = ferry_mem_alloc(0x1000) };
	}
	if (nr_fences < FENCES) {
		fences[nr_fences] = (struct dma_fence){ .done = fence_done };
		pci_dma_set(&f.fn, t, &fences[nr_fences]);
		nr_fences += atomic_load(&fences[nr_fences].pending) != 0;
	} else {
		pci_dma_set(&f.fn, t, NULL);
	}
	if (t)
		dma_table_put(t);
}

static void dma(const struct op *op)
{
	static char buf[512];
	uint64_t iova = op->val & 1 ? UINT64_MAX - op->off : op->val;
	size_t len = op->len | (op->bar & 1u) << 8;
	struct iovec iov[3];
	unsigned int nr = 0;
	int err;

	switch (op->bar >> 1 & 3) {
	case 0:
		err = pci_dma_read(&f.fn, iova, buf, len);
		break;
	case 1:
		err = pci_dma_write(&f.fn, iova, buf, len);
		break;
	case 2:
		err = pci_dma_iov(&f.fn, f.fn.dma, iova, len, DMA_WRITE, iov, 3, &nr);
		break;
	default:
		err = pci_dma_ptr(&f.fn, iova, len, DMA_READ) ? 0 : -EFAULT;
	}
	MUST(err == 0 || err == -EFAULT);
	MUST(err || !len || pci_bus_master(&f.fn));
}

static void hold(unsigned int i)
{
	if (holds[i])
		pci_dma_unhold(&f.fn, take_ptr(holds[i]));
	else
		holds[i] = pci_dma_hold(&f.fn);
}

static void run(const struct op *op)
{
	switch (op->what & 15) {
	case 0:
	case 1:
		pci_config_write(&f.fn, op->off & 0x1ff, 1u << (op->len & 3), op->val);
		break;
	case 2:
		pci_config_write(&f.fn, op->off, op->len, op->val);
		break;
	case 3:
		(void)pci_config_read(&f.fn, op->off, op->len);
		break;
	case 4:
		bar_read(op);
		break;
	case 5:
		bar_write(op);
		break;
	case 6:
		pci_msix_raise(&f.fn, op->off % (FAKE_VECTORS + 4));
		break;
	case 7:
		pci_msix_mask(&f.fn, op->off % (FAKE_VECTORS + 4), op->len & 1);
		break;
	case 8:
		pci_intx_set(&f.fn, op->len & 1);
		break;
	case 9:
		pci_reset(&f.fn, op->len % 3, NULL);
		break;
	case 10:
		f.reset_later = op->len & 1;
		if (pci_reset_busy(&f.fn))
			pci_reset_done(&f.fn);
		break;
	case 11:
		pci_msix_setup(&f.fn, op->off % (FAKE_VECTORS + 4), (struct pci_irq){ open_gates, NULL });
		break;
	case 12:
		table_set(op);
		break;
	case 13:
		dma(op);
		break;
	case 14:
		hold(op->off % HOLDS);
		break;
	default:
		f.reenter = op->len & 1;
	}
}

static void start(uint8_t kind)
{
	fake_init(&f);
	f.fn.msix_irq = (struct pci_irq){ open_gates, NULL };
	f.fn.intx_irq = (struct pci_irq){ open_pin, NULL };
	if (kind & 1)
		*pci_config_raw(&f.fn, (uint16_t)(f.fn.cap_pm + 4)) &= (uint8_t)~8;
	if (kind & 2)
		fake_enable(&f);
	naive_rules_fill(&rules, &f.fn);
	memcpy(first, f.fn.state->config, sizeof(first));
	nr_fences = nr_done = 0;
}

static void finish(void)
{
	unsigned int i;

	for (i = 0; i < HOLDS; i++)
		if (holds[i])
			hold(i);
	MUST(nr_done == nr_fences);
	if (pci_reset_busy(&f.fn))
		pci_reset_done(&f.fn);
	pci_dma_set(&f.fn, NULL, NULL);
	fake_release(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct op op;

	if (!size)
		return 0;
	log_level_max = LOG_ERROR;
	start(*data++);
	for (size--; size >= sizeof(op); data += sizeof(op), size -= sizeof(op)) {
		memcpy(&op, data, sizeof(op));
		run(&op);
		check_lists();
	}
	check_read_only();
	finish();
	return 0;
}
