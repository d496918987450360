package gateway

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// markSeparator separates a field and its problem in the text of an error, because
// grpc-gateway passes on only the text of a decoder's error.
const markSeparator = "\x1f"

func mark(field, format string, args ...any) error {
	return fmt.Errorf("%s%s%s%s%s", markSeparator, field, markSeparator, fmt.Sprintf(format, args...), markSeparator)
}

var protoPrefix = regexp.MustCompile(`^proto:[\s\x{a0}]*`)

// decode parses a body strictly. Its error names the invalid value by its path in the
// contract.
func decode(data []byte, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return jsonForm.Unmarshal(data, v)
	}
	err := jsonForm.UnmarshalOptions.Unmarshal(data, m)
	if err == nil {
		return nil
	}
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		return mark("body", "is not JSON: %v", err)
	}
	if field, problem := misfit(m.ProtoReflect(), whole, ""); problem != "" {
		return mark(field, "%s", problem)
	}
	return mark("body", "does not fit %s: %s", m.ProtoReflect().Descriptor().Name(), protoPrefix.ReplaceAllString(err.Error(), ""))
}

// misfit finds the first value of a JSON object that does not fit the message m.
func misfit(m protoreflect.Message, object []byte, path string) (field, problem string) {
	md := m.Descriptor()
	dec := json.NewDecoder(bytes.NewReader(object))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		shown := clip(string(object))
		for i := range md.Fields().Len() {
			if secret(md.Fields().Get(i)) {
				shown = "what was sent" // it may be nothing but the secret
			}
		}
		return cmp.Or(path, "body"), fmt.Sprintf("%s is not an object; its fields are %s", shown, fieldNames(md))
	}
	given := map[protoreflect.Name]bool{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return "", ""
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return "", ""
		}
		name := fmt.Sprint(key)
		fd := fieldNamed(md, name)
		if fd == nil {
			return join(path, clip(name)), fmt.Sprintf("is not a known field; allowed are %s", fieldNames(md))
		}
		at := join(path, string(fd.Name()))
		if given[fd.Name()] {
			return at, "is given twice"
		}
		given[fd.Name()] = true
		if !fits(m, fd, value) {
			return misfitField(m, fd, value, at)
		}
	}
	return "", ""
}

// fits reports whether the decoder accepts a value for a field.
func fits(m protoreflect.Message, fd protoreflect.FieldDescriptor, value []byte) bool {
	object := fmt.Appendf(nil, `{"%s":%s}`, fd.JSONName(), value)
	return jsonForm.UnmarshalOptions.Unmarshal(object, m.New().Interface()) == nil
}

// misfitField says where and why a value does not fit its field.
func misfitField(m protoreflect.Message, fd protoreflect.FieldDescriptor, value []byte, path string) (field, problem string) {
	if !fd.IsList() {
		return misfitValue(fd, value, path, func() protoreflect.Message { return m.NewField(fd).Message() })
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(value, &elements); err != nil {
		return path, clip(string(value)) + " is not a list"
	}
	for i, e := range elements {
		if !fits(m, fd, fmt.Appendf(nil, "[%s]", e)) {
			return misfitValue(fd, e, fmt.Sprintf("%s[%d]", path, i), func() protoreflect.Message { return m.NewField(fd).List().NewElement().Message() })
		}
	}
	return "", ""
}

func misfitValue(fd protoreflect.FieldDescriptor, value []byte, path string, inner func() protoreflect.Message) (field, problem string) {
	shown := clip(string(value))
	if secret(fd) {
		shown = "what was sent"
	}
	switch {
	case fd.Enum() != nil:
		return path, fmt.Sprintf("%s is not allowed: allowed are %s", shown, enumNames(fd.Enum()))
	case fd.Message() != nil && fd.Message().FullName() == "google.protobuf.Duration":
		return path, shown + ` is not a duration in seconds, such as "300s"`
	case fd.Message() != nil:
		if field, problem := misfit(inner(), value, path); problem != "" {
			return field, problem
		}
		return path, fmt.Sprintf("%s does not fit %s", shown, fd.Message().Name())
	case fd.Kind() == protoreflect.StringKind && bytes.HasPrefix(value, []byte(`"`)):
		return path, "is not valid Unicode text"
	}
	return path, fmt.Sprintf("%s is not a value of type %s", shown, fd.Kind())
}

// secret reports whether a field's value must not be repeated in a response.
func secret(fd protoreflect.FieldDescriptor) bool {
	options, ok := fd.Options().(*descriptorpb.FieldOptions)
	return ok && options.GetDebugRedact()
}

// fieldNamed finds a field by its JSON name or its name in the contract.
func fieldNamed(md protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if fd := md.Fields().ByJSONName(name); fd != nil {
		return fd
	}
	return md.Fields().ByTextName(name)
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

// enumNames are the valid values as a body has them: all but the unspecified one, and the role
// of the worker's methods, which no key has.
func enumNames(ed protoreflect.EnumDescriptor) string {
	var names []string
	for i := range ed.Values().Len() {
		if v := ed.Values().Get(i); v.Number() != 0 && v.FullName() != "afterbell.auth.v1.ROLE_SERVICE" {
			names = append(names, string(v.Name()))
		}
	}
	return strings.Join(names, ", ")
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
