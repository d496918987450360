// Package replay serves a directory of recorded data, one CSV file per dataset and trade date,
// exactly as recorded: numbers keep their text, an empty field or a column that a file lacks is
// null, and a date without a file has no rows.
//
// The folder holds daily/, daily_basic/, moneyflow/, fund_daily/ and
// suspend_d/ with YYYYMMDD.csv; stock_basic/ with stock_basic_<status>_<vintage>[_note].csv;
// fund_basic/ with fund_basic_<market>_<vintage>.csv; trade_cal/ with one or more
// trade_cal_*.csv; and optionally whole recorded replies in raw_replies/
// stock_basic_<vintage>.json, which are vintages too. Files are read when they are first needed
// and kept in memory: a directory usually has some tens of megabytes.
package replay

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/afterbell/afterbell/services/tusharesim/internal/calendar"
	"github.com/afterbell/afterbell/services/tusharesim/internal/spec"
	"github.com/afterbell/afterbell/services/tusharesim/internal/table"
	"github.com/afterbell/afterbell/services/tusharesim/internal/wire"
)

// Source is a directory of recorded data. It is safe for concurrent use.
type Source struct {
	dir     string
	vintage string
	days    [spec.Count][]int32
	// vintages maps a stock_basic vintage to the files of its statuses.
	vintages map[string]map[string]string
	// funds maps a market to its newest file.
	funds map[string]string
	cal   []calDay

	mu     sync.Mutex
	tables map[string]*table.Table
}

type calDay struct {
	date int32
	row  []string
	open string
}

// Open opens a directory. vintage is the stock list to use; empty means the newest CSV file.
func Open(dir, vintage string) (*Source, error) {
	if st, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("replay folder: %w", err)
	} else if !st.IsDir() {
		return nil, fmt.Errorf("replay folder: %s is not a folder", dir)
	}
	s := &Source{dir: dir, vintages: map[string]map[string]string{}, funds: map[string]string{}, tables: map[string]*table.Table{}}
	for _, api := range spec.All() {
		if !api.Dated {
			continue
		}
		names, err := list(filepath.Join(dir, api.Name))
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			if d, ok := calendar.Parse(strings.TrimSuffix(n, ".csv")); ok && strings.HasSuffix(n, ".csv") {
				s.days[api.ID] = append(s.days[api.ID], d)
			}
		}
	}
	if err := s.findLists(vintage); err != nil {
		return nil, err
	}
	if err := s.readCalendar(); err != nil {
		return nil, err
	}
	if len(s.cal) == 0 && len(s.vintages) == 0 && len(s.funds) == 0 && !slices.ContainsFunc(s.days[:], func(d []int32) bool { return len(d) > 0 }) {
		return nil, fmt.Errorf("replay folder: %s holds none of the folders daily, stock_basic, trade_cal and so on with recorded data", dir)
	}
	return s, nil
}

func list(dir string) ([]string, error) {
	es, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("replay folder: %w", err)
	}
	var out []string
	for _, e := range es {
		out = append(out, e.Name())
	}
	return out, nil
}

func (s *Source) findLists(vintage string) error {
	names, err := list(filepath.Join(s.dir, "stock_basic"))
	if err != nil {
		return err
	}
	for _, n := range names {
		p := strings.Split(strings.TrimSuffix(n, ".csv"), "_")
		if len(p) >= 4 && p[0] == "stock" && strings.HasSuffix(n, ".csv") {
			s.addVintage(p[3], p[2], filepath.Join("stock_basic", n))
			s.vintage = max(s.vintage, p[3])
		}
	}
	raw, err := list(filepath.Join(s.dir, "raw_replies"))
	if err != nil {
		return err
	}
	for _, n := range raw {
		v, ok := strings.CutPrefix(strings.TrimSuffix(n, ".json"), "stock_basic_")
		if ok && s.vintages[v] == nil {
			s.addVintage(v, "L", filepath.Join("raw_replies", n))
		}
	}
	if vintage != "" {
		if s.vintages[vintage] == nil {
			return fmt.Errorf("stock list %q is not recorded; there are %s", vintage, strings.Join(s.Vintages(), ", "))
		}
		s.vintage = vintage
	}
	funds, err := list(filepath.Join(s.dir, "fund_basic"))
	if err != nil {
		return err
	}
	for _, n := range funds {
		if p := strings.Split(n, "_"); len(p) >= 4 && strings.HasSuffix(n, ".csv") {
			s.funds[p[2]] = max(s.funds[p[2]], filepath.Join("fund_basic", n))
		}
	}
	return nil
}

