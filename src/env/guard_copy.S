/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The instructions that may touch client memory. Between guard_text_start and
 * guard_text_end nothing is on the stack but the return address, so whichever
 * instruction faults, the signal handler of guard.c continues at
 * guard_text_fault, which returns -EFAULT to the caller.
 *
 * int guard_copy(void *dst, const void *src, size_t len)
 * int guard_load32(const volatile uint32_t *p, uint32_t *v)
 * int guard_store32(volatile uint32_t *p, uint32_t v)
 *
 * Up to 64 bytes, the copy is made of moves that overlap in the middle; then
 * a loop over lines of 64; from 2048 on "rep movsb", which is what the
 * processor does best there (22 ns to start, then 250 bytes in each).
 */
#if !defined(__x86_64__)
#error "the guarded copies are written for x86-64"
#endif

	.text
	.p2align 6
	.globl guard_text_start
	.hidden guard_text_start
guard_text_start:

	.globl guard_copy
	.hidden guard_copy
	.type guard_copy, @function
guard_copy:
	.cfi_startproc
	cmpq	$16, %rdx
	jb	.Lbelow16
	cmpq	$32, %rdx
	ja	.Labove32
	movups	(%rsi), %xmm0
	movups	-16(%rsi,%rdx), %xmm1
	movups	%xmm0, (%rdi)
	movups	%xmm1, -16(%rdi,%rdx)
	xorl	%eax, %eax
	ret

	.p2align 4
.Labove32:
	cmpq	$64, %rdx
	ja	.Labove64
	movups	(%rsi), %xmm0
	movups	16(%rsi), %xmm1
	movups	-32(%rsi,%rdx), %xmm2
	movups	-16(%rsi,%rdx), %xmm3
	movups	%xmm0, (%rdi)
	movups	%xmm1, 16(%rdi)
	movups	%xmm2, -32(%rdi,%rdx)
	movups	%xmm3, -16(%rdi,%rdx)
	xorl	%eax, %eax
	ret

	.p2align 4
.Labove64:
	cmpq	$2048, %rdx
	jae	.Lstring
	/* Whole 64-byte lines, then the last 64 bytes, overlapping. */
	leaq	-64(%rsi,%rdx), %r8
	leaq	-64(%rdi,%rdx), %r9
	movups	(%r8), %xmm4
	movups	16(%r8), %xmm5
	movups	32(%r8), %xmm6
	movups	48(%r8), %xmm7
	.p2align 4
.Lline:
	movups	(%rsi), %xmm0
	movups	16(%rsi), %xmm1
	movups	32(%rsi), %xmm2
	movups	48(%rsi), %xmm3
	addq	$64, %rsi
	movups	%xmm0, (%rdi)
	movups	%xmm1, 16(%rdi)
	movups	%xmm2, 32(%rdi)
	movups	%xmm3, 48(%rdi)
	addq	$64, %rdi
	cmpq	%r8, %rsi
	jb	.Lline
	movups	%xmm4, (%r9)
	movups	%xmm5, 16(%r9)
	movups	%xmm6, 32(%r9)
	movups	%xmm7, 48(%r9)
	xorl	%eax, %eax
	ret

	.p2align 4
.Lstring:
	movq	%rdx, %rcx
	rep movsb
	xorl	%eax, %eax
	ret

	.p2align 4
.Lbelow16:
	cmpq	$8, %rdx
	jb	.Lbelow8
	movq	(%rsi), %rax
	movq	-8(%rsi,%rdx), %rcx
	movq	%rax, (%rdi)
	movq	%rcx, -8(%rdi,%rdx)
	xorl	%eax, %eax
	ret
.Lbelow8:
	cmpq	$4, %rdx
	jb	.Lbelow4
	movl	(%rsi), %eax
	movl	-4(%rsi,%rdx), %ecx
	movl	%eax, (%rdi)
	movl	%ecx, -4(%rdi,%rdx)
	xorl	%eax, %eax
	ret
.Lbelow4:
	cmpq	$2, %rdx
	jb	.Lbelow2
	movzwl	(%rsi), %eax
	movzbl	-1(%rsi,%rdx), %ecx
	movw	%ax, (%rdi)
	movb	%cl, -1(%rdi,%rdx)
	xorl	%eax, %eax
	ret
.Lbelow2:
	testq	%rdx, %rdx
	jz	.Lnothing
	movzbl	(%rsi), %eax
	movb	%al, (%rdi)
.Lnothing:
	xorl	%eax, %eax
	ret
	.cfi_endproc
	.size guard_copy, . - guard_copy

	.p2align 4
	.globl guard_load32
	.hidden guard_load32
	.type guard_load32, @function
guard_load32:
	.cfi_startproc
	movl	(%rdi), %eax
	movl	%eax, (%rsi)
	xorl	%eax, %eax
	ret
	.cfi_endproc
	.size guard_load32, . - guard_load32

	.p2align 4
	.globl guard_store32
	.hidden guard_store32
	.type guard_store32, @function
guard_store32:
	.cfi_startproc
	movl	%esi, (%rdi)
	xorl	%eax, %eax
	ret
	.cfi_endproc
	.size guard_store32, . - guard_store32

	.globl guard_text_end
	.hidden guard_text_end
guard_text_end:

	.globl guard_text_fault
	.hidden guard_text_fault
	.type guard_text_fault, @function
guard_text_fault:
	.cfi_startproc
	movl	$-14, %eax	/* -EFAULT */
	ret
	.cfi_endproc
	.size guard_text_fault, . - guard_text_fault

	.section .note.GNU-stack, "", @progbits
