package main

import "encoding/binary"

const (
	ethernetHeader = 14
	udpHeader      = 8
	etherTypeIPv4  = 0x0800
	protocolUDP    = 17
)

// udp takes an Ethernet frame apart. It is false for everything but UDP over IPv4: an interface that is up also sees what
// the kernel sends of itself, such as neighbour discovery.
func udp(frame []byte) (port uint16, payload []byte, ok bool) {
	if len(frame) < ethernetHeader+20 || binary.BigEndian.Uint16(frame[12:]) != etherTypeIPv4 {
		return 0, nil, false
	}
	packet := frame[ethernetHeader:]
	header := int(packet[0]&0x0f) * 4
	if packet[9] != protocolUDP || header < 20 || len(packet) < header+udpHeader {
		return 0, nil, false
	}
	datagram := packet[header:]
	// Short frames may be padded: only the datagram's own length counts.
	length := int(binary.BigEndian.Uint16(datagram[4:]))
	if length < udpHeader || length > len(datagram) {
		return 0, nil, false
	}
	return binary.BigEndian.Uint16(datagram[2:]), datagram[udpHeader:length], true
}
