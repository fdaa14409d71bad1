/*
 * The least that any writer of ld.so.cache must read: each library directory, and of each library in it the header, the dynamic
 * section and the SONAME. Nothing is sorted or written, links are not looked at, one thread. Arguments: the directories.
 * Prints how many SONAMEs it found, so that nobody has to believe that it did its work.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* One pread each: a header with up to 17 program headers, a dynamic section of 64 entries, a long SONAME. */
static char head[1024], name[256];
static ElfW(Dyn) dyn[64];

static int has_soname(int fd)
{
	const ElfW(Ehdr) *eh = (const void *)head;
	const ElfW(Phdr) *ph, *end, *d = NULL;
	ElfW(Addr) strtab = 0, soname = 0;
	ssize_t got = pread(fd, head, sizeof(head), 0), n;

	if (got < (ssize_t)sizeof(*eh) || memcmp(eh->e_ident, ELFMAG, SELFMAG) || eh->e_type != ET_DYN ||
	    eh->e_phoff + eh->e_phnum * sizeof(*ph) > (size_t)got)
		return 0;
	ph = (const void *)(head + eh->e_phoff);
	end = ph + eh->e_phnum;
	for (const ElfW(Phdr) *p = ph; p < end; p++)
		if (p->p_type == PT_DYNAMIC)
			d = p;
	if (!d)
		return 0;
	n = pread(fd, dyn, d->p_filesz < sizeof(dyn) ? d->p_filesz : sizeof(dyn), (off_t)d->p_offset);
	for (int i = 0; i < n / (ssize_t)sizeof(*dyn) && dyn[i].d_tag != DT_NULL; i++) {
		if (dyn[i].d_tag == DT_STRTAB)
			strtab = dyn[i].d_un.d_ptr;
		else if (dyn[i].d_tag == DT_SONAME)
			soname = dyn[i].d_un.d_val;
	}
	for (const ElfW(Phdr) *p = ph; soname && p < end; p++) /* DT_STRTAB is an address, pread wants an offset */
		if (p->p_type == PT_LOAD && strtab >= p->p_vaddr && strtab - p->p_vaddr < p->p_filesz)
			return pread(fd, name, sizeof(name), (off_t)(strtab - p->p_vaddr + p->p_offset + soname)) > 0;
	return 0;
}

int main(int argc, char **argv)
{
	static char buf[65536] __attribute__((aligned(8)));
	struct stat st;
	int found = 0;
	long len;

	for (int i = 1; i < argc; i++) {
		int dir = open(argv[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		while (dir >= 0 && (len = syscall(SYS_getdents64, dir, buf, sizeof(buf))) > 0)
			for (char *at = buf; at < buf + len;) {
				struct dirent64 *e = (void *)at; /* same layout as the kernel's on every architecture */
				int fd = -1;
				at += e->d_reclen;
				if (e->d_type == DT_REG && !strncmp(e->d_name, "lib", 3) && strstr(e->d_name, ".so"))
					fd = openat(dir, e->d_name, O_RDONLY | O_CLOEXEC);
				if (fd < 0)
					continue;
				found += !fstat(fd, &st) && has_soname(fd);
				close(fd);
			}
		if (dir >= 0)
			close(dir);
	}
	printf("%d\n", found);
	return 0;
}
