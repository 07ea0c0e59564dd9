// Package conformance holds the driver's own .proto files against the official descriptors of the APIs that they describe.
package conformance

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// comparison collects what differs, so that one run names every mistake.
type comparison struct {
	official *protoregistry.Files
	absent   map[protoreflect.FullName]string
	used     map[protoreflect.FullName]bool
	problems []string
}

// Compare says what in ours is not as in official. Nothing in ours may be invented or numbered differently; what ours
// leaves out of a message or an enum that it has must be deprecated, alpha, or explained in absent, which maps full names
// to reasons. An entry of absent that is not needed is a problem too. Methods may be left out freely: gRPC answers
// UNIMPLEMENTED for them, which is what CSI asks of a plugin without the capability.
func Compare(ours protoreflect.FileDescriptor, official *protoregistry.Files, absent map[protoreflect.FullName]string) []string {
	c := &comparison{official: official, absent: absent, used: map[protoreflect.FullName]bool{}}
	for i := range ours.Services().Len() {
		c.service(ours.Services().Get(i))
	}
	c.messages(ours.Messages())
	c.enums(ours.Enums())
	for name := range absent {
		if !c.used[name] {
			c.fail("%s: listed as absent, but it is not, or need not be listed", name)
		}
	}
	return c.problems
}

func (c *comparison) fail(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// same fails unless two properties of the element called name are equal.
func same[T comparable](c *comparison, name protoreflect.FullName, property string, ours, official T) {
	if ours != official {
		c.fail("%s: %s is %v, officially %v", name, property, ours, official)
	}
}

// counterpart finds the official element of the same full name and kind.
func counterpart[D protoreflect.Descriptor](c *comparison, ours D) (D, bool) {
	found, err := c.official.FindDescriptorByName(ours.FullName())
	if err != nil {
		c.fail("%s: does not exist officially", ours.FullName())
		var none D
		return none, false
	}
	official, ok := found.(D)
	if !ok {
		c.fail("%s: is officially something else: %T", ours.FullName(), found)
	}
	return official, ok
}

func (c *comparison) service(ours protoreflect.ServiceDescriptor) {
	official, ok := counterpart(c, ours)
	if !ok {
		return
	}
	for i := range ours.Methods().Len() {
		method := ours.Methods().Get(i)
		theirs := official.Methods().ByName(method.Name())
		if theirs == nil {
			c.fail("%s: does not exist officially", method.FullName())
			continue
		}
		same(c, method.FullName(), "input", method.Input().FullName(), theirs.Input().FullName())
		same(c, method.FullName(), "output", method.Output().FullName(), theirs.Output().FullName())
		same(c, method.FullName(), "client streaming", method.IsStreamingClient(), theirs.IsStreamingClient())
		same(c, method.FullName(), "server streaming", method.IsStreamingServer(), theirs.IsStreamingServer())
	}
}

func (c *comparison) messages(ours protoreflect.MessageDescriptors) {
	for i := range ours.Len() {
		message := ours.Get(i)
		if official, ok := counterpart(c, message); ok {
			c.message(message, official)
		}
		c.messages(message.Messages())
		c.enums(message.Enums())
	}
}

func (c *comparison) message(ours, official protoreflect.MessageDescriptor) {
	for i := range ours.Fields().Len() {
		field := ours.Fields().Get(i)
		theirs := official.Fields().ByName(field.Name())
		if theirs == nil {
			c.fail("%s: does not exist officially", field.FullName())
			continue
		}
		c.field(field, theirs)
	}
	for i := range official.Fields().Len() {
		field := official.Fields().Get(i)
		if ours.Fields().ByName(field.Name()) == nil {
			c.leftOut(field, alpha(field) || field.Options().(*descriptorpb.FieldOptions).GetDeprecated())
		}
	}
}

func (c *comparison) field(ours, official protoreflect.FieldDescriptor) {
	name := ours.FullName()
	same(c, name, "number", ours.Number(), official.Number())
	same(c, name, "kind", ours.Kind(), official.Kind())
	same(c, name, "cardinality", ours.Cardinality(), official.Cardinality())
	same(c, name, "map", ours.IsMap(), official.IsMap())
	same(c, name, "explicit presence", ours.HasPresence(), official.HasPresence())
	same(c, name, "type", typeName(ours), typeName(official))
	same(c, name, "oneof", oneofName(ours), oneofName(official))
	same(c, name, "csi_secret", secret(ours), secret(official))
}

func (c *comparison) enums(ours protoreflect.EnumDescriptors) {
	for i := range ours.Len() {
		enum := ours.Get(i)
		if official, ok := counterpart(c, enum); ok {
			c.enum(enum, official)
		}
	}
}

func (c *comparison) enum(ours, official protoreflect.EnumDescriptor) {
	for i := range ours.Values().Len() {
		value := ours.Values().Get(i)
		theirs := official.Values().ByName(value.Name())
		if theirs == nil {
			c.fail("%s.%s: does not exist officially", ours.FullName(), value.Name())
			continue
		}
		same(c, ours.FullName().Append(value.Name()), "number", value.Number(), theirs.Number())
	}
	for i := range official.Values().Len() {
		value := official.Values().Get(i)
		if ours.Values().ByName(value.Name()) == nil {
			c.leftOut(value, alpha(value) || value.Options().(*descriptorpb.EnumValueOptions).GetDeprecated())
		}
	}
}

// leftOut judges an official element that ours does not have.
func (c *comparison) leftOut(official protoreflect.Descriptor, optional bool) {
	// A value's full name lies beside its enum, not in it; the list reads better with the enum's name.
	name := official.Parent().FullName().Append(official.Name())
	if optional {
		return
	}
	if _, explained := c.absent[name]; explained {
		c.used[name] = true
		return
	}
	c.fail("%s: exists officially, but not here", name)
}

// typeName is the full name of the message or enum that a field holds, or empty for a scalar.
func typeName(field protoreflect.FieldDescriptor) protoreflect.FullName {
	switch {
	case field.Message() != nil:
		return field.Message().FullName()
	case field.Enum() != nil:
		return field.Enum().FullName()
	}
	return ""
}

func oneofName(field protoreflect.FieldDescriptor) protoreflect.Name {
	if field.ContainingOneof() == nil {
		return ""
	}
	return field.ContainingOneof().Name()
}
