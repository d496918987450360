package transport

import (
	"maps"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	faultv1 "github.com/afterbell/afterbell/gen/afterbell/fault/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// ReasonToProto is the enum value of a reason, unspecified if there is none.
func ReasonToProto(r fault.Reason) faultv1.Reason {
	return faultv1.Reason(faultv1.Reason_value["REASON_"+string(r)])
}

// ReasonFromProto is the reason of an enum value. Empty if unspecified; INTERNAL for a
// value of a newer peer.
func ReasonFromProto(r faultv1.Reason) fault.Reason {
	if r == faultv1.Reason_REASON_UNSPECIFIED {
		return ""
	}
	reason := fault.Reason(strings.TrimPrefix(r.String(), "REASON_"))
	if _, ok := fault.Describe(reason); !ok {
		return fault.Internal
	}
	return reason
}

// IssueToProto is an issue as it crosses the wire.
func IssueToProto(i fault.Issue) *faultv1.Issue {
	meta := make(map[string]string, len(i.Meta))
	for k, v := range i.Meta {
		meta[clean(k)] = clean(v)
	}
	return &faultv1.Issue{
		Reason: ReasonToProto(i.Reason), Severity: faultv1.Severity(i.Severity), DomainId: clean(i.Domain), ModuleId: clean(i.Module),
		Message: clean(i.Message), Remedy: clean(i.Remedy), RetryTime: TimeToProto(i.RetryAt), Metadata: meta,
	}
}

// IssueFromProto converts an issue. An unset severity becomes that of the reason.
func IssueFromProto(i *faultv1.Issue) fault.Issue {
	out := fault.NewIssue(ReasonFromProto(i.GetReason()), i.GetMessage())
	out.Domain, out.Module, out.RetryAt = i.GetDomainId(), i.GetModuleId(), TimeFromProto(i.GetRetryTime())
	if s := i.GetSeverity(); s >= faultv1.Severity_SEVERITY_WARNING && s <= faultv1.Severity_SEVERITY_BLOCKING {
		out.Severity = fault.Severity(s)
	}
	if i.GetRemedy() != "" {
		out.Remedy = i.GetRemedy()
	}
	if len(i.GetMetadata()) > 0 {
		out.Meta = maps.Clone(i.GetMetadata())
	}
	return out
}

// IssuesToProto converts a list, in order.
func IssuesToProto(issues []fault.Issue) []*faultv1.Issue {
	if len(issues) == 0 {
		return nil
	}
	out := make([]*faultv1.Issue, len(issues))
	for n, i := range issues {
		out[n] = IssueToProto(i)
	}
	return out
}

// IssuesFromProto converts a list, in order.
func IssuesFromProto(issues []*faultv1.Issue) []fault.Issue {
	if len(issues) == 0 {
		return nil
	}
	out := make([]fault.Issue, len(issues))
	for n, i := range issues {
		out[n] = IssueFromProto(i)
	}
	return out
}

// PoolToProto is the enum value of a pool, unspecified if there is none.
func PoolToProto(p market.Pool) marketv1.Pool {
	switch p {
	case market.Targets:
		return marketv1.Pool_POOL_TARGETS
	case market.Universe:
		return marketv1.Pool_POOL_UNIVERSE
	}
	return marketv1.Pool_POOL_UNSPECIFIED
}

// PoolFromProto is the pool of an enum value. Unspecified and unknown values are
// INVALID_ARGUMENT for the field.
func PoolFromProto(field string, p marketv1.Pool) (market.Pool, error) {
	switch p {
	case marketv1.Pool_POOL_TARGETS:
		return market.Targets, nil
	case marketv1.Pool_POOL_UNIVERSE:
		return market.Universe, nil
	}
	return "", fault.Invalid(field, "%s is not allowed: allowed are POOL_TARGETS, POOL_UNIVERSE", p)
}

// PoolsToProto converts a list, in order.
func PoolsToProto(pools []market.Pool) []marketv1.Pool {
	out := make([]marketv1.Pool, len(pools))
	for n, p := range pools {
		out[n] = PoolToProto(p)
	}
	return out
}

// KindToProto is the enum value of a kind, unspecified if there is none.
func KindToProto(k market.Kind) marketv1.InstrumentKind {
	switch k {
	case market.Stock:
		return marketv1.InstrumentKind_INSTRUMENT_KIND_STOCK
	case market.ETF:
		return marketv1.InstrumentKind_INSTRUMENT_KIND_ETF
	}
	return marketv1.InstrumentKind_INSTRUMENT_KIND_UNSPECIFIED
}

// KindFromProto is the kind of an enum value; empty if unspecified or unknown.
func KindFromProto(k marketv1.InstrumentKind) market.Kind {
	switch k {
	case marketv1.InstrumentKind_INSTRUMENT_KIND_STOCK:
		return market.Stock
	case marketv1.InstrumentKind_INSTRUMENT_KIND_ETF:
		return market.ETF
	}
	return ""
}

// VerdictToProto is the enum value of a verdict; unspecified if there is none.
func VerdictToProto(v market.Verdict) marketv1.Verdict {
	return marketv1.Verdict(marketv1.Verdict_value["VERDICT_"+strings.ToUpper(string(v))])
}

// VerdictFromProto is the verdict of an enum value; empty if unspecified or unknown.
func VerdictFromProto(v marketv1.Verdict) market.Verdict {
	name, ok := marketv1.Verdict_name[int32(v)]
	if !ok || v == marketv1.Verdict_VERDICT_UNSPECIFIED {
		return ""
	}
	return market.Verdict(strings.ToLower(strings.TrimPrefix(name, "VERDICT_")))
}

// DateFromProto parses a "YYYY-MM-DD" field; empty is NoDate. Anything else is
// INVALID_ARGUMENT for the field. The inverse is Date.String.
func DateFromProto(field, s string) (market.Date, error) {
	if s == "" {
		return market.NoDate, nil
	}
	d, err := market.ParseDate(s)
	if err != nil {
		return market.NoDate, fault.Invalid(field, "%v", err)
	}
	return d, nil
}

// TimeToProto is unset for the zero time.
func TimeToProto(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// TimeFromProto is zero when unset or out of range, and in UTC.
func TimeFromProto(t *timestamppb.Timestamp) time.Time {
	if t.CheckValid() != nil {
		return time.Time{}
	}
	return t.AsTime()
}
