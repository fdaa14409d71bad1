/*
 * Drops the pages of files from memory, so that the next reader gets them from the disk. The names of the files come from standard
 * input, each with a NUL behind it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(void)
{
	char *name = NULL;
	size_t room = 0;

	while (getdelim(&name, &room, '\0', stdin) > 0) {
		int fd = open(name, O_RDONLY | O_NOFOLLOW);

		/* Pages that are not written yet stay. */
		if (fd < 0 || fdatasync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED)) {
			perror(name);
			return 1;
		}
		close(fd);
	}
	return 0;
}
