// Command generate prints a seccomp profile: what the container runtime's default profile allows a container without capabilities,
// and some commands of bpf(2). "generate consumer" is for containers that use BPF maps: what works on maps that are there and that
// the container may open. "generate loader" is for containers with a BPF token: what loads and attaches programs, too.
//
// The default profile is containerd's own, as code; RuntimeDefault elsewhere differs by little.
package main

import (
	"encoding/json"
	"log"
	"os"
	"runtime"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// consumerCommands are commands of bpf(2), by https://github.com/torvalds/linux/blob/master/include/uapi/linux/bpf.h. None
// creates, loads, pins or freezes anything, or opens anything by its id.
var consumerCommands = []uint64{
	1,  // BPF_MAP_LOOKUP_ELEM
	2,  // BPF_MAP_UPDATE_ELEM
	3,  // BPF_MAP_DELETE_ELEM
	4,  // BPF_MAP_GET_NEXT_KEY
	7,  // BPF_OBJ_GET
	15, // BPF_OBJ_GET_INFO_BY_FD
	21, // BPF_MAP_LOOKUP_AND_DELETE_ELEM
	24, // BPF_MAP_LOOKUP_BATCH
	25, // BPF_MAP_LOOKUP_AND_DELETE_BATCH
	26, // BPF_MAP_UPDATE_BATCH
	27, // BPF_MAP_DELETE_BATCH
}

// loaderCommands are what a loader takes besides. The kernel asks the token for the first three, and for the others a descriptor, or
// what the container may do in its own namespaces. None opens anything by its id.
var loaderCommands = []uint64{
	0,  // BPF_MAP_CREATE
	5,  // BPF_PROG_LOAD
	18, // BPF_BTF_LOAD
	6,  // BPF_OBJ_PIN
	8,  // BPF_PROG_ATTACH
	9,  // BPF_PROG_DETACH
	16, // BPF_PROG_QUERY
	22, // BPF_MAP_FREEZE
	28, // BPF_LINK_CREATE
	29, // BPF_LINK_UPDATE
	34, // BPF_LINK_DETACH
	35, // BPF_PROG_BIND_MAP
	36, // BPF_TOKEN_CREATE
}

// forArm64 is what containerd adds on arm64. It asks the architecture that it is compiled for, and the profile is for both: a
// name that an architecture does not have does nothing there.
var forArm64 = []string{"arm_fadvise64_64", "arm_sync_file_range", "breakpoint", "cacheflush", "set_tls", "sync_file_range2"}

func main() {
	log.SetFlags(0)
	if runtime.GOARCH != "amd64" {
		log.Fatal("run this on amd64: forArm64 has the rest")
	}
	commands := consumerCommands
	switch {
	case len(os.Args) == 2 && os.Args[1] == "loader":
		commands = append(commands, loaderCommands...)
	case len(os.Args) != 2 || os.Args[1] != "consumer":
		log.Fatal("usage: generate consumer|loader")
	}
	nobody := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{}}}
	profile := seccomp.DefaultProfile(nobody)
	profile.Architectures = append(profile.Architectures, specs.ArchARM, specs.ArchAARCH64)
	profile.Syscalls = append(profile.Syscalls, specs.LinuxSyscall{Names: forArm64, Action: specs.ActAllow})
	for _, command := range commands {
		profile.Syscalls = append(profile.Syscalls, specs.LinuxSyscall{
			Names:  []string{"bpf"},
			Action: specs.ActAllow,
			// The kernel's parameter is an int: callers need not clear the upper half of the register.
			Args: []specs.LinuxSeccompArg{{Index: 0, Op: specs.OpMaskedEqual, Value: 0xffffffff, ValueTwo: command}},
		})
	}
	if err := json.NewEncoder(os.Stdout).Encode(profile); err != nil {
		log.Fatal(err)
	}
}
