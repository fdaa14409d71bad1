/* The least that a process costs: start of a static C program, one line, end. */
#include <stdio.h>

int main(void)
{
	puts("hello");
	return 0;
}
