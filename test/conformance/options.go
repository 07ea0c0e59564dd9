package conformance

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// The extensions' numbers in csi.proto. alpha_field and alpha_enum_value share one: they extend different options.
const (
	secretNumber protoreflect.FieldNumber = 1059
	alphaNumber  protoreflect.FieldNumber = 1060
)

func secret(field protoreflect.FieldDescriptor) bool {
	return boolOption(field, secretNumber)
}

func alpha(element protoreflect.Descriptor) bool {
	return boolOption(element, alphaNumber)
}

// boolOption reads a custom option through the registered extensions, whether a parser or generated code set it: a parser
// sets it under a type of its own.
func boolOption(element protoreflect.Descriptor, number protoreflect.FieldNumber) bool {
	options := element.Options()
	extension, err := protoregistry.GlobalTypes.FindExtensionByNumber(options.ProtoReflect().Descriptor().FullName(), number)
	if err != nil {
		return false
	}
	wire, err := proto.Marshal(options)
	if err != nil {
		return false
	}
	registered := options.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(wire, registered); err != nil {
		return false
	}
	set, _ := proto.GetExtension(registered, extension).(bool)
	return set
}
