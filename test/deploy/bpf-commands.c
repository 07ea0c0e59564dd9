/* Calls bpf(2) with each command and no attributes, and prints what it says: "COMMAND ERRNO" a line. Then twice more with rubbish
 * in the upper half of the register that the command is in, which the kernel does not look at. Static, to run in any root. */
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static void call(const char *prefix, long rubbish, long command)
{
	long result = syscall(SYS_bpf, rubbish | command, NULL, 0);
	printf("%s%ld %d\n", prefix, command, result < 0 ? errno : 0);
}

int main(void)
{
	for (long command = 0; command < 64; command++)
		call("", 0, command);
	call("rubbish-", 0x7eadbeefL << 32, 1);
	call("rubbish-", 0x7eadbeefL << 32, 0);
	return 0;
}
