package api

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalog"
)

// Limits of a request.
const (
	maxNote    = 500
	maxID      = 128
	maxModules = 64
	maxPools   = 64 // duplicates count once and are not an error
	maxTold    = 20 // violations in one error
)

// problems collects the invalid fields of a request.
type problems struct{ fields []fault.Violation }

func (p *problems) add(field, format string, args ...any) {
	p.fields = append(p.fields, fault.Violation{Field: field, Problem: fmt.Sprintf(format, args...)})
}

// err is INVALID_ARGUMENT with everything collected, or nil.
func (p *problems) err() error {
	if len(p.fields) == 0 {
		return nil
	}
	told := p.fields
	if len(told) > maxTold {
		told = told[:maxTold]
	}
	sentences := make([]string, len(told))
	for i, v := range told {
		sentences[i] = v.Field + ": " + v.Problem
	}
	message := strings.Join(sentences, "; ")
	if more := len(p.fields) - len(told); more > 0 {
		message += fmt.Sprintf("; and %d more", more)
	}
	f := fault.New(fault.InvalidArgument, message, "field", told[0].Field)
	f.Fields = slices.Clone(told)
	return f
}

// changes rejects an update that sets no field other than those that identify the resource.
func (p *problems) changes(req proto.Message) {
	m := req.ProtoReflect()
	var names []string
	for i := range m.Descriptor().Fields().Len() {
		fd := m.Descriptor().Fields().Get(i)
		if !fd.HasPresence() && !fd.IsList() && fd.Kind() != protoreflect.EnumKind {
			continue // it identifies the resource, or is the etag
		}
		if m.Has(fd) {
			return
		}
		names = append(names, string(fd.Name()))
	}
	p.add("body", "changes nothing; set at least one of %s", strings.Join(names, ", "))
}

// id validates an identifier, of an existing resource or not.
func (p *problems) id(field, s string) {
	switch {
	case s == "":
		p.add(field, "is required")
	case len(s) > maxID:
		p.add(field, "is %d bytes; at most %d are allowed", len(s), maxID)
	case unprintable(s):
		p.add(field, "contains characters that cannot be printed")
	}
}

// note validates a text of at most 500 characters.
func (p *problems) note(field, s string) {
	if n := utf8.RuneCountInString(s); n > maxNote {
		p.add(field, "is %d characters; at most %d are allowed", n, maxNote)
	}
	if strings.IndexFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) >= 0 {
		p.add(field, "contains control characters")
	}
}

func unprintable(s string) bool {
	return !utf8.ValidString(s) || strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0
}

// pools parses a list; empty stays empty, duplicates count once, targets come before
// universe.
func (p *problems) pools(field string, list []marketv1.Pool) []market.Pool {
	if len(list) > maxPools {
		p.add(field, "has %d entries; there are two pools", len(list))
		return nil
	}
	var out []market.Pool
	for i, v := range list {
		pool, err := transport.PoolFromProto("", v)
		if err != nil {
			p.add(fmt.Sprintf("%s[%d]", field, i), "%s is not allowed: allowed are POOL_TARGETS, POOL_UNIVERSE", v)
			continue
		}
		if !slices.Contains(out, pool) {
			out = append(out, pool)
		}
	}
	slices.SortFunc(out, func(a, b market.Pool) int {
		return slices.Index(market.Pools(), a) - slices.Index(market.Pools(), b)
	})
	return out
}

// pool parses a filter: unspecified means none.
func (p *problems) pool(field string, v marketv1.Pool) market.Pool {
	if v == marketv1.Pool_POOL_UNSPECIFIED {
		return ""
	}
	pool, err := transport.PoolFromProto("", v)
	if err != nil {
		p.add(field, "%s is not allowed: allowed are POOL_TARGETS, POOL_UNIVERSE", v)
	}
	return pool
}

// poolNamed parses the pool of a path.
func poolNamed(name string) (market.Pool, error) {
	var p problems
	if p.id("pool", name); p.err() != nil {
		return "", p.err()
	}
	pool, err := market.ParsePool(name)
	if err != nil {
		return "", fault.New(fault.NotFound, fmt.Sprintf("There is no pool %q; the pools are targets and universe.", name), "kind", "pool", "id", name)
	}
	return pool, nil
}

func (p *problems) date(field, s string) market.Date {
	d, err := transport.DateFromProto(field, s)
	if err != nil {
		p.add(field, "%s", strings.TrimPrefix(err.Error(), field+": "))
	}
	return d
}

// dates parses a date range that does not end after today in Shanghai.
func (p *problems) dates(start, end string, now time.Time) (first, last market.Date) {
	first, last = p.date("start_date", start), p.date("end_date", end)
	today := market.DateOf(now)
	if first != market.NoDate && last != market.NoDate && first > last {
		p.add("start_date", "%s is after end_date %s", first, last)
	}
	if last != market.NoDate && last > today {
		p.add("end_date", "%s is after today, %s in Shanghai", last, today)
	}
	if first != market.NoDate && first > today {
		p.add("start_date", "%s is after today, %s in Shanghai", first, today)
	}
	return first, last
}

// modules validates a list against the catalog; duplicates count once. Without a catalog
// only the format is checked.
func (p *problems) modules(field string, ids []string, c *catalog.Catalog) []string {
	if len(ids) > maxModules {
		p.add(field, "has %d entries; at most %d are allowed", len(ids), maxModules)
		return nil
	}
	var out []string
	for i, id := range ids {
		at := fmt.Sprintf("%s[%d]", field, i)
		switch {
		case id == "" || len(id) > maxID || unprintable(id):
			p.id(at, id)
		case known(c) && c.Module(id) == nil:
			p.add(at, "%q is not a module; GET /v1/domains lists the modules", id)
		case !slices.Contains(out, id):
			out = append(out, id)
		}
	}
	return out
}

func (p *problems) requestID(field, s string) {
	if s == "" {
		return
	}
	if id, err := uuid.Parse(s); err != nil || len(s) != 36 || id == uuid.Nil {
		p.add(field, "%.40q is not a UUID, as in 0195f1a2-7c3e-7b1a-9d57-3f0a5c1e2b4d", s)
	}
}

// page parses a page size and a token. kind and filter bind a token to the list that
// returned it.
func (p *problems) page(size int32, fallback, most int, token, kind, filter string) (limit int, cursor string) {
	limit = int(size)
	switch {
	case size == 0:
		limit = fallback
	case size < 0 || limit > most:
		p.add("page_size", "%d is outside 1 to %d; 0 means %d", size, most, fallback)
	}
	if token == "" {
		return limit, ""
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if rest, ok := strings.CutPrefix(string(raw), kind+"|"+filter+"|"); err == nil && ok && len(rest) <= maxID && rest != "" && !unprintable(rest) {
		return limit, rest
	}
	p.add("page_token", "was not returned by this list with the same filters; leave it empty for the first page")
	return limit, ""
}

func pageToken(kind, filter, cursor string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(kind + "|" + filter + "|" + cursor))
}

// pageOf cuts a list that was read with one entry too many to a page, and creates the token
// of the next one.
func pageOf[T any](all []T, limit int, kind, filter string, cursor func(T) string) ([]T, string) {
	if len(all) <= limit {
		return all, ""
	}
	return all[:limit], pageToken(kind, filter, cursor(all[limit-1]))
}
