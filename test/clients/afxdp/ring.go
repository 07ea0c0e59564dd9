package main

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is a queue of T between kernel and process, with one producer and one consumer. Both indices only grow; the place in
// slots is the index modulo their number, a power of two.
type ring[T any] struct {
	producer, consumer *uint32
	slots              []T
}

// mapRing maps the ring at pageOffset, made with this many entries before.
func mapRing[T any](fd int, pageOffset int64, at unix.XDPRingOffset, entries int) (*ring[T], error) {
	var slot T
	size := int(at.Desc) + entries*int(unsafe.Sizeof(slot))
	memory, err := unix.Mmap(fd, pageOffset, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("map ring %#x: %w", pageOffset, err)
	}
	return &ring[T]{
		producer: (*uint32)(unsafe.Pointer(&memory[at.Producer])),
		consumer: (*uint32)(unsafe.Pointer(&memory[at.Consumer])),
		slots:    unsafe.Slice((*T)(unsafe.Pointer(&memory[at.Desc])), entries),
	}, nil
}

// push adds an entry. There must be room: the caller never has more frames than the ring has slots.
func (r *ring[T]) push(entry T) {
	index := atomic.LoadUint32(r.producer)
	r.slots[index%uint32(len(r.slots))] = entry
	// The kernel may look at the slot as soon as it sees the index.
	atomic.StoreUint32(r.producer, index+1)
}

// pop removes the oldest entry.
func (r *ring[T]) pop() (entry T, ok bool) {
	index := atomic.LoadUint32(r.consumer)
	if index == atomic.LoadUint32(r.producer) {
		return entry, false
	}
	entry = r.slots[index%uint32(len(r.slots))]
	atomic.StoreUint32(r.consumer, index+1)
	return entry, true
}