func (s *Source) addVintage(vintage, status, file string) {
	if s.vintages[vintage] == nil {
		s.vintages[vintage] = map[string]string{}
	}
	s.vintages[vintage][status] = file
}

// Vintages returns the vintages of the stock lists, oldest first.
func (s *Source) Vintages() []string {
	out := make([]string, 0, len(s.vintages))
	for v := range s.vintages {
		out = append(out, v)
	}
	slices.Sort(out)
	return out
}

// Vintage returns the vintage of the stock list in use.
func (s *Source) Vintage() string { return s.vintage }

func (s *Source) readCalendar() error {
	names, err := list(filepath.Join(s.dir, "trade_cal"))
	if err != nil {
		return err
	}
	api := spec.Get(spec.TradeCal)
	for _, n := range names {
		if !strings.HasSuffix(n, ".csv") {
			continue
		}
		t, err := s.load(api, filepath.Join("trade_cal", n), "")
		if err != nil {
			return err
		}
		for i, row := range t.Rows {
			if row[0] == `"SSE"` {
				s.cal = append(s.cal, calDay{t.Meta[i].Date, row, row[2]})
			}
		}
	}
	slices.SortFunc(s.cal, func(a, b calDay) int { return int(b.date - a.date) })
	return nil
}

// OpenDays returns the open days of the recorded calendar in ascending order.
func (s *Source) OpenDays(from, to int32) []int32 {
	var out []int32
	for _, d := range slices.Backward(s.cal) {
		if d.open == "1" && d.date >= from && d.date <= to {
			out = append(out, d.date)
		}
	}
	return out
}

// Days implements table.Source.
func (s *Source) Days(api *spec.API, from, to int32) ([]int32, error) {
	all := s.days[api.ID]
	lo, _ := slices.BinarySearch(all, from)
	hi, _ := slices.BinarySearch(all, to+1)
	if lo >= hi {
		return nil, nil
	}
	return all[lo:hi], nil
}

func (s *Source) dated(api *spec.API, day int32) (*table.Table, error) {
	if _, ok := slices.BinarySearch(s.days[api.ID], day); !ok {
		return &table.Table{}, nil
	}
	return s.load(api, filepath.Join(api.Name, calendar.Text(day)+".csv"), "")
}

// Select implements table.Source. The rows are in the order of the file.
func (s *Source) Select(dst []table.Ref, api *spec.API, day int32, codes []string) ([]table.Ref, error) {
	t, err := s.dated(api, day)
	if err != nil {
		return dst, err
	}
	if codes == nil {
		for i := range t.Rows {
			dst = append(dst, table.Ref{Day: day, Row: int32(i)})
		}
		return dst, nil
	}
	if api.ID == spec.SuspendD {
		// A symbol may have more than one row a day.
		for i, m := range t.Meta {
			if _, ok := slices.BinarySearch(codes, m.Code); ok {
				dst = append(dst, table.Ref{Day: day, Row: int32(i)})
			}
		}
		return dst, nil
	}
	from := len(dst)
	for _, c := range codes {
		if i, ok := t.Index[c]; ok {
			dst = append(dst, table.Ref{Day: day, Row: i})
		}
	}
	slices.SortFunc(dst[from:], func(a, b table.Ref) int { return int(a.Row - b.Row) })
	return dst, nil
}

// Code implements table.Source.
func (s *Source) Code(api *spec.API, r table.Ref) string {
	t, err := s.dated(api, r.Day)
	if err != nil {
		return ""
	}
	return t.Meta[r.Row].Code
}

// Appender implements table.Source.
func (s *Source) Appender(api *spec.API, cols []int) table.Appender {
	var day int32
	var t *table.Table
	return &table.TextAppender{Cols: cols, Find: func(r table.Ref) *table.Table {
		if t == nil || r.Day != day {
			// Select has loaded it; it cannot fail now.
			t, _ = s.dated(api, r.Day)
			day = r.Day
		}
		return t
	}}
}

