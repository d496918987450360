package transport

import (
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// told are the fields of a response with text for users, except text that users wrote, such
// as notes.
var told = map[protoreflect.Name]bool{"message": true, "remedy": true, "explanation": true, "localized_explanation": true, "next_command": true, "description": true}

// tell applies say to every sentence in a message.
func tell(m protoreflect.Message, say func(string) string) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		text := fd.Kind() == protoreflect.StringKind && told[fd.Name()]
		switch {
		case fd.IsMap():
		case fd.IsList() && (text || fd.Message() != nil):
			for list, i := v.List(), 0; i < list.Len(); i++ {
				if !text {
					tell(list.Get(i).Message(), say)
				} else if old := list.Get(i).String(); say(old) != old {
					list.Set(i, protoreflect.ValueOfString(say(old)))
				}
			}
		case text:
			if old := v.String(); say(old) != old {
				m.Set(fd, protoreflect.ValueOfString(say(old)))
			}
		case fd.Message() != nil:
			tell(v.Message(), say)
		}
		return true
	})
}

// tell is tell for a response of any type.
func (g guard) tell(answer any) {
	if m, ok := answer.(proto.Message); ok && g.cfg.Say != nil {
		tell(m.ProtoReflect(), g.cfg.Say)
	}
}

// tellStatus is TellStatus for the server's own sentences.
func (g guard) tellStatus(s *status.Status) *status.Status { return TellStatus(s, g.cfg.Say) }

// TellStatus applies say to the message and every sentence in the details of a status. A
// nil say changes nothing.
func TellStatus(s *status.Status, say func(string) string) *status.Status {
	if say == nil {
		return s
	}
	p := s.Proto()
	p.Message = say(p.GetMessage())
	for i, packed := range p.GetDetails() {
		m, err := packed.UnmarshalNew()
		if err != nil { // a type that is not linked in says what it says
			continue
		}
		tell(m.ProtoReflect(), say)
		if packed, err := anypb.New(m); err == nil {
			p.Details[i] = packed
		}
	}
	return status.FromProto(p)
}
