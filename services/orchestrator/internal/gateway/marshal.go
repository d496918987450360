package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// jsonForm is the JSON form of the API, decided once.
var jsonForm = runtime.JSONPb{
	MarshalOptions:   protojson.MarshalOptions{EmitUnpopulated: true},
	UnmarshalOptions: protojson.UnmarshalOptions{},
}

// jsonMarshaler writes one compact JSON value (protojson's own spacing is random)
// and reads a whole body strictly.
type jsonMarshaler struct{}

// ContentType implements runtime.Marshaler.
func (jsonMarshaler) ContentType(any) string { return "application/json" }

// StreamContentType implements runtime.StreamContentType.
func (jsonMarshaler) StreamContentType(any) string { return "application/x-ndjson" }

// Delimiter implements runtime.Delimited.
func (jsonMarshaler) Delimiter() []byte { return []byte("\n") }

// Marshal implements runtime.Marshaler.
func (jsonMarshaler) Marshal(v any) ([]byte, error) {
	if s := streamError(v); s != nil {
		return errorJSON(s), nil
	}
	raw, err := jsonForm.Marshal(v)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.Grow(len(raw))
	if err := json.Compact(&out, raw); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// streamError is the status in the map that grpc-gateway ends a broken stream
// with, or nil.
func streamError(v any) *status.Status {
	if m, ok := v.(map[string]proto.Message); ok {
		if s, ok := m["error"].(*spb.Status); ok {
			return status.FromProto(s)
		}
	}
	return nil
}

// Unmarshal implements runtime.Marshaler.
func (jsonMarshaler) Unmarshal(data []byte, v any) error { return decode(data, v) }

// NewEncoder implements runtime.Marshaler.
func (m jsonMarshaler) NewEncoder(w io.Writer) runtime.Encoder {
	return runtime.EncoderFunc(func(v any) error {
		b, err := m.Marshal(v)
		if err != nil {
			return err
		}
		_, err = w.Write(b)
		return err
	})
}

// NewDecoder implements runtime.Marshaler.
func (jsonMarshaler) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		data, err := io.ReadAll(r) // the guard has bounded it
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(data)) == 0 {
			return io.EOF // an empty body is an empty request
		}
		return decode(data, v)
	})
}

// markSeparator frames a field and its problem in the text of an error, which is
// all that grpc-gateway hands on of a decoder's error.
const markSeparator = "\x1f"

func mark(field, format string, args ...any) error {
	return fmt.Errorf("%s%s%s%s%s", markSeparator, field, markSeparator, fmt.Sprintf(format, args...), markSeparator)
}

var (
	protoPrefix  = regexp.MustCompile(`^proto:[\s\x{a0}]*`)
	unknownField = regexp.MustCompile(`unknown field "((?:[^"\\]|\\.)*)"`)
	badValue     = regexp.MustCompile(`(?s)invalid value for (\w+) (?:field|type)?\s?(\w+): (.*)$`)
	badDuration  = regexp.MustCompile(`invalid google\.protobuf\.Duration value (".*"|\S+)$`)
	twice        = regexp.MustCompile(`duplicate field "?(\w+)"?`)
)

func decode(data []byte, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return jsonForm.Unmarshal(data, v)
	}
	err := jsonForm.UnmarshalOptions.Unmarshal(data, m)
	if err == nil {
		return nil
	}
	md := m.ProtoReflect().Descriptor()
	text := protoPrefix.ReplaceAllString(err.Error(), "")
	if !json.Valid(data) {
		return mark("body", "is not JSON: %s", text)
	}
	if got := unknownField.FindStringSubmatch(text); got != nil {
		return mark(got[1], "is not a field here; a %s has %s", md.Name(), fieldNames(md))
	}
	if got := twice.FindStringSubmatch(text); got != nil {
		return mark(got[1], "is given twice")
	}
	if got := badValue.FindStringSubmatch(text); got != nil {
		field, kind, value := got[2], got[1], got[3]
		if fd := findField(md, got[2], 0); fd != nil {
			field = string(fd.Name())
			if fd.Enum() != nil {
				return mark(field, "%s is not allowed: allowed are %s", clip(value), enumNames(fd.Enum()))
			}
		}
		return mark(field, "%s is not a value of type %s", clip(value), kind)
	}
	if got := badDuration.FindStringSubmatch(text); got != nil {
		return mark(durationField(md, data, got[1]), "%s is not a length of time in seconds, as in \"300s\"", clip(got[1]))
	}
	return mark("body", "is not a %s: %s", md.Name(), text)
}