// Snapshot implements table.Source.
func (s *Source) Snapshot(api *spec.API, market string, today int32) (*table.Table, error) {
	switch api.ID {
	case spec.TradeCal:
		out := &table.Table{}
		if market != "SSE" {
			return out, nil
		}
		for _, d := range s.cal {
			if d.date <= calendar.Horizon(today) {
				out.Rows = append(out.Rows, d.row)
				out.Meta = append(out.Meta, table.Meta{Date: d.date, Status: d.open})
			}
		}
		return out, nil
	case spec.FundBasic:
		f, ok := s.funds[market]
		if !ok {
			return &table.Table{}, nil
		}
		return s.load(api, f, "")
	}
	out := &table.Table{}
	files := s.vintages[s.vintage]
	for _, status := range []string{"D", "G", "L", "P"} {
		f, ok := files[status]
		if !ok {
			continue
		}
		t, err := s.load(api, f, status)
		if err != nil {
			return nil, err
		}
		for i, m := range t.Meta {
			if m.Date <= today {
				out.Rows = append(out.Rows, t.Rows[i])
				out.Meta = append(out.Meta, m)
			}
		}
	}
	return out, nil
}

// load reads a file once. status is the list_status of a stock list.
func (s *Source) load(api *spec.API, file, status string) (*table.Table, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tables[file]; t != nil {
		return t, nil
	}
	head, rows, err := s.read(file)
	if err != nil {
		return nil, fmt.Errorf("recorded file %s: %w", file, err)
	}
	t, err := build(api, head, rows, status)
	if err != nil {
		return nil, fmt.Errorf("recorded file %s: %w", file, err)
	}
	s.tables[file] = t
	return t, nil
}

func (s *Source) read(file string) (head []string, rows [][]string, err error) {
	path := filepath.Join(s.dir, file)
	if strings.HasSuffix(file, ".json") {
		return readReply(path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	all, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, nil, err
	}
	if len(all) == 0 {
		return nil, nil, errors.New("no header")
	}
	return all[0], all[1:], nil
}

// readReply reads a recorded reply; null becomes an empty field.
func readReply(path string) (head []string, rows [][]string, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	var r struct {
		Data struct {
			Fields []string    `json:"fields"`
			Items  [][]*string `json:"items"`
		} `json:"data"`
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, nil, err
	}
	for _, it := range r.Data.Items {
		row := make([]string, len(it))
		for i, v := range it {
			if v != nil {
				row[i] = *v
			}
		}
		rows = append(rows, row)
	}
	return r.Data.Fields, rows, nil
}

// build converts text fields to the JSON texts of the interface's columns.
func build(api *spec.API, head []string, rows [][]string, status string) (*table.Table, error) {
	at := make([]int, len(api.Columns))
	for i, c := range api.Columns {
		at[i] = slices.Index(head, c.Name)
	}
	field := func(row []string, name string) string {
		if i := slices.Index(head, name); i >= 0 && i < len(row) {
			return row[i]
		}
		return ""
	}
	t := &table.Table{Rows: make([][]string, 0, len(rows)), Meta: make([]table.Meta, 0, len(rows))}
	if api.Dated {
		t.Index = make(map[string]int32, len(rows))
	}
	for _, row := range rows {
		cells := make([]string, len(at))
		for i, c := range api.Columns {
			cells[i] = "null"
			if at[i] < 0 || at[i] >= len(row) || row[at[i]] == "" {
				continue
			}
			v := row[at[i]]
			if c.Kind == spec.Text {
				cells[i] = wire.Quote(v)
				continue
			}
			if (v[0] != '-' && (v[0] < '0' || v[0] > '9')) || !json.Valid([]byte(v)) {
				return nil, fmt.Errorf("%s %q is not a number", c.Name, v)
			}
			cells[i] = v
		}
		m := table.Meta{Code: field(row, "ts_code"), Name: field(row, "name"), Market: field(row, "market"), Status: status}
		switch api.ID {
		case spec.StockBasic:
			m.Date, _ = calendar.Parse(field(row, "list_date"))
			m.Exchange = exchangeOf(m.Code)
		case spec.FundBasic:
			m.Status = field(row, "status")
		case spec.TradeCal:
			m.Date, _ = calendar.Parse(field(row, "cal_date"))
		default:
			t.Index[m.Code] = int32(len(t.Rows))
		}
		t.Rows = append(t.Rows, cells)
		t.Meta = append(t.Meta, m)
	}
	return t, nil
}

func exchangeOf(code string) string {
	switch {
	case strings.HasSuffix(code, ".SH"):
		return "SSE"
	case strings.HasSuffix(code, ".SZ"):
		return "SZSE"
	}
	return "BSE"
}
