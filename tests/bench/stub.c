/* A library with nothing in it: the stand-in for a driver's library, and the template of generate.c. */
int stub_version(void);

int stub_version(void)
{
	return 1;
}
