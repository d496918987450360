package rows

import (
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // whose codec this one extends
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
)

// codec decodes a response with rows without copying the rows out of its message. For
// everything else it is gRPC's own.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2("proto")} }

// dataField is the number of ReadRowsResponse.data.
const dataField protowire.Number = 1

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(in mem.BufferSlice, v any) error {
	m, ok := v.(*orchestratorv1.ReadRowsResponse)
	if !ok {
		return c.CodecV2.Unmarshal(in, v)
	}
	var begin [16]byte
	first := begin[:in.CopyTo(begin[:])]
	num, typ, tag := protowire.ConsumeTag(first)
	if tag < 0 || num != dataField || typ != protowire.BytesType {
		return c.CodecV2.Unmarshal(in, v)
	}
	size, n := protowire.ConsumeVarint(first[tag:])
	head := tag + n
	if n < 0 || size != uint64(in.Len()-head) { // it has more than data
		return c.CodecV2.Unmarshal(in, v)
	}
	// The data begins at a multiple of eight, as numbers must.
	shift := (8 - head%8) % 8
	whole := make([]byte, shift+in.Len())
	in.CopyTo(whole[shift:])
	m.Reset()
	m.Data = whole[shift+head:]
	return nil
}
