package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel charges the frames' memory to the user's RLIMIT_MEMLOCK, which is as low as 64 KiB on some machines.
const (
	frames    = 16
	frameSize = 2048
)

const retryInterval = 10 * time.Millisecond

// socket receives the frames of one queue of one interface. It is closed when the process ends, which also takes it out of
// any map.
type socket struct {
	fd   int
	umem []byte
	fill *ring[uint64]
	rx   *ring[unix.XDPDesc]
}

// newSocket makes a socket that is bound to a queue; CAP_NET_RAW is enough. Nothing arrives until its descriptor is in an
// xskmap that the interface's XDP program redirects to. Until the deadline it waits for a queue that another socket has.
func newSocket(ifindex, queue uint32, deadline time.Time) (*socket, error) {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket(AF_XDP): %w", err)
	}
	s := &socket{fd: fd}
	if err := s.registerMemory(); err != nil {
		return nil, err
	}
	if err := s.makeRings(); err != nil {
		return nil, err
	}
	for frame := range frames {
		s.fill.push(uint64(frame * frameSize))
	}
	// Copying is what every driver can do.
	address := &unix.SockaddrXDP{Flags: unix.XDP_COPY, Ifindex: ifindex, QueueID: queue}
	if err := s.bind(address, deadline); err != nil {
		return nil, fmt.Errorf("bind to queue %d: %w", queue, err)
	}
	return s, nil
}

// bind tries again while the queue is taken: the kernel gives it back a little after the last socket's process has ended.
func (s *socket) bind(address *unix.SockaddrXDP, deadline time.Time) error {
	for {
		err := unix.Bind(s.fd, address)
		if err != unix.EBUSY || time.Now().After(deadline) {
			return err
		}
		time.Sleep(retryInterval)
	}
}

func (s *socket) registerMemory() (err error) {
	s.umem, err = unix.Mmap(-1, 0, frames*frameSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("map frames: %w", err)
	}
	region, err := binary.Append(nil, binary.NativeEndian, unix.XDPUmemReg{
		Addr: uint64(uintptr(unsafe.Pointer(&s.umem[0]))),
		Len:  uint64(len(s.umem)),
		Size: frameSize,
	})
	if err != nil {
		return err
	}
	if err := unix.SetsockoptString(s.fd, unix.SOL_XDP, unix.XDP_UMEM_REG, string(region)); err != nil {
		return fmt.Errorf("register frames: %w", err)
	}
	return nil
}

func (s *socket) makeRings() error {
	// Nothing is sent, but the kernel does not bind without a completion ring.
	for _, option := range []int{unix.XDP_UMEM_FILL_RING, unix.XDP_UMEM_COMPLETION_RING, unix.XDP_RX_RING} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_XDP, option, frames); err != nil {
			return fmt.Errorf("make ring %d: %w", option, err)
		}
	}
	offsets, err := ringOffsets(s.fd)
	if err != nil {
		return err
	}
	if s.fill, err = mapRing[uint64](s.fd, unix.XDP_UMEM_PGOFF_FILL_RING, offsets.Fr, frames); err != nil {
		return err
	}
	s.rx, err = mapRing[unix.XDPDesc](s.fd, unix.XDP_PGOFF_RX_RING, offsets.Rx, frames)
	return err
}

func ringOffsets(fd int) (*unix.XDPMmapOffsets, error) {
	var offsets unix.XDPMmapOffsets
	size := uint32(unsafe.Sizeof(offsets))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, unix.XDP_MMAP_OFFSETS,
		uintptr(unsafe.Pointer(&offsets)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("offsets of the rings: %w", errno)
	}
	return &offsets, nil
}

// receive waits for a frame, shows it to use, and gives its memory back. After the deadline it is os.ErrDeadlineExceeded.
func (s *socket) receive(deadline time.Time, use func(frame []byte)) error {
	for {
		if received, ok := s.rx.pop(); ok {
			use(s.umem[received.Addr : received.Addr+uint64(received.Len)])
			// The frame's data is somewhere within its chunk; what is given back is the chunk.
			s.fill.push(received.Addr / frameSize * frameSize)
			return nil
		}
		left := time.Until(deadline)
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		poll := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, int(left.Milliseconds())+1); err != nil && err != unix.EINTR {
			return fmt.Errorf("poll: %w", err)
		}
	}
}
