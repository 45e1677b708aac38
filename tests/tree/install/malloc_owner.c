/* SPDX-License-Identifier: MIT */
/* malloc_owner.c - prints which file the program's malloc, free and calloc come from, with weft linked and used */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <weft/weft.h>

static void *nothing(void *arg)
{
	return arg;
}

static int print_owner(const char *name)
{
	Dl_info info;
	void *address = dlsym(RTLD_DEFAULT, name);
	if (!address || !dladdr(address, &info))
		return 1;
	printf("%s %s\n", name, info.dli_fname);
	return 0;
}

int main(void)
{
	Dl_info info;
	if (weft_run(NULL, nothing, NULL, NULL) < 0)
		return 1;
	/* The address the linker resolved, which for a static library the dynamic one need not be. */
	if (!dladdr((void *)malloc, &info))
		return 1;
	printf("malloc %s\n", info.dli_fname);
	return print_owner("malloc") | print_owner("free") | print_owner("calloc");
}
