// Package fields reads and writes the settable fields of the contract's messages by
// their names, so that the command and its file know a new setting without a change.
// It does no I/O.
package fields

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Names are the fields of a message that a user can set, in the order of the contract:
// scalars, enums, durations and lists of enums or strings.
func Names(m proto.Message) (names []string) {
	all := m.ProtoReflect().Descriptor().Fields()
	for i := range all.Len() {
		if settable(all.Get(i)) {
			names = append(names, string(all.Get(i).Name()))
		}
	}
	return names
}

func settable(fd protoreflect.FieldDescriptor) bool {
	if fd.IsMap() {
		return false
	}
	switch fd.Kind() {
	case protoreflect.BoolKind, protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.StringKind, protoreflect.EnumKind:
		return true
	case protoreflect.MessageKind:
		return !fd.IsList() && fd.Message().FullName() == "google.protobuf.Duration"
	}
	return false
}

func field(m proto.Message, name string) protoreflect.FieldDescriptor {
	fd := m.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(name))
	if fd == nil || !settable(fd) {
		return nil
	}
	return fd
}

// Allowed describes the values of a field, for help and errors. list is true if it takes
// several, separated by commas.
func Allowed(m proto.Message, name string) (what string, list bool) {
	fd := field(m, name)
	if fd == nil {
		return "", false
	}
	switch fd.Kind() {
	case protoreflect.BoolKind:
		what = "true or false"
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		what = "an integer"
	case protoreflect.EnumKind:
		what = strings.Join(enumNames(fd.Enum()), ", ")
	case protoreflect.MessageKind:
		what = "a duration such as 30s or 10m"
	default:
		what = "text"
	}
	return what, fd.IsList()
}

// Refused is the error of a text that a field does not take.
type Refused struct {
	// Text that was refused.
	Text string
	// What and List are the results of Allowed for the field.
	What string
	// List is whether the field takes several.
	List bool
}

// Error says what is allowed.
func (r *Refused) Error() string {
	what := r.What
	if r.List {
		what += "; separate several with commas"
	}
	return fmt.Sprintf("%q is not allowed: write %s", r.Text, what)
}

func refused(m proto.Message, name, text string) error {
	what, list := Allowed(m, name)
	return &Refused{Text: text, What: what, List: list}
}

// enumNames are the values of an enum in their short form, without the unset one.
func enumNames(e protoreflect.EnumDescriptor) (names []string) {
	for i := range e.Values().Len() {
		if v := e.Values().Get(i); v.Number() != 0 {
			names = append(names, short(e, v))
		}
	}
	return names
}

// short is an enum's value without the prefix that all of them share.
func short(e protoreflect.EnumDescriptor, v protoreflect.EnumValueDescriptor) string {
	unset := string(e.Values().ByNumber(0).Name())
	return strings.ToLower(strings.TrimPrefix(string(v.Name()), strings.TrimSuffix(unset, "UNSPECIFIED")))
}

// Set reads a field from text; a list is separated by commas.
func Set(m proto.Message, name, text string) error {
	fd := field(m, name)
	if fd == nil {
		return fmt.Errorf("there is no %q; there are %s", name, strings.Join(Names(m), ", "))
	}
	r := m.ProtoReflect()
	if !fd.IsList() {
		v, err := parse(fd, text)
		if err != nil {
			return refused(m, name, text)
		}
		r.Set(fd, v)
		return nil
	}
	list := r.NewField(fd).List()
	for part := range strings.SplitSeq(text, ",") {
		v, err := parse(fd, strings.TrimSpace(part))
		if err != nil {
			return refused(m, name, part)
		}
		list.Append(v)
	}
	r.Set(fd, protoreflect.ValueOfList(list))
	return nil
}

func parse(fd protoreflect.FieldDescriptor, text string) (protoreflect.Value, error) {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		b, err := strconv.ParseBool(text)
		return protoreflect.ValueOfBool(b), err
	case protoreflect.Int32Kind:
		n, err := strconv.ParseInt(text, 10, 32)
		return protoreflect.ValueOfInt32(int32(n)), err
	case protoreflect.Int64Kind:
		n, err := strconv.ParseInt(text, 10, 64)
		return protoreflect.ValueOfInt64(n), err
	case protoreflect.EnumKind:
		values := fd.Enum().Values()
		for i := range values.Len() {
			v := values.Get(i)
			if v.Number() != 0 && (strings.EqualFold(text, short(fd.Enum(), v)) || text == string(v.Name())) {
				return protoreflect.ValueOfEnum(v.Number()), nil
			}
		}
		return protoreflect.Value{}, fmt.Errorf("unknown")
	case protoreflect.MessageKind:
		d, err := time.ParseDuration(text)
		return protoreflect.ValueOfMessage(durationpb.New(d).ProtoReflect()), err
	}
	return protoreflect.ValueOfString(text), nil
}

// Get is a field as text, in the form that Set reads. Empty when there is no such
// field.
func Get(m proto.Message, name string) string {
	fd := field(m, name)
	if fd == nil {
		return ""
	}
	v := m.ProtoReflect().Get(fd)
	if !fd.IsList() {
		return format(fd, v)
	}
	var parts []string
	for i := range v.List().Len() {
		parts = append(parts, format(fd, v.List().Get(i)))
	}
	return strings.Join(parts, ",")
}

func format(fd protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch fd.Kind() {
	case protoreflect.EnumKind:
		if e := fd.Enum().Values().ByNumber(v.Enum()); e != nil && e.Number() != 0 {
			return short(fd.Enum(), e)
		}
		return ""
	case protoreflect.MessageKind:
		if d, ok := v.Message().Interface().(*durationpb.Duration); ok {
			return durationText(d.AsDuration())
		}
	}
	return v.String()
}

// durationText leaves out the minutes and seconds that are 0.
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Same reports whether two texts of a field mean the same. The order of a list does not
// matter.
func Same(m proto.Message, name, a, b string) bool {
	one, other := proto.Clone(m), proto.Clone(m)
	if Set(one, name, a) != nil || Set(other, name, b) != nil {
		return a == b
	}
	a, b = Get(one, name), Get(other, name)
	if fd := field(m, name); fd == nil || !fd.IsList() {
		return a == b
	}
	x, y := strings.Split(a, ","), strings.Split(b, ",")
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}
