package transport

import (
	"context"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	faultv1 "github.com/afterbell/afterbell/gen/afterbell/fault/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
)

// LanguageKey is the gRPC metadata with the languages of the caller, as in the HTTP header.
const LanguageKey = "accept-language"

// InChinese reports whether the caller of a gRPC call prefers Chinese to English.
func InChinese(ctx context.Context) bool {
	return PrefersChinese(metadata.ValueFromIncomingContext(ctx, LanguageKey))
}

// PrefersChinese reports whether an Accept-Language header prefers Chinese to English.
func PrefersChinese(header []string) bool {
	best, chinese := 0.0, false
	for _, tag := range strings.Split(strings.Join(header, ","), ",") {
		name, weight, weighted := strings.Cut(strings.TrimSpace(tag), ";q=")
		q := 1.0
		if weighted {
			var err error
			if q, err = strconv.ParseFloat(strings.TrimSpace(weight), 64); err != nil {
				continue
			}
		}
		language, _, _ := strings.Cut(strings.ToLower(name), "-")
		if q > best && (language == "zh" || language == "en") {
			best, chinese = q, language == "zh"
		}
	}
	return chinese
}

const chineseLocale = "zh-CN"

// localize adds the Chinese of every issue in a message.
func localize(m protoreflect.Message) {
	if i, ok := m.Interface().(*faultv1.Issue); ok {
		message, remedy := fault.Chinese(ReasonFromProto(i.GetReason()), i.GetMetadata(), i.GetRemedy())
		if message != "" {
			i.Localized = &faultv1.Localized{Locale: chineseLocale, Message: message, Remedy: remedy}
		}
		return
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Message() == nil || fd.IsMap():
		case fd.IsList():
			for list, n := v.List(), 0; n < list.Len(); n++ {
				localize(list.Get(n).Message())
			}
		default:
			localize(v.Message())
		}
		return true
	})
}

// LocalizeStatus adds the Chinese of an error to its details, unless it is there already.
func LocalizeStatus(s *status.Status) *status.Status {
	var reason fault.Reason
	var meta map[string]string
	var fields []fault.Violation
	remedy := ""
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *faultv1.Localized:
			return s
		case *errdetails.ErrorInfo:
			reason, meta = fault.Reason(d.GetReason()), d.GetMetadata()
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				fields = append(fields, fault.Violation{Field: v.GetField(), Problem: v.GetDescription()})
			}
		case *errdetails.Help:
			for _, l := range d.GetLinks() {
				remedy = l.GetDescription()
			}
		}
	}
	message, todo := fault.Chinese(reason, meta, remedy)
	if said := fault.ChineseOf(fields); said != "" {
		message = said
	}
	packed, err := anypb.New(&faultv1.Localized{Locale: chineseLocale, Message: message, Remedy: todo})
	if message == "" || err != nil {
		return s
	}
	p := s.Proto()
	p.Details = append(p.Details, packed)
	return status.FromProto(p)
}
