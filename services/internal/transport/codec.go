package transport

import (
	"fmt"
	"unicode/utf8"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// brokenField is the number of an unknown field that marks a request that could not be
// decoded: the highest number, which no contract uses.
const brokenField protowire.Number = 1<<29 - 1

// codec makes an undecodable request INVALID_ARGUMENT. gRPC's own codec returns INTERNAL
// before any interceptor runs. It returns an empty message with a mark, which the
// interceptors turn into the error.
type codec struct{ encoding.CodecV2 }

func newCodec() encoding.CodecV2 { return codec{newBytesCodec()} }

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	err := c.CodecV2.Unmarshal(data, v)
	m, ok := v.(proto.Message)
	if err == nil || !ok {
		return err
	}
	field, problem := "request", "does not match the contract"
	if path := badText(m.ProtoReflect().Descriptor(), data.Materialize()); path != "" {
		field, problem = path, "is not valid UTF-8"
	}
	proto.Reset(m)
	mark := protowire.AppendTag(nil, brokenField, protowire.BytesType)
	mark = protowire.AppendBytes(mark, []byte(field+"\x00"+problem))
	m.ProtoReflect().SetUnknown(mark)
	return nil
}

// broken is the error of a marked request, or nil.
func broken(v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return nil
	}
	b := m.ProtoReflect().GetUnknown()
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 || num != brokenField || typ != protowire.BytesType {
		return nil
	}
	text, _ := protowire.ConsumeBytes(b[n:])
	for i, c := range text {
		if c == 0 {
			return fault.Invalid(string(text[:i]), "%s", text[i+1:])
		}
	}
	return fault.Invalid("request", "does not match the contract")
}

// badText is the path of the first text field that is not UTF-8, or empty.
func badText(md protoreflect.MessageDescriptor, b []byte) string {
	count := map[protowire.Number]int{}
	for len(b) > 0 {
		num, wire, n := protowire.ConsumeField(b)
		if n < 0 {
			return ""
		}
		_, _, tag := protowire.ConsumeTag(b)
		value := b[tag:n]
		b = b[n:]
		fd := md.Fields().ByNumber(num)
		if fd == nil || wire != protowire.BytesType {
			continue
		}
		name := string(fd.Name())
		if fd.IsList() {
			name = fmt.Sprintf("%s[%d]", name, count[num])
			count[num]++
		}
		content, _ := protowire.ConsumeBytes(value)
		switch {
		case fd.Kind() == protoreflect.StringKind && !utf8.Valid(content):
			return name
		case fd.Message() != nil:
			if inner := badText(fd.Message(), content); inner != "" {
				return name + "." + inner
			}
		}
	}
	return ""
}
