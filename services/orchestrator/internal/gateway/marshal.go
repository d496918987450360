package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// jsonForm is the JSON form of the API.
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

// streamError is the status in the map with which grpc-gateway ends a failed stream, or
// nil.
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
		data, err := io.ReadAll(r) // limited by the guard
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(data)) == 0 {
			return io.EOF // an empty body is an empty request
		}
		return decode(data, v)
	})
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
