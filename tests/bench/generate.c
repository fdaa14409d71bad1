/*
 * generate TEMPLATE DIRECTORY COUNT: copies of a library whose SONAME is libbench00000.so.1, each with a number of its own in
 * the SONAME, as DIRECTORY/libbenchNNNNN.so.1.0 with the link libbenchNNNNN.so.1, as packages ship them. A compiler would take
 * minutes for what a patch of five digits does in a second; no hash table of the library holds the SONAME.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MARK "libbench00000.so.1"

static void die(const char *what)
{
	perror(what);
	exit(1);
}

int main(int argc, char **argv)
{
	static char bytes[1 << 20], path[4096], soname[64];
	char *mark;
	ssize_t len;
	int fd, count;

	if (argc != 4 || (count = atoi(argv[3])) < 1 || count > 100000) {
		fputs("usage: generate TEMPLATE DIRECTORY COUNT\n", stderr);
		return 1;
	}
	fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (len = read(fd, bytes, sizeof(bytes))) <= 0)
		die(argv[1]);
	close(fd);
	mark = memmem(bytes, (size_t)len, MARK, sizeof(MARK));
	if (!mark) {
		fputs("generate: the template has not the SONAME " MARK "\n", stderr);
		return 1;
	}
	for (int i = 0; i < count; i++) {
		snprintf(soname, sizeof(soname), "libbench%05d.so.1", i);
		memcpy(mark, soname, sizeof(MARK));
		snprintf(path, sizeof(path), "%s/%s.0", argv[2], soname);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		if (fd < 0 || write(fd, bytes, (size_t)len) != len || close(fd))
			die(path);
		path[strlen(path) - 2] = '\0';
		strcat(soname, ".0");
		if (symlink(soname, path))
			die(path);
	}
	return 0;
}
