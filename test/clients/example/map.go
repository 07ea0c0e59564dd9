// Package example says what the loader and the consumer have to agree on: where the map is, and what it looks like. Neither
// knows of the driver.
package example

import "github.com/cilium/ebpf"

// Directory is where loader and consumer look for the pin unless told otherwise.
const Directory = "/var/run/example/map"

// Name is the map's name, and that of its pin.
const Name = "example_map"

// Key is the one element that is counted up.
const Key = uint32(0)

// Spec describes the map. A map that somebody else has pinned under its name must look the same, flags included.
func Spec() *ebpf.MapSpec {
	return &ebpf.MapSpec{
		Name:       Name,
		Type:       ebpf.Array,
		KeySize:    4,
		ValueSize:  8,
		MaxEntries: 1,
		Pinning:    ebpf.PinByName,
	}
}
