package gateway

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// strictQuery rejects query parameters that grpc-gateway would ignore: unknown names, names
// of the path, and enum values. An enum value may be short, as in pool=universe. A list may
// be separated by commas, given several times, or both.
type strictQuery struct{ runtime.DefaultQueryParser }

// Parse implements runtime.QueryParameterParser.
func (q *strictQuery) Parse(msg proto.Message, values url.Values, filter *utilities.DoubleArray) error {
	md := msg.ProtoReflect().Descriptor()
	given := map[protoreflect.Name]bool{}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		texts, fd := values[key], fieldNamed(md, key)
		if fd == nil {
			return mark(clip(key), "is not a known parameter; allowed are %s", parameterNames(md, filter))
		}
		if inPath(fd, filter) {
			return mark(string(fd.Name()), "is given in the path; allowed are %s", parameterNames(md, filter))
		}
		if given[fd.Name()] {
			return mark(string(fd.Name()), "is given twice, under both its names")
		}
		given[fd.Name()] = true
		if !fd.IsList() && len(texts) > 1 {
			return mark(string(fd.Name()), "is given %d times", len(texts))
		}
		if fd.IsList() {
			list, err := listed(key, texts)
			if err != nil {
				return mark(string(fd.Name()), "has no entries; omit it to read all")
			}
			texts, values[key] = list, list
		}
		mayBeEmpty := fd.Name() == "page_token" || fd.Name() == "query"                        // the service says that a query is required
		if fd.Kind() == protoreflect.StringKind && !mayBeEmpty && slices.Contains(texts, "") { // for example from a variable that is not set
			return mark(string(fd.Name()), "is empty; omit it instead")
		}
		for i, text := range texts {
			switch fd.Kind() {
			case protoreflect.EnumKind:
				name, ok := enumName(fd.Enum(), text)
				if !ok {
					return mark(string(fd.Name()), "%q is not allowed: allowed are %s", clip(text), shortNames(fd.Enum()))
				}
				texts[i] = name
			case protoreflect.Int32Kind, protoreflect.Int64Kind:
				bits := 64
				if fd.Kind() == protoreflect.Int32Kind {
					bits = 32
				}
				if _, err := strconv.ParseInt(text, 10, bits); err != nil {
					return mark(string(fd.Name()), "%q is not a whole number of %d bits", clip(text), bits)
				}
			}
		}
	}
	return q.DefaultQueryParser.Parse(msg, values, filter)
}

// inPath reports whether a field is in the path of its request.
func inPath(fd protoreflect.FieldDescriptor, filter *utilities.DoubleArray) bool {
	return filter != nil && filter.HasCommonPrefix([]string{string(fd.Name())})
}

// parameterNames are the names of parameters, as the documentation spells them.
func parameterNames(md protoreflect.MessageDescriptor, filter *utilities.DoubleArray) string {
	var names []string
	for i := range md.Fields().Len() {
		if fd := md.Fields().Get(i); !inPath(fd, filter) {
			names = append(names, string(fd.Name()))
		}
	}
	if len(names) == 0 {
		return "no parameters"
	}
	return strings.Join(names, ", ")
}

// shortNames are the valid values of a parameter without their prefix: targets, universe.
func shortNames(ed protoreflect.EnumDescriptor) string {
	return strings.ToLower(strings.ReplaceAll(enumNames(ed), enumPrefix(ed), ""))
}

// enumPrefix is what the names of an enum begin with.
func enumPrefix(ed protoreflect.EnumDescriptor) string {
	return strings.TrimSuffix(string(ed.Values().Get(0).Name()), "UNSPECIFIED")
}

// enumName is the canonical name of a value that is given in full, without its prefix, in
// any case, or as its number.
func enumName(ed protoreflect.EnumDescriptor, text string) (string, bool) {
	if n, err := strconv.ParseInt(text, 10, 32); err == nil {
		if v := ed.Values().ByNumber(protoreflect.EnumNumber(n)); v != nil {
			return string(v.Name()), true
		}
		return "", false
	}
	for _, name := range []string{text, enumPrefix(ed) + strings.ToUpper(text)} {
		if v := ed.Values().ByName(protoreflect.Name(name)); v != nil {
			return string(v.Name()), true
		}
	}
	return "", false
}