// findField looks a JSON or proto name up in a message and those inside it.
func findField(md protoreflect.MessageDescriptor, name string, depth int) protoreflect.FieldDescriptor {
	fields := md.Fields()
	if fd := fields.ByJSONName(name); fd != nil {
		return fd
	}
	if fd := fields.ByTextName(name); fd != nil {
		return fd
	}
	for i := range fields.Len() {
		if inner := fields.Get(i).Message(); inner != nil && depth < 4 {
			if fd := findField(inner, name, depth+1); fd != nil {
				return fd
			}
		}
	}
	return nil
}

func fieldNames(md protoreflect.MessageDescriptor) string {
	fields := md.Fields()
	if fields.Len() == 0 {
		return "no fields"
	}
	names := make([]string, fields.Len())
	for i := range names {
		names[i] = fields.Get(i).JSONName()
	}
	return strings.Join(names, ", ")
}

// enumNames are the values that may be asked for: all but the unspecified.
func enumNames(ed protoreflect.EnumDescriptor) string {
	var names []string
	for i := range ed.Values().Len() {
		if v := ed.Values().Get(i); v.Number() != 0 {
			names = append(names, string(v.Name()))
		}
	}
	return strings.Join(names, ", ")
}

// sseMarshaler writes each message of a stream as one server-sent event: its JSON
// as data, its sequence as id, and a keep-alive as a comment.
type sseMarshaler struct{ jsonMarshaler }

// ContentType implements runtime.Marshaler.
func (sseMarshaler) ContentType(any) string { return "text/event-stream" }

// StreamContentType implements runtime.StreamContentType.
func (sseMarshaler) StreamContentType(any) string { return "text/event-stream" }

// Delimiter implements runtime.Delimited.
func (sseMarshaler) Delimiter() []byte { return []byte("\n\n") }

// Marshal implements runtime.Marshaler.
func (s sseMarshaler) Marshal(v any) ([]byte, error) {
	if st := streamError(v); st != nil {
		return append([]byte("event: error\ndata: "), errorJSON(st)...), nil
	}
	body, err := s.jsonMarshaler.Marshal(v)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if m, ok := v.(map[string]any); ok {
		if msg, ok := m["result"].(proto.Message); ok {
			sequence, event := sequenceOf(msg.ProtoReflect())
			if !event {
				return []byte(": keep-alive"), nil
			}
			fmt.Fprintf(&out, "id: %d\n", sequence)
		}
	}
	out.WriteString("data: ")
	out.Write(body)
	return out.Bytes(), nil
}

// sequenceOf reads event.sequence; ok is false when there is no event.
func sequenceOf(m protoreflect.Message) (sequence int64, ok bool) {
	event := m.Descriptor().Fields().ByName("event")
	if event == nil || event.Message() == nil || !m.Has(event) {
		return 0, false
	}
	inner := m.Get(event).Message()
	fd := inner.Descriptor().Fields().ByName("sequence")
	if fd == nil || fd.Kind() != protoreflect.Int64Kind {
		return 0, false
	}
	return inner.Get(fd).Int(), true
}

// durationField is the field of a message whose value in the body reads as given,
// which the decoder does not name; "body" where there is none.
func durationField(md protoreflect.MessageDescriptor, data []byte, value string) string {
	var body map[string]json.RawMessage
	if json.Unmarshal(data, &body) != nil {
		return "body"
	}
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		if fd.Message() == nil || fd.Message().FullName() != "google.protobuf.Duration" {
			continue
		}
		for _, key := range []string{string(fd.Name()), fd.JSONName()} {
			if raw, ok := body[key]; ok && string(raw) == value {
				return string(fd.Name())
			}
		}
	}
	return "body"
}
